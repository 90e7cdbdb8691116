"""Errors that the ledger raises in a keyed call: another input, an unknown outcome, a result that is gone."""

from __future__ import annotations

from fal_async.errors import KeyConflictError, ResultExpiredError, SubmissionUncertainError
from fal_async.errors.redaction import one_line
from fal_async.protocol.ledger.decisions import Differs, newest_claim
from fal_async.protocol.ledger.entry import Owner, Record

_DIFFERENT = {"endpoint_id": "another endpoint", "input": "another input"}


def conflict(record: Record, differs: Differs) -> KeyConflictError:
    """Return the error for a key that belongs to another endpoint or input."""
    of = f": {record.endpoint_id}" if differs == "endpoint_id" else ""
    return KeyConflictError(
        f"the key belongs to {_DIFFERENT[differs]} in the ledger{of}; nothing was sent. "
        "For a new request, pass another key or another run",
        key=record.place.key,
        differs=differs,
        request_id=record.request_id,
        endpoint_id=record.endpoint_id,
    )


def uncertain(record: Record, reason: str = "") -> SubmissionUncertainError:
    """Return the error for a claim that fal may have taken, with what `find_submission` needs.

    `reason`: the result of a look-up, such as "the history shows no input".
    """
    claim = newest_claim(record)
    digest = None if claim is None or claim.body_digest is None else claim.body_digest.partition(":")[2]
    return SubmissionUncertainError(
        # The way out stands before the reason: a message is cut at 200 characters.
        f"{_who(record.owner, lives=record.owner_lives)}; fal may have taken it, so it is not sent again. "
        f"Decide with ledger.resolve({one_line(repr(record.place.key), 40)}, request_id=...)"
        + (f": {reason}" if reason else ""),
        key=record.place.key,
        started_at=None if claim is None else claim.claimed_at,
        ended_at=None if claim is None else claim.claimed_until,
        input_digest=digest,
        endpoint_id=record.endpoint_id,
    )


def _who(owner: Owner | None, *, lives: bool) -> str:
    if owner is None:
        return "the submit was not answered"
    place = f"process {owner.pid} on {one_line(owner.host, 24)}" if owner.host else "another process"
    if lives:
        return f"{place} is still submitting this key"
    return f"{place} ended while submitting this key"


def expired(record: Record) -> ResultExpiredError:
    """Return the error for an entry that ended and whose result the ledger no longer stores."""
    return ResultExpiredError(
        f"this key's request ended ({record.state}), but the ledger no longer keeps its result; nothing was sent. "
        "For a new request, pass another key or another run, or ledger.forget(key) first",
        status=404,
        request_id=record.request_id,
        endpoint_id=record.endpoint_id,
    )
