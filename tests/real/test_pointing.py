"""What the start prints for JavaScript, and Python's HTTP libraries under `fal-async emulator exec`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fal_async.emulator import Emulator
from fal_async.emulator.serving.announcement import snippets
from fal_async.emulator.serving.certificates import certificates_in
from tests.real.conftest import SCRIPTS, node_with, output_of, python_with

USE = """
const { data } = await fal.subscribe("fal-ai/any-llm", { input: { prompt: "the sea" } });
const url = await fal.storage.upload(new Blob(["text"], { type: "text/plain" }));
console.log(JSON.stringify({ output: data.output, text: await (await fetch(url)).text() }));
"""


@pytest.mark.parametrize("tls", [False, True])
async def test_the_snippet_for_the_javascript_client_works_as_it_is_printed(
    workshop: Path, tmp_path: Path, tls: bool
) -> None:
    certificates = certificates_in(tmp_path, "127.0.0.1", {}) if tls else None
    async with Emulator(speed=50, ssl=certificates.context() if certificates else None) as emulator:
        (snippet,) = [text for name, text in snippets(emulator, certificates).items() if "JavaScript" in name]
        program = node_with(workshop) / f"snippet{tls}.mjs"
        program.write_text(f'import {{ fal }} from "@fal-ai/client";\n{snippet}\n{USE}')
        trust = {"NODE_EXTRA_CA_CERTS": str(certificates.authority)} if certificates else {}
        said = json.loads(await output_of("node", program, env=trust))
        assert (bool(said["output"]), said["text"]) == (True, "text")
        assert emulator.count("submit") == 1


async def test_python_libraries_that_resolve_names_in_c_run_under_exec(workshop: Path) -> None:
    python = python_with(workshop, "python-http")
    command = (sys.executable, "-m", "fal_async", "emulator", "exec", "--speed", "50", "--")
    said = await output_of(*command, python, SCRIPTS / "python" / "http_libraries.py", env={})
    loops = [
        f"{loop} {name}"
        for loop in ("asyncio", "uvloop")
        for name in ("AsyncResolver 200", "ThreadedResolver 200", "httpx 200", "websockets 101")
    ]
    assert said.splitlines() == ["requests 200", *loops, "trio 200", "gevent 200"]
