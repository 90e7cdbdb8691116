"""Ray on this machine, for programs that tests start. It needs the packages of the dependency group `ray`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from fal_async.emulator import Emulator
from tests.documents.code_blocks import ROOT, environment

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: make test-ray")
_SETTINGS = {
    "RAY_AUTH_MODE": "disabled",  # with a token, Ray would write it into the home folder
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}
_SECONDS_TO_END = 40.0
_OBJECT_STORE = 128 * 2**20
"""Bytes of shared memory."""


async def printed_by(program: Sequence[str], emulator: Emulator, cwd: Path = ROOT) -> str:
    """Return what a Python program, given by its arguments, prints on standard output. It uses the emulator."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program),
        cwd=cwd,
        env=environment(FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, errors.decode()[-4000:]
    return out.decode()


@contextmanager
def ray_on_this_machine() -> Iterator[Path]:
    """Start Ray with two CPUs, and stop it after the block. Yields the folder of its files, which is then deleted.

    The folder is not in `TMPDIR`, because the paths of Ray's sockets must be short.
    """
    os.environ.update(_SETTINGS)  # before the import, which reads some of them
    import ray

    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    try:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=_OBJECT_STORE,
            _temp_dir=str(folder),
        )
        try:
            yield folder
        finally:
            ray.shutdown()
        left = _left_by(folder)
        assert left == [], f"left by Ray: {left}"
    finally:
        shutil.rmtree(folder)


def _left_by(folder: Path) -> list[str]:
    """Return the other processes that have not ended after a while, and have files open in the folder of Ray."""
    until = time.monotonic() + _SECONDS_TO_END
    while True:
        others = (each for each in Path("/proc").glob("[0-9]*") if each.name != str(os.getpid()))
        left = [each.name for each in others if _has_open(each, folder)]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.05)


def _has_open(process: Path, folder: Path) -> bool:
    with contextlib.suppress(OSError):  # it has just ended, or belongs to another user
        for file in (process / "fd").iterdir():
            with contextlib.suppress(OSError):  # it was just closed
                if os.readlink(file).startswith(f"{folder}{os.sep}"):
                    return True
    return False
