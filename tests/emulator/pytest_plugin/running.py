"""Runs pytest as a user of the plugin does: in a process and a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[3]
PLUGIN = "fal_async.emulator.pytest_plugin"
ASYNCIO = ("-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function")


@attrs.frozen
class Run:
    """One run of pytest: what it printed, and its exit status."""

    shown: str
    status: int

    @property
    def summary(self) -> str:
        """The last line without the time: "2 passed, 1 failed"."""
        return self.shown.strip().splitlines()[-1].partition(" in ")[0].strip("= ")


def run_pytest(folder: Path, *options: str, **files: str) -> Run:
    """Run pytest in a folder that gets these files, by their names without `.py`.

    Only the named plugins are loaded, so the plugin under test is that of this tree, installed or not.
    """
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
        "--strict-markers",
    ]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "-p", PLUGIN, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return Run(done.stdout + done.stderr, done.returncode)
