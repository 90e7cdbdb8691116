"""The writes of an entry that nobody else has touched since its claim, nearly all there are: without reading it.

What this process wrote last is remembered, and each write says by the version that it still stands. None where it
does not, or nothing is remembered: then the entry is read, and decided on anew.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from fal_async.ledger.sqlite import rows
from fal_async.ledger.sqlite.reads import Tables
from fal_async.ledger.store import Hold, NewClaim
from fal_async.protocol.ledger.entry import End, LedgerRequest, Record


def remember_claim(tables: Tables, me: int, new: NewClaim, hold: Hold) -> None:
    """Of a new entry."""
    claimed = LedgerRequest(
        n=hold.attempt,
        body_digest=new.body_digest,
        claimed_at=new.claimed_at,
        claimed_until=new.claimed_until,
    )
    tables.held[hold.entry] = Record(
        number=hold.entry,
        version=1,
        place=new.place,
        endpoint_id=new.endpoint_id,
        input_digest=new.input_digest,
        state="claimed",
        attempts=1,
        owner=tables.owners.get(me),
        owner_lives=True,
        requests=(claimed,),
        claimed_at=new.claimed_at,
        input=new.input,
    )


def submitted(tables: Tables, me: int, hold: Hold, request_id: str, at: float) -> Record | None:
    record = tables.held.pop(hold.entry, None)
    if record is None or record.state != "claimed" or not _is_of(record, me) or hold.attempt != 1:
        return None
    written = tables.db.execute(
        "UPDATE entries SET state = 'submitted', submitted_at = ?, version = version + 1 "
        "WHERE id = ? AND version = ?",
        (at, hold.entry, record.version),
    )
    if not written.rowcount:
        return None
    try:
        tables.db.execute(
            "UPDATE requests SET request_id = ?, submitted_at = ? WHERE entry = ? AND n = 1",
            (request_id, at, hold.entry),
        )
    except sqlite3.IntegrityError:  # another entry has the id
        return None
    changed = _with(record.requests[0], request_id=request_id, submitted_at=at)
    taken: Record = _with(
        record, version=record.version + 1, state="submitted", submitted_at=at, requests=(changed,)
    )
    tables.held[hold.entry] = taken
    return taken


def end(tables: Tables, entry: int, request_id: str, end: End) -> Record | None:
    record = tables.held.pop(entry, None)
    if record is None or record.state != "submitted" or record.requests[0].request_id != request_id:
        return None
    written = tables.db.execute(
        "UPDATE entries SET state = ?, final = ?, owner = NULL, ended_at = ?, headers = ?, version = version + 1 "
        "WHERE id = ? AND version = ?",
        (end.state, end.final, end.at, header_text(end), entry, record.version),
    )
    if not written.rowcount:
        return None
    end_request(tables, entry, 1, end)
    if end.payload is not None:
        rows.store_payload(tables.db, "ends", entry, end.payload)
    changed = _with(
        record.requests[0],
        ended_at=end.at,
        outcome=end.outcome,
        billable_units=end.billable_units,
        cost=end.cost,
    )
    ended: Record = _with(
        record,
        version=record.version + 1,
        state=end.state,
        final=end.final,
        owner=None,
        owner_lives=False,
        requests=(changed,),
        ended_at=end.at,
        end=end.payload,
        headers=dict(end.headers),
    )
    return ended


def end_request(tables: Tables, entry: int, n: int, end: End) -> None:
    """The attempt's own end."""
    tables.db.execute(
        "UPDATE requests SET ended_at = ?, outcome = ?, final = ?, units = ?, cost = ? WHERE entry = ? AND n = ?",
        (end.at, end.outcome, end.final, rows.text(end.billable_units), rows.text(end.cost), entry, n),
    )


def header_text(end: End) -> str | None:
    return json.dumps(dict(end.headers)) if end.headers else None


def _is_of(record: Record, me: int) -> bool:
    return record.owner is not None and record.owner.number == me


def _with(value: Any, **changes: Any) -> Any:
    """As `attrs.evolve`, which takes several times as long: of classes without aliases and private fields."""
    return type(value)(**{name: getattr(value, name) for name in value.__slots__ if name[0] != "_"} | changes)
