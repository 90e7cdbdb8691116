"""Errors of a keyed call that are no answer of fal's: another input, an unknown outcome, an end that is gone."""

from __future__ import annotations

from fal_async.errors import KeyConflictError, ResultExpiredError, SubmissionUncertainError
from fal_async.protocol.ledger.decisions import Differs, newest_claim
from fal_async.protocol.ledger.entry import Owner, Record

_DIFFERENT = {"endpoint_id": "another endpoint", "input": "another input"}


def conflict(record: Record, differs: Differs) -> KeyConflictError:
    """The key stands for another endpoint or input."""
    of = f": {record.endpoint_id}" if differs == "endpoint_id" else ""
    return KeyConflictError(
        f"the key stands for {_DIFFERENT[differs]} in the ledger{of}; nothing was sent. "
        "For a new request, pass another key or another run",
        key=record.place.key,
        differs=differs,
        request_id=record.request_id,
        endpoint_id=record.endpoint_id,
    )


def uncertain(record: Record, reason: str = "") -> SubmissionUncertainError:
    """Whether fal took it is not known. With what `find_submission` needs.

    `reason`: what a look-up came to, such as "the history shows no input".
    """
    claim = newest_claim(record)
    digest = None if claim is None or claim.body_digest is None else claim.body_digest.partition(":")[2]
    return SubmissionUncertainError(
        f"{_who(record.owner, lives=record.owner_lives)}; fal may have taken it, so it is not sent again"
        + (f" ({reason})" if reason else "")
        + f". ledger.resolve({record.place.key!r}, request_id=...) decides it",
        key=record.place.key,
        started_at=None if claim is None else claim.claimed_at,
        ended_at=None if claim is None else claim.claimed_until,
        input_digest=digest,
        endpoint_id=record.endpoint_id,
    )


def _who(owner: Owner | None, *, lives: bool) -> str:
    if owner is None:
        return "the submit was not answered"
    place = f"process {owner.pid} on {owner.host}" if owner.host else "another process"
    if lives:
        return f"{place} submits this key, and has not said what came of it"
    return f"{place} ended while it submitted this key"


def expired(record: Record) -> ResultExpiredError:
    """It ended, and the ledger no longer keeps how."""
    return ResultExpiredError(
        f"this key's request ended ({record.state}), and the ledger no longer keeps its result; nothing was sent. "
        "For a new request, pass another key or another run, or ledger.forget(key) first",
        status=404,
        request_id=record.request_id,
        endpoint_id=record.endpoint_id,
    )
