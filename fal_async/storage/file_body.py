"""Request bodies that are read from a file piece by piece, counted, and checked on the way."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from fal_async.callbacks import call_back
from fal_async.errors import UploadError
from fal_async.storage.file_objects import PIECE
from fal_async.storage.sources import Source

ProgressCallback = Callable[[int, int], Awaitable[None] | None]


class Meter:
    """How much is on its way. What is sent again isn't counted twice, and the number never falls."""

    def __init__(self, total: int, callback: ProgressCallback | None) -> None:
        self._total, self._callback = total, callback
        self._sent = self._told = 0

    def begin_at(self, done: int) -> None:
        self._sent = done

    def take_back(self, count: int) -> None:
        self._sent -= count

    async def add(self, count: int) -> None:
        self._sent += count
        if self._sent > self._told:
            self._told = self._sent
            await call_back(self._callback, self._sent, self._total)


class Body:
    """A span of a file, read anew for each attempt. `digest`: SHA-256 (hex) once it was read to its end."""

    def __init__(
        self, source: Source, offset: int, length: int, meter: Meter, *, hashed: bool = False
    ) -> None:
        self.source: Source = source
        self.offset: int = offset
        self.length: int = length
        self.meter: Meter = meter
        self.hashed = hashed
        self.failure: BaseException | None = None
        self.sent: int = 0
        self.digest: str = ""

    def __call__(self) -> AsyncIterator[bytes]:
        self.check()
        self.meter.take_back(self.sent)
        self.sent, self.digest = 0, ""
        return _Pieces(self)

    def check(self) -> None:
        """What goes wrong while it is read looks like a broken connection from outside: here is the truth."""
        if self.failure is not None:
            raise self.failure


class _Pieces:
    """No generator: one that is left half-way has to be closed by somebody."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._hash = hashlib.sha256() if body.hashed else None

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        body = self._body
        left = body.length - body.sent
        if left == 0:
            body.digest = self._hash.hexdigest() if self._hash is not None else ""
            raise StopAsyncIteration
        try:
            piece = await body.source.work(partial(self._read, body.offset + body.sent, min(PIECE, left)))
            body.sent += len(piece)
            await body.meter.add(len(piece))
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            body.failure = error
            # aiohttp tells nobody of what is no Exception: the answer would be waited for.
            raise error if isinstance(error, Exception) else InterruptedError from error
        return piece

    def _read(self, offset: int, length: int) -> bytes:
        body = self._body
        piece = body.source.read_now(offset, length)
        if len(piece) < length:
            raise UploadError(f"{body.source.name} ended before its end: expected {length} more bytes")
        if self._hash is not None:
            self._hash.update(piece)
        return piece


async def digest_of(source: Source, offset: int, length: int) -> str:
    """SHA-256 (hex) of a span, which is not read into memory whole."""
    digest = hashlib.sha256()

    def take(at: int) -> int:
        piece = source.read_now(at, min(PIECE, offset + length - at))
        digest.update(piece)
        return len(piece)

    at = offset
    while at < offset + length and (taken := await source.work(partial(take, at))):
        at += taken
    return digest.hexdigest()
