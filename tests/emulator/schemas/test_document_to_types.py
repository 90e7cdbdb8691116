"""From a document to a typed call: an endpoint of the emulator, `fal-async types`, and the client's own checks."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fal_async import ConfigurationError, Session
from tests.emulator.caller import Caller
from tests.emulator.schemas.documents_of_models import document


async def module_of(caller: Caller, style: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Write the types of `acme/painter` as a user does, and import them."""
    file = folder / f"painter_{style}.py"
    command = [sys.executable, "-m", "fal_async", "types", "acme/painter", "-o", str(file), "--style", style]
    environment = {**os.environ, "FAL_BASE_URL": caller.emulator.url, "FAL_KEY": caller.emulator.key}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)
    _, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, file.stem, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("style", ["attrs"])
async def test_types_of_a_served_document_make_a_typed_call_of_it(
    caller: Caller, tmp_path: Path, style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "painter.json").write_text(json.dumps(document()))
    caller.emulator.endpoint_from(tmp_path / "painter.json")
    types = await module_of(caller, style, tmp_path, monkeypatch)
    async with Session(caller.emulator.key, hosts=caller.emulator.hosts, check="schema") as fal:
        result = await fal.subscribe(types.painter, types.PainterInput(prompt="a cat", num_images=2, seed=3))
    assert type(result.data) is types.PainterOutput
    assert (len(result.data.images), result.data.seed) == (2, 3)
    assert [file.url for file in result.files()] == [image.url for image in result.data.images]


async def test_the_clients_check_refuses_what_the_emulator_would_refuse(caller: Caller) -> None:
    caller.emulator.endpoint_from(document())
    async with Session(caller.emulator.key, hosts=caller.emulator.hosts) as fal:
        for input in ({}, {"prompt": "x", "num_images": 9}, {"prompt": "x", "image_size": "huge"}):
            with pytest.raises(ConfigurationError):
                await fal.run("acme/painter", input, check="schema")
            assert (await caller.run("acme/painter", input)).status == 422
    assert caller.emulator.count("run") == 3
