"""Tests against software of others: opt-in, as they install packages from PyPI and npm (`make test-real`).

FAL_ASYNC_REAL=1 runs them. Environments are built in a temporary folder, or in the folder FAL_ASYNC_REAL_CACHE,
which keeps them for the next run.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "scripts"
_INSTALL_LIMIT = 900
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


def python_with(workshop: Path, name: str, *packages: str) -> Path:
    """Return the interpreter of an environment with these packages."""
    folder = workshop / name
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True, timeout=_INSTALL_LIMIT)
        (folder / "complete").touch()
    return python


def node_with(workshop: Path, name: str, *packages: str) -> Path:
    """Return a folder with these npm packages."""
    folder = workshop / name
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        command = ["npm", "install", "--no-audit", "--no-fund", *packages]
        subprocess.run(command, cwd=folder, check=True, timeout=_INSTALL_LIMIT)
        (folder / "complete").touch()
    return folder


async def output_of(*command: str | Path, env: dict[str, str], cwd: Path | None = None) -> str:
    """Run a script and return its output; if it fails, the AssertionError has the output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **env},
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, out.decode()
    return out.decode()
