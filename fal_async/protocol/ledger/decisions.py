"""What a keyed call does next, given the ledger's entry for its key.

A call asks `decide` whenever the entry may have changed: at its beginning, after a claim that failed, after a wait
or a look-up, and after an attempt has an outcome. Only the step `Submit` leads to a paid request. A claim is the
ledger's note, written before a submit is sent, that a process (the owner of the entry) is about to send it.
"""

from __future__ import annotations

from typing import Literal

import attrs

from fal_async.errors import LedgerError
from fal_async.protocol.ledger.digests import check_version
from fal_async.protocol.ledger.entry import ENDED, UNDER_WAY, LedgerRequest, Record
from fal_async.protocol.ledger.key_checks import quoted

Uncertain = Literal["report", "lookup", "resubmit"]
Differs = Literal["endpoint_id", "input"]


@attrs.frozen(kw_only=True)
class Asked:
    """What a call wants, as far as the decisions depend on it.

    Attributes:
        endpoint_id: the endpoint of the call, with its path.
        input_digest: the digest of the call's input.
        uncertain: what to do if it is not known whether fal accepted the newest submit: "lookup" (the default)
            looks it up in fal's history, "report" raises, "resubmit" submits again if the history lacks it.
        retries: how many failures of the entry, counted over all calls, may be followed by a further attempt. A
            final failure never is. None (the default): one attempt, or the running one; earlier failures do not
            count.
        retry_failed: whether a failed or cancelled entry is submitted once more, and its failures are counted from
            then on; default False.
        renew: submit a "done" entry again if its result is that of this request id, because the files of the result
            have been deleted; None (the default): replay it.
        after: the number of the newest attempt that had an outcome when the call began; None: the call begins now.
            The outcome of any later attempt is this call's own, even if another process made the attempt. See
            `begun`.
    """

    endpoint_id: str
    input_digest: str
    uncertain: Uncertain = "lookup"
    retries: int | None = None
    retry_failed: bool = False
    renew: str | None = None
    after: int | None = None

    def begun(self, record: Record | None) -> Asked:
        """Return a copy with `after` set from the entry, for all further decisions of this call."""
        return attrs.evolve(self, after=_newest_end(record)) if self.after is None else self


@attrs.frozen(kw_only=True)
class Submit:
    """Claim the key and submit. `seen`: the version of the entry, which the claim checks; None: no entry exists."""

    seen: int | None


@attrs.frozen(kw_only=True)
class Replay:
    """Return the stored result, or raise the stored error: see `replays.replayed`."""


@attrs.frozen(kw_only=True)
class Attach:
    """Follow the request with this id, which fal has accepted. It may be that of an older attempt than the newest.

    `take`: whether to become the owner of the entry first, because its owner is gone.
    """

    request_id: str
    take: bool


@attrs.frozen(kw_only=True)
class WaitFor:
    """Wait, as another running process is submitting: read the entry again and again until `seconds` have passed.

    Then raise `refusals.uncertain`. `seconds` is the time that the whole submit may take, on a monotonic clock.
    """

    seconds: float


@attrs.frozen(kw_only=True)
class LookUp:
    """Search fal's history for the request. `resubmit`: whether to submit again if fal certainly lacks it."""

    resubmit: bool


@attrs.frozen(kw_only=True)
class Report:
    """Raise `refusals.uncertain`: fal may have the request, and the caller wants no look-up."""


@attrs.frozen(kw_only=True)
class Conflict:
    """Raise `refusals.conflict`: the key belongs to another endpoint or input."""

    differs: Differs


@attrs.frozen(kw_only=True)
class Expired:
    """Raise `refusals.expired`: the outcome is known but no longer stored. The key is never submitted again."""


Step = Submit | Replay | Attach | WaitFor | LookUp | Report | Conflict | Expired


def decide(record: Record | None, asked: Asked) -> Step:
    """Return the next step of a call.

    Raises LedgerError if a newer version of fal_async has written an entry that this version does not understand.
    """
    if record is None:
        return Submit(seen=None)
    if (differs := difference(record, asked)) is not None:
        return Conflict(differs=differs)
    if record.expired:
        return Expired()
    if record.state == "claimed" and record.owner_lives:
        return WaitFor(seconds=_budget(record))
    if record.state != "done" and (known := _under_way(record)) is not None:
        # Even if the newest attempt has failed, nothing is submitted while fal still runs an older one.
        return Attach(request_id=known, take=record.state == "submitted" and not record.owner_lives)
    if record.state in UNDER_WAY:
        return _uncertain(asked)
    if record.state not in ENDED:
        raise LedgerError(
            f"update fal_async: the ledger has an entry in the state {quoted(record.state)}, "
            "which this version does not know"
        )
    return Submit(seen=record.version) if _tries_again(record, asked) else Replay()


def difference(record: Record, asked: Asked) -> Differs | None:
    """Return what differs between the entry and the call; None if nothing does. Raises as `check_version`."""
    check_version(record.input_digest)
    if record.endpoint_id != asked.endpoint_id:
        return "endpoint_id"
    return None if record.input_digest == asked.input_digest else "input"


def _uncertain(asked: Asked) -> Step:
    if asked.uncertain == "report":
        return Report()
    return LookUp(resubmit=asked.uncertain == "resubmit")


def _tries_again(record: Record, asked: Asked) -> bool:
    """Whether to make a further attempt for an entry with an outcome."""
    own = asked.after is not None and _newest_end(record) > asked.after
    if record.state == "done":
        return asked.renew is not None and asked.renew == record.request_id and not own
    if asked.retry_failed and not own:
        return True
    if record.state == "cancelled":
        return not own  # a caller that has waited for this request gets the cancellation
    if record.final:
        return False
    if asked.retries is None:
        return not own
    since = (asked.after or 0) if asked.retry_failed else 0
    return failures(record, since=since) <= asked.retries


def failures(record: Record, *, since: int = 0) -> int:
    """Count the failed attempts after number `since`. A cancelled attempt does not count."""
    return sum(request.n > since and request.outcome == "failed" for request in record.requests)


def _under_way(record: Record) -> str | None:
    """Return the id of the newest attempt that has an id and no outcome yet; None if there is none."""
    open_ids = (request.request_id for request in reversed(record.requests) if request.outcome is None)
    return next((request_id for request_id in open_ids if request_id is not None), None)


def _newest_end(record: Record | None) -> int:
    """Return the number of the newest attempt with an outcome; 0 if there is none."""
    requests = () if record is None else record.requests
    return max((request.n for request in requests if request.outcome is not None), default=0)


def _budget(record: Record) -> float:
    """Return the seconds that the running submit may take in total."""
    claimed = newest_claim(record)
    return 0.0 if claimed is None else max(0.0, claimed.claimed_until - claimed.claimed_at)


def newest_claim(record: Record) -> LedgerRequest | None:
    """Return the newest attempt without a request id; None if all attempts have one."""
    return next((request for request in reversed(record.requests) if request.request_id is None), None)
