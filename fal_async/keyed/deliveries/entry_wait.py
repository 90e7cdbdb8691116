"""Wait for a change of an entry, such as a delivery, which any process may store in the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial

from fal_async.errors import LedgerError, ResultExpiredError
from fal_async.keyed.outcomes import response_of
from fal_async.ledger.store import Store
from fal_async.protocol.following import Following
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.ledger.entry import Place, Record
from fal_async.queue.operations import QueueOperations
from fal_async.queue.state import RequestState
from fal_async.queue.webhook_subscription import SLOW_POLL, slow_polls, unless_arrived

logger: logging.Logger = logging.getLogger("fal_async")
_LONGEST_WAIT = 30.0
"""Seconds after which the entry is read again, although no change was noticed."""
_AFTER_FAILURE = 1.0
"""Seconds until a failed read of the ledger is repeated."""


class EntryWait:
    """Waits until the entry of one key changes."""

    def __init__(self, store: Store, place: Place) -> None:
        self._store, self._place = store, place
        self._waiting: asyncio.Future[None] | None = None
        self._is_stale = False

    def wake(self) -> None:
        """End the wait at once, because this process has changed the entry."""
        self._is_stale = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def changed(self, record: Record, seconds: float) -> None:
        """Wait until the entry may have changed since it was read, at most `seconds`; see `Store.until_changed`."""
        if not self._is_stale:
            until_changed = self._store.until_changed(record.number, record.version, seconds)
            self._waiting = waiting = asyncio.ensure_future(until_changed)
            try:
                await asyncio.wait([waiting])
            finally:
                self._waiting = None
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            if not waiting.cancelled():
                waiting.result()
        self._is_stale = False

    async def while_uncertain(self, record: Record, seconds: float | None) -> Record | None:
        """Wait while the entry is uncertain, at most `seconds`; return the entry, or None if it was deleted.

        `seconds`: None stands for the time between slow polls. Raises LedgerError if the ledger can't be read.
        """
        now: Record | None = record
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SLOW_POLL if seconds is None else seconds):
                while now is not None and now.state == "uncertain":
                    await self.changed(now, _LONGEST_WAIT)
                    now = await self._store.find(self._place)
        return now

    async def outcome(
        self,
        record: Record | None,
        operations: QueueOperations,
        state: RequestState,
        following: Following,
        on_poll: Callable[[], None],
    ) -> Record | HttpResponse | None:
        """Wait for the outcome of a request: until the ledger has it, or slow polls find the request completed.

        Returns the entry with the outcome, or the response with the result. None: the entry was deleted, and the
        request must be followed in the usual way.

        Args:
            record: the entry as it was read last; None: it was not read.
            operations: poll the request, and fetch its result.
            state: the state of the request.
            following: has the interval of the slow polls.
            on_poll: called after each poll.
        """
        arrival = asyncio.ensure_future(self._until_known(record, state.request_id))
        try:
            with contextlib.suppress(ResultExpiredError):  # the history is searched below
                async with contextlib.aclosing(slow_polls(arrival, operations, state, following)) as polls:
                    async for _ in polls:
                        on_poll()
            response = await unless_arrived(arrival, partial(response_of, operations, state))
            return arrival.result() if response is None else response
        finally:
            arrival.cancel()
            await asyncio.gather(arrival, return_exceptions=True)

    async def _until_known(self, record: Record | None, request_id: str) -> Record | None:
        """Return the entry as soon as it has the outcome of the request; None if it was deleted."""
        is_readable = True
        while True:
            try:
                if record is not None and _has_ended(record, request_id):
                    return await self._store.find(self._place)
                if record is not None:
                    await self.changed(record, _LONGEST_WAIT)
                record = await self._store.find(self._place, payloads=False)
                if record is None:
                    return None
                is_readable = True
            except LedgerError as error:
                if is_readable:
                    logger.warning(
                        "the ledger can't be read, so that only slow polls find the outcome of request %s: %s",
                        request_id,
                        error,
                    )
                is_readable = False
                await asyncio.sleep(_AFTER_FAILURE)


def _has_ended(record: Record, request_id: str) -> bool:
    attempt = record.attempt_of(request_id)
    return attempt is not None and attempt.outcome is not None
