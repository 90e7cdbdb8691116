"""Errors of a keyed call because of its entry: another input, an uncertain submit, a result that was deleted.

Messages are cut at 200 characters, so that the way out stands before values that may be long.
"""

from __future__ import annotations

from fal_async.errors import KeyConflictError, ResultExpiredError, SubmissionUncertainError
from fal_async.errors.redaction import one_line
from fal_async.protocol.ledger.decisions import Differs, newest_claim
from fal_async.protocol.ledger.entry import Owner, Record
from fal_async.protocol.ledger.key_checks import quoted

_DIFFERENT = {"endpoint_id": "another endpoint", "input": "another input"}


def conflict(record: Record, differs: Differs) -> KeyConflictError:
    """Return the error for a key that belongs to another endpoint or input."""
    of = f" (the key's endpoint: {record.endpoint_id})" if differs == "endpoint_id" else ""
    return KeyConflictError(
        f"the key belongs to {_DIFFERENT[differs]} in the ledger; nothing was sent. "
        f"For a new request, pass another key or another run{of}",
        key=record.place.key,
        differs=differs,
        request_id=record.request_id,
        endpoint_id=record.endpoint_id,
    )


def uncertain(record: Record, reason: str = "") -> SubmissionUncertainError:
    """Return the error for a submit that fal may have accepted, with the data that `find_submission` needs.

    `reason`: the result of a look-up, such as "the history shows no input"; default: there was no look-up.
    """
    claim = newest_claim(record)
    digest = None if claim is None or claim.body_digest is None else claim.body_digest.partition(":")[2]
    return SubmissionUncertainError(
        f"fal may have accepted the request, so it is not sent again. {_way_out(record)}: "
        + (f"{reason}; " if reason else "")
        + _who(record.owner, lives=record.owner_lives),
        key=record.place.key,
        started_at=None if claim is None else claim.claimed_at,
        ended_at=None if claim is None else claim.claimed_until,
        input_digest=digest,
        endpoint_id=record.endpoint_id,
    )


def _way_out(record: Record) -> str:
    if record.owner_lives:
        return "Call again later"  # `resolve` refuses a key that a running process submits
    return f"Decide with ledger.resolve({quoted(record.place.key)}, request_id=...)"


def _who(owner: Owner | None, *, lives: bool) -> str:
    if owner is None:
        return "the submit was not answered"
    place = f"process {owner.pid} on {one_line(owner.host, 24)}" if owner.host else "another process"
    if lives:
        return f"{place} is still submitting this key"
    return f"{place} ended while submitting this key"


def expired(record: Record) -> ResultExpiredError:
    """Return the error for an entry whose result or error was deleted after `keep` seconds."""
    return ResultExpiredError(
        "nothing was sent: the request of this key is complete, but the ledger no longer keeps its result "
        f"({record.state}). For a new request, pass another key or run, or call ledger.forget(key) first",
        status=404,
        request_id=record.request_id,
        endpoint_id=record.endpoint_id,
    )
