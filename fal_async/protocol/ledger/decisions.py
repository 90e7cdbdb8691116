"""What a call with a key does, given what the ledger has under it. Whoever acts on a step looks again after it.

A call asks `decide` whenever the entry may have changed: at its beginning, after a claim that was not had, after a
wait, a look-up, or the end of an attempt. No step but `Submit` leads to a paid request.
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
        retries: further attempts, over the entry's life, that this call may make after an open failure. None: one
            attempt, or the one under way, whatever there was before.
        retry_failed: an entry that ended badly is submitted anew, once, with fresh retries.
        renew: so is one that is done with this request id: what its result leads to is gone.
        after: the number of the newest attempt that had ended when the call began; None: it begins now. Ends of
            later attempts are the call's own answer, whoever made them. See `begun`.
    """

    endpoint_id: str
    input_digest: str
    uncertain: Uncertain = "lookup"
    retries: int | None = None
    retry_failed: bool = False
    renew: str | None = None
    after: int | None = None

    def begun(self, record: Record | None) -> Asked:
        """The same once the call has seen the entry: for all further decisions of it."""
        return attrs.evolve(self, after=_newest_end(record)) if self.after is None else self


@attrs.frozen(kw_only=True)
class Submit:
    """Claim it, and submit. `seen` goes into the claim."""

    seen: int | None


@attrs.frozen(kw_only=True)
class Replay:
    """It ended: `kept.replayed` gives the result or raises the error."""


@attrs.frozen(kw_only=True)
class Attach:
    """fal has it: follow this id, which may be of an older attempt than the newest.

    `take`: become its owner first, for nobody follows it.
    """

    request_id: str
    take: bool


@attrs.frozen(kw_only=True)
class WaitFor:
    """A living owner is about to submit it: look again until its budget has passed, then `refusals.uncertain`.

    `seconds`: the budget of the whole submit, to be counted by a clock that does not jump.
    """

    seconds: float


@attrs.frozen(kw_only=True)
class LookUp:
    """Whether fal has it, its history may tell. `resubmit`: where it surely knows nothing, submit it again."""

    resubmit: bool


@attrs.frozen(kw_only=True)
class Report:
    """Whether fal has it, nobody knows, and nobody is to look: `refusals.uncertain`."""


@attrs.frozen(kw_only=True)
class Conflict:
    """The key stands for something else: `refusals.conflict`."""

    differs: Differs


@attrs.frozen(kw_only=True)
class Expired:
    """It ended, and the ledger no longer keeps how: `refusals.expired`. It is never submitted again."""


Step = Submit | Replay | Attach | WaitFor | LookUp | Report | Conflict | Expired


def decide(record: Record | None, asked: Asked) -> Step:
    """The next step of a call. LedgerError where the entry is of a newer version, and can't be compared."""
    if record is None:
        return Submit(seen=None)
    if (differs := difference(record, asked)) is not None:
        return Conflict(differs=differs)
    if record.expired:
        return Expired()
    if record.state == "claimed" and record.owner_lives:
        return WaitFor(seconds=_budget(record))
    if record.state != "done" and (known := _under_way(record)) is not None:
        # Whatever the newest attempt came to: nothing is submitted while fal has an older one.
        return Attach(request_id=known, take=record.state == "submitted" and not record.owner_lives)
    if record.state in UNDER_WAY:
        return _uncertain(asked)
    if record.state not in ENDED:
        raise LedgerError(
            f"the ledger has the state {record.state!r}, of which this fal_async knows nothing: update it"
        )
    return Submit(seen=record.version) if _goes_on(record, asked) else Replay()


def difference(record: Record, asked: Asked) -> Differs | None:
    """What the key stands for that was not asked for. LedgerError as `check_version`."""
    check_version(record.input_digest)
    if record.endpoint_id != asked.endpoint_id:
        return "endpoint_id"
    return None if record.input_digest == asked.input_digest else "input"


def _uncertain(asked: Asked) -> Step:
    if asked.uncertain == "report":
        return Report()
    return LookUp(resubmit=asked.uncertain == "resubmit")


def _goes_on(record: Record, asked: Asked) -> bool:
    """Whether an entry that has ended gets a further attempt."""
    own = asked.after is not None and _newest_end(record) > asked.after
    if record.state == "done":
        return asked.renew is not None and asked.renew == record.request_id and not own
    if asked.retry_failed and not own:
        return True
    if record.state == "cancelled":
        return not own  # all who wait for a request get its cancellation
    if record.final:
        return False
    if asked.retries is None:
        return not own
    since = (asked.after or 0) if asked.retry_failed else 0
    return failures(record, since=since) <= asked.retries


def failures(record: Record, *, since: int = 0) -> int:
    """The attempts after the number `since` that failed. One that was cancelled is none."""
    return sum(request.n > since and request.outcome == "failed" for request in record.requests)


def _under_way(record: Record) -> str | None:
    """The newest request that fal has, and whose end is not known."""
    open_ids = (request.request_id for request in reversed(record.requests) if request.outcome is None)
    return next((request_id for request_id in open_ids if request_id is not None), None)


def _newest_end(record: Record | None) -> int:
    requests = () if record is None else record.requests
    return max((request.n for request in requests if request.outcome is not None), default=0)


def _budget(record: Record) -> float:
    claimed = newest_claim(record)
    return 0.0 if claimed is None else max(0.0, claimed.claimed_until - claimed.claimed_at)


def newest_claim(record: Record) -> LedgerRequest | None:
    """The newest attempt that has no id."""
    return next((request for request in reversed(record.requests) if request.request_id is None), None)
