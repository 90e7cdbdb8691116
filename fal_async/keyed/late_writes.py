"""Writes about requests that fal may have accepted. If one fails, the call continues and the write is retried.

A claim is the ledger's note, written before a submit is sent, that this process is about to send it.
"""

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
"""Seconds between two attempts of a failing write: the pause doubles from the first value to the second."""


@attrs.frozen(kw_only=True, eq=False)
class _Pending:
    what: str
    write: Callable[[], Awaitable[object]]


class LateWrites:
    """The writes of one session to one ledger, in its event loop.

    If a write fails, or its caller is cancelled before the write is confirmed, this write and all later ones wait
    in a queue. They are retried in sequence until they succeed. Until then no claim is made.
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
        """Make a write and return its value; None if it failed and is retried later, or if the entry was deleted.

        `what` names the request and the key in the log.
        """
        if not self._is_here():
            return None
        if not self._pending:
            try:
                return await write()
            except asyncio.CancelledError:
                # It is not known whether the write was made. Repeating it at once is harmless.
                self._keep(what, write)
                self._no_pause.set()
                raise
            except EntryGone as error:
                logger.warning("%s: %s", error.message, what)
                return None
            except Exception as error:  # of any class, because fal has the request and the call must continue
                self._note(what, error)
        self._keep(what, write)
        return None

    def _keep(self, what: str, write: Callable[[], Awaitable[object]]) -> None:
        if self._is_closed:  # the driver outlived its session
            self._log_loss(what)
            return
        self._pending.append(_Pending(what=what, write=write))
        assert self._loop is not None
        if self._trying is None or self._trying.done():
            self._trying = self._loop.create_task(self._try_again())

    def _log_loss(self, what: str) -> None:
        logger.error("a write to the ledger is lost, as the session is closed (%s): %s", self._failure, what)

    def _is_here(self) -> bool:
        """Return whether the session's event loop is running.

        If not, the caller is a coroutine that Python discards with its closed loop, and it must not await.
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
        """Retry the pending writes; raise LedgerError if one still fails. Called before each claim."""
        if self._pending:
            await self._make_pending()
        if self._pending:
            raise LedgerError(f"nothing was submitted: {self._failure}") from self._failure

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
                    # Log the first failure. That of a write whose caller was cancelled is not logged before.
                    if self._failure is None:
                        self._note(self._pending[0].what, error)
                    self._failure = error
                    return
                self._pending.popleft()
            if self._failure is not None:
                self._failure = None
                logger.warning("the ledger can be written again: no write is pending")

    async def aclose(self) -> None:
        """Retry the pending writes once. The first one that fails, and all writes after it, are lost and logged."""
        self._is_closed = True
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.wait([self._trying])
        if self._pending:
            await self._make_pending()
        for pending in self._pending:
            self._log_loss(pending.what)
        self._pending.clear()
