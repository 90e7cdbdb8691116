"""What a keyed call does next, given the ledger's entry for its key.

A call asks `decide` whenever the entry may have changed: at its beginning, after a failed claim, after a wait, a
look-up, or the end of an attempt. Only the step `Submit` leads to a paid request.
"""

from __future__ import annotations

from typing import Literal

import attrs

from fal_async.errors import LedgerError
from fal_async.protocol.ledger.digests import check_version
from fal_async.protocol.ledger.entry import ENDED, UNDER_WAY, LedgerRequest, Record

Uncertain = Literal["report", "lookup", "resubmit"]
Differs = Literal["endpoint_id", "input"]


@attrs.frozen(kw_only=True)
class Asked:
    """What a call asks for.

    Attributes:
        retries: how many further attempts, over the entry's life, this call may make after failures that are not
            final. None: one attempt, or the running one, whatever happened before.
        retry_failed: submit a failed or cancelled entry again, once, with fresh retries.
        renew: submit again an entry that is done with this request id, because the files of its result are gone.
        after: number of the newest attempt that had ended when the call began; None: the call begins now. The end
            of any later attempt is the call's own answer, whichever process made the attempt. See `begun`.
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
    """Claim the key and submit. `seen`: the entry's version, for the claim; None without an entry."""

    seen: int | None


@attrs.frozen(kw_only=True)
class Replay:
    """The entry has ended: `replays.replayed` returns its result or raises its error."""


@attrs.frozen(kw_only=True)
class Attach:
    """fal has the request: follow this id, which may belong to an older attempt than the newest.

    `take`: become the entry's owner first, because no living process owns it.
    """

    request_id: str
    take: bool


@attrs.frozen(kw_only=True)
class WaitFor:
    """A living owner is submitting: look again until its budget has passed, then raise `refusals.uncertain`.

    `seconds`: the budget of the whole submit, to be measured with a monotonic clock.
    """

    seconds: float


@attrs.frozen(kw_only=True)
class LookUp:
    """Search fal's history for the request. `resubmit`: submit again if the history proves it absent."""

    resubmit: bool


@attrs.frozen(kw_only=True)
class Report:
    """Raise `refusals.uncertain`: it is unknown whether fal has the request, and the caller wants no look-up."""


@attrs.frozen(kw_only=True)
class Conflict:
    """Raise `refusals.conflict`: the key belongs to another endpoint or input."""

    differs: Differs


@attrs.frozen(kw_only=True)
class Expired:
    """Raise `refusals.expired`: the entry ended, its result is no longer stored. It is never submitted again."""


Step = Submit | Replay | Attach | WaitFor | LookUp | Report | Conflict | Expired


def decide(record: Record | None, asked: Asked) -> Step:
    """Return the next step of a call. Raise LedgerError if a newer version wrote the entry in an unknown form."""
    if record is None:
        return Submit(seen=None)
    if (differs := difference(record, asked)) is not None:
        return Conflict(differs=differs)
    if record.expired:
        return Expired()
    if record.state == "claimed" and record.owner_lives:
        return WaitFor(seconds=_budget(record))
    if record.state != "done" and (known := _under_way(record)) is not None:
        # However the newest attempt ended, nothing is submitted while fal still runs an older one.
        return Attach(request_id=known, take=record.state == "submitted" and not record.owner_lives)
    if record.state in UNDER_WAY:
        return _uncertain(asked)
    if record.state not in ENDED:
        raise LedgerError(
            f"the ledger has the state {record.state!r}, which this version of fal_async does not know: "
            "update fal_async"
        )
    return Submit(seen=record.version) if _goes_on(record, asked) else Replay()


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


def _goes_on(record: Record, asked: Asked) -> bool:
    """Whether to make a further attempt for an entry that has ended."""
    own = asked.after is not None and _newest_end(record) > asked.after
    if record.state == "done":
        return asked.renew is not None and asked.renew == record.request_id and not own
    if asked.retry_failed and not own:
        return True
    if record.state == "cancelled":
        return not own  # every caller that waits for a request gets its cancellation
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
    """Return the id of the newest attempt that has an id and has not ended, as far as is known."""
    open_ids = (request.request_id for request in reversed(record.requests) if request.outcome is None)
    return next((request_id for request_id in open_ids if request_id is not None), None)


def _newest_end(record: Record | None) -> int:
    requests = () if record is None else record.requests
    return max((request.n for request in requests if request.outcome is not None), default=0)


def _budget(record: Record) -> float:
    claimed = newest_claim(record)
    return 0.0 if claimed is None else max(0.0, claimed.claimed_until - claimed.claimed_at)


def newest_claim(record: Record) -> LedgerRequest | None:
    """Return the newest attempt that has no request id."""
    return next((request for request in reversed(record.requests) if request.request_id is None), None)
