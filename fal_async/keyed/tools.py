"""The tools of a driver: the queue operations of the view that started it, and the ledger of the session."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs

from fal_async.config import RetryPolicy
from fal_async.keyed.lookup import Account
from fal_async.keyed.session_ledger import SessionLedger
from fal_async.ledger.store import Store
from fal_async.protocol.ledger import refusals
from fal_async.protocol.ledger.budget import submit_budget
from fal_async.protocol.ledger.entry import Place, Record
from fal_async.queue.operations import QueueOperations

T = TypeVar("T")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Tools:
    """Passed to everything that submits or follows keyed requests for one view.

    Attributes:
        operations: submits, follows and cancels requests with the view's settings and API key.
        ledger: the ledger of the session, with its drivers.
        store: the open store of that ledger.
    """

    operations: QueueOperations
    ledger: SessionLedger
    store: Store

    async def look_up(self, record: Record, *, resubmit: bool, store_io: bool) -> None:
        """Look up the request of an uncertain entry in fal's history, and store the request id if it is found.

        `resubmit` and `store_io` are those of `Lookups.settle`. Raises SubmissionUncertainError if the entry stays
        uncertain. If the look-up failed, its error is the cause.
        """
        operations = self.operations
        account = Account(store=self.store, transport=operations.transport, settings=operations.settings)
        found = await self.ledger.lookups.settle(record, account, resubmit=resubmit, store_io=store_io)
        if not found.settled:
            raise refusals.uncertain(record, found.reason) from found.cause

    def budget(self, policy: RetryPolicy | None) -> float:
        """Return the seconds that a submit may take with its retries; `policy=None`: by the session's policy."""
        settings = self.operations.settings
        return submit_budget(policy or settings.retry, settings.timeouts)

    async def write(
        self, place: Place, request_id: str | None, write: Callable[[], Awaitable[T]]
    ) -> T | None:
        """Make a write about a request that fal may have; see `LateWrites.write`. None if it failed.

        A failed write is retried, and the call continues. `request_id` is for the log; None if it is not known.
        """
        of = "the entry" if request_id is None else f"request {request_id}"
        return await self.ledger.late.write(f"{of} of key {place.key!r}", write)

    @staticmethod
    def now() -> float:
        """Return the time in Unix seconds."""
        return time.time()
