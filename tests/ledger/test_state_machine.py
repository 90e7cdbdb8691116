"""The store against a dict: keys, attempts and owners that come, close and come again, in any order."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from fal_async.ledger.opening import open_store
from fal_async.ledger.store import Hold, Search, Store
from fal_async.protocol.ledger.entry import End, Outcome, Record, State
from tests.ledger.samples import ORIGIN, json_payload, new_claim, place

KEYS = st.sampled_from(["a", "b"])
STORES = st.sampled_from([0, 1])


@attrs.define
class Attempt:
    id: str | None = None
    outcome: Outcome | None = None


@attrs.define
class Entry:
    """What is expected of one key."""

    state: State
    owner: int | None
    count: int
    attempts: dict[int, Attempt]


@attrs.frozen
class Claimed:
    key: str
    hold: Hold
    by: int


@attrs.frozen
class Taken:
    """An entry, by its number, and an id that fal gave."""

    key: str
    entry: int
    id: str


class StoreMachine(RuleBasedStateMachine):
    """Two stores of one file: each is an owner of its own."""

    holds = Bundle("holds")
    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.stores: list[Store] = [self.opened(), self.opened()]
        self.model: dict[str, Entry] = {}
        self.ids = 0

    def opened(self) -> Store:
        return self.loop.run_until_complete(open_store(self.folder / "runs.db"))

    def do(self, doing: Any) -> Any:
        return self.loop.run_until_complete(doing)

    def found(self, key: str) -> Record | None:
        record: Record | None = self.do(self.stores[0].find(place(key)))
        return record

    @rule(target=holds, key=KEYS, by=STORES)
    def claim(self, key: str, by: int) -> Any:
        record = self.found(key)
        entry = self.model.get(key)
        seen = None if record is None else record.version
        if entry is not None and entry.state in ("claimed", "submitted", "done"):
            assert self.do(self.stores[by].claim(new_claim(key, seen=None))) is None
            return multiple()
        assert self.do(self.stores[by].claim(new_claim(key, seen=(seen or 0) + 1))) is None
        hold = self.do(self.stores[by].claim(new_claim(key, seen=seen)))
        entry = entry or Entry(state="claimed", owner=by, count=0, attempts={})
        entry.state, entry.owner, entry.count = "claimed", by, entry.count + 1
        entry.attempts[entry.count] = Attempt()
        self.model[key] = entry
        assert hold.attempt == entry.count
        return Claimed(key=key, hold=hold, by=by)

    @rule(claimed=consumes(holds))
    def withdraw(self, claimed: Claimed) -> None:
        self.do(self.stores[claimed.by].withdraw(claimed.hold))
        entry = self.model[claimed.key]
        attempt = entry.attempts.pop(claimed.hold.attempt, None)
        assert attempt is None or attempt.id is None
        is_claim = entry.state == "claimed" and entry.owner == claimed.by
        is_newest = entry.count == claimed.hold.attempt
        if attempt is None or not is_newest or not (is_claim or entry.state == "uncertain"):
            return
        if claimed.hold.attempt == 1:
            del self.model[claimed.key]
            return
        entry.count -= 1
        self.fall_back(entry)

    def fall_back(self, entry: Entry) -> None:
        entry.owner = None
        if any(attempt.outcome == "done" for attempt in entry.attempts.values()):
            entry.state = "done"
        elif not entry.attempts:
            entry.state = "cancelled"
        else:
            newest = entry.attempts[max(entry.attempts)]
            if newest.id is None:
                entry.state = "uncertain"
            elif newest.outcome is None:
                entry.state = "submitted"
            else:
                assert newest.outcome != "expired"
                entry.state = newest.outcome

    @rule(target=requests, claimed=consumes(holds))
    def submitted(self, claimed: Claimed) -> Taken:
        self.ids += 1
        request_id = f"request-{self.ids}"
        self.do(self.stores[claimed.by].submitted(claimed.hold, request_id, 101.0))
        entry = self.model[claimed.key]
        is_mine = entry.owner == claimed.by and max(entry.attempts, default=0) <= claimed.hold.attempt
        if claimed.hold.attempt in entry.attempts:
            entry.attempts[claimed.hold.attempt].id = request_id
        else:  # it was given up
            entry.count += 1
            entry.attempts[entry.count] = Attempt(id=request_id)
        is_anothers = entry.state == "done" or (
            entry.state in ("claimed", "submitted") and entry.owner is not None
        )
        if is_mine or not is_anothers:
            entry.state, entry.owner = "submitted", claimed.by
        return Taken(key=claimed.key, entry=claimed.hold.entry, id=request_id)

    @rule(claimed=holds)
    def uncertain(self, claimed: Claimed) -> None:
        self.do(self.stores[claimed.by].uncertain(claimed.hold, 110.0))
        entry = self.model[claimed.key]
        if entry.state == "claimed" and entry.owner == claimed.by and entry.count == claimed.hold.attempt:
            entry.state, entry.owner = "uncertain", None

    @rule(taken=requests, outcome=st.sampled_from(["done", "failed", "cancelled"]), by=STORES)
    def end(self, taken: Taken, outcome: Any, by: int) -> None:
        end = End(state=outcome, outcome=outcome, at=120.0, payload=json_payload(f'"{taken.id}"'))
        self.do(self.stores[by].end(taken.entry, taken.id, end))
        entry = self.model[taken.key]
        n, attempt = next((n, one) for n, one in entry.attempts.items() if one.id == taken.id)
        if attempt.outcome is not None:
            return
        attempt.outcome = outcome
        if entry.state != "done" and (outcome == "done" or n == max(entry.attempts)):
            entry.state, entry.owner = outcome, None

    @rule(key=KEYS, by=STORES)
    def take(self, key: str, by: int) -> None:
        record, entry = self.found(key), self.model.get(key)
        if record is None or entry is None:
            return
        taken = self.do(self.stores[by].take(record.number, record.version))
        assert (taken is not None) == (entry.state == "submitted" and entry.owner in (None, by))
        if taken is not None:
            entry.owner = by

    @rule(key=KEYS, by=STORES)
    def leave(self, key: str, by: int) -> None:
        record, entry = self.found(key), self.model.get(key)
        if record is None or entry is None:
            return
        self.do(self.stores[by].leave(record.number))
        if entry.owner == by:
            entry.owner = None
            entry.state = "uncertain" if entry.state == "claimed" else entry.state

    @rule(key=KEYS, by=STORES)
    def give_up(self, key: str, by: int) -> None:
        record, entry = self.found(key), self.model.get(key)
        if record is None or entry is None or entry.state != "uncertain":
            return
        n = max(entry.attempts)
        if entry.attempts[n].id is None:
            assert self.do(self.stores[by].give_up(record.number, record.version, n, 130.0))
            del entry.attempts[n]
            self.fall_back(entry)

    @invariant()
    def all_is_as_expected(self) -> None:
        for key in ("a", "b"):
            record, entry = self.found(key), self.model.get(key)
            assert (record is None) == (entry is None)
            if record is None or entry is None:
                continue
            assert (record.state, record.attempts) == (entry.state, entry.count)
            requests = {request.n: (request.request_id, request.outcome) for request in record.requests}
            assert requests == {n: (one.id, one.outcome) for n, one in entry.attempts.items()}
            owners = [by for by, store in enumerate(self.stores) if store.owns(record)]
            assert owners == ([] if entry.owner is None else [entry.owner])
            assert (record.state == "done") == (
                record.end is not None and any(one.outcome == "done" for one in entry.attempts.values())
            )

    def teardown(self) -> None:
        totals = self.do(self.stores[0].totals(Search(origin=ORIGIN)))
        assert sum(totals.values()) == len(self.model)
        for store in self.stores:
            self.do(store.aclose())
        self.loop.close()
        shutil.rmtree(self.folder)


StoreMachine.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStore = StoreMachine.TestCase
