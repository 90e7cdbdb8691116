"""fal's own clients against the emulator: streaming and realtime work as they do with fal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fal_async.emulator import Emulator
from tests.documents.code_blocks import javascript_of
from tests.real.conftest import SCRIPTS, node_with, output_of, python_with

PNG = b"\x89PNG".hex()


async def check(emulator: Emulator, out: str) -> None:
    printed: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    assert printed["events"] > 10
    assert printed["last"]["output"].startswith('You asked about "the sea"')
    assert printed["png"] == PNG
    assert (emulator.count("stream"), emulator.count("realtime_token"), emulator.count("realtime")) == (
        1,
        1,
        1,
    )


async def test_the_official_python_client_streams_and_does_realtime(
    emulator: Emulator, workshop: Path
) -> None:
    python = python_with(workshop, "fal-client", "fal-client")
    out = await output_of(python, SCRIPTS / "python_client.py", emulator.url, env={"FAL_KEY": emulator.key})
    await check(emulator, out)


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
async def test_the_official_javascript_client_streams_and_does_realtime(
    emulator: Emulator, workshop: Path
) -> None:
    folder = node_with(workshop, "fal-js", "@fal-ai/client", "ws")
    script = SCRIPTS / "js_client.mjs"
    out = await output_of("node", script, emulator.url, env={"FAL_KEY": emulator.key}, cwd=folder)
    await check(emulator, out)


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
async def test_an_older_javascript_client_uploads_and_subscribes(emulator: Emulator, workshop: Path) -> None:
    """It sends no `storage_type`, and uses the older name of the REST host."""

    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        return input

    folder = node_with(workshop, "fal-js-older", "@fal-ai/serverless-client@0.9.3")
    script = SCRIPTS / "older_js_client.mjs"
    out = await output_of("node", script, emulator.url, env={"FAL_KEY": emulator.key}, cwd=folder)
    assert json.loads(out.strip().splitlines()[-1]) == {"uploaded": "hello", "in_the_input": "in the input"}
    assert emulator.count("initiate") == 2


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
async def test_the_javascript_of_the_recipe_uploads_and_subscribes(
    emulator: Emulator, workshop: Path
) -> None:
    folder = node_with(workshop, "fal-js", "@fal-ai/client", "ws")
    (folder / "recipe.mjs").write_text(javascript_of("fal_async/RECIPES.md"))
    out = await output_of(
        *("node", "recipe.mjs"),
        env={"FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key},
        cwd=folder,
    )
    assert out.startswith(f"{emulator.url}/v3.fal.media/")
    assert (emulator.count("submit"), len(emulator.uploads)) == (1, 1)
