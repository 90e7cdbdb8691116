"""The time limits of one attempt: how long the server may be silent, and how long the response may take."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class AttemptClock:
    """A block that raises TimeoutError if there is no progress for too long. Limits are in seconds; None: no limit.

    Args:
        piece: the limit for sending each piece of the request's body. It detects a server that stops reading, but
            tolerates a slow line.
        silence: how long the server may be silent. Until the body is sent, it limits connecting, too.
        total: the limit from when the body was sent to the end of the response.
    """

    __slots__ = ("_end", "_loop", "_silence", "_timeout", "_total", "is_late", "is_sending", "piece")

    def __init__(self, piece: float | None, silence: float | None, total: float | None) -> None:
        self.piece: float | None = piece
        self._silence, self._total = silence, total
        self._loop = asyncio.get_running_loop()
        self._timeout: asyncio.Timeout | None = None
        self._end: float | None = None
        self.is_sending: bool = False
        """Whether the request's body is being sent."""
        self.is_late: bool = False
        """Whether the current limit comes from `total`, not from `silence` or `piece`."""

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
        """Record that a piece of the request's body is about to be sent."""
        self.is_sending, self._end = True, None
        self._wind_up(self.piece)

    def has_sent(self) -> None:
        """Record that the request's body was sent, or that the request has no body."""
        self.is_sending = False
        self._end = None if self._total is None else self._loop.time() + self._total
        self._wind_up(self._silence)

    def receives(self) -> None:
        """Record that a piece of the response arrived."""
        self.is_sending = False
        self._wind_up(self._silence)

    def _wind_up(self, seconds: float | None) -> None:
        # aiohttp sends the body in a separate task, which may still run for a moment after the block was left.
        if self._timeout is None or self._timeout.expired():
            return
        when, end = None if seconds is None else self._loop.time() + seconds, self._end
        self.is_late = end is not None and (when is None or end <= when)
        self._timeout.reschedule(end if self.is_late else when)
