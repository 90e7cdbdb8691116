"""What a ledger has under one key, as its user gets it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import attrs

from fal_async.errors import FalError, short_tracebacks
from fal_async.models import Result
from fal_async.protocol.ledger.entry import ENDED, LedgerRequest, Record, State, StoredFile
from fal_async.protocol.ledger.replays import replayed, replayed_error


@short_tracebacks
@attrs.frozen(kw_only=True)
class LedgerEntry:
    """One key, and what became of it. Times are Unix seconds; costs are `Decimal`, in the price's currency.

    Attributes:
        key: the key; it is unique within `origin`, `tenant` and `run`.
        origin: of the queue that the request went to, such as `"https://queue.fal.run"`.
        endpoint_id: the endpoint, with its `path`.
        input_digest: what a further call's input is compared by, as `"1:<sha256>"`.
        state: `"claimed"` (its submit is under way), `"submitted"`, `"done"`, `"failed"`, `"cancelled"`, or
            `"uncertain"`: whether fal took its submit is not known.
        request_id: of the attempt that it ended with, else of the newest that fal took; None before.
        attempts: how often it was submitted.
        requests: one value per attempt that was, or may have been, taken.
        claimed_at, submitted_at, ended_at: of the newest attempt; None where it did not come so far.
        files: what `download=` wrote.
    """

    key: str
    run: str
    tenant: str
    origin: str
    endpoint_id: str
    input_digest: str
    state: State
    request_id: str | None
    attempts: int
    requests: tuple[LedgerRequest, ...]
    claimed_at: float
    submitted_at: float | None
    ended_at: float | None
    files: tuple[StoredFile, ...]
    _record: Record = attrs.field(repr=False, eq=False)

    @property
    def input(self) -> Any:
        """The input, decoded, with its files as digests. None where it is not kept."""
        payload = self._record.input
        return None if payload is None else json.loads(payload.body)

    @property
    def result(self) -> Result[Any, str] | None:
        """Of "done", with `from_ledger`; a new one each time. None otherwise, and where it is no longer kept."""
        if self.state != "done" or self._record.end is None:
            return None
        return replayed(self._record, cost=self.cost)

    @property
    def error(self) -> FalError | None:
        """Of "failed" and "cancelled"; of what is no longer kept, ResultExpiredError. None otherwise."""
        is_kept = self._record.end is not None
        if self.state not in ENDED or not (is_kept or self._record.expired):
            return None
        return replayed_error(self._record)

    @property
    def billable_units(self) -> Decimal | None:
        """Of all attempts; None where none of them says."""
        return _total(self.requests, lambda request: request.billable_units)

    @property
    def cost(self) -> Decimal | None:
        """Of all attempts, by list price; None where no price is known."""
        return _total(self.requests, lambda request: request.cost)


def entry_of(record: Record) -> LedgerEntry:
    """The entry that a record of a store is."""
    return LedgerEntry(
        key=record.place.key,
        run=record.place.space.run,
        tenant=record.place.space.tenant,
        origin=record.place.space.origin,
        endpoint_id=record.endpoint_id,
        input_digest=record.input_digest,
        state=record.state,
        request_id=record.request_id,
        attempts=record.attempts,
        requests=record.requests,
        claimed_at=record.claimed_at,
        submitted_at=record.submitted_at,
        ended_at=record.ended_at,
        files=record.files,
        record=record,
    )


def _total(
    requests: Sequence[LedgerRequest], amount: Callable[[LedgerRequest], Decimal | None]
) -> Decimal | None:
    known = [value for request in requests if (value := amount(request)) is not None]
    return sum(known, Decimal(0)) if known else None
