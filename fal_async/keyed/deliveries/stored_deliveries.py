"""Store a webhook delivery in the ledger, and wake the driver that waits for it in this process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from fal_async.errors import FalError, LedgerError, TransportTimeoutError
from fal_async.keyed.session_ledger import SessionLedger
from fal_async.ledger.store import Delivered
from fal_async.protocol.ledger.delivered_ends import end_of_event, is_better_fetched
from fal_async.protocol.ledger.entry import End, Record
from fal_async.protocol.webhook_events import WebhookEvent

logger: logging.Logger = logging.getLogger("fal_async")
_FETCH_LIMIT = 10.0
"""Seconds for fetching an outcome; fal allows 15 s for a response to the delivery (protocol 8.2)."""


async def store_delivery(
    event: WebhookEvent,
    token: str | None,
    ledgers: Iterable[SessionLedger],
    origin: str,
    *,
    fetch_units: bool,
) -> bool | None:
    """Store the outcome of a request in the ledger that has it.

    Cancelling is safe: the outcome is stored completely or not at all.

    Args:
        event: a verified delivery.
        token: the token in the URL that fal has called; None if there was none.
        ledgers: the ledgers of the session.
        origin: the origin of their entries; see `Space`.
        fetch_units: whether the response with the result is stored in place of the payload, because it has the
            billable units. If it can't be fetched, the payload is stored.

    Returns:
        Whether the outcome was not known before; None if no ledger has the request, nor a claim with the token.

    Raises:
        LedgerError: a ledger can't be read or written.
        FalError: the delivery lacks the outcome, and the response with it could not be fetched.
    """
    at = time.time()
    end = end_of_event(event, at)
    is_fetched = end is None or is_better_fetched(event, fetch_units=fetch_units)
    for ledger in ledgers:
        store = await ledger.store()
        given = None if is_fetched else end
        found = await store.deliver(origin, event.request_id, at, token=token, end=given)
        if found is None:
            continue
        if is_fetched and found.is_first:
            await _fetch(ledger, found, event, end)
        driver = ledger.drivers.get(found.record.place)
        if driver is not None:
            driver.waits.wake()
        return found.is_first
    return None


async def _fetch(ledger: SessionLedger, found: Delivered, event: WebhookEvent, end: End | None) -> None:
    """Fetch and store the outcome. If that fails, store `end`; raise the error if that is None."""
    failure = await _failure_to_fetch(ledger, found.record, event)
    if failure is None:
        return
    if end is None:
        raise failure
    logger.warning(
        "request %s: its outcome is stored without headers and billable units, as it can't be fetched: %s",
        event.request_id,
        failure,
    )
    store = await ledger.store()
    await store.end(found.record.number, event.request_id, end)


async def _failure_to_fetch(ledger: SessionLedger, record: Record, event: WebhookEvent) -> FalError | None:
    """Fetch and store the outcome; return the error if that fails."""
    try:
        async with asyncio.timeout(_FETCH_LIMIT):
            ended = await ledger.tenant_of(record).fetch(record, event.completed)
    except FalError as error:
        return error
    except TimeoutError:
        return TransportTimeoutError(f"the result was not fetched within {_FETCH_LIMIT:g} s")
    if ended.record is not None:
        return None
    return ended.error if isinstance(ended.error, FalError) else LedgerError("the outcome was not stored")
