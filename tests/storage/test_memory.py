"""Real sizes: the official client truncates such a file to a tenth (field notes A6.1), or holds it in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from fal_async.emulator import Emulator
from tests.servers.file_host import Says, file_host
from tests.storage.pictures import requests_of_parts

MiB = 1024 * 1024
SIZE = 105 * MiB

THERE_AND_BACK = """
import asyncio, sys
from pathlib import Path
from fal_async import Session

def memory(kind: str) -> int:
    # Not getrusage: its maximum includes the process before exec, which is pytest.
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
async def test_a_file_of_105_mib_is_uploaded_and_downloaded_with_little_memory(
    emulator: Emulator, tmp_path: Path
) -> None:
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


A_BOMB = """
import asyncio, os, sys
from pathlib import Path
from fal_async import Session

def memory(kind: str) -> int:
    return int(Path("/proc/self/status").read_text().partition(kind + ":")[2].split()[0]) * 1024

async def main() -> None:
    async with Session("kid:key") as fal:
        before = memory("VmRSS")
        path = await fal.storage.download(sys.argv[1], sys.argv[2])
        print(path.stat().st_size, memory("VmHWM") - before)

asyncio.run(main())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
async def test_a_compressed_download_is_not_held_in_memory(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join([*(packer.compress(bytes(MiB)) for _ in range(SIZE // MiB)), packer.flush()])
    async with file_host(lambda _: Says(packed, {"content-encoding": "gzip"})) as host:
        command = [sys.executable, "-c", A_BOMB, f"{host.url}/f.bin", str(tmp_path / "f.bin")]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        out, _ = await process.communicate()
    size, growth = map(int, out.split())
    assert size == SIZE > 500 * len(packed)
    assert growth < 30 * MiB
