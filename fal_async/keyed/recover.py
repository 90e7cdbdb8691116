"""`fal.recover`: follow the requests that earlier processes left unfinished, and look up the uncertain ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import attrs

from fal_async.errors import FalError, SessionStateError, SubmissionUncertainError
from fal_async.keyed.call import Ended
from fal_async.keyed.view_calls import ViewCalls
from fal_async.ledger.paging import records
from fal_async.ledger.store import Search, Store
from fal_async.protocol.ledger.entry import ENDED, Record, Space, State
from fal_async.storage.concurrency import gather_first_error

AT_ONCE = 1_000
"""Most requests followed at the same time. It is high, as fal keeps results for minutes only (protocol 4.4)."""


@attrs.frozen(kw_only=True)
class Recovered:
    """How many unfinished entries `fal.recover` has found, by their outcome.

    Attributes:
        done: entries whose request has a result, which is in the ledger.
        failed: entries whose request failed; the error is in the ledger.
        cancelled: entries whose request was cancelled.
        uncertain: entries for which it is still not known whether fal accepted the request; decide with
            `Ledger.resolve`.
        running: entries that another running process, or another call of this process, submits or follows.
        left: entries whose request could not be followed until it completed. The entries are unchanged: a later
            call with the key, or `recover`, follows the request again.
        error: the first error that prevented following a request, or that made a look-up fail; None if there was
            none.
    """

    done: int = 0
    failed: int = 0
    cancelled: int = 0
    uncertain: int = 0
    running: int = 0
    left: int = 0
    error: FalError | None = attrs.field(default=None, eq=False)

    @property
    def total(self) -> int:
        """The number of entries found."""
        return self.done + self.failed + self.cancelled + self.uncertain + self.running + self.left


async def recover(calls: ViewCalls, space: Space, *, run: str | None) -> Recovered:
    """Follow each submitted request whose process is gone until it completes, and look up the uncertain ones.

    Cancelling is safe: the session continues to follow the requests until it is closed.

    Args:
        calls: the keyed calls of the view.
        space: the origin and tenant of the entries; its run is ignored.
        run: only entries of this run; None: of all runs.

    Returns:
        The counts.

    Raises:
        SessionStateError: the session was closed.
        LedgerError: the ledger can't be read or written.
    """
    return await _Recovery(calls, await calls.store(), space, run).all()


class _Recovery:
    def __init__(self, calls: ViewCalls, store: Store, space: Space, run: str | None) -> None:
        self._calls, self._store, self._space, self._run = calls, store, space, run
        self._counts: Counter[str] = Counter()
        self._error: FalError | None = None

    async def all(self) -> Recovered:
        orphans, uncertain = [], []
        await self._store.until_owners_known(self._search())
        async for record in self._entries("submitted", "claimed", "uncertain"):
            if record.state == "uncertain":
                uncertain.append(record)
            elif record.owner_lives or self._calls.running(record) is not None:
                self._counts["running"] += 1
            else:
                orphans.append(record)
        # The oldest requests first, as fal deletes their results first.
        todo = [
            *((record, self._follow) for record in orphans),
            *((record, self._look_for) for record in uncertain),
        ]
        todo.sort(key=lambda one: one[0].submitted_at or one[0].claimed_at)
        await gather_first_error(lambda one: one[1](one[0]), todo, at_a_time=AT_ONCE)
        return Recovered(**self._counts, error=self._error)

    def _entries(self, *states: State) -> AsyncIterator[Record]:
        return records(self._store, self._search(*states))

    def _search(self, *states: State) -> Search:
        space = self._space
        return Search(origin=space.origin, tenant=space.tenant, run=self._run, states=states or None)

    async def _look_for(self, record: Record) -> None:
        try:
            await self._calls.look_up(record)
        except SubmissionUncertainError as error:
            self._counts["uncertain"] += 1
            self._note(error if error.__cause__ is not None else None)
            return
        found = await self._store.find(record.place, payloads=False)
        if found is not None and found.state == "submitted":
            await self._follow(found)

    async def _follow(self, record: Record) -> None:
        driver = await self._calls.follow(record)
        ended = await driver.ended()
        if isinstance(ended.error, SessionStateError):
            raise ended.error
        self._counts[self._how(ended)] += 1

    def _how(self, ended: Ended) -> str:
        if ended.record is not None and ended.record.state in ENDED:
            return ended.record.state
        if ended.error is None:
            return "done"
        self._note(ended.error if isinstance(ended.error, FalError) else None)
        return "left"

    def _note(self, error: FalError | None) -> None:
        self._error = self._error or error
