"""Writes about requests that fal has. None of them ends a call, and none is lost while the session lives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs

from fal_async.errors import LedgerError
from fal_async.ledger.store import EntryGone

logger: logging.Logger = logging.getLogger("fal_async")
T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two tries of a write that failed."""


@attrs.frozen(kw_only=True, eq=False)
class _Owed:
    what: str
    write: Callable[[], Awaitable[object]]


class LateWrites:
    """The writes of one session to one ledger, in its event loop. After one that failed, or whose caller was
    cancelled before it heard, they are made in their order, again and again; no claim is made before all of them
    are."""

    def __init__(self) -> None:
        self._owed: deque[_Owed] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: Exception | None = None
        self._trying: asyncio.Task[None] | None = None
        self._is_closed = False
        self._at_once = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    async def write(self, what: str, write: Callable[[], Awaitable[T]]) -> T | None:
        """`write`; None where it failed, and is tried again. `what` names request and key, for the log."""
        if not self._is_here():
            return None
        if not self._owed:
            try:
                return await write()
            except asyncio.CancelledError:
                # Whether it is written, nobody here will hear. Twice changes nothing, if it is at once.
                self._owe(what, write)
                self._at_once.set()
                raise
            except EntryGone as error:
                logger.warning("%s: %s", error.message, what)
                return None
            except Exception as error:  # whatever it is: fal has the request, and its call goes on
                self._note(what, error)
        self._owe(what, write)
        return None

    def _owe(self, what: str, write: Callable[[], Awaitable[object]]) -> None:
        if self._is_closed:  # a driver that outlived its session
            logger.error("the ledger was never written (%s): %s", self._failure, what)
            return
        self._owed.append(_Owed(what=what, write=write))
        assert self._loop is not None
        if self._trying is None or self._trying.done():
            self._trying = self._loop.create_task(self._try_again())

    def _is_here(self) -> bool:
        """Whether the session's event loop runs. If not, who writes is a coroutine that is thrown away with its
        loop, and can't await anything."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return False
        self._loop = self._loop or running
        return running is self._loop

    def _note(self, what: str, error: Exception) -> None:
        self._failure = error
        logger.error("the ledger can't be written (%s): %s; it is tried again", error, what)

    async def check(self) -> None:
        """Before a claim: LedgerError while a write is owed, and still fails."""
        if self._owed:
            await self._make_owed()
        if self._owed:
            words = f"the ledger can't be written ({self._failure}): nothing is submitted until it can be"
            raise LedgerError(words) from self._failure

    async def _try_again(self) -> None:
        pause = _FIRST_PAUSE
        while self._owed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._at_once.wait()
            self._at_once.clear()
            pause = min(pause * 2, _LONGEST_PAUSE)
            await self._make_owed()

    async def _make_owed(self) -> None:
        async with self._one_at_a_time:
            while self._owed:
                try:
                    await self._owed[0].write()
                except EntryGone as error:
                    logger.warning("%s: %s", error.message, self._owed[0].what)
                except Exception as error:
                    if self._failure is None:  # of a caller that was cancelled
                        self._note(self._owed[0].what, error)
                    self._failure = error
                    return
                self._owed.popleft()
            if self._failure is not None:
                self._failure = None
                logger.warning("the ledger is written again: nothing is owed any more")

    async def aclose(self) -> None:
        """One last try. What can't be written then, or later, is named in the log."""
        self._is_closed = True
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.wait([self._trying])
        if self._owed:
            await self._make_owed()
        for owed in self._owed:
            logger.error("the ledger was never written (%s): %s", self._failure, owed.what)
        self._owed.clear()
