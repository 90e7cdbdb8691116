"""Keyed calls on a ledger, step by step, with processes that may die between any two steps.

A call is a generator that uses the store and the books of fal (`books.py`). At each `yield` it pauses: other calls
may run there, and its process may die. `LedgerMachine` interleaves such calls at random, and checks after each step
that no call is billed twice and that no paid result is lost. A subclass with another `make_shelf` tests another
store.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Literal

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fal_async.errors import FalError, KeyConflictError, ResultExpiredError, SubmissionUncertainError
from fal_async.ledger.store import NewClaim, Store
from fal_async.models import Result
from fal_async.protocol.ledger import refusals
from fal_async.protocol.ledger.decisions import (
    Asked,
    Attach,
    Conflict,
    Expired,
    LookUp,
    Replay,
    Report,
    Submit,
    Uncertain,
    WaitFor,
    decide,
    newest_claim,
)
from fal_async.protocol.ledger.digests import body_digest, input_digest
from fal_async.protocol.ledger.ends import Open, end_of
from fal_async.protocol.ledger.entry import UNDER_WAY, End, Place, Record, Space
from fal_async.protocol.ledger.replays import replayed
from tests.protocol.ledger.books import Answer, Books, Job
from tests.protocol.ledger.model import Memory, Shelf

ORIGIN, ENDPOINT = "https://queue.fal.run", "fal-ai/flux/dev"
KEYS = ("a", "b")
LEFT = "left"
"""Returned by a call that did not wait for the outcome."""
Choice = Literal["go on", "fail", "lose", "lose it before", "leave"]
CHOICES: tuple[Choice, ...] = ("go on", "go on", "go on", "fail", "lose", "lose it before", "leave")
Asks = tuple[Uncertain, int | None, bool, bool]
"""`uncertain`, `retries`, `retry_failed`, and whether the call has another input."""

keys = st.sampled_from(KEYS)
places = st.integers(0, 11)
courses: st.SearchStrategy[list[Choice]] = st.lists(st.sampled_from(CHOICES), min_size=1, max_size=6)
answers: st.SearchStrategy[Answer] = st.sampled_from(["ok", "open", "open", "final", "cancelled", "gone"])
asks: st.SearchStrategy[Asks] = st.tuples(
    st.sampled_from(["report", "lookup", "lookup", "resubmit"]),
    st.sampled_from([None, None, 0, 2]),
    st.sampled_from([False, False, True]),
    st.sampled_from([False] * 7 + [True]),
)
Call = Generator[str, Choice, Any]
"""Yields the name of the next step, receives what happens in it, and returns a Result, an error, or LEFT."""


@attrs.define(eq=False)
class Process:
    store: Store
    calls: list[RunningCall] = attrs.field(factory=list)
    is_alone: bool = True
    """Whether it has its lock, so that no other process regards it as dead."""


@attrs.define(eq=False)
class RunningCall:
    key: str
    asked: Asked
    steps: Call
    process: Process
    point: str = "begins"
    unsaid: str | None = None
    """The id that fal returned and that is not in the ledger yet."""
    ended: Any = None


def place_of(key: str) -> Place:
    return Place(space=Space(origin=ORIGIN), key=key)


class LedgerMachine(RuleBasedStateMachine):
    loses_locks = True
    """Whether a process of this store can lose its lock (`Shelf.crash`) and continue."""

    def make_shelf(self) -> Shelf:
        return Memory()

    def __init__(self) -> None:
        super().__init__()
        self.shelf: Shelf = self.make_shelf()
        self.books = Books()
        self.now = 1000.0
        self.tokens = 0
        self.processes: list[Process] = [Process(self.shelf.open())]
        self.known_ids: dict[str, str] = {}
        """The key of each request id that was stored in the ledger."""
        self.done: dict[str, bytes] = {}
        """The result of each key, once the store has confirmed it."""
        self.ends: dict[str, End] = {}
        self.twice: set[str] = set()
        """Keys that `uncertain="resubmit"` may have billed twice, because a process regarded as dead was alive."""
        self.renewed: set[str] = set()
        """Keys that a call with `retry_failed` has claimed and whose request fal has not accepted yet."""
        self.expired: set[str] = set()

    # Events.

    @rule(key=keys, at=places, asks=asks, course=courses)
    def a_call_begins(self, key: str, at: int, asks: Asks, course: list[Choice]) -> None:
        call = self.begin(self.processes[at % len(self.processes)], key, asks)
        self.go_on(call, course)

    @rule(key=keys, at=places, asks=asks, course=courses, answer=answers)
    def a_call_is_made(self, key: str, at: int, asks: Asks, course: list[Choice], answer: Answer) -> None:
        """Run a call until it waits or returns, without other events in between."""
        call = self.begin(self.processes[at % len(self.processes)], key, asks)
        rest: list[Choice] = ["go on"] * 12
        for choice in [*course, *rest]:
            self.go_on(call, [choice])
            for job in self.books.of(key):
                job.answer = job.answer or answer

    @precondition(lambda self: self.running())
    @rule(at=places, course=courses)
    def a_call_goes_on(self, at: int, course: list[Choice]) -> None:
        self.go_on(self.running()[at % len(self.running())], course)

    @precondition(lambda self: len(self.processes) < 3)
    @rule()
    def a_process_starts(self) -> None:
        self.processes.append(Process(self.shelf.open()))

    @precondition(lambda self: self.running())
    @rule(at=places)
    def a_process_is_killed(self, at: int) -> None:
        calls = self.running()
        self.kill(calls[at % len(calls)].process)
        if not self.processes:
            self.processes.append(Process(self.shelf.open()))

    @precondition(lambda self: self.loses_locks and self.running())
    @rule(at=places)
    def a_process_loses_its_lock(self, at: int) -> None:
        """Let a process lose its lock: other processes regard it as dead, but it continues."""
        process = self.running()[at % len(self.running())].process
        process.is_alone = False
        self.shelf.crash(process.store)

    @precondition(lambda self: self.loses_locks and len(self.processes) > 1)
    @rule(key=keys, asks=asks, under_way=st.integers(2, 4), course=courses)
    def a_submit_outlives_its_lock(self, key: str, asks: Asks, under_way: int, course: list[Choice]) -> None:
        """Resolve a claim by another process before the response to its submit arrives."""
        late = self.begin(self.processes[0], key, asks)
        self.go_on(late, CHOICES[:1] * under_way)
        self.processes[0].is_alone = False
        self.shelf.crash(self.processes[0].store)
        other = self.begin(self.processes[1], key, ("resubmit", asks[1], False, asks[3]))
        self.go_on(other, [*CHOICES[:3], *course])
        self.go_on(late, CHOICES[:2])

    @precondition(lambda self: self.waiting())
    @rule(at=places, answer=answers)
    def a_job_ends(self, at: int, answer: Answer) -> None:
        self.waiting()[at % len(self.waiting())].answer = answer

    @precondition(lambda self: self.waiting())
    @rule(at=places)
    def a_job_starts(self, at: int) -> None:
        self.waiting()[at % len(self.waiting())].runs = True

    @precondition(lambda self: self.books.jobs)
    @rule(at=places, answer=answers, by=places)
    def a_delivery_arrives(self, at: int, answer: Answer, by: int) -> None:
        """Complete a job, and deliver its outcome to any process, perhaps before its submit is answered."""
        job = list(self.books.jobs.values())[at % len(self.books.jobs)]
        job.answer = job.answer or answer
        outcome, completed = job.outcome()
        known = end_of(outcome, completed=completed, at=self.now)
        end = known if isinstance(known, End) else None
        store = self.processes[by % len(self.processes)].store
        delivered = self.shelf.run(store.deliver(ORIGIN, job.id, self.now, token=job.token, end=end))
        if delivered is None:
            return
        assert delivered.record.place == place_of(job.place)
        self.known_ids[job.id] = job.place
        if end is not None:
            assert delivered.is_first is (job.id not in self.ends)
            self.ended(job.place, job.id, end, delivered.record)

    @precondition(lambda self: len(self.books.jobs) > 3 and not self.expired)
    @rule()
    def payloads_are_dropped(self) -> None:
        store = self.processes[0].store
        self.shelf.run(store.drop_payloads(self.now + 1))
        found = {key: self.shelf.run(store.find(place_of(key))) for key in KEYS}
        self.expired = {key for key, record in found.items() if record is not None and record.expired}

    # Calls.

    def begin(self, process: Process, key: str, asks: Asks) -> RunningCall:
        uncertain, retries, retry_failed, other = asks
        asked = Asked(
            endpoint_id=ENDPOINT,
            input_digest=input_digest({"of": key, "other": other}),
            uncertain=uncertain,
            retries=retries,
            retry_failed=retry_failed,
        )
        call = RunningCall(key, asked, iter(()), process)  # type: ignore[arg-type]
        call.steps = self.keyed(call)
        process.calls.append(call)
        call.point = next(call.steps)
        return call

    def go_on(self, call: RunningCall, course: Sequence[Choice]) -> None:
        for choice in course:
            if call.ended is None:
                self.step(call, choice)

    def step(self, call: RunningCall, choice: Choice) -> None:
        self.now += 1.0
        try:
            call.point = call.steps.send(choice)
        except StopIteration as over:
            call.ended = over.value
            call.process.calls.remove(call)
            self.check_answer(call)

    def kill(self, process: Process) -> None:
        self.processes.remove(process)
        self.shelf.crash(process.store)
        for call in process.calls:
            call.steps.close()
            call.unsaid = None  # now only fal's history knows the id

    def keyed(self, call: RunningCall) -> Call:
        """Act as the driver of a keyed call does."""
        store, asked = call.process.store, call.asked
        while True:
            yield "look"
            record = self.shelf.run(store.find(place_of(call.key)))
            asked = asked.begun(record)
            step = decide(record, asked)
            answer: Any = None
            match step:
                case Submit():
                    answer = yield from self.submit(call, step.seen)
                case Attach():
                    assert record is not None
                    if step.take:
                        yield "take"
                        record = self.shelf.run(store.take(record.number, record.version))
                    if record is not None:
                        answer = yield from self.follow(call, record.number, step.request_id)
                case WaitFor():
                    if (yield "wait") == "leave":
                        assert record is not None
                        answer = refusals.uncertain(record)
                case LookUp():
                    assert record is not None
                    answer = yield from self.look_up(call, record, step)
                case _:
                    assert record is not None
                    return self.without_request(step, record)
            if answer is not None:
                return answer

    def without_request(self, step: Any, record: Record) -> Any:
        if isinstance(step, Report):
            return refusals.uncertain(record)
        if isinstance(step, Conflict):
            return refusals.conflict(record, step.differs)
        if isinstance(step, Expired):
            return refusals.expired(record)
        assert isinstance(step, Replay)
        try:
            return replayed(record)
        except FalError as error:
            return error

    def submit(self, call: RunningCall, seen: int | None) -> Call:
        store = call.process.store
        yield "claim"
        self.tokens += 1
        token = f"token-{self.tokens}"
        hold = self.shelf.run(
            store.claim(
                NewClaim(
                    place=place_of(call.key),
                    endpoint_id=call.asked.endpoint_id,
                    input_digest=call.asked.input_digest,
                    body_digest=body_digest(call.key.encode()),
                    seen=seen,
                    claimed_at=self.now,
                    claimed_until=self.now + 30.0,
                    token=token,
                )
            )
        )
        if hold is None:
            return None
        before = call.key in self.renewed  # by an attempt with an unknown outcome, which this one continues
        if call.asked.retry_failed:
            self.renewed.add(call.key)
        how = yield "send"
        if how == "fail":
            yield "withdraw"
            self.shelf.run(store.withdraw(hold))
            if not before:
                self.renewed.discard(call.key)
            return FalError("the submit was refused")
        job = None if how == "lose it before" else self.pay(call, token)
        if job is None or how == "lose":
            yield "lost"
            self.shelf.run(store.uncertain(hold, self.now))
            return SubmissionUncertainError("lost")
        call.unsaid = job.id
        yield "taken"
        record = self.shelf.run(store.submitted(hold, job.id, self.now))
        self.known_ids[job.id], call.unsaid = call.key, None
        return (yield from self.follow(call, record.number, job.id))

    def follow(self, call: RunningCall, entry: int, request_id: str) -> Call:
        store = call.process.store
        while True:
            how = yield "follow"
            if how == "leave":
                self.shelf.run(store.leave(entry))
                return LEFT
            job = self.books.jobs[request_id]
            if how == "fail":
                outcome: Any = self.books.cancel(request_id)
                self.shelf.run(store.cancel_requested(entry, request_id, self.now))
                end = end_of(outcome, completed=None, at=self.now)
            if how != "fail" or end is Open.FETCH:
                outcome, completed = job.outcome()
                end = end_of(outcome, completed=completed, at=self.now)
            if isinstance(end, End):
                yield "end"
                record = self.shelf.run(store.end(entry, request_id, end))
                self.ended(call.key, request_id, end, record)
                return None

    def look_up(self, call: RunningCall, record: Record, step: LookUp) -> Call:
        store = call.process.store
        how = yield "history"
        claim = newest_claim(record)
        if how != "go on" or claim is None:
            return refusals.uncertain(record, "the history lags")
        ids = [job.id for job in self.books.of(call.key)]
        unknown = sorted(set(ids) - self.shelf.run(store.known(ids)))
        if unknown:
            yield "adopt"
            adopted = self.shelf.run(
                store.adopt(record.number, record.version, claim.n, unknown[0], self.now)
            )
            if adopted is not None:
                self.known_ids[unknown[0]] = call.key
            return None
        if not step.resubmit:
            return refusals.uncertain(record, "the history does not show the request")
        if not all(process.is_alone for process in self.processes):
            self.twice.add(call.key)
        return (yield from self.submit(call, record.version))

    # What must hold.

    def pay(self, call: RunningCall, token: str) -> Job:
        """Let a submit reach fal. If a call could be billed twice, the second bill would be made here."""
        record = self.shelf.run(call.process.store.find(place_of(call.key)))
        assert record is not None, "a submit without a claim"
        if call.key in self.twice:
            return self.books.take(call.key, token)
        assert call.key not in self.expired, "a tombstone was submitted"
        assert call.key not in self.done, "a key with a result was submitted again"
        stored = {request.request_id: request for request in record.requests}
        jobs = self.books.of(call.key)
        for job in jobs:
            assert job.answer is not None, f"{job.id} still runs"
            assert job.answer != "ok", f"{job.id} has a result"
            assert stored[job.id].outcome is not None, f"{job.id} ended, and the ledger doesn't know"
        if jobs and jobs[-1].answer not in ("open", "cancelled"):
            assert call.key in self.renewed, f"{jobs[-1].id} is {jobs[-1].answer}, which is final"
        self.renewed.discard(call.key)
        return self.books.take(call.key, token)

    def ended(self, key: str, request_id: str, end: End, record: Record) -> None:
        first = self.ends.setdefault(request_id, end)
        stored = next(request for request in record.requests if request.request_id == request_id)
        assert stored.outcome == first.outcome, "the first end of a request wins"
        if first.outcome == "done":
            assert first.payload is not None
            self.done.setdefault(key, first.payload.body)

    def check_answer(self, call: RunningCall) -> None:
        answer = call.ended
        differs = call.asked.input_digest != input_digest({"of": call.key, "other": False})
        if isinstance(answer, Result):
            assert answer.data == {"of": answer.request_id}
            assert self.books.jobs[answer.request_id].answer == "ok"
            assert self.books.jobs[answer.request_id].place == call.key, "another key's result"
        elif isinstance(answer, KeyConflictError):
            assert answer.differs == "input"
        elif isinstance(answer, ResultExpiredError):
            gone = any(job.answer == "gone" for job in self.books.of(call.key))
            assert gone or call.key in self.expired
        else:
            assert answer is LEFT or isinstance(answer, FalError)
        record = self.shelf.run(self.processes[0].store.find(place_of(call.key)))
        if differs and record is not None and record.input_digest != call.asked.input_digest:
            assert isinstance(answer, KeyConflictError) or call.asked.after is not None or answer is LEFT

    @invariant()
    def no_id_is_lost(self) -> None:
        store = self.processes[0].store
        for request_id, key in self.known_ids.items():
            record = self.shelf.run(store.find_request(ORIGIN, request_id))
            assert record is not None, f"{request_id} was lost"
            assert record.place == place_of(key)

    @invariant()
    def what_was_paid_is_known_or_can_be_found(self) -> None:
        unsaid = {call.unsaid for process in self.processes for call in process.calls}
        for job in self.books.jobs.values():
            if job.id not in self.known_ids and job.id not in unsaid:
                record = self.shelf.run(self.processes[0].store.find(place_of(job.place)))
                assert record is not None, f"nothing leads to {job.id}"
                looked_for = record.state in ("claimed", "uncertain") or job.place in self.twice
                assert looked_for, f"no entry leads to a look-up of {job.id}"
                assert newest_claim(record) is not None

    @invariant()
    def an_entry_under_way_has_an_attempt_without_an_outcome(self) -> None:
        for key in KEYS:
            record = self.shelf.run(self.processes[0].store.find(place_of(key)))
            if record is not None and record.state in UNDER_WAY:
                assert any(request.outcome is None for request in record.requests), "no call can complete it"

    @invariant()
    def no_end_is_lost(self) -> None:
        for key, body in self.done.items():
            record = self.shelf.run(self.processes[0].store.find(place_of(key)))
            assert record is not None
            assert record.state == "done"
            assert record.expired or (record.end is not None and record.end.body == body)

    def teardown(self) -> None:
        """Kill every process and complete every job: one more call with each key must return the paid result."""
        for process in list(self.processes):
            self.kill(process)
        self.processes = [Process(self.shelf.open())]
        for job in self.waiting():
            job.answer = "ok"
        for key in KEYS:
            if self.books.of(key):
                self.finish(key)
        self.no_id_is_lost()
        self.no_end_is_lost()
        self.shelf.close()

    def finish(self, key: str) -> None:
        record = self.shelf.run(self.processes[0].store.find(place_of(key)))
        assert record is not None
        other = record.input_digest != input_digest({"of": key, "other": False})
        call = self.begin(self.processes[0], key, ("lookup", 0, False, other))
        for _ in range(50):
            if call.ended is None:
                self.step(call, "go on")
            for job in self.waiting():
                job.answer = "ok"
        assert call.ended is not None, f"the call is stuck at {call.point!r}"
        is_there = any(job.answer == "ok" for job in self.books.of(key))
        if is_there and key not in self.expired and key not in self.twice:
            assert isinstance(call.ended, Result), f"paid, but no result: {call.ended!r}"

    # Queries.

    def running(self) -> list[RunningCall]:
        return [call for process in self.processes for call in process.calls]

    def waiting(self) -> list[Job]:
        return [job for job in self.books.jobs.values() if job.answer is None]
