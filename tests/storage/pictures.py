"""Files to upload, and what the emulator stored and received."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from fal_async.emulator import Emulator

KiB = 1024
PNG = b"\x89PNG\r\n\x1a\n"


def some_bytes(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def some_file(folder: Path, size: int, name: str = "big.bin", seed: int = 1) -> Path:
    path = folder / name
    path.write_bytes(some_bytes(size, seed))
    return path


def stored(emulator: Emulator, url: str) -> bytes:
    """Return the bytes on the emulator's disk for this URL."""
    for upload in emulator.uploads.values():
        if upload.path == url.partition(".fal.media/")[2]:
            folder = emulator.folder
            assert folder is not None
            return (folder / upload.path).read_bytes()
    raise AssertionError(f"{url} was not uploaded")


def requests_of_parts(emulator: Emulator) -> Counter[int]:
    """Count how often each part was sent."""
    return Counter(
        int(request.path.rpartition("/")[2]) for request in emulator.requests if request.kind == "part"
    )


def header(emulator: Emulator, kind: str, name: str) -> str | None:
    """Return a header of the newest request of this kind."""
    newest = [request for request in emulator.requests if request.kind == kind][-1]
    return newest.headers.get(name)
