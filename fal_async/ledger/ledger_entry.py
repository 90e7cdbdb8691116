"""The public value for one entry of a ledger."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import attrs

from fal_async.errors import FalError, short_tracebacks
from fal_async.models import Result
from fal_async.protocol.amounts import total
from fal_async.protocol.ledger.entry import ENDED, LedgerRequest, Record, State, StoredFile
from fal_async.protocol.ledger.replays import replayed, replayed_error


@short_tracebacks
@attrs.frozen(kw_only=True)
class LedgerEntry:
    """The entry of one key: its state, its attempts and its result.

    Times are Unix seconds. Costs are `Decimal`, in the currency of the price.

    Attributes:
        key: the key; it is unique within `origin`, `tenant` and `run`.
        run: the run of the key; `""` if the call named none.
        tenant: the tenant of the key; `""` if the session named none.
        origin: the origin of the queue, or of the proxy if one is used, such as `"https://queue.fal.run"`.
        endpoint_id: the endpoint, with its `path`.
        input_digest: the digest with which the inputs of later calls are compared, as `"1:<sha256>"`.
        state: `"claimed"` (a running process is submitting it), `"submitted"` (fal has accepted the request),
            `"done"` (it has a result), `"failed"`, `"cancelled"`, or `"uncertain"` (it is not known whether fal
            accepted the submit).
        request_id: the id of the request that has the result or error; before there is one, of the newest accepted
            attempt. None if fal has accepted no attempt.
        attempts: how many times it was submitted.
        requests: one value for each attempt that fal accepted or may have accepted.
        claimed_at: when the submit of the newest attempt began.
        submitted_at: when the request id of the newest attempt became known; None before.
        ended_at: when the result, error or cancellation became known; None before.
        files: the files that a batch with `download=` has written.
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
        """The decoded input, with digests in place of files; None if it is not stored or was deleted."""
        payload = self._record.input
        return None if payload is None else json.loads(payload.body)

    @property
    def result(self) -> Result[Any, str] | None:
        """The stored result, with `from_ledger=True`; a new object for each access.

        None if `state` is not "done", or if the result was deleted after `keep`.
        """
        if self.state != "done" or self._record.end is None:
            return None
        return replayed(self._record)

    @property
    def error(self) -> FalError | None:
        """The stored error of a "failed" or "cancelled" entry; a new object for each access.

        If the result or error was deleted after `keep`, this is ResultExpiredError, also for a "done" entry. None
        in all other cases.
        """
        is_kept = self._record.end is not None
        if self.state not in ENDED or not (is_kept or self._record.expired):
            return None
        return replayed_error(self._record)

    @property
    def billable_units(self) -> Decimal | None:
        """The billable units of all attempts; None if no attempt reported them."""
        return _total(self.requests, lambda request: request.billable_units)

    @property
    def cost(self) -> Decimal | None:
        """The cost of all attempts, by list price; None if no price is known."""
        return _total(self.requests, lambda request: request.cost)


def entry_of(record: Record) -> LedgerEntry:
    """Return the public value of a store's record."""
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
    return total(known) if known else None
