"""The fixtures in a separate pytest run, as for a user who has installed the package."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = "fal_async.emulator.pytest_plugin"

WITH_THE_EMULATOR = """
import urllib.request, json, asyncio

async def test_the_emulator_serves_an_endpoint(fal_emulator):
    @fal_emulator.endpoint("me/model", public=True)
    async def model(input):
        return {"got": input}

    def ask():
        with urllib.request.urlopen(fal_emulator.url + "/me/model?a=1") as answer:
            return json.load(answer)

    assert await asyncio.to_thread(ask) == {"got": {"a": "1"}}
    assert fal_emulator.count("run") == 1

async def test_the_emulator_is_not_that_of_another_test(fal_emulator):
    assert fal_emulator.count() == 0
    assert "me/model" not in [endpoint.endpoint_id for endpoint in fal_emulator._core.endpoints]
"""
WITH_A_SESSION = """
async def test_the_session_uses_the_emulator(fal, fal_emulator):
    result = await fal.subscribe("fal-ai/any-llm", {"prompt": "a cat"})
    assert "a cat" in result.data["output"]
    assert fal_emulator.count("submit") == 1
"""
ASYNCIO = ("-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function", "-W", "error")
WITHOUT_PYTEST_ASYNCIO = """
import sys
import pytest

sys.modules["pytest_asyncio"] = None
sys.exit(pytest.main(sys.argv[1:]))
"""


def run_pytest(folder: Path, text: str, *options: str, script: str | None = None) -> str:
    """Run pytest on a file with this text, and return what it printed."""
    (folder / "test_theirs.py").write_text(text)
    start = ["-m", "pytest"] if script is None else ["-c", script]
    command = [sys.executable, *start, "-q", "-p", "no:cacheprovider", *options, "-p", PLUGIN, str(folder)]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=50)
    return done.stdout + done.stderr


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_fal_emulator_fixture_gives_each_test_its_own_emulator(tmp_path: Path, mode: str) -> None:
    marked = WITH_THE_EMULATOR if mode == "auto" else marked_as_async(WITH_THE_EMULATOR)
    shown = run_pytest(tmp_path, marked, *ASYNCIO, f"--asyncio-mode={mode}")
    assert "2 passed" in shown, shown


def marked_as_async(text: str) -> str:
    return "import pytest\n" + text.replace("async def test", "@pytest.mark.asyncio\nasync def test")


def test_the_fal_fixture_is_a_session_on_the_emulator(tmp_path: Path) -> None:
    shown = run_pytest(tmp_path, WITH_A_SESSION, *ASYNCIO, "--asyncio-mode=auto")
    assert "1 passed" in shown, shown


def test_without_pytest_asyncio_only_tests_that_use_the_fixture_fail(tmp_path: Path) -> None:
    text = "def test_without_fixture(): pass\ndef test_with_fixture(fal_emulator): pass\n"
    shown = run_pytest(tmp_path, text, script=WITHOUT_PYTEST_ASYNCIO)
    assert "1 passed, 1 error" in shown, shown
    assert "the fixture 'fal_emulator' needs pytest-asyncio: pip install 'fal-async[testing]'" in shown


def test_the_package_registers_the_plugin_as_an_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"fal_async": PLUGIN}
