"""The decisions of `Ledger.resolve` and `Ledger.forget`, and what they refuse."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import get_args

from fal_async.errors import CancelOutcome, ConfigurationError, SessionStateError
from fal_async.ledger.store import Search, Store
from fal_async.protocol.ledger.ends import KEPT_AT_LEAST
from fal_async.protocol.ledger.entry import Record, State
from fal_async.protocol.ledger.key_checks import check_run, check_tenant

Cancel = Callable[[Record], Awaitable[CancelOutcome | None]]
_STATES: tuple[State, ...] = get_args(State)
_ENDED = (CancelOutcome.CANCELLED, CancelOutcome.ALREADY_COMPLETED, CancelOutcome.NOT_FOUND)


def search_of(
    run: str | None,
    tenant: str | None,
    origin: str | None = None,
    state: State | Collection[State] | None = None,
) -> Search:
    """Return the search for these; raise ConfigurationError for an invalid run, tenant or state."""
    states = (state,) if isinstance(state, str) else state
    if unknown := [name for name in states or () if name not in _STATES]:
        raise ConfigurationError(f"state={unknown[0]!r}: expected one of {', '.join(map(repr, _STATES))}")
    return Search(
        origin=origin,
        tenant=None if tenant is None else check_tenant(tenant),
        run=None if run is None else check_run(run),
        states=states,
    )


def only_one(found: Sequence[Record], key: str) -> Record | None:
    """Return the only record, or None; raise ConfigurationError if there are several, and say how to choose one."""
    if len(found) <= 1:
        return found[0] if found else None
    spaces = [record.place.space for record in found]
    ways = ", ".join(f"(run={at.run!r}, tenant={at.tenant!r}, origin={at.origin!r})" for at in spaces)
    raise ConfigurationError(f"several entries have the key {key!r}: pass one of {ways}")


async def decide(store: Store, record: Record, request_id: str | None) -> bool:
    """Give the newest uncertain attempt this request id, or withdraw it if the id is None.

    Returns False if the entry has changed. Raises ConfigurationError if the entry has no uncertain attempt, or if
    another entry has the id.
    """
    attempt, now = _undecided(record), time.time()
    if request_id is None:
        return await store.give_up(record.number, record.version, attempt, now)
    other = await store.find_request(record.place.space.origin, request_id)
    if other is not None:
        raise ConfigurationError(
            f"request_id={request_id!r} belongs to the key {other.place.key!r} of the run {other.place.space.run!r}"
        )
    return await store.adopt(record.number, record.version, attempt, request_id, now) is not None


def _undecided(record: Record) -> int:
    unknown = [request.n for request in record.requests if request.request_id is None]
    if record.state == "claimed":
        raise ConfigurationError(
            f"the key {record.place.key!r} is being submitted by a running process, which will store the outcome: "
            "wait for it"
        )
    if not unknown:
        raise ConfigurationError(
            f"the key {record.place.key!r} is {record.state}: it has no uncertain submit to resolve"
        )
    return unknown[-1]


async def cancel_first(record: Record, cancels: Sequence[Cancel], *, force: bool) -> None:
    """Cancel a request that has not ended; raise ConfigurationError if that is impossible, or `force` is False.

    `cancels` are the functions of the sessions that use the ledger. One that raises SessionStateError is not
    responsible for the key.
    """
    name = f"the key {record.place.key!r}"
    if record.request_id is None or record.state != "submitted":
        raise ConfigurationError(
            f"{name} is {record.state}: it is not known whether fal accepted its request. If it stays so, decide "
            "it with ledger.resolve(key, request_id=...), then forget it"
        )
    if not force:
        raise ConfigurationError(f"{name}: its request has not ended: pass force=True to cancel it first")
    if not cancels:
        raise SessionStateError(
            f"{name}: no open session can cancel its request: open one with this ledger, Session(ledger=ledger), "
            "or call fal.queue.cancel(endpoint_id, request_id)",
            request_id=record.request_id,
        )
    outcome = await _cancelled(record, cancels)
    if outcome is CancelOutcome.NOT_FOUND and _is_young(record):
        raise ConfigurationError(
            f"{name}: fal does not know its request yet, and may know it soon: forget it "
            f"{KEPT_AT_LEAST / 60:g} minutes after its submit",
            request_id=record.request_id,
        )
    if outcome not in _ENDED:
        raise ConfigurationError(
            f"{name}: its request is still running and may complete: forget it after it has ended",
            request_id=record.request_id,
        )


def _is_young(record: Record) -> bool:
    """Whether fal would still keep the result if the request had ended right after its submit."""
    taken_at = record.submitted_at_of(record.request_id or "")
    return taken_at is not None and time.time() - taken_at < KEPT_AT_LEAST


async def _cancelled(record: Record, cancels: Sequence[Cancel]) -> CancelOutcome | None:
    for cancel in cancels[:0:-1]:
        with contextlib.suppress(SessionStateError):
            return await cancel(record)
    return await cancels[0](record)
