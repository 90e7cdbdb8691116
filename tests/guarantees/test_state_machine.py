"""A thousand random operations of a session, with faults, restarts and cancellations in between.

In every order: each call makes at most one job, every exception is a FalError, every error about a known request
names it, and at the end no task, generator or connection is left.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fal_async import FalError, RequestHandle, RetryPolicy, Session, SubmissionUncertainError, Timeouts
from fal_async.emulator import Emulator, Fault, JobContext
from tests.conftest import open_generators

ECHO = "me/echo"
POLICY = RetryPolicy(base_delay=0.001, max_delay=0.01, max_total=0.2, result_total=0.2, outage=0.2)
TIMEOUTS = Timeouts(connect=0.2, first_byte=0.05, total=0.1, run=0.1, stream=0.05)
MAKERS: list[Callable[[str, bool], Fault]] = [
    lambda on, taken: Fault.reset(on=on, taken=taken),
    lambda on, taken: Fault.close(on=on, taken=taken),
    lambda on, taken: Fault.stall(0.06, on=on, taken=taken),
    lambda on, _: Fault.stall(0.06, on=on, where="body"),
    lambda on, _: Fault.drip(0.01, on=on),
    lambda on, _: Fault.truncate(on=on),
    lambda on, _: Fault.wrong_json(on=on),
    lambda on, taken: Fault.html(200, on=on, taken=taken),
    lambda on, taken: Fault.html(502, on=on, taken=taken),
    lambda on, _: Fault.html(503, on=on),
    lambda on, taken: Fault.answer(500, on=on, taken=taken),
    lambda on, _: Fault.answer(409, on=on),
    lambda on, _: Fault.answer(429, on=on),
    lambda on, _: Fault.answer(429, on=on, retry_after=0.01),
    lambda on, _: Fault.balance(on=on),
    lambda on, _: Fault.vanish(on=on),
    lambda on, _: Fault.redirect("https://elsewhere.example", on=on),
    lambda on, _: Fault.missing("status", "request_id", on=on),
    lambda on, _: Fault.word("THINKING", on=on),
    lambda on, _: Fault.back(2, on=on),
    # The answer to a cancel has no URLs.
    lambda on, _: Fault.foreign_urls("https://elsewhere.example", on="submit" if on == "cancel" else on),
]
ON = st.sampled_from(["any", "run", "submit", "status", "status_stream", "result", "cancel"])
SECONDS = st.sampled_from([0.0, 0.01, 0.25])
"""Seconds that a job takes; the longest is longer than any `timeout=` below."""
PICK = st.integers(0, 10**6)


class Usage(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.Runner()
        self.emulator = Emulator()
        self.asked = 0
        self.wrong: list[FalError] = []
        self.handles: list[RequestHandle] = []
        self.waiting: list[asyncio.Task[Any]] = []
        self.uncertain: list[SubmissionUncertainError] = []

        @self.emulator.endpoint(ECHO, runners=100)
        async def echo(input: Any, job: JobContext) -> Any:
            await asyncio.sleep(input["seconds"])
            return input

        async def start() -> Session:
            await self.emulator.start()
            return self.new_session()

        self.fal = self.loop.run(start())

    def new_session(self) -> Session:
        return Session(self.emulator.key, hosts=self.emulator.hosts, retry=POLICY, timeout=TIMEOUTS)

    def input(self, seconds: float) -> dict[str, Any]:
        self.asked += 1
        return {"n": self.asked, "seconds": seconds}

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(10):
                return await work

        return self.loop.run(bounded())

    async def outcome(self, call: Awaitable[Any], handle: RequestHandle | None = None) -> Any:
        """Return the result of a call; None for an error, which is checked."""
        try:
            return await call
        except FalError as error:
            self.wrong += [error] if error.endpoint_id != ECHO else []
            self.wrong += [error] if handle and error.request_id != handle.request_id else []
            if isinstance(error, SubmissionUncertainError) and error.operation == "submit":
                self.uncertain.append(error)
            return None

    # Operations of the caller.

    @rule(seconds=SECONDS)
    def submit(self, seconds: float) -> None:
        handle = self.do(self.outcome(self.fal.queue.submit(ECHO, self.input(seconds))))
        if handle is not None:
            self.handles.append(handle)

    @rule(seconds=st.sampled_from([0.0, 0.01]))
    def run(self, seconds: float) -> None:
        self.do(self.outcome(self.fal.run(ECHO, self.input(seconds))))

    @rule(
        seconds=SECONDS,
        mode=st.sampled_from(["polling", "streaming", "auto"]),
        timeout=st.sampled_from([0.001, 0.02, 0.2]),
        cancel=st.booleans(),
    )
    def subscribe(self, seconds: float, mode: Any, timeout: float, cancel: bool) -> None:
        call = self.fal.subscribe(
            ECHO, self.input(seconds), mode=mode, poll_interval=0.01, timeout=timeout, cancel_on_exit=cancel
        )
        self.do(self.outcome(call))

    @rule(seconds=SECONDS, steps=st.integers(1, 60))
    def subscribe_and_be_cancelled(self, seconds: float, steps: int) -> None:
        async def work() -> None:
            call = self.fal.subscribe(ECHO, self.input(seconds), poll_interval=0.01)
            task = asyncio.create_task(self.outcome(call))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None

        self.do(work())

    @rule(seconds=SECONDS)
    def fail_in_a_callback(self, seconds: float) -> None:
        class Mine(Exception):
            pass

        def callback(_: object) -> None:
            raise Mine

        async def work() -> None:
            try:
                await self.outcome(call)
            except Mine:
                return

        call = self.fal.subscribe(ECHO, self.input(seconds), poll_interval=0.01, on_queue_update=callback)

        self.do(work())

    @rule(seconds=SECONDS)
    def begin_to_wait(self, seconds: float) -> None:
        async def work() -> None:
            call = self.fal.subscribe(ECHO, self.input(seconds), poll_interval=0.01)
            self.waiting.append(asyncio.create_task(self.outcome(call)))
            await asyncio.sleep(0)

        self.do(work())

    @rule(cancel=st.booleans())
    def end_the_waits(self, cancel: bool) -> None:
        async def work() -> None:
            for task in self.waiting:
                if cancel:
                    task.cancel()
            if self.waiting:
                await asyncio.wait(self.waiting)
            ended, self.waiting = self.waiting, []
            assert all(task.cancelled() or task.exception() is None for task in ended)

        self.do(work())

    @rule(pick=PICK, name=st.sampled_from(["status", "result", "cancel", "wait"]))
    def ask(self, pick: int, name: str) -> None:
        if self.handles:
            handle = self.handles[pick % len(self.handles)]
            self.do(self.outcome(getattr(handle, name)(), handle))

    @rule(pick=PICK)
    def find(self, pick: int) -> None:
        async def work() -> None:
            error = self.uncertain[pick % len(self.uncertain)]
            handle = await self.outcome(self.fal.queue.find_submission(error))
            if handle is not None:
                assert handle.request_id in self.emulator.jobs
                self.handles.append(handle)

        if self.uncertain:
            self.do(work())

    @rule()
    def store_the_handles(self) -> None:
        self.handles = [RequestHandle.from_json(handle.to_json(), self.fal) for handle in self.handles[-5:]]

    @rule()
    def another_session(self) -> None:
        async def work() -> None:
            await self.fal.aclose()
            self.fal = self.new_session()

        self.do(work())
        self.handles = []

    # Events on the server.

    @rule(make=st.sampled_from(MAKERS), on=ON, taken=st.booleans(), times=st.integers(1, 3))
    def go_wrong(self, make: Callable[[str, bool], Fault], on: str, taken: bool, times: int) -> None:
        fault = make(on, taken)
        if len(self.emulator.faults) < 6:
            self.emulator.faults.add(Fault.from_json({**fault.to_json(), "times": times}))

    @rule()
    def stop_going_wrong(self) -> None:
        self.emulator.faults.clear()

    @rule(keep_memory=st.booleans())
    def restart(self, keep_memory: bool) -> None:
        self.do(self.emulator.restart(keep_memory=keep_memory))

    @rule()
    def drop_connections(self) -> None:
        self.emulator.drop_connections()

    # What must always hold.

    @invariant()
    def every_error_says_what_it_is_about(self) -> None:
        assert self.wrong == []

    @invariant()
    def no_call_makes_two_jobs(self) -> None:
        made = Counter(job.input["n"] for job in self.emulator.jobs.values())
        assert all(count == 1 for count in made.values())
        assert len(made) <= self.asked

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return

        async def end() -> list[Any]:
            self.emulator.faults.clear()
            for task in self.waiting:
                task.cancel()
            if self.waiting:
                await asyncio.wait(self.waiting)
            await self.fal.aclose()
            await self.emulator.stop()
            for _ in range(3):
                await asyncio.sleep(0)
            return [*(asyncio.all_tasks() - {asyncio.current_task()}), *open_generators()]

        left = self.do(end())
        self.loop.close()
        assert left == []


Usage.TestCase.settings = settings(
    max_examples=5,  # Hypothesis spends two on the simplest: nothing at all, and one operation repeated
    stateful_step_count=1000,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestUsage = pytest.mark.timeout(240)(Usage.TestCase)
