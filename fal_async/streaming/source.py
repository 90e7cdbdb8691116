"""Reads the body of a stream's response as items: events, or chunks of bytes (protocol 5.1)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from fal_async.errors import ResponseDecodeError, TransportError
from fal_async.protocol.http import declared_charset, json_text
from fal_async.protocol.sse import ServerSentEvent, SSEDecoder
from fal_async.protocol.streaming import KEPT, BodyKind, Kept
from fal_async.transport import OpenResponse

Item = ServerSentEvent | str | bytes
"""An event, an event that has only this data (`str`), or a chunk of bytes."""


class SourceFailure(Exception):
    """Raised if the rest of the body can't be read. The stream converts it into a `StreamError`."""

    def __init__(self, message: object, reason: str) -> None:
        super().__init__()
        self.message: object = message
        self.reason: str = reason


class StreamSource:
    """Reads the body of a response as items: events, or chunks of bytes."""

    def __init__(
        self, response: OpenResponse, kind: BodyKind, idle_timeout: float, kept: Kept, max_answer: int
    ) -> None:
        self._response, self._kind, self._idle_timeout, self._kept = response, kind, idle_timeout, kept
        self._chunks = response.chunks()
        self._decoder = SSEDecoder()
        self.ready: deque[Item] = deque()
        """Items that have arrived and that `next` has not returned yet."""
        self._unseen = 0  # bytes since `_kept` was last trimmed
        self._whole, self._max_whole = bytearray(), max_answer
        self._over = self._idle = False
        self._loop = asyncio.get_running_loop()
        self._watch: asyncio.TimerHandle | None = None
        self._waits_since: float | None = None

    @property
    def waited_for(self) -> bool:
        """Whether a task waits for the next chunk."""
        return self._waits_since is not None

    async def next(self) -> Item | None:
        """Return the next item; None at the end of the body.

        `SourceFailure` if the connection breaks, nothing arrives for `idle_timeout` seconds, or an item is too
        large.
        """
        while not self.ready:
            if self._over:
                return None
            chunk = await self._chunk()
            if chunk is None:
                self._finish()
            else:
                self._take(chunk)
        return self.ready.popleft()

    def close(self) -> None:
        self._over = True
        self.ready.clear()
        if self._watch is not None:
            self._watch.cancel()
        self._response.close()

    async def aclose(self) -> None:
        self.close()
        # RuntimeError: another task is still reading. It gets an error, because the response is closed.
        with contextlib.suppress(RuntimeError):
            await self._chunks.aclose()

    async def _chunk(self) -> bytes | None:
        """Return the next chunk of the body; None at its end."""
        # Every chunk counts as activity, even a comment, because a server that sends keep-alives is not idle.
        self._waits_since = self._loop.time()
        if self._watch is None:
            self._watch = self._loop.call_later(self._idle_timeout, self._look)
        try:
            return await anext(self._chunks, None)
        except TransportError as error:
            if self._idle:
                raise SourceFailure(
                    f"nothing was received for {self._idle_timeout:g} s (idle_timeout)", "idle"
                ) from error
            raise SourceFailure(f"the stream broke: {error.message}", "cut") from error
        finally:
            self._waits_since = None

    def _look(self) -> None:
        """Close the response if nothing arrived for `idle_timeout` seconds, else check again later.

        One timer that checks from time to time is cheaper than one timer for each chunk.
        """
        self._watch = None
        if self._over:
            return
        waited = 0.0 if self._waits_since is None else self._loop.time() - self._waits_since
        if waited < self._idle_timeout:
            self._watch = self._loop.call_later(self._idle_timeout - waited, self._look)
        else:
            self._idle = True
            self._response.close()  # the task that waits for a chunk gets an error

    def _take(self, chunk: bytes) -> None:
        self._unseen += len(chunk)
        if self._unseen > KEPT // 4:
            self._kept.trim()
            self._unseen = 0
        if self._kind is BodyKind.CHUNKS:
            self.ready.append(chunk)
        elif self._kind is BodyKind.JSON:
            self._whole += chunk
            if len(self._whole) > self._max_whole:
                words = f"the response has more than {self._max_whole} bytes: raise Session(max_answer=...)"
                raise SourceFailure(words, "too_large")
        else:
            try:
                self.ready.extend(self._decoder.feed_light(chunk))
            except ResponseDecodeError as error:
                raise SourceFailure(error.message, "too_large") from error

    def _text_of_whole(self) -> str:
        try:
            return json_text(self._whole, declared_charset(self._response.headers))
        except ValueError:
            return self._whole.decode("utf-8", "replace")

    def _finish(self) -> None:
        self._over = True
        if self._kind is BodyKind.JSON:
            self.ready.append(self._text_of_whole())
        elif self._decoder.incomplete:
            raise SourceFailure("the stream ended in the middle of an event", "cut")
