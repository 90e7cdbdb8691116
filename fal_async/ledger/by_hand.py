"""The checks and decisions of `Ledger.resolve` and `Ledger.forget`.

A claim is the ledger's note, written before a submit is sent, that a process is about to send it. Messages are cut
at 200 characters, so that the way out stands before values that may be long.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import get_args

from fal_async.errors import CancelOutcome, ConfigurationError, SessionStateError, one_line
from fal_async.ledger.store import Search, Store
from fal_async.protocol.ledger.ends import KEPT_AT_LEAST
from fal_async.protocol.ledger.entry import Record, State
from fal_async.protocol.ledger.key_checks import check_run, check_tenant, quoted

Cancel = Callable[[Record], Awaitable[CancelOutcome | None]]
_STATES: tuple[State, ...] = get_args(State)
_ENDED = (CancelOutcome.CANCELLED, CancelOutcome.ALREADY_COMPLETED, CancelOutcome.NOT_FOUND)
"""Outcomes of a cancellation after which fal does not run the request any more."""


def search_of(
    run: str | None,
    tenant: str | None,
    origin: str | None = None,
    state: State | Collection[State] | None = None,
) -> Search:
    """Return a search with these arguments; raise ConfigurationError for an invalid run, tenant or state."""
    states = (state,) if isinstance(state, str) else state
    if unknown := [name for name in states or () if name not in _STATES]:
        raise ConfigurationError(
            f"state={one_line(repr(unknown[0]), 40)}: expected one of {', '.join(map(repr, _STATES))}"
        )
    return Search(
        origin=origin,
        tenant=None if tenant is None else check_tenant(tenant),
        run=None if run is None else check_run(run),
        states=states,
    )


def only_one(found: Sequence[Record], key: str) -> Record | None:
    """Return the only record, or None if there is none.

    Raises ConfigurationError if there are several; the message says how to choose one.
    """
    if len(found) <= 1:
        return found[0] if found else None
    spaces = [record.place.space for record in found]
    ways = ", ".join(
        f"(run={quoted(at.run)}, tenant={quoted(at.tenant)}, origin={at.origin!r})" for at in spaces
    )
    raise ConfigurationError(
        f"several entries have the key {quoted(key)}: choose one with run=, tenant= or origin=: {ways}"
    )


async def decide(store: Store, record: Record, request_id: str | None) -> bool:
    """Store this request id for the newest uncertain attempt; if it is None, delete the attempt.

    Returns False if the entry has changed since it was read. Raises ConfigurationError if the entry has no
    uncertain attempt, or if another entry has the request id.
    """
    attempt, now = _undecided(record), time.time()
    if request_id is None:
        return await store.give_up(record.number, record.version, attempt, now)
    other = await store.find_request(record.place.space.origin, request_id)
    if other is not None:
        raise ConfigurationError(
            f"request_id={quoted(request_id)} belongs to the key {quoted(other.place.key)} (run "
            f"{quoted(other.place.space.run)}): pass the id of another request"
        )
    return await store.adopt(record.number, record.version, attempt, request_id, now) is not None


def _undecided(record: Record) -> int:
    """Return the number of the newest uncertain attempt; raise ConfigurationError if there is none."""
    unknown = [request.n for request in record.requests if request.request_id is None]
    if record.state == "claimed":
        raise ConfigurationError(
            f"the key {quoted(record.place.key)} is being submitted by a running process: wait until that process "
            "has stored the request id, or has ended"
        )
    if not unknown:
        raise ConfigurationError(
            f"the key {quoted(record.place.key)} is {record.state}: it has no uncertain submit to resolve"
        )
    return unknown[-1]


async def cancel_first(record: Record, cancels: Sequence[Cancel], *, force: bool) -> None:
    """Cancel a request without an outcome, so that its entry can be deleted.

    `cancels` are the functions of the sessions that use the ledger. A function raises SessionStateError if its
    session does not know the credentials of the key's tenant. Raises ConfigurationError if `force` is False, or if
    the request may still run; SessionStateError if no session can cancel it.
    """
    name = f"the key {quoted(record.place.key)}"
    if record.request_id is None or record.state != "submitted":
        raise ConfigurationError(
            f"{name} is {record.state}: it is not known whether fal accepted its request. If it stays so, "
            "call ledger.resolve(key, request_id=...) first"
        )
    if not force:
        raise ConfigurationError(f"{name}: its request is not complete: pass force=True to cancel it first")
    if not cancels:
        raise SessionStateError(
            f"{name}: no open session can cancel its request: open one with Session(ledger=ledger), "
            "or call fal.queue.cancel(endpoint_id, request_id)",
            request_id=record.request_id,
        )
    outcome = await _cancelled(record, cancels)
    if outcome is CancelOutcome.NOT_FOUND and _is_young(record):
        raise ConfigurationError(
            f"{name}: fal does not know its request, which may be too new: call forget again "
            f"{KEPT_AT_LEAST / 60:g} minutes after its submit",
            request_id=record.request_id,
        )
    if outcome not in _ENDED:
        raise ConfigurationError(
            f"{name}: its request is still running and may complete: call forget again after that",
            request_id=record.request_id,
        )


def _is_young(record: Record) -> bool:
    """Whether the request was submitted so recently that fal can't have deleted its result already."""
    taken_at = record.submitted_at_of(record.request_id or "")
    return taken_at is not None and time.time() - taken_at < KEPT_AT_LEAST


async def _cancelled(record: Record, cancels: Sequence[Cancel]) -> CancelOutcome | None:
    """Cancel by the newest session that can; raise the SessionStateError of the oldest one if none can."""
    for cancel in cancels[:0:-1]:
        with contextlib.suppress(SessionStateError):
            return await cancel(record)
    return await cancels[0](record)
