"""The modules of all styles: their format, their types, and calls with them on the emulator."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fal_async import Session
from fal_async.emulator import Emulator
from fal_async.protocol.json_input import encode_json
from fal_async.protocol.structure import structure
from fal_async.typegen.module_text import module_text
from fal_async.typegen.styles import STYLES
from tests.typegen.documents import endpoint_schema
from tests.typegen.shapes import NAMES, SHAPES, TEXT_TO_IMAGE, Shape


def checked(folder: Path, *command: str) -> str:
    """Run a checker in the folder, and return what it reports: "" if it finds nothing."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else ""


def test_modules_have_the_format_of_ruff(folder: Path) -> None:
    assert checked(folder, "ruff", "format", "--isolated", "--diff", *names(folder)) == ""


def test_modules_pass_the_usual_rules_of_ruff(folder: Path) -> None:
    rules = "E4,E7,E9,F,I,UP,B,N8"
    assert checked(folder, "ruff", "check", "--isolated", "--select", rules, *names(folder)) == ""


def test_modules_and_programs_pass_strict_mypy(folder: Path) -> None:
    cache = f"--cache-dir={folder / 'cache'}"
    assert checked(folder, "mypy", "--strict", "--config-file=", cache, ".") == ""


def test_modules_of_all_styles_pass_pyright(folder: Path) -> None:
    assert checked(folder, "pyright", "--pythonpath", sys.executable, *names(folder)) == ""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("shapes_*.py"))


@pytest.fixture
def load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return a function that imports a module of the folder."""

    def imported(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return imported


def answering(shape: Shape, received: dict[str, Any]) -> Callable[[Any], Awaitable[Any]]:
    async def answer(input: Any) -> Any:
        received[shape.endpoint_id] = input
        return shape.answer

    return answer


@asynccontextmanager
async def emulated(received: dict[str, Any]) -> AsyncIterator[Session]:
    """Open a session with an emulator that has the ten endpoints, and that notes what they receive."""
    async with Emulator() as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:
        for shape in SHAPES:
            register = emulator.endpoint(
                shape.endpoint_id, input_schema=shape.input, output_schema=shape.output
            )
            register(answering(shape, received))
        yield fal


@pytest.mark.parametrize("style", STYLES)
async def test_inputs_are_sent_as_the_schema_says_and_outputs_come_back_typed(
    style: str, load: Callable[[str], ModuleType]
) -> None:
    received: dict[str, Any] = {}
    load(f"shapes_{style}")
    async with emulated(received) as fal:
        outputs = await load(f"use_{style}").call_all(fal)
    assert received == {shape.endpoint_id: shape.sent for shape in SHAPES if shape is not NAMES}
    assert len(outputs) == len(received)


@pytest.mark.parametrize("style", STYLES)
async def test_files_in_typed_inputs_are_uploaded_and_sent_as_urls(
    style: str, load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    received: dict[str, Any] = {}
    load(f"shapes_{style}")
    (tmp_path / "a.png").write_bytes(b"x")
    async with emulated(received) as fal:
        await load(f"use_{style}").send_files(fal, tmp_path / "a.png")
    (sent,) = received.values()
    urls = [*sent["image_urls"], sent["elements"][0]["frontal_image_url"]]
    assert [url.rpartition("/")[2] for url in urls] == ["a.png", "b.png", "c.png", "a.png"]
    assert all(url.startswith("http") for url in urls)


@pytest.mark.parametrize("style", STYLES)
async def test_fields_with_other_names_go_out_and_come_back_under_their_names_in_json(
    style: str, load: Callable[[str], ModuleType]
) -> None:
    received: dict[str, Any] = {}
    module = load(f"shapes_{style}")
    given = structure(dict(NAMES.sent), module.class_.input)
    async with emulated(received) as fal:
        result = await fal.subscribe(module.class_, given)
    assert received == {NAMES.endpoint_id: NAMES.sent}
    data = result.data
    assert (data["import"] if style == "typeddict" else data.import_) == [1]


@pytest.mark.parametrize("style", STYLES)
def test_a_field_that_fal_adds_changes_no_input_and_so_no_key(
    style: str, load: Callable[[str], ModuleType], folder: Path
) -> None:
    schema: dict[str, Any] = {**TEXT_TO_IMAGE.input}
    schema["properties"] = {**schema["properties"], "added": {"type": "string", "default": "x"}}
    newer = endpoint_schema(TEXT_TO_IMAGE.endpoint_id, schema, TEXT_TO_IMAGE.output)
    (folder / "newer.py").write_text(module_text([newer], style=style, command=""))
    before, after = load(f"shapes_{style}").FluxDevInput, load("newer").FluxDevInput
    assert encode_json(after(prompt="a cat", seed=1)) == encode_json(before(prompt="a cat", seed=1))
    (folder / "newer.py").unlink()
