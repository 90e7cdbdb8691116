"""Convert rows of the tables to values, and back."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fal_async.protocol.ledger.entry import (
    End,
    LedgerRequest,
    Owner,
    Payload,
    Place,
    Record,
    Space,
    StoredFile,
)

PACKED_FROM = 4096
"""Bytes: payloads of at least this size are compressed."""
ENTRY = (
    "e.id, e.version, o.url, s.tenant, s.run, e.key, e.endpoint_id, e.input_digest, e.state, e.final, e.attempts, "
    "e.owner, w.host, w.pid, w.since, e.claimed_at, e.submitted_at, e.ended_at, e.headers, e.expired"
)
"""The columns of FROM_ENTRY that `record` expects."""
FROM_ENTRY = (
    "FROM entries e JOIN spaces s ON s.id = e.space JOIN origins o ON o.id = s.origin "
    "LEFT JOIN owners w ON w.id = e.owner"
)
REQUEST = (
    "n, body_digest, request_id, claimed_at, claimed_until, submitted_at, ended_at, outcome, units, cost, "
    "cancel_requested_at, token IS NOT NULL"
)
"""The columns that `request` expects."""


def record(
    row: tuple[Any, ...],
    lives: Callable[[int], bool],
    *,
    requests: tuple[LedgerRequest, ...],
    input: Payload | None = None,
    end: Payload | None = None,
    files: tuple[StoredFile, ...] = (),
) -> Record:
    """Return the record of a row. `lives` returns whether the owner with this number still runs."""
    owner = row[11]
    owner_lives = owner is not None and lives(owner)
    return Record(
        number=row[0],
        version=row[1],
        place=Place(space=Space(origin=row[2], tenant=row[3], run=row[4]), key=row[5]),
        endpoint_id=row[6],
        input_digest=row[7],
        state="uncertain" if row[8] == "claimed" and not owner_lives else row[8],
        final=bool(row[9]),
        attempts=row[10],
        owner=owner_of(row[11:15]),
        owner_lives=owner_lives,
        requests=requests,
        claimed_at=row[15],
        submitted_at=row[16],
        ended_at=row[17],
        headers=json.loads(row[18]) if row[18] else {},
        expired=bool(row[19]),
        input=input,
        end=end,
        files=files,
    )


def owner_of(row: tuple[Any, ...]) -> Owner | None:
    number, host, pid, since = row
    return None if number is None else Owner(number=number, host=host or "", pid=pid or 0, since=since or 0.0)


def request(row: tuple[Any, ...]) -> LedgerRequest:
    return LedgerRequest(
        n=row[0],
        body_digest=row[1],
        request_id=row[2],
        claimed_at=row[3],
        claimed_until=row[4],
        submitted_at=row[5],
        ended_at=row[6],
        outcome=row[7],
        billable_units=decimal(row[8]),
        cost=decimal(row[9]),
        cancel_requested_at=row[10],
        by_webhook=bool(row[11]),
    )


def decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def end_values(end: End) -> tuple[Any, ...]:
    """Return the values of an attempt's columns ended_at, outcome, final, units, cost."""
    # `final` as an int, because Python's sqlite3 searches for an adapter each time it gets a bool.
    return end.at, end.outcome, int(end.final), text(end.billable_units), text(end.cost)


def entry_end_values(end: End) -> tuple[Any, ...]:
    """Return the values of an entry's columns state, final, ended_at, headers."""
    return end.state, int(end.final), end.at, json.dumps(dict(end.headers)) if end.headers else None


def packed(payload: Payload) -> tuple[str, int, bytes]:
    """Return the content type of a payload, whether the body is compressed (0 or 1), and the body."""
    body = payload.body
    if len(body) >= PACKED_FROM and len(smaller := zlib.compress(body, 1)) < len(body):
        return payload.content_type, 1, smaller
    return payload.content_type, 0, body


def payload(row: tuple[Any, ...]) -> Payload:
    """Return the payload of a row that `packed` has made."""
    return Payload(content_type=row[0], body=zlib.decompress(row[2]) if row[1] else bytes(row[2]))
