"""Places on the session's connections: first come, first served, and open connections before new ones."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from fal_async import Result, RetryPolicy, Session, Timeouts, TransportTimeoutError
from fal_async.emulator import Emulator, JobContext
from fal_async.transport.connection_limiter import ConnectionLimiter
from tests.quick import ASK, GATE, LLM, gate_at, session_on


async def hold(lane: ConnectionLimiter, log: list[str], name: str, release: asyncio.Event) -> None:
    async with lane:
        log.append(name)
        await release.wait()


async def steps() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_limiter_gives_its_places_in_order_up_to_the_limit() -> None:
    lane, log, release = ConnectionLimiter(2), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(hold(lane, log, name, release)) for name in "abcd"]
    await steps()
    assert log == ["a", "b"]
    tasks[2].cancel()
    release.set()
    await asyncio.wait(tasks)
    assert log == ["a", "b", "d"]


async def test_a_new_request_waits_a_moment_for_an_open_connection() -> None:
    lane, log = ConnectionLimiter(10, eager=1), list[str]()
    first, second = asyncio.Event(), asyncio.Event()
    tasks = [
        asyncio.create_task(hold(lane, log, "a", first)),
        asyncio.create_task(hold(lane, log, "b", second)),
    ]
    await steps()
    assert log == ["a"]
    first.set()
    await steps()
    assert log == ["a", "b"]
    # If no place becomes free, it gets a new one.
    tasks.append(asyncio.create_task(hold(lane, log, "c", second)))
    async with asyncio.timeout(5):
        while len(log) < 3:
            await asyncio.sleep(0.01)
    second.set()
    await asyncio.wait(tasks)


async def test_a_place_granted_to_a_cancelled_request_goes_to_the_next() -> None:
    lane, log = ConnectionLimiter(1), list[str]()
    first, second = asyncio.Event(), asyncio.Event()
    second.set()
    tasks = [
        asyncio.create_task(hold(lane, log, "a", first)),
        asyncio.create_task(hold(lane, log, "b", second)),
        asyncio.create_task(hold(lane, log, "c", second)),
    ]
    await steps()
    first.set()
    await asyncio.sleep(0)  # a releases its place, which is granted to b ...
    tasks[1].cancel()  # ... and b is cancelled before its next step
    await asyncio.wait(tasks)
    assert log == ["a", "c"]


async def test_long_runs_soon_have_one_connection_each(fal: Session, emulator: Emulator) -> None:
    together, release = asyncio.Event(), asyncio.Event()
    running = 0

    @emulator.endpoint("me/long", runners=500)
    async def long(input: Any, job: JobContext) -> str:
        nonlocal running
        running += 1
        if running == 250:
            together.set()
        await release.wait()
        return "done"

    runs = [asyncio.create_task(fal.run("me/long")) for _ in range(250)]
    await asyncio.wait_for(together.wait(), 20)
    release.set()
    assert [(await run).data for run in runs] == ["done"] * 250


@pytest.mark.parametrize("most", [1, 2, 3])
async def test_every_kind_of_call_works_with_few_connections(emulator: Emulator, most: int) -> None:
    async with Session(emulator.key, hosts=emulator.hosts, max_connections=most) as fal:
        calls: list[Coroutine[Any, Any, Result]] = [
            fal.subscribe("fal-ai/any-llm", {"prompt": "x"}, mode="streaming") for _ in range(4)
        ]
        calls += [fal.run("fal-ai/any-llm", {"prompt": "x"}) for _ in range(4)]
        results = await asyncio.wait_for(asyncio.gather(*calls), 30)
    assert all(result.data["output"] for result in results)
    assert emulator.connections_open <= most


async def test_a_request_with_a_renewed_key_skips_the_queue() -> None:
    limiter, order = ConnectionLimiter(1), list[str]()

    async def take(name: str, *, first: bool = False) -> None:
        await limiter.acquire(first=first)
        order.append(name)
        limiter.release()

    await limiter.acquire()
    tasks = [asyncio.create_task(take(name, first=name == "again")) for name in ("a", "b", "again")]
    await steps()
    limiter.release()
    await asyncio.gather(*tasks)
    assert order == ["again", "a", "b"]


async def test_one_connection_has_one_place_for_requests_of_every_kind(emulator: Emulator) -> None:
    gate = gate_at(emulator)
    async with session_on(emulator, max_connections=1) as fal:
        handle = await fal.queue.submit(LLM, ASK)
        running = asyncio.create_task(fal.run(GATE, {}))
        await emulator.wait_for("run")
        asked = asyncio.create_task(handle.status())
        await steps()
        assert not asked.done()
        gate.open()
        await asyncio.gather(running, asked)


async def test_waiting_for_a_place_raises_if_none_becomes_free() -> None:
    lane = ConnectionLimiter(1, what="max_connections=1 connections")
    await lane.acquire()
    with pytest.raises(
        TransportTimeoutError, match="for one of max_connections=1 connections, and none"
    ) as told:
        await lane.acquire(patience=0.01)
    assert told.value.retryable
    lane.release()
    await lane.acquire(patience=0.0)  # the place was not granted to the request that gave up
    assert lane.taken == 1


async def test_a_long_queue_for_places_that_moves_does_not_raise() -> None:
    """All together wait for many times the patience of each, but a place becomes free within that time."""
    lane, patience = ConnectionLimiter(1), 2.0

    async def visit() -> None:
        await lane.acquire(patience=patience)
        await asyncio.sleep(0.1)
        lane.release()

    await asyncio.gather(*(visit() for _ in range(25)))
    assert lane.taken == 0


async def test_a_long_wait_for_places_is_logged_once_with_the_way_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lane = ConnectionLimiter(1, what="max_connections=1 connections", warn_after=0.01)
    await lane.acquire()
    waiting = [asyncio.create_task(lane.acquire()) for _ in range(3)]
    async with asyncio.timeout(5):
        while not caplog.messages:
            await asyncio.sleep(0.01)
    assert caplog.messages[0].startswith(
        "3 requests wait for one of max_connections=1 connections, the first"
    )
    assert "raise max_connections=" in caplog.messages[0]
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert lane.taken == 1


async def test_a_warning_is_logged_when_all_connections_are_held(emulator: Emulator) -> None:
    gate = gate_at(emulator)
    limits = Timeouts(run=0.2)
    async with session_on(
        emulator, max_connections=2, timeout=limits, retry=RetryPolicy(max_attempts=1)
    ) as fal:
        patient = fal.with_options(timeout=Timeouts())
        running = asyncio.create_task(patient.run(GATE, {}))
        await emulator.wait_for("run")
        with pytest.raises(TransportTimeoutError, match=r"max_connections=2 connections \(1 are for long"):
            await fal.run(GATE, {})
        gate.open()
        await running
    assert emulator.count("run") == 1
