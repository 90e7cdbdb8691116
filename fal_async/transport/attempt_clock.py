"""The clock of one attempt: how long nothing may move, and how long the answer may take."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class AttemptClock:
    """Ends its block with TimeoutError where nothing moves for too long. All limits are seconds, None for none.

    Args:
        piece: for each piece of the request's body, so that a server that stops reading is noticed, and a slow
            line is not taken for one.
        silence: of the server, once the body has left.
        total: from then to the end of the answer.
    """

    __slots__ = ("_end", "_loop", "_silence", "_timeout", "_total", "is_late", "is_sending", "piece")

    def __init__(self, piece: float | None, silence: float | None, total: float | None) -> None:
        self.piece: float | None = piece
        self._silence, self._total = silence, total
        self._loop = asyncio.get_running_loop()
        self._timeout: asyncio.Timeout | None = None
        self._end: float | None = None
        self.is_sending: bool = False
        """Whether it waits for the body of the request to leave."""
        self.is_late: bool = False
        """Whether `total` ends before `silence` would."""

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
        """A piece of the body is about to leave."""
        self.is_sending, self._end = True, None
        self._wind_up(self.piece)

    def has_sent(self) -> None:
        """Nothing of the body is left here; or there is none."""
        self.is_sending = False
        self._end = None if self._total is None else self._loop.time() + self._total
        self._wind_up(self._silence)

    def receives(self) -> None:
        """A piece of the answer came."""
        self.is_sending = False
        self._wind_up(self._silence)

    def _wind_up(self, seconds: float | None) -> None:
        # Who sends the body is a task of its own, which may go on a little longer than who waits for the answer.
        if self._timeout is None or self._timeout.expired():
            return
        when, end = None if seconds is None else self._loop.time() + seconds, self._end
        self.is_late = end is not None and (when is None or end <= when)
        self._timeout.reschedule(end if self.is_late else when)
