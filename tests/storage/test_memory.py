"""The real sizes once: fal's own client cut such a file to a tenth (field notes A6.1), or holds it in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fal_async.emulator import Emulator
from tests.storage.pictures import requests_of_parts

MiB = 1024 * 1024
SIZE = 105 * MiB

THERE_AND_BACK = """
import asyncio, sys
from pathlib import Path
from fal_async import Session

def memory(kind: str) -> int:
    # Not getrusage: its maximum is that of the process before exec, which is pytest's.
    return int(Path("/proc/self/status").read_text().partition(kind + ":")[2].split()[0]) * 1024

async def main() -> None:
    async with Session() as fal:
        await fal.storage.upload(b"warm")
        before = memory("VmRSS")
        url = await fal.storage.upload(sys.argv[1])
        await fal.storage.download(url, sys.argv[2])
    print(url, memory("VmHWM") - before)

asyncio.run(main())
"""


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make(path: Path) -> Path:
    with path.open("wb") as file:
        for number in range(SIZE // MiB):
            file.write(number.to_bytes(4, "big") * (MiB // 4))
    return path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
async def test_above_the_threshold_with_every_default(emulator: Emulator, tmp_path: Path) -> None:
    path, back = make(tmp_path / "clip.mp4"), tmp_path / "back.mp4"
    environment = {**os.environ, "FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", THERE_AND_BACK, str(path), str(back), env=environment, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    url, growth = out.decode().split()
    assert digest(back) == digest(path)
    assert url.endswith("/clip.mp4")
    assert sorted(requests_of_parts(emulator)) == list(range(1, 12))
    assert int(growth) < 50 * MiB
