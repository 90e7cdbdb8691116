"""Compare the stores with the model of `tests/protocol/ledger/model.py`.

Keys, attempts and owners come and go at random. Both stores must return the same values, and have the same entries.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import attrs
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from fal_async import LedgerError
from fal_async.ledger.store import Delivered, Hold, Search, Store
from fal_async.protocol.ledger.entry import End, Record, StoredFile
from tests.ledger.postgres_shelf import PostgresShelf
from tests.ledger.samples import ORIGIN, json_payload, new_claim, place
from tests.ledger.sqlite_shelf import SqliteShelf
from tests.protocol.ledger.model import Memory, Shelf

KEYS = st.sampled_from(["a", "b"])
STORES = st.sampled_from([0, 1])
OUTCOMES = st.sampled_from([None, "done", "failed", "cancelled"])
Asked = Callable[[Store, Record | None], Coroutine[Any, Any, Any]]


@attrs.frozen
class Claimed:
    """A claim of one process.

    Attributes:
        life: how often the process had died before the claim.
        token: the token in the webhook URL of the submit; None: the submit has no webhook.
        id: the id that fal gives to the request if it accepts the submit.
    """

    key: str
    hold: Hold
    by: int
    life: int
    token: str | None
    id: str


@attrs.frozen
class Taken:
    """A request that fal accepted, and the entry of which it is an attempt."""

    key: str
    entry: int
    id: str


class Side:
    """One of the two stores that are compared: a ledger that two processes have open."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.stores = [shelf.open(), shelf.open()]

    def found(self, key: str) -> Record | None:
        return self.shelf.run(self.stores[0].find(place(key)))

    def answer(self, by: int, key: str, ask: Asked) -> Any:
        try:
            return self.shelf.run(ask(self.stores[by], self.found(key)))
        except LedgerError as error:
            return type(error)

    def die(self, by: int) -> None:
        self.shelf.crash(self.stores[by])
        self.stores[by] = self.shelf.open()


def comparable(answer: Any) -> Any:
    """Remove what may differ between the two: version numbers, owners (only one has a host name) and times."""
    if isinstance(answer, Delivered):
        return comparable(answer.record), answer.is_first
    if not isinstance(answer, Record):
        return answer
    of_its_own: dict[str, Any] = {"owner": None, "claimed_at": 0.0, "submitted_at": None, "ended_at": None}
    if answer.state not in ("done", "failed", "cancelled"):  # of an earlier attempt
        of_its_own |= {"end": None, "headers": {}}
    return attrs.evolve(answer, version=0, **of_its_own)


class StoreMachine(RuleBasedStateMachine):
    holds = Bundle("holds")
    requests = Bundle("requests")

    def make_shelf(self) -> Shelf:
        return SqliteShelf()

    def __init__(self) -> None:
        super().__init__()
        self.model, self.real = Side(Memory()), Side(self.make_shelf())
        self.ids = self.tokens = 0
        self.lives = [0, 0]

    def both(self, by: int, key: str, ask: Asked) -> Any:
        """Call both stores, each with its own version of the entry, and compare what they return."""
        expected, answer = (side.answer(by, key, ask) for side in (self.model, self.real))
        assert comparable(answer) == comparable(expected)
        return answer

    @rule(target=holds, key=KEYS, by=STORES, stale=st.booleans(), by_webhook=st.booleans())
    def claim(self, key: str, by: int, stale: bool, by_webhook: bool) -> Any:
        self.tokens += 1
        token = f"token-{self.tokens}" if by_webhook else None

        def ask(store: Store, record: Record | None) -> Any:
            seen = None if record is None else record.version
            may = record is None or record.state in ("uncertain", "failed", "cancelled")
            seen = (seen or 0) + 1 if stale or not may else seen
            return store.claim(new_claim(key, seen=seen, token=token))

        hold = self.both(by, key, ask)
        if hold is None:
            return multiple()
        return Claimed(key=key, hold=hold, by=by, life=self.lives[by], token=token, id=self.new_id())

    @rule(claimed=consumes(holds))
    def withdraw(self, claimed: Claimed) -> None:
        self.by_its_owner(claimed, lambda store, _: store.withdraw(claimed.hold))

    @rule(target=requests, claimed=consumes(holds))
    def submitted(self, claimed: Claimed) -> Any:
        record = self.by_its_owner(claimed, lambda store, _: store.submitted(claimed.hold, claimed.id, 101.0))
        return self.taken(claimed.key, claimed.id, record)

    @rule(claimed=holds)
    def uncertain(self, claimed: Claimed) -> None:
        self.by_its_owner(claimed, lambda store, _: store.uncertain(claimed.hold, 110.0))

    @rule(
        taken=requests,
        outcome=st.sampled_from(["done", "failed", "cancelled"]),
        final=st.booleans(),
        by=STORES,
    )
    def end(self, taken: Taken, outcome: Any, final: bool, by: int) -> None:
        end = end_of(outcome, final=final, body=f'"{taken.id}"')
        self.both(by, taken.key, lambda store, _: store.end(taken.entry, taken.id, end))

    @rule(
        target=requests,
        claimed=holds,
        by=STORES,
        outcome=OUTCOMES,
        is_its_own=st.sampled_from([True, True, False]),
    )
    def deliver_by_token(self, claimed: Claimed, by: int, outcome: Any, is_its_own: bool) -> Any:
        request_id = claimed.id if is_its_own else self.new_id()
        end = None if outcome is None else end_of(outcome)
        delivered = self.both(
            by,
            claimed.key,
            lambda store, _: store.deliver(ORIGIN, request_id, 119.0, token=claimed.token, end=end),
        )
        return self.taken(claimed.key, request_id, None if delivered is None else delivered.record)

    @rule(taken=requests, claimed=holds, by=STORES, outcome=OUTCOMES, with_token=st.booleans())
    def deliver_by_id(self, taken: Taken, claimed: Claimed, by: int, outcome: Any, with_token: bool) -> None:
        token = claimed.token if with_token else None  # often that of another attempt
        end = None if outcome is None else end_of(outcome)
        self.both(
            by, taken.key, lambda store, _: store.deliver(ORIGIN, taken.id, 119.0, token=token, end=end)
        )

    @rule(taken=requests, by=STORES)
    def cancel_requested(self, taken: Taken, by: int) -> None:
        self.both(by, taken.key, lambda store, _: store.cancel_requested(taken.entry, taken.id, 115.0))

    @rule(taken=requests, by=STORES)
    def set_files(self, taken: Taken, by: int) -> None:
        files = [StoredFile(n=0, path=f"{taken.id}.png", size=1)]
        self.both(by, taken.key, lambda store, _: store.set_files(taken.entry, files))

    @rule(key=KEYS, by=STORES, stale=st.sampled_from([0, 0, 1]))
    def take(self, key: str, by: int, stale: int) -> None:
        self.to_existing_entry(key, by, lambda store, it: store.take(it.number, it.version + stale))

    @rule(key=KEYS, by=STORES)
    def leave(self, key: str, by: int) -> None:
        self.to_existing_entry(key, by, lambda store, it: store.leave(it.number))

    @rule(key=KEYS, by=STORES, stale=st.sampled_from([0, 0, 1]))
    def give_up(self, key: str, by: int, stale: int) -> None:
        self.to_existing_entry(
            key, by, lambda store, it: store.give_up(it.number, it.version + stale, newest(it), 130.0)
        )

    @rule(target=requests, key=KEYS, by=STORES, stale=st.sampled_from([0, 0, 1]))
    def adopt(self, key: str, by: int, stale: int) -> Any:
        request_id = self.new_id()
        adopted = self.to_existing_entry(
            key, by, lambda store, it: store.adopt(it.number, it.version + stale, newest(it), request_id, 131)
        )
        return self.taken(key, request_id, adopted)

    @rule(key=KEYS, by=STORES, stale=st.sampled_from([0, 0, 1]))
    def forget(self, key: str, by: int, stale: int) -> None:
        self.to_existing_entry(key, by, lambda store, it: store.forget(it.number, it.version + stale))

    @rule(by=STORES, before=st.sampled_from([100.0, 200.0]))
    def drop_payloads(self, by: int, before: float) -> None:
        self.both(by, "a", lambda store, _: store.drop_payloads(before))

    @rule(by=STORES)
    def die(self, by: int) -> None:
        for side in (self.model, self.real):
            side.die(by)
        self.lives[by] += 1

    def new_id(self) -> str:
        self.ids += 1
        return f"request-{self.ids}"

    def taken(self, key: str, request_id: str, record: Any) -> Any:
        there = isinstance(record, Record)
        return Taken(key=key, entry=record.number, id=request_id) if there else multiple()

    def by_its_owner(self, claimed: Claimed, ask: Asked) -> Any:
        if claimed.life == self.lives[claimed.by]:
            return self.both(claimed.by, claimed.key, ask)
        return None

    def to_existing_entry(self, key: str, by: int, ask: Callable[[Store, Record], Any]) -> Any:
        async def asked(store: Store, record: Record | None) -> Any:
            return None if record is None else await ask(store, record)

        return self.both(by, key, asked)

    @invariant()
    def both_have_the_same(self) -> None:
        for key in ("a", "b"):
            expected, record = self.model.found(key), self.real.found(key)
            assert comparable(record) == comparable(expected)
            for mine, its in zip(self.real.stores, self.model.stores, strict=True):
                assert record is None or expected is None or mine.owns(record) == its.owns(expected)

    def teardown(self) -> None:
        try:
            self.both(0, "a", lambda store, _: store.totals(Search(origin=ORIGIN)))
        finally:
            for side in (self.model, self.real):
                side.shelf.close()


def end_of(outcome: Any, *, final: bool = False, body: str = '"delivered"') -> End:
    is_final = final and outcome == "failed"
    return End(state=outcome, outcome=outcome, at=120.0, final=is_final, payload=json_payload(body))


def newest(record: Record) -> int:
    return max((request.n for request in record.requests), default=0)


def check(machine: type[RuleBasedStateMachine], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        ),
    )


def test_the_store_in_a_file_agrees_with_the_model() -> None:
    check(StoreMachine, 25)


def test_the_store_in_postgresql_agrees_with_the_model(database: str) -> None:
    class PostgresMachine(StoreMachine):
        def make_shelf(self) -> Shelf:
            return PostgresShelf(database)

    check(PostgresMachine, 15)
