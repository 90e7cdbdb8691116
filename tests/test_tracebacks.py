"""Tracebacks of errors: they show the lines of the caller, and none of the package."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

import fal_async
from fal_async import FalError, Hosts, RetryPolicy, Session, TransportError, ValidationError
from fal_async.emulator import Emulator, Fault
from fal_async.errors import shorten

LLM = "fal-ai/any-llm"
ASK = {"prompt": "x"}

Call = Callable[[Session], Awaitable[Any]]


async def updates(fal: Session) -> None:
    async with aclosing(fal.queue.updates(LLM, "no-such-request")) as statuses:
        async for _ in statuses:
            pass


async def stream_loop(fal: Session) -> None:
    async for _ in fal.stream(LLM, ASK):
        pass


async def raw_stream(fal: Session) -> None:
    async for _ in fal.stream(LLM, ASK).raw():
        pass


async def websocket(fal: Session) -> None:
    async with fal.websocket(LLM) as calls:
        await calls.run(ASK)


async def realtime(fal: Session) -> None:
    async with fal.realtime.connect(LLM) as connection:
        await connection.recv()


async def handle(fal: Session) -> None:
    await fal.queue.handle(LLM, "no-such-request").wait()


CALLS: dict[str, Call] = {
    "run": lambda fal: fal.run(LLM, ASK),
    "subscribe": lambda fal: fal.subscribe(LLM, ASK),
    "submit": lambda fal: fal.queue.submit(LLM, ASK),
    "status": lambda fal: fal.queue.status(LLM, "no-such-request"),
    "result": lambda fal: fal.queue.result(LLM, "no-such-request"),
    "updates": updates,
    "handle": handle,
    "last": lambda fal: fal.stream(LLM, ASK).last(),
    "stream": stream_loop,
    "raw": raw_stream,
    "websocket": websocket,
    "realtime": realtime,
    "upload": lambda fal: fal.storage.upload(b"x", content_type="text/plain"),
}


async def error_of(call: Call, fal: Session) -> FalError:
    with pytest.raises(FalError) as caught:
        await call(fal)
    return caught.value


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def modules(error: BaseException | None) -> set[str]:
    """Return the packages of the frames of an error and its causes."""
    if error is None:
        return set()
    frames = traceback.walk_tb(error.__traceback__)
    own = {frame.f_globals["__name__"].partition(".")[0] for frame, _ in frames}
    return own | modules(error.__cause__)


@pytest.fixture
async def nowhere() -> AsyncIterator[Session]:
    """A session whose hosts refuse every connection."""
    hosts = Hosts.local("http://127.0.0.1:9")
    async with Session(
        "a:b", hosts=hosts, retry=RetryPolicy(max_attempts=1, outage=0.01, result_total=0.01)
    ) as fal:
        yield fal


@pytest.mark.parametrize("name", CALLS)
async def test_the_traceback_of_a_refused_connection_shows_only_the_callers_lines(
    name: str, nowhere: Session
) -> None:
    error = await error_of(CALLS[name], nowhere)
    text = shown(error)
    assert modules(error) == {"tests"}
    assert "Connection refused" in text or "Connect call failed" in text, "the cause is still shown"
    assert len(text.splitlines()) <= 30


@pytest.mark.parametrize(("name", "operation"), [("run", "run"), ("subscribe", "submit"), ("last", "stream")])
async def test_the_traceback_of_an_error_response_shows_only_the_callers_lines(
    name: str, operation: str, fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.answer(422, on=operation))
    error = await error_of(CALLS[name], fal)
    assert isinstance(error, ValidationError)
    assert modules(error) == {"tests"}
    assert len(shown(error).splitlines()) <= 10


async def test_the_traceback_of_a_shortcut_that_timed_out_shows_only_the_callers_lines(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_BASE_URL", emulator.url)
    monkeypatch.setenv("FAL_KEY", emulator.key)

    @emulator.endpoint("me/slow")
    async def slow(_: Any) -> None:
        await asyncio.Event().wait()

    error = await error_of(lambda _: fal_async.subscribe("me/slow", {}, timeout=0.1), Session("a:b"))
    assert modules(error) == {"tests"}
    assert len(shown(error).splitlines()) <= 10


async def test_the_traceback_of_a_time_limit_around_a_call_shows_only_the_callers_lines(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.stall(9, on="run"))
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.1):
            await fal.run(LLM, ASK)
    assert modules(caught.value.__cause__) == {"tests"}


async def test_the_traceback_of_an_error_in_a_callback_keeps_the_lines_of_the_callback(fal: Session) -> None:
    async def asks_for_a_missing_request(_: object) -> None:
        await fal.queue.status(LLM, "no-such-request")

    error = await error_of(
        lambda fal: fal.subscribe(LLM, ASK, on_queue_update=asks_for_a_missing_request), fal
    )
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names[-1] == "asks_for_a_missing_request"
    assert modules(error) == {"tests"}


async def test_an_error_that_the_caller_is_handling_keeps_its_traceback(fal: Session) -> None:
    handled, before = ValueError(), [""]
    try:
        json.loads("no JSON")
    except ValueError as own:
        handled, before = own, traceback.format_tb(own.__traceback__)
        await error_of(lambda fal: fal.queue.status(LLM, "no-such-request"), fal)
    assert len(before) > 1
    assert traceback.format_tb(handled.__traceback__) == before


async def test_tracebacks_keep_all_frames_with_debug_logs(
    nowhere: Session, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="fal_async"):
        error = await error_of(CALLS["run"], nowhere)
    assert "fal_async" in modules(error)
    assert isinstance(error, TransportError)
    assert error.__cause__ is not None
    assert error.__cause__.__traceback__ is not None


# Classes whose methods a web framework or this package calls, not a person.
CALLED_BY_OTHERS = {"WebhookReceiver", "MemoryStore", "SeenStore"}


def test_every_public_class_shortens_the_tracebacks_of_its_coroutines() -> None:
    missing = []
    for name in set(fal_async.__all__) - CALLED_BY_OTHERS:
        public = getattr(fal_async, name)
        for method in dir(public) if inspect.isclass(public) else ():
            function = inspect.getattr_static(public, method)
            if inspect.iscoroutinefunction(function) and not method.startswith("_"):
                missing += [] if hasattr(function, "__wrapped__") else [f"{name}.{method}"]
    assert missing == []


def test_errors_that_cause_one_another_in_a_circle_are_shortened() -> None:
    first, second = FalError("a"), FalError("b")
    first.__cause__, second.__cause__ = second, first
    shorten(first)
    assert first.__traceback__ is None
