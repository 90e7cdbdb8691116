"""Writes about requests that fal has accepted: a failing one does not fail the call, and is retried."""

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
class _Pending:
    what: str
    write: Callable[[], Awaitable[object]]


class LateWrites:
    """The writes of one session to one ledger, in its event loop.

    After a write has failed, or its caller was cancelled before the confirmation, it and all later writes are
    retried in order until they succeed. Until then no claim is made.
    """

    def __init__(self) -> None:
        self._pending: deque[_Pending] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: Exception | None = None
        self._trying: asyncio.Task[None] | None = None
        self._is_closed = False
        self._no_pause = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    async def write(self, what: str, write: Callable[[], Awaitable[T]]) -> T | None:
        """Make a write; None if it failed and is retried later. `what` names the request and the key in the log."""
        if not self._is_here():
            return None
        if not self._pending:
            try:
                return await write()
            except asyncio.CancelledError:
                # It is not known whether it was written. Repeating it immediately is harmless.
                self._keep(what, write)
                self._no_pause.set()
                raise
            except EntryGone as error:
                logger.warning("%s: %s", error.message, what)
                return None
            except Exception as error:  # any error: fal has the request, and its call goes on
                self._note(what, error)
        self._keep(what, write)
        return None

    def _keep(self, what: str, write: Callable[[], Awaitable[object]]) -> None:
        if self._is_closed:  # a driver that outlived its session
            logger.error("the ledger was never written (%s): %s", self._failure, what)
            return
        self._pending.append(_Pending(what=what, write=write))
        assert self._loop is not None
        if self._trying is None or self._trying.done():
            self._trying = self._loop.create_task(self._try_again())

    def _is_here(self) -> bool:
        """Return whether the session's event loop runs.

        If not, the caller is a coroutine that is being discarded with its loop, and must not await.
        """
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return False
        self._loop = self._loop or running
        return running is self._loop

    def _note(self, what: str, error: Exception) -> None:
        self._failure = error
        logger.error("the ledger can't be written (%s): %s; the write is retried", error, what)

    async def check(self) -> None:
        """Raise LedgerError, before a claim, if a pending write still fails."""
        if self._pending:
            await self._make_pending()
        if self._pending:
            words = f"the ledger can't be written ({self._failure}): nothing is submitted until it can"
            raise LedgerError(words) from self._failure

    async def _try_again(self) -> None:
        pause = _FIRST_PAUSE
        while self._pending:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._no_pause.wait()
            self._no_pause.clear()
            pause = min(pause * 2, _LONGEST_PAUSE)
            await self._make_pending()

    async def _make_pending(self) -> None:
        async with self._one_at_a_time:
            while self._pending:
                try:
                    await self._pending[0].write()
                except EntryGone as error:
                    logger.warning("%s: %s", error.message, self._pending[0].what)
                except Exception as error:
                    if self._failure is None:  # the write of a caller that was cancelled
                        self._note(self._pending[0].what, error)
                    self._failure = error
                    return
                self._pending.popleft()
            if self._failure is not None:
                self._failure = None
                logger.warning("the ledger can be written again: no write is pending")

    async def aclose(self) -> None:
        """Try once more to make the pending writes. Those that fail, and later ones, are named in the log."""
        self._is_closed = True
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.wait([self._trying])
        if self._pending:
            await self._make_pending()
        for pending in self._pending:
            logger.error("the ledger was never written (%s): %s", self._failure, pending.what)
        self._pending.clear()
