"""What is retried, how often and how long, by operation (protocol 12)."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fal_async import (
    ApiError,
    CancelOutcome,
    FalError,
    RateLimitError,
    RequestHandle,
    ResponseDecodeError,
    ResultExpiredError,
    ServerError,
    Session,
    TransportError,
)
from fal_async.emulator import Emulator, Fault, JobContext
from tests.quick import ASK, GATE, LLM, ONCE, Noted, at_once, gate_at, impatient, quick, session_on

READS = ["status", "result", "cancel"]


async def done(fal: Session, emulator: Emulator) -> RequestHandle:
    """Return the handle of a complete request, which has seen the status."""
    handle = await fal.queue.submit(LLM, ASK)
    await emulator.jobs[handle.request_id].wait_for("COMPLETED", timeout=5)
    return handle


async def ask(handle: RequestHandle, name: str) -> Any:
    return await getattr(handle, name)()


PASSING: list[tuple[str, dict[str, Any]]] = [
    ("reset", {}),
    ("reset", {"taken": True}),
    ("close", {}),
    ("stall", {"seconds": 5, "taken": False}),
    ("stall", {"seconds": 5, "taken": True, "where": "body"}),
    ("truncate", {}),
    ("answer", {"status": 408}),
    ("answer", {"status": 429}),
    ("answer", {"status": 429, "retry_after": "0"}),
    ("answer", {"status": 500, "needs_retry": True}),
    ("html", {"status": 502}),
    ("html", {"status": 503}),
    ("html", {"status": 504}),
    ("html", {"status": 500}),
    ("html", {"status": 524}),
]


@pytest.mark.parametrize(
    ("kind", "details"),
    PASSING,
    ids=[
        " ".join((kind, *(f"{name}={value}" for name, value in details.items()))) for kind, details in PASSING
    ],
)
async def test_reads_and_cancels_are_retried_after_temporary_failures(
    no_tasks_left: None, kind: str, details: dict[str, Any]
) -> None:
    async def check(name: str) -> None:
        options: dict[str, Any] = {"timeout": impatient(0.2), "retry": quick(on_retry=(noted := Noted()))}
        async with Emulator(speed=50) as emulator, session_on(emulator, **options) as fal:
            handle = await done(fal, emulator)
            # Two faults: aiohttp itself repeats an idempotent request once if a reused connection breaks.
            emulator.faults.add(Fault(kind=kind, on=name, times=2, **details))
            assert await ask(handle, name) is not None
        assert emulator.faults.struck == 2
        assert emulator.count(name) == 3
        assert {retry.operation for retry in noted.retries} == {name}
        assert {retry.request_id for retry in noted.retries} == {handle.request_id}

    await at_once(check, READS)


# A cancel that is refused with 409 has an outcome instead: see `tests/queue/test_queue.py`.
@pytest.mark.parametrize(
    ("name", "status"),
    [
        (name, status)
        for name in READS
        for status in (401, 403, 409, 418, 500, 502)
        if (name, status) != ("cancel", 409)
    ],
)
async def test_definite_answers_of_fal_are_not_retried(
    fal: Session, emulator: Emulator, name: str, status: int
) -> None:
    handle = await done(fal, emulator)
    emulator.faults.add(Fault.answer(status, on=name, times=None))
    with pytest.raises(ApiError) as caught:
        await ask(handle, name)
    assert (caught.value.status, emulator.count(name)) == (status, 1)
    assert (caught.value.request_id, caught.value.endpoint_id) == (handle.request_id, LLM)


async def test_a_cancel_whose_response_was_lost_is_still_a_success(emulator: Emulator) -> None:
    gate_at(emulator)
    async with session_on(emulator) as fal:
        handle = await fal.queue.submit(GATE)
        await emulator.jobs[handle.request_id].wait_for("IN_PROGRESS", timeout=5)
        emulator.faults.add(Fault.answer(503, on="cancel", taken=True, fal_headers=False))
        outcome = await handle.cancel()
    # The second cancel sees the outcome of the first.
    assert outcome in (CancelOutcome.CANCELLATION_REQUESTED, CancelOutcome.ALREADY_COMPLETED)
    assert emulator.jobs[handle.request_id].error_type == "client_cancelled"


@pytest.mark.parametrize("status", [200, 400, 404])
async def test_a_gateways_page_is_not_an_outcome_of_a_cancel(emulator: Emulator, status: int) -> None:
    gate_at(emulator)
    async with session_on(emulator) as fal:
        handle = await fal.queue.submit(GATE)
        emulator.faults.add(Fault.html(status, on="cancel"))
        assert await handle.cancel() in (CancelOutcome.CANCELLED, CancelOutcome.CANCELLATION_REQUESTED)
        emulator.faults.add(Fault.html(status, on="cancel", times=None))
        with pytest.raises(ResponseDecodeError, match="a gateway's HTML page") as caught:
            await handle.cancel()
    assert caught.value.request_id == handle.request_id


# How often, how long.


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_max_attempts_limits_the_attempts(emulator: Emulator, attempts: int) -> None:
    emulator.faults.add(Fault.html(503, on="status", times=None))
    async with session_on(emulator, retry=quick(max_attempts=attempts)) as fal:
        handle = await done(fal, emulator)
        with pytest.raises(ServerError) as caught:
            await handle.status()
    assert emulator.count("status") == attempts
    assert caught.value.request_id == handle.request_id


async def test_the_delay_before_a_retry_is_random_and_limited(emulator: Emulator) -> None:
    noted = Noted()
    policy = quick(max_attempts=12, on_retry=noted)
    emulator.faults.add(Fault.html(503, on="submit", times=11))
    async with session_on(emulator, retry=policy) as fal:
        await fal.queue.submit(LLM, ASK)
    delays = [retry.delay for retry in noted.retries]
    assert len(delays) == 11
    for number, delay in enumerate(delays, 1):
        assert 0 <= delay <= min(policy.max_delay, policy.base_delay * 2**number)
    assert len(set(delays)) > 1


async def test_max_total_limits_the_time_of_retries(emulator: Emulator) -> None:
    noted = Noted()
    emulator.faults.add(Fault.html(503, on="submit", times=None))
    async with session_on(emulator, retry=quick(max_attempts=10**6, max_total=0.2, on_retry=noted)) as fal:
        with pytest.raises(ServerError):
            await fal.queue.submit(LLM, ASK)
    assert 1 <= len(noted.retries) < 1000
    assert emulator.count("submit") == len(noted.retries) + 1


async def test_a_retry_policy_can_be_passed_for_one_call(emulator: Emulator) -> None:
    emulator.faults.add(Fault.html(503, on="submit", times=None))
    async with session_on(emulator) as fal:
        with pytest.raises(ServerError):
            await fal.subscribe(LLM, ASK, retry=quick(max_attempts=2))
        assert emulator.count("submit") == 2
        with pytest.raises(ServerError):
            await fal.with_options(retry=ONCE).subscribe(LLM, ASK)
        assert emulator.count("submit") == 3


async def test_the_retry_policy_of_a_submit_applies_to_following_too(emulator: Emulator) -> None:
    emulator.faults.add(Fault.html(503, on="status", times=None))
    async with session_on(emulator) as fal:
        with pytest.raises(ServerError) as caught:
            await fal.subscribe(LLM, ASK, retry=quick(outage=0.05))
    assert caught.value.request_id in emulator.jobs


# Retry-After.


@pytest.mark.parametrize("name", ["submit", "run"])
async def test_retry_after_replaces_the_exponential_delay(emulator: Emulator, name: str) -> None:
    noted = Noted()
    emulator.faults.add(Fault.answer(429, on=name, retry_after=0.125))
    async with session_on(emulator, retry=quick(on_retry=noted)) as fal:
        began = time.monotonic()
        await (fal.run if name == "run" else fal.queue.submit)(LLM, ASK)
    assert [retry.delay for retry in noted.retries] == [0.125]
    assert time.monotonic() - began >= 0.125


async def test_retry_after_may_be_a_date(emulator: Emulator) -> None:
    noted = Noted()
    soon = datetime.now(UTC) + timedelta(seconds=2)
    emulator.faults.add(
        Fault.answer(429, on="submit", retry_after=datetime.now(UTC) - timedelta(days=1)),
        Fault.answer(503, on="submit", retry_after=soon, fal_headers=False),
    )
    async with session_on(emulator, retry=quick(on_retry=noted)) as fal:
        await fal.queue.submit(LLM, ASK)
    past, future = [retry.delay for retry in noted.retries]
    assert past == 0.05  # not at once: a server that always says so would be asked in a busy loop
    assert 0 <= future <= 2


async def test_a_retry_after_above_the_maximum_raises_at_once(emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(429, on="submit", retry_after=61))
    async with session_on(emulator) as fal:
        with pytest.raises(RateLimitError) as caught:
            await fal.queue.submit(LLM, ASK)
    assert (caught.value.retry_after, caught.value.retryable, emulator.count("submit")) == (61, True, 1)


# The budget.


async def test_the_retry_budget_prevents_a_storm_during_an_outage(emulator: Emulator) -> None:
    """The budget has 500 tokens, and a retry takes 5: at most 100 retries without a success in between."""
    emulator.faults.add(Fault.html(503, on="submit", times=None))
    async with session_on(emulator) as fal:
        asked = [fal.queue.submit(LLM, ASK) for _ in range(150)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(answer) for answer in answers} == {ServerError}
        assert emulator.count("submit") == 150 + 100
        # Successes refill the budget.
        emulator.faults.clear()
        await asyncio.gather(*(fal.queue.submit(LLM, ASK) for _ in range(10)))
        emulator.faults.add(Fault.html(503, on="submit", times=2))
        await fal.queue.submit(LLM, ASK)


async def test_a_paid_result_is_fetched_again_with_an_empty_retry_budget(emulator: Emulator) -> None:
    async with session_on(emulator) as fal:
        handle = await done(fal, emulator)
        emulator.faults.add(Fault.html(503, on="status", times=None))
        others = [handle.status() for _ in range(60)]
        await asyncio.gather(*others, return_exceptions=True)
        emulator.faults.clear()
        emulator.faults.add(Fault.html(503, on="result", times=20))
        assert (await handle.wait()).data["output"]
    assert emulator.count("result") == 21


# The result, which is retried longest.


async def test_an_available_result_is_fetched_despite_failures_of_any_kind(no_tasks_left: None) -> None:
    async def check(fault: Fault) -> None:
        async with Emulator(speed=50) as emulator, session_on(emulator) as fal:
            emulator.faults.add(fault)
            result = await fal.subscribe(LLM, ASK)
        assert result.data["output"]
        # aiohttp's own repetition on a reused connection is not counted as an attempt.
        assert 6 < result.attempts["result"] <= emulator.count("result") == 13

    faults = [
        Fault.html(502, on="result", times=12),
        Fault.html(404, on="result", times=12),
        Fault.html(200, on="result", times=12),
        Fault.answer(500, on="result", times=12),
        Fault.answer(504, on="result", times=12),
        Fault.answer(429, on="result", times=12, retry_after=0),
        Fault.wrong_json(on="result", times=12),
        Fault.truncate(on="result", times=12),
        Fault.reset(on="result", times=12),
    ]
    await at_once(check, faults)


async def test_fetching_a_result_raises_after_result_total_seconds(emulator: Emulator) -> None:
    emulator.faults.add(Fault.html(504, on="result", times=None))
    async with session_on(emulator, retry=quick(result_total=1.0)) as fal:
        with pytest.raises(ServerError) as caught:
            await fal.subscribe(LLM, ASK)
        emulator.faults.clear()
        # Nothing is lost: the error has the request id.
        assert caught.value.request_id is not None
        assert (await fal.queue.result(LLM, caught.value.request_id)).data["output"]
    assert emulator.count("result") > 5
    assert emulator.count("cancel") == 0


async def test_a_failure_that_says_not_to_retry_is_not_retried(emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(500, on="result", needs_retry=False, times=None))
    async with session_on(emulator) as fal:
        with pytest.raises(ServerError):
            await fal.subscribe(LLM, ASK)
    assert emulator.count("result") == 1


@pytest.mark.parametrize("error", [500, 502, 503, 504])
async def test_a_models_own_error_is_not_fetched_again(emulator: Emulator, error: int) -> None:
    @emulator.endpoint("me/broken")
    async def broken(input: Any, job: JobContext) -> Any:
        from fal_async.emulator import ModelError

        raise ModelError(error, "out of memory")

    async with session_on(emulator) as fal:
        with pytest.raises(FalError, match="out of memory") as caught:
            await fal.subscribe("me/broken", no_retry=True)
    assert emulator.count("result") == 1
    assert caught.value.request_id in emulator.jobs


async def test_a_deleted_result_raises_result_expired_error_without_a_retry(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.vanish(on="result"))
    with pytest.raises(ResultExpiredError, match="results are kept for 1 hour") as caught:
        await fal.subscribe(LLM, ASK)
    assert caught.value.request_id in emulator.jobs
    assert emulator.count("result") == 1


async def test_an_unreadable_result_raises_an_error_with_the_request_id(emulator: Emulator) -> None:
    emulator.faults.add(Fault.wrong_json(on="result", times=None))
    async with session_on(emulator, retry=quick(result_total=0.1)) as fal:
        with pytest.raises(ResponseDecodeError, match="is not JSON") as caught:
            await fal.subscribe(LLM, ASK)
    assert caught.value.request_id in emulator.jobs
    assert caught.value.endpoint_id == LLM


# Logs, `on_retry` and error chains.


async def test_retries_are_logged_with_the_request_id(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    async with session_on(emulator) as fal:
        handle = await done(fal, emulator)
        emulator.faults.add(Fault.html(503, on="status"), Fault.answer(418, on="cancel"))
        with caplog.at_level(logging.DEBUG, logger="fal_async"):
            await handle.status()
            with pytest.raises(ApiError, match="418"):
                await handle.cancel()
    failed = [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]
    assert len(failed) == 2
    assert failed[0].startswith(
        "status: attempt 1 failed (503 Service Unavailable (from a gateway in front of fal)"
    )
    assert "the next one follows in 0.0" in failed[0]
    assert failed[1].startswith("cancel failed: 418")
    assert all(handle.request_id in line for line in failed)


async def test_the_first_failure_is_in_the_chain_of_the_last_error(emulator: Emulator) -> None:
    await emulator.pause()
    noted = Noted()
    async with session_on(emulator, retry=quick(on_retry=noted)) as fal:
        with pytest.raises(TransportError, match="no connection to 127") as caught:
            await fal.queue.status(LLM, "some-id")
    assert caught.value.request_id == "some-id"
    assert len(noted.retries) == 3


async def test_on_retry_is_called_for_failed_polls_too(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    noted = Noted()
    async with session_on(emulator, retry=quick(on_retry=noted)) as fal:
        emulator.faults.add(Fault.html(503, on="status", times=2))
        with caplog.at_level(logging.INFO, logger="fal_async"):
            result = await fal.subscribe(LLM, ASK)
    told = [(retry.operation, retry.attempt, retry.request_id, retry.endpoint_id) for retry in noted.retries]
    assert told == [("status", 1, result.request_id, LLM), ("status", 2, result.request_id, LLM)]
    lines = [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]
    assert [line.startswith("status: attempt") for line in lines] == [True, True]


async def test_on_retry_is_called_for_broken_status_streams_too(emulator: Emulator) -> None:
    gate, noted = gate_at(emulator), Noted()
    async with session_on(emulator, retry=quick(on_retry=noted)) as fal:
        emulator.faults.add(Fault.html(503, on="status_stream"))
        waiting = asyncio.create_task(fal.subscribe(GATE, mode="streaming"))
        await noted.first.wait()
        gate.open()
        await waiting
    assert [retry.operation for retry in noted.retries] == ["status"]


async def test_an_exception_in_on_retry_ends_the_call_like_one_in_a_callback(emulator: Emulator) -> None:
    gate_at(emulator)

    def refuse(_: Any) -> None:
        raise KeyError("mine")

    async with session_on(emulator, retry=quick(on_retry=refuse)) as fal:
        emulator.faults.add(Fault.html(503, on="status", times=1))
        with pytest.raises(KeyError, match="mine"):
            await fal.subscribe(GATE)
    assert [job.cancel_requests for job in emulator.jobs.values()] == [1]


@pytest.mark.parametrize("mode", ["polling", "streaming"])
async def test_an_unknown_status_is_tolerated_for_a_limited_time(
    no_tasks_left: None, caplog: pytest.LogCaptureFixture, mode: Any
) -> None:
    """An unknown status may mean that the request will never complete."""
    seen: list[Any] = []
    async with (
        Emulator(keep_alive=0.05) as emulator,
        session_on(emulator, retry=quick(outage=0.5)) as fal,
    ):
        gate_at(emulator)
        for on in ("status", "status_stream"):
            emulator.faults.add(Fault.word("RESTING", on=on, times=None))
        with pytest.raises(
            ResponseDecodeError, match="the status is 'RESTING', which this version"
        ) as caught:
            await fal.subscribe(GATE, mode=mode, poll_interval=0.02, on_queue_update=seen.append)
        assert caught.value.request_id in emulator.jobs
    assert {update.status for update in seen} == {"RESTING"}
    warnings = [record.getMessage() for record in caplog.records if "3 polls in a row" in record.getMessage()]
    assert len(warnings) == 1
    assert str(caught.value.request_id) in warnings[0]
