"""Streams of a session, against the emulator (protocol 5.1)."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

import fal_async
from fal_async import (
    AuthenticationError,
    BalanceExhaustedError,
    ConfigurationError,
    EventStream,
    File,
    NotFoundError,
    RateLimitError,
    RetryPolicy,
    ServerSentEvent,
    Session,
    SessionStateError,
    StreamError,
    SubmissionUncertainError,
    ValidationError,
)
from fal_async.emulator import Emulator, Event, Fault, JobContext

ONCE = RetryPolicy(max_attempts=1)


@attrs.frozen
class Number:
    number: int
    name: str = ""


@pytest.fixture(autouse=True)
def models(emulator: Emulator) -> None:
    @emulator.endpoint("me/count")
    async def count(input: Any) -> AsyncIterator[Any]:
        for number in range(input.get("n", 3)):
            yield {"number": number, "name": "é😀"}


class Endless:
    """A model that sends one value and then works until it is stopped."""

    def __init__(self, emulator: Emulator) -> None:
        self.left = asyncio.Event()

        @emulator.endpoint("me/endless")
        async def endless(input: Any, job: JobContext) -> AsyncIterator[int]:
            try:
                yield 1
                await asyncio.Event().wait()
            finally:
                self.left.set()

    async def stopped(self) -> None:
        await asyncio.wait_for(self.left.wait(), 5)


async def another_goes_idle(fal: Session, seconds: float) -> None:
    """Time passes: as much as another stream, one that is silent, needs to be given up."""
    with pytest.raises(StreamError) as caught:
        await fal.stream("me/endless", idle_timeout=seconds).last()
    assert caught.value.reason == "idle"


async def numbers(stream: EventStream[Any]) -> list[int]:
    return [value["number"] async for value in stream]


async def values_of(stream: EventStream[Any]) -> list[Any]:
    return [value async for value in stream]


async def collect(stream: EventStream[Any], into: list[Any]) -> None:
    async for value in stream:
        into.append(value)


# What comes.


async def test_values_as_they_come(fal: Session, emulator: Emulator) -> None:
    async with fal.stream("me/count", {"n": 3}, hint="h", tags={"a": "b"}, headers={"X-Mine": "1"}) as stream:
        assert stream.request_id in emulator.jobs
        assert stream.headers["content-type"] == "text/event-stream"
        assert await values_of(stream) == [{"number": n, "name": "é😀"} for n in range(3)]
    [request] = emulator.requests
    assert (request.kind, request.path, json.loads(request.body)) == (
        "stream",
        "/fal.run/me/count/stream",
        {"n": 3},
    )
    assert request.headers["Accept"] == "text/event-stream"
    assert (request.headers["X-Fal-Runner-Hint"], request.headers["X-Fal-Tags"]) == ("h", "a=b")
    assert request.headers["X-Mine"] == "1"


async def test_nothing_is_sent_before_the_stream_is_used(fal: Session, emulator: Emulator) -> None:
    stream = fal.stream("me/count")
    assert (stream.request_id, stream.headers, emulator.count()) == (None, {}, 0)
    await stream.aclose()
    assert await values_of(stream) == []
    assert emulator.count() == 0


async def test_the_path_is_added_once(fal: Session, emulator: Emulator) -> None:
    assert await numbers(fal.stream("me/count/stream")) == [0, 1, 2]

    @emulator.endpoint("me/count/chat")
    async def chat(input: Any) -> AsyncIterator[int]:
        yield 7

    assert await values_of(fal.stream("me/count", path="chat")) == [7]


async def test_last_is_the_final_value(fal: Session) -> None:
    assert (await fal.stream("me/count").last())["number"] == 2
    async with fal.stream("me/count") as stream:
        async for value in stream:
            if value["number"] == 1:
                break
        assert (await stream.last())["number"] == 2
    stream = fal.stream("me/count")
    assert await numbers(stream) == [0, 1, 2]
    assert (await stream.last())["number"] == 2
    with pytest.raises(StreamError, match="without a value") as caught:
        await fal.stream("me/count", {"n": 0}).last()
    assert caught.value.reason == "empty"


@pytest.mark.parametrize("way", ["failed", "left", "closed", "cancelled", "refused"])
async def test_last_never_passes_off_another_value_as_the_final_one(
    fal: Session, emulator: Emulator, way: str
) -> None:
    stream = fal.stream("me/endless")
    Endless(emulator)
    if way == "failed":
        emulator.faults.add(Fault.event("{}", event_type="error", on="stream"))
        with pytest.raises(StreamError):
            await values_of(stream)
    elif way == "cancelled":
        iterator = aiter(stream)
        await anext(iterator)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(iterator), 0.05)
        with pytest.raises(StreamError, match="cancelled wait"):  # not an end in silence
            await anext(iterator)
    elif way == "left":
        async for _ in stream:
            break
    elif way == "refused":
        emulator.faults.add(Fault.balance(on="stream"))
        for _ in range(2):
            with pytest.raises(BalanceExhaustedError):
                await stream.last()
        return
    await stream.aclose()
    with pytest.raises(StreamError) as caught:
        await stream.last()
    assert caught.value.reason == ("error" if way == "failed" else "cut")
    assert caught.value.received == ([] if way == "closed" else [1])


async def test_only_one_task_reads(fal: Session, emulator: Emulator) -> None:
    model = Endless(emulator)
    stream = fal.stream("me/endless")
    one, other = aiter(stream), aiter(stream)
    first: asyncio.Task[int] = asyncio.create_task(anext(one))  # type: ignore[arg-type]
    await emulator.wait_for("stream")
    with pytest.raises(SessionStateError, match="another task"):
        await anext(other)
    assert await first == 1
    second: asyncio.Task[int] = asyncio.create_task(anext(one))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    with pytest.raises(SessionStateError, match="another task"):
        await anext(other)
    assert not second.done(), "the one that reads is left alone"
    assert emulator.count("stream") == 1, "nothing is paid twice"
    second.cancel()
    await model.stopped()


async def test_files_in_the_input_are_uploaded_first(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/look")
    async def look(input: Any) -> AsyncIterator[str]:
        yield input["image"]

    url = await fal.stream("me/look", {"image": File(b"picture", content_type="image/png")}).last()
    assert url.startswith(f"{emulator.url}/v3")
    assert [request.kind for request in emulator.requests][-1] == "stream"


async def test_output_type(fal: Session) -> None:
    values = await values_of(fal.stream("me/count", {"n": 1}, output_type=Number))
    assert values == [Number(0, "é😀")]


async def test_raw_events(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/rich")
    async def rich(input: Any) -> AsyncIterator[Event]:
        yield Event("a\nb", event="e", id="7", retry=10, comment="c")
        yield Event("")
        yield Event("[DONE]")
        yield Event("x", event="error")

    assert [item async for item in fal.stream("me/rich").raw()] == [
        ServerSentEvent(data="a\nb", event="e", id="7", retry=10),
        ServerSentEvent(data="", id="7"),
        ServerSentEvent(data="[DONE]", id="7"),
        ServerSentEvent(data="x", event="error", id="7"),
    ]


async def test_empty_and_done_events(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.event("", on="stream"), Fault.event("[DONE]", on="stream", events=2))
    assert await numbers(fal.stream("me/count")) == [0, 1, 2]
    assert await numbers(fal.stream("me/count")) == [0, 1]


async def test_falsy_values_are_values(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/falsy")
    async def falsy(input: Any) -> AsyncIterator[Any]:
        values: list[Any] = [0, "", False, None, [], {}]
        for value in values:
            yield value

    assert await values_of(fal.stream("me/falsy")) == [0, "", False, None, [], {}]


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (" [1] ", [1]),
        ("1e3", 1000.0),
        ('"[DONE]"', "[DONE]"),
        ("\t{}", {}),
        ("[1] x", None),
        ("[" * 9999, None),
    ],
)
async def test_values_are_what_json_says(fal: Session, emulator: Emulator, data: str, value: Any) -> None:
    emulator.faults.add(Fault.event(data, on="stream"))
    if value is not None:
        assert await fal.stream("me/count", {"n": 1}).last() == value
        return
    with pytest.raises(StreamError, match="not JSON") as caught:
        await fal.stream("me/count", {"n": 1}).last()
    assert (caught.value.reason, caught.value.count) == ("undecodable", 1)


async def test_a_slow_reader_is_not_an_idle_stream(fal: Session, emulator: Emulator) -> None:
    Endless(emulator)
    got = []
    async for value in fal.stream("me/count", idle_timeout=0.1):
        got.append(value["number"])
        await another_goes_idle(fal, 0.1)
    assert got == [0, 1, 2]


async def test_a_binary_answer_comes_in_chunks(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/bytes")
    async def pieces(input: Any) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"\x00\xff" * 50_000

    chunks = [chunk async for chunk in fal.stream("me/bytes")]
    assert all(isinstance(chunk, bytes) for chunk in chunks)
    assert b"".join(chunks) == b"\x00\xff" * 150_000


async def test_an_answer_in_one_piece_is_one_value(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/plain")
    async def plain(input: Any) -> Any:
        return {"whole": True}

    assert await values_of(fal.stream("me/plain", path="")) == [{"whole": True}]


async def test_keep_alives_are_no_values_and_no_silence(fal: Session, emulator: Emulator) -> None:
    Endless(emulator)
    begun, go_on = asyncio.Event(), asyncio.Event()
    async with Emulator(keep_alive=0.02) as talking, Session(talking.key, hosts=talking.hosts) as other:

        @talking.endpoint("me/slow")
        async def slow(input: Any) -> AsyncIterator[int]:
            yield 1
            begun.set()
            await go_on.wait()
            yield 2

        values = asyncio.create_task(values_of(other.stream("me/slow", idle_timeout=0.3)))
        await begun.wait()
        for _ in range(2):
            await another_goes_idle(fal, 0.3)
        go_on.set()
        assert await values == [1, 2]


async def test_bytes_that_drip(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.drip(0.0001, on="stream"))
    values = await values_of(fal.stream("me/count", {"n": 2}))
    assert values == [{"number": n, "name": "é😀"} for n in range(2)]


async def test_the_module_level_shortcut(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_BASE_URL", emulator.url)
    monkeypatch.setenv("FAL_KEY", emulator.key)
    url = emulator.url

    async def script() -> list[int]:
        assert url
        return [value["number"] async for value in fal_async.stream("me/count")]

    # In a loop of its own, as `asyncio.run` in a script.
    assert await asyncio.to_thread(asyncio.run, script()) == [0, 1, 2]


# Errors before the first event.


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.answer(401, on="stream"), AuthenticationError),
        (Fault.balance(on="stream"), BalanceExhaustedError),
        (Fault.answer(422, on="stream"), ValidationError),
    ],
)
@pytest.mark.parametrize("how", ["block", "loop", "last"])
async def test_http_errors(
    fal: Session, emulator: Emulator, fault: Fault, kind: type[Exception], how: str
) -> None:
    emulator.faults.add(fault)
    stream = fal.stream("me/count")
    use = {"block": stream.__aenter__, "loop": lambda: numbers(stream), "last": stream.last}
    with pytest.raises(kind):
        await use[how]()
    assert emulator.count("stream") == 1


async def test_an_unknown_model_and_one_without_a_stream(fal: Session) -> None:
    with pytest.raises(NotFoundError, match="none"):
        await fal.stream("me/none").last()
    with pytest.raises(NotFoundError):
        await fal.stream("fal-ai/flux/dev").last()


async def test_what_was_refused_before_it_began_is_sent_again(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(429, on="stream", retry_after=0))
    assert await numbers(fal.stream("me/count")) == [0, 1, 2]
    assert emulator.count("stream") == 2
    emulator.faults.add(Fault.answer(429, on="stream"))
    with pytest.raises(RateLimitError):
        await fal.stream("me/count", retry=ONCE).last()


async def test_what_may_have_been_taken_is_not(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.reset(on="stream"))
    with pytest.raises(SubmissionUncertainError):
        await fal.stream("me/count").last()
    assert emulator.count("stream") == 1


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), True, "1"])
async def test_a_wrong_idle_timeout(fal: Session, seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="idle_timeout"):
        fal.stream("me/count", idle_timeout=seconds)


async def test_wrong_arguments(fal: Session, emulator: Emulator) -> None:
    with pytest.raises(ConfigurationError, match="endpoint id"):
        fal.stream("nonsense")
    with pytest.raises(ConfigurationError, match="input"):
        await fal.stream("me/count", {"x": object()}).last()
    assert emulator.count() == 0


# Errors after it.


@pytest.mark.parametrize(
    ("fault", "reason", "count"),
    [
        (Fault.truncate(on="stream", events=2), "cut", 1),
        (Fault.truncate(on="stream", events=2, cut="character"), "cut", 1),
        (Fault.truncate(on="stream", events=2, cut="clean"), "cut", 1),
        (Fault.close(on="stream", taken=True, events=2), "cut", 2),
        (Fault.reset(on="stream", taken=True, events=1), "cut", None),
        (Fault.wrong_json(on="stream", events=3), "undecodable", 2),
        (Fault.wrong_json("[1,", on="stream", events=1), "undecodable", 0),
        (Fault.event('{"detail":"out of memory"}', event_type="error", on="stream"), "error", 1),
        (Fault.stall(30, where="body", on="stream", events=2), "idle", 2),
    ],
)
async def test_a_stream_that_fails(
    fal: Session, emulator: Emulator, fault: Fault, reason: str, count: int | None
) -> None:
    emulator.faults.add(fault)
    got: list[Any] = []
    with pytest.raises(StreamError) as caught:
        await collect(fal.stream("me/count", idle_timeout=0.5), got)
    error = caught.value
    assert error.reason == reason
    assert error.received == got
    assert error.count == len(got)
    assert count in (None, len(got))
    assert (error.request_id, error.endpoint_id) == (next(iter(emulator.jobs)), "me/count/stream")
    assert not error.retryable
    assert emulator.count("stream") == 1
    for twin in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert (str(twin), twin.received, twin.reason) == (str(error), got, reason)
    assert error.to_dict()["reason"] == reason


async def test_an_error_event_tells_what_it_says(fal: Session, emulator: Emulator) -> None:
    for data, words in [
        ('{"detail":[{"loc":["body"],"msg":"no such voice","type":"x"}]}', "no such voice"),
        ('{"error":{"message":"overloaded"}}', "overloaded"),
        ("plain words", "plain words"),
        ("", "error event"),
    ]:
        emulator.faults.add(Fault.event(data, event_type="error", on="stream", events=0))
        with pytest.raises(StreamError, match=words) as caught:
            await fal.stream("me/count").last()
        assert caught.value.detail == (json.loads(data) if data.startswith("{") else data)


FAILED_STEP = {
    "type": "error",
    "node_id": "upscale",
    "message": "step upscale (request r-1) failed",
    "error": {"status": 422, "body": {"detail": []}},
}


@pytest.mark.parametrize("output_type", [None, Number])
async def test_a_failed_step_of_a_workflow_is_no_result(
    fal: Session, emulator: Emulator, output_type: Any
) -> None:
    """Nothing follows it, so the last event would be taken for the result (protocol 15.2)."""

    @emulator.endpoint("workflows/me/story")
    async def story(_: Any) -> AsyncIterator[Any]:
        yield {"type": "submit", "node_id": "upscale", "number": 1}
        yield FAILED_STEP

    with pytest.raises(StreamError, match="step upscale") as caught:
        await fal.stream("workflows/me/story", output_type=output_type).last()
    error = caught.value
    assert (error.reason, error.detail, error.count) == ("error", FAILED_STEP, 1)
    assert error.endpoint_id == "workflows/me/story/stream"
    stream = fal.stream("workflows/me/story")
    events = list[Any]()
    with pytest.raises(StreamError):
        await collect(stream, events)
    assert [event["type"] for event in events] == ["submit"]


async def test_the_events_of_a_workflow_are_values(fal: Session, emulator: Emulator) -> None:
    sent = [
        {"type": "submit"},
        {"type": "completion", "output": {"type": "error"}},
        {"type": "output", "output": 1},
    ]

    @emulator.endpoint("workflows/me/story")
    async def story(_: Any) -> AsyncIterator[Any]:
        for event in sent:
            yield event

    assert await values_of(fal.stream("workflows/me/story")) == sent


async def test_what_another_model_calls_an_error_is_its_own_affair(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/critic")
    async def critic(_: Any) -> AsyncIterator[Any]:
        yield FAILED_STEP

    assert await fal.stream("me/critic").last() == FAILED_STEP


async def test_a_value_of_another_shape(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.missing("number", on="stream"))
    with pytest.raises(StreamError, match="number") as caught:
        await fal.stream("me/count", output_type=Number).last()
    assert caught.value.reason == "undecodable"


async def test_a_typed_stream_of_texts_or_bytes_makes_no_list_of_them(
    fal: Session, emulator: Emulator
) -> None:
    @emulator.endpoint("me/words")
    async def words(input: Any) -> AsyncIterator[Any]:
        yield b"bytes" * 100 if input["binary"] else "text"

    for binary, came in ((False, "string"), (True, "bytes")):
        with pytest.raises(StreamError, match=f"expected an array, got {came}") as caught:
            await fal.stream("me/words", {"binary": binary}, output_type=list[str]).last()
        assert caught.value.reason == "undecodable"


async def test_a_page_in_place_of_a_stream(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.html(200, on="stream"))
    with pytest.raises(StreamError, match="HTML"):
        await fal.stream("me/count").last()


async def test_an_iteration_that_failed_is_over(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.truncate(on="stream", events=2))
    async with fal.stream("me/count") as stream:
        with pytest.raises(StreamError):
            await numbers(stream)
        assert await numbers(stream) == []
    assert emulator.count("stream") == 1


async def test_what_was_received_is_bounded(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/long")
    async def long(input: Any) -> AsyncIterator[str]:
        for number in range(40):
            yield str(number) * 100_000

    emulator.faults.add(Fault.close(on="stream", taken=True, events=40))
    with pytest.raises(StreamError) as caught:
        await fal.stream("me/long").last()
    assert caught.value.count == 40
    assert 5 <= len(caught.value.received) < 12
    assert caught.value.received[-1] == "39" * 100_000
    assert len(str(caught.value)) < 300


# Leaving.


async def test_leaving_the_loop_closes_the_connection_at_once(fal: Session, emulator: Emulator) -> None:
    model = Endless(emulator)
    stream = fal.stream("me/endless")  # it keeps its name: nothing is collected
    async for value in stream:
        assert value == 1
        break
    await model.stopped()
    assert await values_of(stream) == []


async def test_an_exception_in_the_loop_closes_the_connection(fal: Session, emulator: Emulator) -> None:
    model = Endless(emulator)
    with pytest.raises(KeyError):  # noqa: PT012 - the loop that is left is what this is about
        async for _ in fal.stream("me/endless"):
            raise KeyError("mine")
    await model.stopped()


async def test_leaving_the_block_closes_the_connection(fal: Session, emulator: Emulator) -> None:
    model = Endless(emulator)
    async with fal.stream("me/endless") as stream:
        async for _ in stream:
            break
        assert not model.left.is_set()  # within the block one may go on reading
    await model.stopped()


async def test_cancelling_closes_the_connection(fal: Session, emulator: Emulator) -> None:
    model = Endless(emulator)
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in fal.stream("me/endless"):
            begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await model.stopped()


async def test_closing_the_session_ends_its_streams(emulator: Emulator) -> None:
    model = Endless(emulator)
    async with Session(emulator.key, hosts=emulator.hosts) as fal:
        stream = fal.stream("me/endless")
        iterator = aiter(stream)
        await anext(iterator)
        waiting: asyncio.Task[Any] = asyncio.create_task(anext(iterator))  # type: ignore[arg-type]
        await asyncio.sleep(0)
    with pytest.raises(SessionStateError, match="closed meanwhile") as caught:
        await asyncio.wait_for(waiting, 5)
    assert caught.value.request_id == stream.request_id
    await model.stopped()


async def test_an_outer_timeout_is_the_callers(fal: Session, emulator: Emulator) -> None:
    model = Endless(emulator)
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.2):
            await fal.stream("me/endless").last()
    assert not isinstance(caught.value, fal_async.FalError)
    await model.stopped()


async def test_a_stream_that_is_dropped_in_the_middle(fal: Session, emulator: Emulator) -> None:
    model = Endless(emulator)
    iterator = aiter(fal.stream("me/endless"))
    assert await anext(iterator) == 1
    del iterator
    gc.collect()
    await model.stopped()


async def test_hundreds_of_streams_at_once(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/many", runners=500)
    async def many(input: Any, job: JobContext) -> AsyncIterator[int]:
        for number in range(5):
            await job.sleep(0.5)
            yield number

    results = await asyncio.gather(*(fal.stream("me/many").last() for _ in range(200)))
    assert results == [4] * 200
