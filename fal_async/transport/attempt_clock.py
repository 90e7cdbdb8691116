"""The clock of one attempt: it limits the silence, and the time to the end of the response."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class AttemptClock:
    """A block that ends with TimeoutError if nothing moves for too long. Limits are in seconds; None: no limit.

    Args:
        piece: the limit for each piece of the request's body. It detects a server that stops reading, but tolerates
            a slow line.
        silence: the limit of the server's silence, once the body was sent.
        total: the limit from then to the end of the response.
    """

    __slots__ = ("_end", "_loop", "_silence", "_timeout", "_total", "is_late", "is_sending", "piece")

    def __init__(self, piece: float | None, silence: float | None, total: float | None) -> None:
        self.piece: float | None = piece
        self._silence, self._total = silence, total
        self._loop = asyncio.get_running_loop()
        self._timeout: asyncio.Timeout | None = None
        self._end: float | None = None
        self.is_sending: bool = False
        """Whether it waits for the request's body to be sent."""
        self.is_late: bool = False
        """Whether `total` ends before `silence` does."""

    async def __aenter__(self) -> Self:
        timeout = asyncio.timeout(None)
        await timeout.__aenter__()
        self._timeout = timeout
        self.has_sent()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        timeout, self._timeout = self._timeout, None
        if timeout is not None:
            await timeout.__aexit__(kind, error, trace)

    def sends(self) -> None:
        """Note that a piece of the request's body is about to be sent."""
        self.is_sending, self._end = True, None
        self._wind_up(self.piece)

    def has_sent(self) -> None:
        """Note that the request's body was sent, or that there is none."""
        self.is_sending = False
        self._end = None if self._total is None else self._loop.time() + self._total
        self._wind_up(self._silence)

    def receives(self) -> None:
        """Note that a piece of the response arrived."""
        self.is_sending = False
        self._wind_up(self._silence)

    def _wind_up(self, seconds: float | None) -> None:
        # aiohttp sends the body in a separate task, which may outlive the block for a moment.
        if self._timeout is None or self._timeout.expired():
            return
        when, end = None if seconds is None else self._loop.time() + seconds, self._end
        self.is_late = end is not None and (when is None or end <= when)
        self._timeout.reschedule(end if self.is_late else when)
