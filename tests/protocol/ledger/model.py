"""A simple ledger in memory that does what `fal_async/ledger/store.py` specifies.

Other stores are compared with it, and the state machine of `machine.py` runs on it without I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

import attrs

from fal_async.ledger.store import Costs, Delivered, EntryGone, Hold, NewClaim, Search, Store
from fal_async.protocol.amounts import total
from fal_async.protocol.ledger.entry import (
    End,
    LedgerRequest,
    Outcome,
    Owner,
    Payload,
    Place,
    Record,
    Space,
    State,
    StoredFile,
)

T = TypeVar("T")
_STATES: Mapping[Outcome, State] = {
    "done": "done",
    "failed": "failed",
    "expired": "failed",
    "cancelled": "cancelled",
}


class Shelf(Protocol):
    """Where the ledger of a state machine is kept: `Memory` for the model; tests of real stores have their own."""

    def open(self) -> Store:
        """Open the store as a new process."""
        ...

    def crash(self, store: Store) -> None:
        """Let the store's process die at once, which releases its lock."""
        ...

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of a store, and return its value."""
        ...

    def close(self) -> None:
        """Close all stores that are still open."""
        ...


@attrs.define(kw_only=True)
class Entry:
    number: int
    place: Place
    endpoint_id: str
    input_digest: str
    version: int = 0
    state: State = "claimed"
    final: bool = False
    ended_at: float | None = None
    attempts: int = 0
    owner: int | None = None
    requests: dict[int, LedgerRequest] = attrs.field(factory=dict)
    finals: dict[int, bool] = attrs.field(factory=dict)
    """Whether the outcome of an attempt is final, by the number of the attempt."""
    tokens: dict[int, str | None] = attrs.field(factory=dict)
    """The token of each claim, by the number of its attempt."""
    input: Payload | None = None
    end: End | None = None
    expired: bool = False
    files: tuple[StoredFile, ...] = ()

    def change(self, n: int, **fields: Any) -> None:
        self.requests[n] = attrs.evolve(self.requests[n], **fields)


@attrs.define
class Memory:
    """The shelf of the model: the entries, and the owners that are alive."""

    entries: dict[int, Entry] = attrs.field(factory=dict)
    living: set[int] = attrs.field(factory=set)
    owners: int = 0
    newest: int = 0
    """The highest number of any entry so far. Numbers are not reused."""

    def open(self) -> ModelStore:
        self.owners += 1
        self.living.add(self.owners)
        return ModelStore(self, self.owners)

    def crash(self, store: Store) -> None:
        assert isinstance(store, ModelStore)
        self.living.discard(store.me)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            work.send(None)
        except StopIteration as done:
            value: T = done.value
            return value
        raise AssertionError("the model must not wait")

    def close(self) -> None:
        self.living.clear()


@attrs.frozen(eq=False)
class ModelStore(Store):
    """The store of one process."""

    memory: Memory
    me: int

    @property
    def where(self) -> str:
        return "memory"

    def owns(self, record: Record) -> bool:
        return record.owner is not None and record.owner.number == self.me

    # Reads.

    async def find(self, place: Place, *, payloads: bool = True) -> Record | None:
        found = self._at(place)
        return None if found is None else self._record(found, payloads)

    async def find_request(self, origin: str, request_id: str) -> Record | None:
        found = self._with_id(origin, request_id)
        return None if found is None else self._record(found, True)

    async def named(self, key: str, search: Search) -> list[Record]:
        entries = [entry for entry in self.memory.entries.values() if entry.place.key == key]
        return [r for entry in entries if _fits(r := self._record(entry, True), search)][:10]

    async def known(self, request_ids: Collection[str]) -> set[str]:
        stored = {r.request_id for entry in self.memory.entries.values() for r in entry.requests.values()}
        return {request_id for request_id in request_ids if request_id in stored}

    async def page(
        self, search: Search, *, after: int = 0, limit: int = 200, payloads: bool = False
    ) -> list[Record]:
        entries = [entry for number, entry in sorted(self.memory.entries.items()) if number > after]
        return [r for entry in entries if _fits(r := self._record(entry, payloads), search)][:limit]

    async def spaces(self) -> list[Space]:
        found = {entry.place.space for entry in self.memory.entries.values()}
        return sorted(found, key=lambda space: (space.origin, space.tenant, space.run))

    async def totals(self, search: Search) -> Mapping[State, int]:
        return Counter(record.state for record in await self.page(search, limit=10**9))

    async def costs(self, search: Search) -> Costs:
        requests = [r for record in await self.page(search, limit=10**9) for r in record.requests]
        costs = [request.cost for request in requests if request.cost is not None]
        return Costs(
            known=total(costs) if costs else None,
            highest=max(costs, default=None),
            unpriced=sum(request.cost is None and request.outcome is not None for request in requests),
            open=sum(request.outcome is None for request in requests),
        )

    # The claim.

    async def claim(self, new: NewClaim) -> Hold | None:
        entry = self._at(new.place)
        if (None if entry is None else entry.version) != new.seen:
            return None
        if entry is None:
            number = self.memory.newest = self.memory.newest + 1
            entry = self.memory.entries[number] = Entry(
                number=number,
                place=new.place,
                endpoint_id=new.endpoint_id,
                input_digest=new.input_digest,
                input=new.input,
            )
        entry.attempts += 1
        entry.state, entry.final, entry.owner, entry.ended_at = "claimed", False, self.me, None
        entry.requests[entry.attempts] = LedgerRequest(
            n=entry.attempts,
            body_digest=new.body_digest,
            claimed_at=new.claimed_at,
            claimed_until=new.claimed_until,
            by_webhook=new.token is not None,
        )
        entry.tokens[entry.attempts] = new.token
        entry.version += 1
        return Hold(entry=entry.number, attempt=entry.attempts)

    async def withdraw(self, hold: Hold) -> None:
        entry = self.memory.entries.get(hold.entry)
        if entry is None or not self._is_open(entry, hold.attempt):
            return
        record = self._record(entry, False)
        claimed_at = entry.requests[hold.attempt].claimed_at
        stands = self._holds(entry, hold) or (record.state, record.attempts) == ("uncertain", hold.attempt)
        del entry.requests[hold.attempt]
        entry.version += 1
        if not stands:
            return
        if hold.attempt == 1:
            del self.memory.entries[hold.entry]
            return
        entry.attempts -= 1
        self._fall_back(entry, claimed_at)

    async def submitted(self, hold: Hold, request_id: str, at: float) -> Record:
        entry = self._entry(hold.entry)
        n = hold.attempt
        self._let_go(entry, request_id)
        known = _number_of(entry, request_id)
        if known is not None and entry.requests[known].outcome is not None:
            entry.version += 1
            return self._record(entry, True)
        # A late id of an older attempt does not end the newer claim, whose submit is still open.
        is_newest = entry.owner == self.me and max(entry.requests, default=0) <= n
        if known is None:
            if not self._is_open(entry, n):
                like = entry.requests.get(n, LedgerRequest(n=n, claimed_at=at, claimed_until=at))
                n = entry.attempts = entry.attempts + 1
                entry.requests[n] = LedgerRequest(
                    n=n,
                    body_digest=like.body_digest,
                    claimed_at=like.claimed_at,
                    claimed_until=like.claimed_until,
                )
            entry.change(n, request_id=request_id, submitted_at=at)
        owner_lives = entry.owner == self.me or entry.owner in self.memory.living
        if is_newest or not (
            entry.state == "done" or (entry.state in ("claimed", "submitted") and owner_lives)
        ):
            entry.state, entry.final, entry.owner, entry.ended_at = "submitted", False, self.me, None
        entry.version += 1
        return self._record(entry, True)

    async def uncertain(self, hold: Hold, at: float) -> None:
        entry = self.memory.entries.get(hold.entry)
        if entry is not None and self._holds(entry, hold):
            entry.state, entry.owner = "uncertain", None
            until = entry.requests[hold.attempt].claimed_until  # if the submit was sent, it was before `at`
            entry.change(hold.attempt, claimed_until=min(until, at))
            entry.version += 1

    async def adopt(
        self, entry: int, version: int, attempt: int, request_id: str, at: float
    ) -> Record | None:
        found = self.memory.entries.get(entry)
        if found is None or found.version != version or not self._is_open(found, attempt):
            return None
        if self._with_id(found.place.space.origin, request_id) is not None:
            return None
        found.change(attempt, request_id=request_id, submitted_at=at)
        if found.state not in ("done", "submitted"):
            found.state, found.final, found.owner, found.ended_at = "submitted", False, None, None
        found.version += 1
        return self._record(found, True)

    async def give_up(self, entry: int, version: int, attempt: int, at: float) -> bool:
        found = self.memory.entries.get(entry)
        if found is None or found.version != version or not self._is_open(found, attempt):
            return False
        newest = max(found.requests)
        del found.requests[attempt]
        found.version += 1
        if found.state in ("claimed", "uncertain") and attempt == newest:
            self._fall_back(found, at)
        return True

    # Following, and the end.

    async def take(self, entry: int, version: int) -> Record | None:
        found = self.memory.entries.get(entry)
        if found is None or found.version != version or found.state != "submitted":
            return None
        if found.owner != self.me and found.owner in self.memory.living:
            return None
        found.owner = self.me
        found.version += 1
        return self._record(found, True)

    async def leave(self, entry: int) -> None:
        found = self.memory.entries.get(entry)
        if found is not None and found.owner == self.me:
            found.owner = None
            found.version += 1

    async def cancel_requested(self, entry: int, request_id: str, at: float) -> None:
        found = self.memory.entries.get(entry)
        n = None if found is None else _number_of(found, request_id)
        if found is not None and n is not None and found.requests[n].cancel_requested_at is None:
            found.change(n, cancel_requested_at=at)
            found.version += 1

    async def until_changed(self, entry: int, version: int, seconds: float) -> None:
        raise AssertionError("the model must not wait")

    async def until_owners_known(self, search: Search) -> None:
        """Do nothing: the model knows which owners run."""

    async def end(self, entry: int, request_id: str, end: End) -> Record:
        found = self._entry(entry)
        n = _number_of(found, request_id)
        if n is None:
            n = found.attempts = found.attempts + 1
            found.requests[n] = LedgerRequest(n=n, request_id=request_id)
        if found.requests[n].outcome is None:
            found.change(
                n,
                outcome=end.outcome,
                ended_at=end.at,
                billable_units=end.billable_units,
                cost=end.cost,
            )
            found.finals[n] = end.final
            if found.state != "done" and (end.state == "done" or n == max(found.requests)):
                found.state, found.final, found.end, found.owner = end.state, end.final, end, None
                found.expired, found.ended_at = False, end.at
            elif found.ended_at is None and all(one.outcome for one in found.requests.values()):
                self._fall_back(found, end.at)
            found.version += 1
        return self._record(found, True)

    async def deliver(
        self, origin: str, request_id: str, at: float, *, token: str | None = None, end: End | None = None
    ) -> Delivered | None:
        entries = [entry for entry in self.memory.entries.values() if entry.place.space.origin == origin]
        claimed = next((entry for entry in entries if self._with_token(entry, token) is not None), None)
        entry = self._with_id(origin, request_id) or claimed
        if entry is None:
            return None
        n = _number_of(entry, request_id)
        if n is None:
            n = self._with_token(entry, token)
            assert n is not None
            entry.change(n, request_id=request_id, submitted_at=at)
            if entry.state != "done" and n == max(entry.requests):
                entry.state, entry.final, entry.ended_at = "submitted", False, None
            entry.version += 1
        is_first = entry.requests[n].outcome is None
        record = self._record(entry, True) if end is None else await self.end(entry.number, request_id, end)
        return Delivered(record=record, is_first=is_first)

    async def set_files(self, entry: int, files: Collection[StoredFile]) -> None:
        found = self.memory.entries.get(entry)
        if found is not None:
            found.files = tuple(files)
            found.version += 1

    async def forget(self, entry: int, version: int) -> bool:
        found = self.memory.entries.get(entry)
        if found is None or found.version != version:
            return False
        del self.memory.entries[entry]
        return True

    async def drop_payloads(self, ended_before: float) -> int:
        old = [
            entry
            for entry in self.memory.entries.values()
            if entry.ended_at is not None and entry.ended_at < ended_before and not entry.expired
        ]
        for entry in old:
            entry.expired, entry.input = True, None
            entry.version += 1
        return len(old)

    def drop(self) -> None:
        self.memory.living.discard(self.me)

    async def aclose(self) -> None:
        self.drop()

    # Helpers.

    def _entry(self, number: int) -> Entry:
        if number not in self.memory.entries:
            raise EntryGone(f"entry {number} of the ledger is gone")
        return self.memory.entries[number]

    def _at(self, place: Place) -> Entry | None:
        return next((entry for entry in self.memory.entries.values() if entry.place == place), None)

    def _with_id(self, origin: str, request_id: str) -> Entry | None:
        return next(
            (
                entry
                for entry in self.memory.entries.values()
                if entry.place.space.origin == origin and _number_of(entry, request_id) is not None
            ),
            None,
        )

    def _with_token(self, entry: Entry, token: str | None) -> int | None:
        """Return the number of the attempt that was claimed with this token, and that has no request id."""
        numbers = (n for n, its in entry.tokens.items() if its == token is not None)
        return next((n for n in numbers if self._is_open(entry, n)), None)

    def _let_go(self, entry: Entry, request_id: str) -> None:
        """Remove the id from another entry, for which a look-up has stored it."""
        other = self._with_id(entry.place.space.origin, request_id)
        n = None if other is None or other is entry else _number_of(other, request_id)
        if other is not None and n is not None:
            other.change(n, request_id=None)
            other.owner = None
            other.version += 1
            if other.ended_at is None:
                other.state = "uncertain"

    def _is_open(self, entry: Entry, n: int) -> bool:
        return n in entry.requests and entry.requests[n].request_id is None

    def _holds(self, entry: Entry, hold: Hold) -> bool:
        return (entry.state, entry.owner, entry.attempts) == ("claimed", self.me, hold.attempt)

    def _fall_back(self, entry: Entry, at: float) -> None:
        """Set the entry to the state of its other attempts; if there are none, it was cancelled `at` this time."""
        entry.owner = None
        left = list(entry.requests.values())
        decides = next((request for request in left if request.outcome == "done"), left[-1] if left else None)
        entry.final = decides is not None and entry.finals.get(decides.n, False)
        entry.ended_at = at if decides is None else decides.ended_at
        if decides is None:
            entry.state = "cancelled"
        elif decides.request_id is None:
            entry.state = "uncertain"
        else:
            entry.state = "submitted" if decides.outcome is None else _STATES[decides.outcome]

    def _record(self, entry: Entry, payloads: bool) -> Record:
        lives = entry.owner in self.memory.living
        state = "uncertain" if entry.state == "claimed" and not lives else entry.state
        shown = payloads and not entry.expired and entry.state in _STATES.values() and entry.end is not None
        return Record(
            number=entry.number,
            version=entry.version,
            place=entry.place,
            endpoint_id=entry.endpoint_id,
            input_digest=entry.input_digest,
            state=state,
            final=entry.final,
            attempts=entry.attempts,
            owner=None if entry.owner is None else Owner(number=entry.owner),
            owner_lives=lives,
            requests=tuple(entry.requests[n] for n in sorted(entry.requests)),
            input=entry.input if payloads else None,
            end=entry.end.payload if shown and entry.end is not None else None,
            headers=dict(entry.end.headers) if shown and entry.end is not None else {},
            expired=entry.expired,
            files=entry.files,
        )


def _number_of(entry: Entry, request_id: str) -> int | None:
    return next((n for n, request in entry.requests.items() if request.request_id == request_id), None)


def _fits(record: Record, search: Search) -> bool:
    space = record.place.space
    return (
        search.origin in (None, space.origin)
        and search.tenant in (None, space.tenant)
        and search.run in (None, space.run)
        and search.endpoint_id in (None, record.endpoint_id)
        and (search.states is None or record.state in search.states)
    )
