"""What a driver uses: the operations of the view that started it, and the ledger of the session."""

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
    operations: QueueOperations
    ledger: SessionLedger
    store: Store

    async def look_up(self, record: Record, *, resubmit: bool, store_io: bool) -> None:
        """Look up the request of an uncertain entry in fal's history, and store what it shows.

        Raises SubmissionUncertainError if the entry stays uncertain; its cause is the error of a failed look-up.
        """
        operations = self.operations
        account = Account(store=self.store, transport=operations.transport, settings=operations.settings)
        found = await self.ledger.lookups.settle(record, account, resubmit=resubmit, store_io=store_io)
        if not found.settled:
            raise refusals.uncertain(record, found.reason) from found.cause

    def budget(self, policy: RetryPolicy | None) -> float:
        """Return the seconds that a submit may take; `policy` is that of the call, None for the session's."""
        settings = self.operations.settings
        return submit_budget(policy or settings.retry, settings.timeouts)

    async def write(
        self, place: Place, request_id: str | None, write: Callable[[], Awaitable[T]]
    ) -> T | None:
        """Make a write about a request that fal has. None if it failed: it is retried, and the call goes on."""
        return await self.ledger.late.write(f"request {request_id} of key {place.key!r}", write)

    @staticmethod
    def now() -> float:
        """Return the time in Unix seconds."""
        return time.time()
