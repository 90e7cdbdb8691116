"""Look up the requests of uncertain entries in fal's history.

An entry is uncertain if it is not known whether fal accepted its newest submit. A claim is the ledger's note,
written before a submit is sent, that a process is about to send it. For each account and endpoint one look-up runs
at a time; all callers that wait for one of its entries share it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import attrs

from fal_async.config import Settings
from fal_async.errors import FalError, SessionStateError
from fal_async.keyed.history_reading import HistoryReading
from fal_async.ledger.paging import records
from fal_async.ledger.store import Search, Store
from fal_async.protocol.ledger.entry import Record, State
from fal_async.protocol.ledger.matching import Judgement, LostClaim
from fal_async.queue.recovery import History
from fal_async.single_flight import SingleFlight
from fal_async.transport import Transport

MOST_PAGES = 300
"""Most HTTP requests of one look-up; each returns up to 100 rows without payloads."""
_REASONS: Mapping[str, str] = {
    "nothing": "fal's history has caught up and shows no such request",
    "equal": "fal's history shows more requests with this input than uncertain submits",
    "contested": "another call is submitting the same input now",
    "elsewhere": "fal's history has this input only at another time: check the clock",
    "hidden": "fal's history does not show the inputs",
    "lagging": "fal's history lacks it, but may not have caught up",
}
"""Why an entry is still uncertain, by verdict."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Account:
    """What a look-up needs: the ledger with the entries, and the access to the account's history."""

    store: Store
    transport: Transport
    settings: Settings


@attrs.frozen(kw_only=True)
class LookedUp:
    """The outcome of a look-up.

    Attributes:
        settled: whether the entry is no longer uncertain, so that the caller reads it again; default False.
        reason: why the entry is still uncertain, for the error message.
        cause: the error of a failed look-up; None if it did not fail.
    """

    settled: bool = False
    reason: str = ""
    cause: FalError | None = None


@attrs.frozen(kw_only=True)
class _Round:
    """One look-up of an endpoint, with the outcomes of the entries that callers waited for when it began."""

    claims: Mapping[int, LostClaim] = attrs.field(factory=dict)
    outcomes: Mapping[int, Judgement | LookedUp]

    def absent_claim(self, entry: int) -> LostClaim | None:
        """Return the entry's claim if fal certainly has no request for it; None otherwise."""
        outcome = self.outcomes[entry]
        nothing = isinstance(outcome, Judgement) and outcome.verdict == "nothing"
        return self.claims[entry] if nothing else None

    def looked_up(self, entry: int) -> LookedUp:
        outcome = self.outcomes[entry]
        return outcome if isinstance(outcome, LookedUp) else LookedUp(reason=_REASONS[outcome.verdict])


class _Line:
    """The entries of one account and endpoint that callers wait for, and the running look-up."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.flight: SingleFlight[_Round] = SingleFlight()

    @contextmanager
    def asking(self, entry: int) -> Iterator[None]:
        """Include the entry in look-ups that begin within this context."""
        self.asked.append(entry)
        try:
            yield
        finally:
            self.asked.remove(entry)


class Lookups:
    """The look-ups of one session."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str, str], _Line] = {}

    async def settle(
        self, record: Record, account: Account, *, resubmit: bool = False, store_io: bool = True
    ) -> LookedUp:
        """Look up the request of an uncertain entry; store its id if fal's history shows which one it is.

        A look-up that fails, such as one that fal refuses, does not raise. Its error is the `cause` of the outcome.
        Cancelling is safe.

        Args:
            record: an entry whose state is "uncertain".
            account: the account and the ledger of the entry.
            resubmit: whether to withdraw the attempt if the history has caught up and shows no such request, so
                that the caller submits it again; default False.
            store_io: whether fal stores inputs of this request; default True. If False, the history does not
                contain the input and is not read.

        Returns:
            Whether the entry is settled, and if not, why.

        Raises:
            LedgerError: the ledger can't be read or written.
            SessionStateError: the session is closed.
        """
        if account.settings.proxy_url is not None:
            return LookedUp(reason="fal's history can't be read through proxy_url")
        if not store_io:
            return LookedUp(reason="fal's history shows no input that was sent with store_io=False")
        line = self._line(record)
        with line.asking(record.number):
            while True:
                seen = await line.flight.get(_never, partial(_look, account, line, record))
                # If the shared look-up began before this entry was added, wait for the next one.
                if record.number in seen.outcomes:
                    break
        lost = seen.absent_claim(record.number)
        if lost is not None and resubmit:
            await account.store.give_up(lost.entry, lost.version, lost.attempt, time.time())
            return LookedUp(settled=True)
        return seen.looked_up(record.number)

    def _line(self, record: Record) -> _Line:
        space = record.place.space
        return self._lines.setdefault((space.origin, space.tenant, record.endpoint_id), _Line())


def _never(_: _Round) -> bool:
    """Return False, because a finished look-up is out of date and is never used again."""
    return False


async def _look(account: Account, line: _Line, one: Record) -> _Round:
    asked = frozenset(line.asked)
    uncertain = {record.number: record for record in await _entries(account.store, one, "uncertain")}
    wanted = asked & uncertain.keys()
    outcomes: dict[int, Judgement | LookedUp] = {number: LookedUp(settled=True) for number in asked - wanted}
    if not wanted:
        return _Round(outcomes=outcomes)
    reading = HistoryReading(
        history=History(account.transport, account.settings.hosts, one.endpoint_id, MOST_PAGES),
        store=account.store,
        claimed=partial(_entries, account.store, one, "claimed"),
    )
    try:
        claims, judgements = await reading.judged(uncertain.values(), wanted)
    except SessionStateError:
        raise
    except FalError as error:
        if error.from_caller:
            raise
        failed = LookedUp(reason=f"fal's history can't be read: {error.message}", cause=error)
        return _Round(outcomes={**outcomes, **dict.fromkeys(wanted, failed)})
    return _Round(claims=claims, outcomes={**outcomes, **await _adopted(account.store, claims, judgements)})


async def _entries(store: Store, one: Record, *states: State) -> list[Record]:
    """Return all entries of the same account and endpoint in these states, of any run."""
    space = one.place.space
    search = Search(origin=space.origin, tenant=space.tenant, states=states, endpoint_id=one.endpoint_id)
    return [record async for record in records(store, search)]


async def _adopted(
    store: Store, claims: Mapping[int, LostClaim], judgements: Mapping[int, Judgement]
) -> dict[int, Judgement | LookedUp]:
    """Store the requests that were found, also for entries that no caller waits for, and return the outcomes."""
    outcomes: dict[int, Judgement | LookedUp] = dict(judgements)
    for number, judgement in judgements.items():
        if judgement.request_id is not None:
            lost = claims[number]
            await store.adopt(number, lost.version, lost.attempt, judgement.request_id, time.time())
            # If the id was not stored, the entry has changed, or another entry has this id: the caller reads it
            # again.
            outcomes[number] = LookedUp(settled=True)
    return outcomes
