"""Bodies of HTTP requests that are read from a file piece by piece, with progress and checks."""

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
"""Called with the bytes sent and the total in bytes; may be async."""


class Meter:
    """Reports progress in bytes. Bytes sent again are counted once, and the reported number never decreases."""

    def __init__(self, total: int, callback: ProgressCallback | None) -> None:
        self._total, self._callback = total, callback
        self._sent = self._reported = 0

    def begin_at(self, done: int) -> None:
        self._sent = done

    def take_back(self, count: int) -> None:
        self._sent -= count

    async def add(self, count: int) -> None:
        self._sent += count
        if self._sent > self._reported:
            self._reported = self._sent
            await call_back(self._callback, self._sent, self._total)


class Body:
    """The body of an HTTP request: a span of a file, which is read again for each attempt.

    With `hashed`, `digest` is the SHA-256 (hex) of the span once it was read completely; until then it is "".
    """

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
        """Raise the error of reading the file, if there was one.

        The transport reports such an error as a broken connection.
        """
        if self.failure is not None:
            raise self.failure


class _Pieces:
    """The pieces of a body. A class, because an unfinished async generator would have to be closed."""

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
            # aiohttp ignores a BaseException that is not an Exception, and would continue to wait for the response.
            raise error if isinstance(error, Exception) else InterruptedError from error
        return piece

    def _read(self, offset: int, length: int) -> bytes:
        body = self._body
        piece = body.source.read_now(offset, length)
        if len(piece) < length:
            raise UploadError(f"{body.source.name} ended early: expected {length} more bytes")
        if self._hash is not None:
            self._hash.update(piece)
        return piece


async def digest_of(source: Source, offset: int, length: int) -> str:
    """Return the SHA-256 (hex) of a span without reading all of it into memory."""
    digest = hashlib.sha256()

    def take(at: int) -> int:
        piece = source.read_now(at, min(PIECE, offset + length - at))
        digest.update(piece)
        return len(piece)

    at = offset
    while at < offset + length and (taken := await source.work(partial(take, at))):
        at += taken
    return digest.hexdigest()
