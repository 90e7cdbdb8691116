"""What an earlier process left under way in a ledger: followed to its end, and looked for where it is uncertain."""

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
"""So many at a time: results live for minutes only (protocol 4.4), so that it is worse to wait than to poll."""


@attrs.frozen(kw_only=True)
class Recovered:
    """What `fal.recover` found under way, and what became of it: how many entries.

    Attributes:
        done, failed, cancelled: followed to their end, which is in the ledger now.
        uncertain: whether fal took them is not known, and its history did not tell: see `Ledger.resolve`.
        running: a living process follows or submits them, or another call of this one: they were left to it.
        left: they could not be followed to their end. They stay as they are: the next call goes on.
        error: why, of the first of those that were left, or whose look-up failed. None: nothing went wrong.
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
        """All of them."""
        return self.done + self.failed + self.cancelled + self.uncertain + self.running + self.left


async def recover(calls: ViewCalls, space: Space, *, run: str | None) -> Recovered:
    """Follow every submitted entry without a living owner to its end, and look for the uncertain ones.

    Args:
        space: whose entries; its own run does not count.
        run: of this one only; None: of all.

    Raises SessionStateError where the session is closed meanwhile, LedgerError. Cancelled, it leaves what it
    follows to the session, which goes on with it until it is closed.
    """
    return await _Recovery(calls, await calls.store(), space, run).all()


class _Recovery:
    def __init__(self, calls: ViewCalls, store: Store, space: Space, run: str | None) -> None:
        self._calls, self._store, self._space, self._run = calls, store, space, run
        self._counts: Counter[str] = Counter()
        self._error: FalError | None = None

    async def all(self) -> Recovered:
        orphans, uncertain = [], []
        async for record in self._entries("submitted", "claimed", "uncertain"):
            if record.state == "uncertain":
                uncertain.append(record)
            elif record.owner_lives or self._calls.running(record) is not None:
                self._counts["running"] += 1
            else:
                orphans.append(record)
        # Those first that were submitted first: their results go first.
        todo = [
            *((record, self._follow) for record in orphans),
            *((record, self._look_for) for record in uncertain),
        ]
        todo.sort(key=lambda one: one[0].submitted_at or one[0].claimed_at)
        await gather_first_error(lambda one: one[1](one[0]), todo, at_a_time=AT_ONCE)
        return Recovered(**self._counts, error=self._error)

    def _entries(self, *states: State) -> AsyncIterator[Record]:
        space = self._space
        search = Search(origin=space.origin, tenant=space.tenant, run=self._run, states=states)
        return records(self._store, search)

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
