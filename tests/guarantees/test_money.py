"""Nothing is paid twice: one call makes at most one job, whatever happens (protocol 12)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fal_async import (
    ApiError,
    AuthenticationError,
    BalanceExhaustedError,
    FalError,
    RateLimitError,
    ResponseDecodeError,
    Result,
    ServerError,
    Session,
    StartTimeoutError,
    SubmissionUncertainError,
    TransportError,
    ValidationError,
)
from fal_async.emulator import Emulator, Fault
from fal_async.protocol.json_input import digest_of
from tests.quick import ASK, LLM, Noted, at_once, impatient, quick, session_on

CALLS = ["run", "submit", "subscribe"]


async def call(fal: Session, name: str, **options: Any) -> Any:
    if name == "submit":
        return await fal.queue.submit(LLM, ASK, **options)
    return await (fal.run if name == "run" else fal.subscribe)(LLM, ASK, **options)


def on(name: str) -> str:
    return "run" if name == "run" else "submit"


BREAKS: list[tuple[str, dict[str, Any]]] = [
    ("reset", {}),
    ("reset", {"taken": True}),
    ("close", {}),
    ("close", {"taken": True}),
    ("stall", {"seconds": 5, "taken": False}),
    ("stall", {"seconds": 5}),
    ("stall", {"seconds": 5, "where": "body"}),
    ("truncate", {}),
    ("html", {"status": 502}),
    ("html", {"status": 502, "taken": True}),
    ("html", {"status": 504}),
    ("html", {"status": 504, "taken": True}),
    ("html", {"status": 500}),
    ("html", {"status": 524, "taken": True}),
]
"""Faults after which fal may have accepted the request."""


@pytest.mark.parametrize(
    ("kind", "details"),
    BREAKS,
    ids=[" ".join([kind, *(f"{name}={value}" for name, value in how.items())]) for kind, how in BREAKS],
)
async def test_a_request_that_fal_may_have_taken_is_not_sent_again_by_any_call(
    no_tasks_left: None, kind: str, details: dict[str, Any]
) -> None:
    limits = impatient(0.5) if kind == "stall" else None

    async def check(name: str) -> None:
        fault = Fault(kind=kind, on=on(name), **{"taken": kind in ("stall", "drip"), **details})
        async with Emulator(speed=50) as emulator, session_on(emulator, timeout=limits) as fal:
            emulator.faults.add(fault)
            with pytest.raises(SubmissionUncertainError, match="may have accepted the request") as caught:
                await call(fal, name)
        error = caught.value
        assert emulator.count(on(name)) == 1
        assert len(emulator.jobs) <= 1
        assert (error.operation, error.endpoint_id, error.retryable) == (on(name), LLM, False)
        assert error.input_digest == digest_of(json.dumps(ASK).encode())
        assert error.started_at is not None
        assert error.ended_at is not None
        assert error.started_at <= error.ended_at
        assert isinstance(error.__cause__, TransportError | ServerError)

    await at_once(check, CALLS)


@pytest.mark.parametrize("name", ["submit", "subscribe"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault.wrong_json(on="submit"),
        Fault.wrong_json("[1]", on="submit"),
        Fault.missing("request_id", on="submit"),
        Fault.replace({"request_id": 7}, on="submit"),
        Fault.html(200, taken=True, on="submit"),
    ],
    ids=["cut", "list", "no id", "number", "html"],
)
async def test_an_unreadable_answer_to_a_submit_is_uncertain(
    fal: Session, emulator: Emulator, name: str, fault: Fault
) -> None:
    emulator.faults.add(fault)
    with pytest.raises(SubmissionUncertainError, match="its response can't be read") as caught:
        await call(fal, name)
    assert caught.value.input_digest == digest_of(json.dumps(ASK).encode())
    assert isinstance(caught.value.__cause__, ResponseDecodeError)
    assert (emulator.count("submit"), len(emulator.jobs)) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.wrong_json(on="run"), "is not JSON"),
        (Fault.html(200, taken=True, on="run"), "a gateway's HTML page"),
    ],
)
async def test_an_unreadable_answer_to_a_run_is_not_retried(
    fal: Session, emulator: Emulator, fault: Fault, words: str
) -> None:
    emulator.faults.add(fault)
    with pytest.raises(ResponseDecodeError, match=words) as caught:
        await fal.run(LLM, ASK)
    assert emulator.count("run") == 1
    assert (caught.value.endpoint_id, caught.value.retryable) == (LLM, False)


REFUSALS: list[Fault] = [
    Fault.answer(429),
    Fault.answer(429, retry_after=0),
    Fault.answer(429, fal_headers=False),
    Fault.answer(503, fal_headers=False),
    Fault.html(503),
]
"""Faults after which fal has certainly not accepted the request."""


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("fault", REFUSALS, ids=["429", "429 0s", "429 html", "503", "503 html"])
async def test_a_request_that_was_surely_refused_is_sent_again(
    emulator: Emulator, name: str, fault: Fault
) -> None:
    emulator.faults.add(*[_meant_for(fault, on(name), times=2)])
    noted = Noted()
    async with session_on(emulator, retry=quick(on_retry=noted)) as fal:
        await call(fal, name, headers={"X-Idempotency": "abc"})
    sent = [request for request in emulator.requests if request.kind == on(name)]
    assert [request.headers["X-Idempotency"] for request in sent] == ["abc"] * 3
    assert len({request.body for request in sent}) == 1
    assert len(emulator.jobs) == 1
    assert [(retry.operation, retry.attempt) for retry in noted.retries] == [(on(name), 1), (on(name), 2)]


@pytest.mark.parametrize("name", CALLS)
async def test_a_request_without_a_connection_is_retried(emulator: Emulator, name: str) -> None:
    noted = Noted()
    async with session_on(emulator, retry=quick(max_attempts=1000, on_retry=noted)) as fal:
        await emulator.pause()
        asked = asyncio.create_task(call(fal, name))
        await noted.first.wait()
        await emulator.resume()
        await asked
    assert (emulator.count(on(name)), len(emulator.jobs)) == (1, 1)
    assert isinstance(noted.retries[0].error, TransportError)
    assert noted.retries[0].endpoint_id == LLM


DEFINITE: list[tuple[Fault, type[FalError]]] = [
    (Fault.answer(400, detail="no"), ApiError),
    (Fault.answer(401), AuthenticationError),
    (Fault.balance(), BalanceExhaustedError),
    (Fault.answer(408), ApiError),
    (Fault.answer(409), ApiError),
    (Fault.answer(409, fal_headers=False), ApiError),
    (Fault.answer(422), ValidationError),
    (Fault.answer(500), ServerError),
    (Fault.answer(502), ServerError),
    (Fault.answer(503), ServerError),
    (Fault.answer(503, needs_retry=True), ServerError),
    (Fault.answer(504), ServerError),
    (Fault.answer(504, headers={"X-Fal-Request-Timeout-Type": "user"}), StartTimeoutError),
    (Fault.redirect("https://elsewhere.example/"), ApiError),
    (Fault.redirect("/fal.run/fal-ai/any-llm", 308), ApiError),
    (Fault.answer(429, retry_after=3600), RateLimitError),
]
"""Answers that a second request would not change, or after which a second request might be a second bill."""


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("fault", "kind"),
    DEFINITE,
    ids=[f"{fault.kind} {fault.status} {error.__name__}" for fault, error in DEFINITE],
)
async def test_a_definite_error_is_raised_without_a_retry(
    emulator: Emulator, name: str, fault: Fault, kind: type[FalError]
) -> None:
    emulator.faults.add(_meant_for(fault, on(name), times=None))
    async with session_on(emulator) as fal:
        with pytest.raises(kind) as caught:
            await call(fal, name)
    assert (emulator.count(on(name)), len(emulator.jobs)) == (1, 0)
    assert caught.value.endpoint_id == LLM
    # `retryable` promises that calling again does not pay twice.
    assert caught.value.retryable == (fault.status in (429, 503))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("status", [502, 504])
async def test_retry_uncertain_sends_again_after_a_gateway_error(
    emulator: Emulator, name: str, status: int
) -> None:
    emulator.faults.add(Fault.html(status, on=on(name)))
    async with session_on(emulator) as fal:
        await call(fal, name, retry=quick(retry_uncertain=True))
    assert (emulator.count(on(name)), len(emulator.jobs)) == (2, 1)


@pytest.mark.parametrize("taken", [False, True])
async def test_retry_uncertain_does_not_send_again_after_a_broken_connection(
    emulator: Emulator, taken: bool
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=taken))
    async with session_on(emulator, retry=quick(retry_uncertain=True)) as fal:
        with pytest.raises(SubmissionUncertainError):
            await fal.subscribe(LLM, ASK)
    assert (emulator.count("submit"), len(emulator.jobs)) == (1, taken)


async def test_a_submit_is_not_resent_when_a_reused_connection_breaks(
    fal: Session, emulator: Emulator
) -> None:
    """When a reused connection breaks, aiohttp resends idempotent methods; it must not resend a POST."""
    await fal.subscribe(LLM, ASK)
    opened = emulator.connections_opened
    emulator.faults.add(Fault.reset(on="submit", taken=True), Fault.close(on="submit", taken=True))
    for jobs in (2, 3):
        with pytest.raises(SubmissionUncertainError):
            await fal.queue.submit(LLM, ASK)
        assert (emulator.count("submit"), len(emulator.jobs)) == (jobs, jobs)
    assert emulator.connections_opened <= opened + 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault.reset(on="run", taken=True, times=None),
        Fault.close(on="run", taken=True, times=None),
        Fault.stall(5, on="run", times=None),
        Fault.truncate(on="run", times=None),
    ],
    ids=["reset", "closed", "stalled", "cut"],
)
async def test_a_run_by_an_idempotent_method_is_not_resent_after_a_fault(
    emulator: Emulator, method: str, fault: Fault
) -> None:
    async with session_on(emulator) as fal:
        await fal.run(LLM, ASK)  # a warm connection
        emulator.faults.add(fault)
        with pytest.raises(SubmissionUncertainError):
            await fal.with_options(timeout=impatient()).run(LLM, ASK, method=method)
    assert emulator.count("run") == 2


async def test_a_storm_of_refusals_makes_one_job_for_each_call(emulator: Emulator) -> None:
    emulator.faults.add(
        Fault.answer(429, on="submit", chance=0.4, times=None),
        Fault.html(503, on="submit", chance=0.3, times=None),
    )
    async with session_on(emulator, retry=quick(max_attempts=50)) as fal:
        results: list[Result[Any]] = await asyncio.gather(*(fal.subscribe(LLM, ASK) for _ in range(40)))
    assert len({result.request_id for result in results}) == 40 == len(emulator.jobs)
    assert sum(result.attempts["submit"] for result in results) == emulator.count("submit") > 40


def _meant_for(fault: Fault, operation: str, times: int | None) -> Fault:
    return Fault.from_json({**fault.to_json(), "on": operation, "times": times})
