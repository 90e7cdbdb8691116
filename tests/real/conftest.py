"""Tests against software of others: opt-in, as they install packages from PyPI and npm (`make test-real`).

FAL_ASYNC_REAL=1 runs them. Environments are built in a temporary folder, or in the folder FAL_ASYNC_REAL_CACHE,
which keeps them for the next run.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.programs import ENVIRONMENTS, NODE

SCRIPTS = Path(__file__).parent / "scripts"
_INSTALL_LIMIT, _RUN_LIMIT = 900, 90
"""Seconds until an installation, or a script, is ended because something hangs."""
_CACHE = os.environ.get("FAL_ASYNC_REAL_CACHE")  # read here, as FAL_* variables are removed in tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_INSTALL_LIMIT))
            if os.environ.get("FAL_ASYNC_REAL") != "1":
                item.add_marker(pytest.mark.skip(reason="set FAL_ASYNC_REAL=1 to run it"))


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(_CACHE) if _CACHE else tmp_path_factory.mktemp("real")


def python_with(workshop: Path, name: str) -> Path:
    """Return the interpreter of an environment of `programs.py`."""
    folder = workshop / name
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    with _installing(folder, name) as packages:
        if packages:
            venv.create(folder, with_pip=True, clear=True)
            pinned = [f"{package}=={version}" for package, version in packages.items()]
            _install(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *pinned)
    return python


def node_with(workshop: Path) -> Path:
    """Return a folder with the npm packages of `programs.py`, and with the scripts that use them."""
    if shutil.which("npm") is None:
        pytest.skip("needs Node and npm")
    folder = workshop / NODE
    with _installing(folder, NODE) as packages:
        if packages:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / "package.json").write_text('{"private": true, "type": "module"}')
            pinned = [f"{package}@{version}" for package, version in packages.items()]
            # @tanstack/ai-fal asks for an older @tanstack/ai.
            _install("npm", "install", "--no-audit", "--no-fund", "--legacy-peer-deps", *pinned, cwd=folder)
    shutil.copytree(SCRIPTS / NODE, folder / "scripts", dirs_exist_ok=True)
    return folder


@contextmanager
def _installing(folder: Path, name: str) -> Iterator[dict[str, str]]:
    """Yield what must be installed: nothing, if the folder has these versions."""
    wanted, marker = json.dumps(ENVIRONMENTS[name]), folder / "complete"
    installed = marker.is_file() and marker.read_text() == wanted
    yield {} if installed else ENVIRONMENTS[name]
    if not installed:
        marker.write_text(wanted)


def _install(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True, timeout=_INSTALL_LIMIT)


async def output_of(*command: str | Path, env: dict[str, str], cwd: Path | None = None) -> str:
    """Run a script and return what it prints; if it fails, the AssertionError has its messages, too."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **env},
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, messages = await asyncio.wait_for(process.communicate(), _RUN_LIMIT)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode == 0, (out + messages).decode()
    return out.decode()
