"""File objects of every kind: those that block, those at their end, and unusual signatures of `read`."""

from __future__ import annotations

import array
import asyncio
import io
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.datastructures import UploadFile

from fal_async import ClientTimeoutError, ConfigurationError, File, Session, UploadError
from fal_async.emulator import Emulator
from tests.quick import LLM, at_once
from tests.storage.pictures import PNG, some_bytes, some_file, stored

DATA = some_bytes(70_000)


# Reads that block.


class Silent:
    """A file object whose `read` blocks until `go` is set."""

    def __init__(self) -> None:
        self.begun, self.go, self.reading = threading.Event(), threading.Event(), 0
        self.most_at_once = 0

    def read(self, _: int = -1) -> bytes:
        self.reading += 1
        self.most_at_once = max(self.most_at_once, self.reading)
        self.begun.set()
        assert self.go.wait(30)
        self.reading -= 1
        return b""


class SilentDisk(Silent):
    """A `Silent` that is seekable, so that it can be read twice."""

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return 100 if whence == io.SEEK_END else offset


WAYS: dict[str, Callable[[Session, Any], Awaitable[object]]] = {
    "upload": lambda fal, file: fal.storage.upload(file),
    "File": lambda fal, file: fal.storage.upload(File(file, file_name="a.png")),
    "input": lambda fal, file: fal.run(LLM, {"prompt": "x", "image_url": file}),
    "inline": lambda fal, file: fal.run(LLM, {"prompt": "x", "image_url": file}, inline_below=1000),
    "subscribe": lambda fal, file: fal.subscribe(LLM, {"prompt": "x", "image_url": [file, b""[:0]][0]}),
}


@pytest.mark.parametrize("kind", [Silent, SilentDisk])
async def test_a_call_that_is_cancelled_while_its_file_hangs_ends_at_once(
    fal: Session, emulator: Emulator, kind: type[Silent]
) -> None:
    async def check(way: str) -> None:
        file = kind()
        call = asyncio.ensure_future(WAYS[way](fal, file))
        await asyncio.to_thread(file.begun.wait, 30)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert file.reading == 1, "the thread still blocks"
        file.go.set()

    await at_once(check, WAYS)
    assert emulator.requests == []


async def test_a_file_object_whose_read_hangs_is_not_read_by_a_second_thread(fal: Session) -> None:
    file = Silent()
    for _ in range(2):
        call = asyncio.ensure_future(fal.storage.upload(file))
        await asyncio.to_thread(file.begun.wait, 30)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    again = asyncio.ensure_future(fal.storage.upload(file))
    file.go.set()
    with pytest.raises(UploadError, match="is empty"):
        await again
    assert file.most_at_once == 1


def _pipe(buffering: int) -> tuple[Any, Any]:
    reader, writer = os.pipe()
    return os.fdopen(reader, "rb", buffering=buffering), os.fdopen(writer, "wb", buffering=0)


@pytest.mark.parametrize("buffering", [0, -1])
@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
async def test_a_cancelled_call_reads_no_bytes_from_a_silent_pipe(
    fal: Session, way: Callable[[Session, Any], Awaitable[object]], buffering: int
) -> None:
    reader, writer = _pipe(buffering)
    with reader, writer:
        call = asyncio.ensure_future(way(fal, reader))
        await asyncio.wait([call], timeout=0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        writer.write(b"for the next reader")
        assert reader.read(19) == b"for the next reader"


async def test_a_call_with_a_silent_pipe_times_out_before_anything_is_submitted(
    fal: Session, emulator: Emulator
) -> None:
    reader, writer = _pipe(-1)
    with reader, writer, pytest.raises(ClientTimeoutError, match="not submitted"):
        await fal.subscribe(LLM, {"prompt": "x", "image_url": reader}, timeout=0.2)
    assert emulator.requests == []


@pytest.mark.parametrize("buffering", [0, -1])
async def test_a_pipe_that_is_written_in_pieces_is_uploaded_whole(
    fal: Session, emulator: Emulator, buffering: int
) -> None:
    reader, writer = _pipe(buffering)
    with reader:
        upload = asyncio.ensure_future(fal.storage.upload(reader))
        with writer:
            for at in range(0, len(DATA), 7000):
                await asyncio.to_thread(writer.write, DATA[at : at + 7000])
                await asyncio.sleep(0)
        assert stored(emulator, await upload) == DATA


async def test_a_pipe_in_non_blocking_mode_is_uploaded_whole(fal: Session, emulator: Emulator) -> None:
    reader, writer = _pipe(0)
    with reader:
        os.set_blocking(reader.fileno(), False)
        upload = asyncio.ensure_future(fal.storage.upload(reader))
        with writer:
            await asyncio.sleep(0.02)
            writer.write(b"late")
        assert stored(emulator, await upload) == b"late"


async def test_the_file_object_of_a_socket_is_uploaded_whole(fal: Session, emulator: Emulator) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as file:
        theirs.sendall(b"meow")
        theirs.shutdown(socket.SHUT_WR)
        assert stored(emulator, await fal.storage.upload(file)) == b"meow"


_SCRIPT = """
import asyncio, sys, time
from fal_async import Session

class Hung:
    def read(self, size=-1):
        time.sleep(3600)

async def main(file):
    async with Session("a:b") as fal:
        try:
            async with asyncio.timeout(0.1):
                await fal.storage.upload(file)
        except TimeoutError:
            print("ended")

asyncio.run(main(Hung() if sys.argv[1] == "hung" else sys.stdin.buffer))
"""


@pytest.mark.parametrize("what", ["hung", "stdin"])
async def test_a_file_that_hangs_does_not_delay_the_exit_of_the_process(what: str) -> None:
    command = (sys.executable, "-c", _SCRIPT, what)
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(30):
        assert await process.stdout.read() == b"ended\n"
        assert await process.stderr.read() == b""
        assert await process.wait() == 0
    process.stdin.close()


# Unusual signatures of `read`.


class NoSize:
    filename = "cat.png"

    def read(self, *, use_cached: bool = False) -> bytes:
        return PNG


class NoSizeAsync:
    async def read(self) -> bytes:
        return PNG


class Gives:
    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def read(self, _: int) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class GivesAsync(Gives):
    async def read(self, size: int) -> Any:
        return super().read(size)


class GivesAwaitable(Gives):
    def read(self, size: int) -> Any:
        async def later() -> Any:
            return super(GivesAwaitable, self).read(size)

        return later()


@pytest.mark.parametrize(
    ("file", "data"),
    [
        (NoSize(), PNG),
        (NoSizeAsync(), PNG),
        (Gives(b"a", bytearray(b"b"), memoryview(b"c"), b""), b"abc"),
        (GivesAsync(b"a", b"b", b""), b"ab"),
        (GivesAwaitable(b"a", b"b", b""), b"ab"),
        (array.array("h", [1, 2]), b"\x01\0\x02\0"),
        (memoryview(b"abcd")[::2], b"ac"),
    ],
    ids=[
        "read without a size",
        "async read without a size",
        "bytes, bytearray and memoryview",
        "async read",
        "read that returns an awaitable",
        "array",
        "non-contiguous memoryview",
    ],
)
async def test_every_readable_object_is_uploaded_whatever_the_signature_of_its_read(
    fal: Session, emulator: Emulator, file: Any, data: bytes
) -> None:
    assert stored(emulator, await fal.storage.upload(file)) == data


@pytest.mark.parametrize("kind", [Gives, GivesAsync])
@pytest.mark.parametrize(
    ("answers", "error", "words"),
    [
        (["text"], ConfigurationError, "returned str: expected bytes"),
        ([b"a", "text"], ConfigurationError, "returned str: expected bytes"),
        ([b"a", None], UploadError, "returned None"),
        ([b"a", 5], ConfigurationError, "returned int"),
        ([b"a", LookupError("gone")], UploadError, "can't be read: gone"),
        ([StopIteration()], UploadError, "can't be read"),
        ([OSError(5, "Input/output error")], UploadError, "can't be read: Input/output error"),
        ([b""], UploadError, "is empty"),
    ],
)
async def test_a_file_object_whose_read_fails_is_refused_before_anything_is_sent(
    fal: Session,
    emulator: Emulator,
    kind: type[Gives],
    answers: list[Any],
    error: type[Exception],
    words: str,
) -> None:
    for wrapped in (lambda file: file, File):
        with pytest.raises(error, match=words):
            await fal.storage.upload(wrapped(kind(*answers)))
    assert emulator.requests == []


# Positions.


def _written(file: Any) -> Any:
    file.write(DATA)
    return file


@pytest.mark.parametrize("way", ["upload", "input"])
@pytest.mark.parametrize(
    "make",
    [io.BytesIO, tempfile.TemporaryFile, tempfile.NamedTemporaryFile, tempfile.SpooledTemporaryFile],
)
async def test_a_file_object_at_its_end_is_uploaded_from_its_start(
    fal: Session, emulator: Emulator, make: Callable[[], Any], way: str
) -> None:
    with make() as file:
        _written(file)
        if way == "upload":
            url = await fal.storage.upload(file)
        else:
            url = (await fal.storage.transform_input({"a": [file]}))["a"][0]
        assert stored(emulator, url) == DATA
        assert file.tell() == len(DATA), "its position is restored"


async def test_an_async_file_object_at_its_end_is_uploaded_from_its_start(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path = some_file(tmp_path, 5000)
    with path.open("rb") as handle:
        async with await anyio.open_file(path, "rb") as by_anyio:
            for file in (by_anyio, by_anyio, UploadFile(handle), UploadFile(handle)):
                assert stored(emulator, await fal.storage.upload(file)) == path.read_bytes()


async def test_a_memory_mapped_file_is_uploaded(fal: Session, emulator: Emulator, tmp_path: Path) -> None:
    path = some_file(tmp_path, 5000)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert stored(emulator, await fal.storage.upload(mapped)) == path.read_bytes()


@pytest.mark.parametrize(
    "make", [tempfile.TemporaryFile, tempfile.NamedTemporaryFile, tempfile.SpooledTemporaryFile]
)
async def test_a_temporary_file_in_text_mode_is_refused_with_a_hint(
    fal: Session, emulator: Emulator, make: Callable[..., Any]
) -> None:
    with make(mode="w+") as file:
        file.write("text")
        with pytest.raises(ConfigurationError, match="'rb'"):
            await fal.storage.upload(file)
    assert emulator.requests == []


async def test_a_closed_file_object_is_refused_with_its_name(fal: Session, tmp_path: Path) -> None:
    with some_file(tmp_path, 5, name="cat.png").open("rb") as closed:
        pass
    for wrapped in (closed, File(closed)):
        with pytest.raises(UploadError, match=r"cat\.png can't be read: .*closed"):
            await fal.storage.transform_input({"a": wrapped})


# Paths of every kind.


class PathOfBytes:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> bytes:
        return os.fsencode(self.path)


async def test_every_kind_of_path_object_is_uploaded(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path = some_file(tmp_path, 5000, name="cat.png")
    with os.scandir(tmp_path) as found, os.scandir(os.fsencode(tmp_path)) as found_as_bytes:
        entries = [entry for entry in (*found, *found_as_bytes) if os.fsdecode(entry.name) == "cat.png"]
    assert len(entries) == 2
    for way in (anyio.Path(path), *entries, PathOfBytes(path), File(anyio.Path(path))):
        url = await fal.storage.upload(way)
        (in_input,) = await fal.storage.transform_input([way])
        assert url.endswith("/cat.png")
        assert stored(emulator, url) == stored(emulator, in_input) == path.read_bytes()


@pytest.mark.parametrize("name", ["a\0b.png", "\ud800.png", "x" * 300])
async def test_an_impossible_path_raises_an_upload_error(fal: Session, emulator: Emulator, name: str) -> None:
    for file in (Path(name), File(name), File(Path(name))):
        with pytest.raises(UploadError, match="can't be read"):
            await fal.storage.transform_input({"image_url": file})
    with pytest.raises(UploadError, match="can't be read"):
        await fal.storage.upload(name)
    assert emulator.requests == []


async def test_a_stream_without_a_temporary_folder_is_refused_with_a_hint(
    fal: Session, emulator: Emulator
) -> None:
    before, tempfile.tempdir = tempfile.tempdir, "/nowhere/at/all"
    try:
        with pytest.raises(UploadError, match="TMPDIR"):
            await fal.storage.upload(Gives(b"a", b""))
    finally:
        tempfile.tempdir = before
    assert emulator.requests == []
