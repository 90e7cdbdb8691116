"""What a person asks of a ledger about one key, and what is refused."""

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
    """ConfigurationError for what is no run, no tenant, and no state."""
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
    """ConfigurationError where there are several: it says how to tell them apart."""
    if len(found) <= 1:
        return found[0] if found else None
    spaces = [record.place.space for record in found]
    ways = ", ".join(f"(run={at.run!r}, tenant={at.tenant!r}, origin={at.origin!r})" for at in spaces)
    raise ConfigurationError(f"there are several entries with the key {key!r}: pass one of {ways}")


async def decide(store: Store, record: Record, request_id: str | None) -> bool:
    """The newest attempt of which nobody knows: it has this id, or fal never took it. False: the entry has changed.

    ConfigurationError where nothing is to be decided, or the id is another entry's.
    """
    attempt, now = _undecided(record), time.time()
    if request_id is None:
        return await store.give_up(record.number, record.version, attempt, now)
    other = await store.find_request(record.place.space.origin, request_id)
    if other is not None:
        raise ConfigurationError(
            f"request {request_id} belongs to the key {other.place.key!r} of the run {other.place.space.run!r}"
        )
    return await store.adopt(record.number, record.version, attempt, request_id, now) is not None


def _undecided(record: Record) -> int:
    unknown = [request.n for request in record.requests if request.request_id is None]
    if record.state == "claimed":
        raise ConfigurationError(
            f"the key {record.place.key!r} is being submitted by a process that lives: it will say what came of it"
        )
    if not unknown:
        raise ConfigurationError(
            f"the key {record.place.key!r} is {record.state}: nothing about it is uncertain"
        )
    return unknown[-1]


async def cancel_first(record: Record, cancels: Sequence[Cancel], *, force: bool) -> None:
    """Cancel a request that has not ended. ConfigurationError where that can't be, or was not asked for.

    `cancels`: of the sessions that use the ledger; a SessionStateError of one says that it has no such key.
    """
    name = f"the key {record.place.key!r}"
    if record.request_id is None or record.state != "submitted":
        raise ConfigurationError(
            f"{name} is {record.state}: whether fal has its request is not known. If that stays so, "
            "ledger.resolve(key, request_id=...) decides it; forget it then"
        )
    if not force:
        raise ConfigurationError(f"{name}: its request has not ended: force=True cancels it first")
    if not cancels:
        raise SessionStateError(
            f"{name}: to cancel its request, use a session that has this ledger, Session(ledger=ledger), or "
            "fal.queue.cancel(endpoint_id, request_id)",
            request_id=record.request_id,
        )
    outcome = await _cancelled(record, cancels)
    if outcome is CancelOutcome.NOT_FOUND and _is_young(record):
        raise ConfigurationError(
            f"{name}: fal does not know its request, but may only not know it yet: forget it "
            f"{KEPT_AT_LEAST / 60:g} minutes after its submit",
            request_id=record.request_id,
        )
    if outcome not in _ENDED:
        raise ConfigurationError(
            f"{name}: its request is running, and may still complete: forget it when it has ended",
            request_id=record.request_id,
        )


def _is_young(record: Record) -> bool:
    """Whether fal would keep its result still, had it ended at once."""
    taken_at = record.submitted_at_of(record.request_id or "")
    return taken_at is not None and time.time() - taken_at < KEPT_AT_LEAST


async def _cancelled(record: Record, cancels: Sequence[Cancel]) -> CancelOutcome | None:
    for cancel in cancels[:0:-1]:
        with contextlib.suppress(SessionStateError):
            return await cancel(record)
    return await cancels[0](record)
