"""The write of a webhook delivery, which may be the first to name the request of an attempt.

See `Store.deliver`.
"""

from __future__ import annotations

from fal_async.ledger.sql import after_submit
from fal_async.ledger.sql.claims import touch
from fal_async.ledger.sql.statements import Row, Write, after, change, find, select
from fal_async.ledger.store import Delivered
from fal_async.protocol.ledger.entry import End, LedgerRequest, Record


def deliver(
    origin: str, request_id: str, at: float, *, token: str | None = None, end: End | None = None
) -> Write[Delivered | None]:
    named = yield from select(
        "SELECT r.entry, r.n, r.request_id FROM requests r JOIN origins o ON o.id = r.origin "
        "WHERE o.url = ? AND (r.request_id = ? OR r.token = ?)",
        *(origin, request_id, token),
    )
    row = _decisive(named, request_id)
    record = None if row is None else (yield from find(row[0]))
    attempt = None if row is None or record is None else _attempt(record, row[1], request_id)
    if record is None or attempt is None:
        return None
    if attempt.request_id is None:
        yield from _adopt(record, attempt.n, request_id, at)
    if end is not None:
        ended = yield from after_submit.end(record.number, request_id, end)
    else:
        ended = (yield from after(record.number)) or record
    return Delivered(record=ended, is_first=attempt.outcome is None)


def _decisive(named: list[Row], request_id: str) -> Row | None:
    """Return the row of the request id; without one, the row of the token if that attempt has no request id."""
    known = next((row for row in named if row[2] == request_id), None)
    return known or next((row for row in named if row[2] is None), None)


def _attempt(record: Record, n: int, request_id: str) -> LedgerRequest | None:
    """Return the attempt that the delivery is about, as it is now that the entry is locked."""
    mine = record.attempt_of(request_id)
    return mine or next((one for one in record.requests if one.n == n and one.request_id is None), None)


def _adopt(record: Record, n: int, request_id: str, at: float) -> Write[None]:
    yield from change(
        "UPDATE requests SET request_id = ?, submitted_at = ? WHERE entry = ? AND n = ?",
        *(request_id, at, record.number, n),
    )
    if record.state == "done" or n != record.requests[-1].n:
        yield from touch(record.number)
        return
    # The owner stays: if it still submits, it will store the same id, and follow the request.
    yield from change(
        "UPDATE entries SET state = 'submitted', final = 0, submitted_at = ?, ended_at = NULL, "
        "version = version + 1 WHERE id = ?",
        *(at, record.number),
    )
