"""Streams of a session against the emulator (protocol 5.1)."""

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
    """Let time pass: as long as another, silent stream takes to raise StreamError."""
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


# Values and events.


async def test_a_stream_yields_the_values_of_the_model_in_order(fal: Session, emulator: Emulator) -> None:
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


async def test_the_stream_path_is_added_to_the_endpoint_id_once(fal: Session, emulator: Emulator) -> None:
    assert await numbers(fal.stream("me/count/stream")) == [0, 1, 2]

    @emulator.endpoint("me/count/chat")
    async def chat(input: Any) -> AsyncIterator[int]:
        yield 7

    assert await values_of(fal.stream("me/count", path="chat")) == [7]


async def test_last_returns_the_final_value_of_a_stream(fal: Session) -> None:
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
async def test_last_of_an_unfinished_stream_raises_instead_of_returning_another_value(
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
        with pytest.raises(StreamError, match="cancelled wait"):  # instead of ending silently
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


async def test_a_second_task_that_reads_a_stream_is_refused(fal: Session, emulator: Emulator) -> None:
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
    assert not second.done(), "the task that reads goes on"
    assert emulator.count("stream") == 1, "the stream is not sent and paid twice"
    second.cancel()
    await model.stopped()


async def test_files_in_the_input_of_a_stream_are_uploaded_first(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/look")
    async def look(input: Any) -> AsyncIterator[str]:
        yield input["image"]

    url = await fal.stream("me/look", {"image": File(b"picture", content_type="image/png")}).last()
    assert url.startswith(f"{emulator.url}/v3")
    assert [request.kind for request in emulator.requests][-1] == "stream"


async def test_output_type_builds_each_value_of_a_stream(fal: Session) -> None:
    values = await values_of(fal.stream("me/count", {"n": 1}, output_type=Number))
    assert values == [Number(0, "é😀")]


async def test_raw_yields_the_events_of_a_stream_undecoded(fal: Session, emulator: Emulator) -> None:
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


async def test_empty_events_are_skipped_and_done_ends_the_stream(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.event("", on="stream"), Fault.event("[DONE]", on="stream", events=2))
    assert await numbers(fal.stream("me/count")) == [0, 1, 2]
    assert await numbers(fal.stream("me/count")) == [0, 1]


async def test_falsy_values_of_a_stream_are_yielded(fal: Session, emulator: Emulator) -> None:
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
async def test_event_data_is_decoded_as_json_or_raises_stream_error(
    fal: Session, emulator: Emulator, data: str, value: Any
) -> None:
    emulator.faults.add(Fault.event(data, on="stream"))
    if value is not None:
        assert await fal.stream("me/count", {"n": 1}).last() == value
        return
    with pytest.raises(StreamError, match="not JSON") as caught:
        await fal.stream("me/count", {"n": 1}).last()
    assert (caught.value.reason, caught.value.count) == ("undecodable", 1)


async def test_a_slow_reader_does_not_make_a_stream_idle(fal: Session, emulator: Emulator) -> None:
    Endless(emulator)
    got = []
    async for value in fal.stream("me/count", idle_timeout=0.1):
        got.append(value["number"])
        await another_goes_idle(fal, 0.1)
    assert got == [0, 1, 2]


async def test_a_binary_response_is_streamed_in_chunks(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/bytes")
    async def pieces(input: Any) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"\x00\xff" * 50_000

    chunks = [chunk async for chunk in fal.stream("me/bytes")]
    assert all(isinstance(chunk, bytes) for chunk in chunks)
    assert b"".join(chunks) == b"\x00\xff" * 150_000


async def test_a_response_that_is_not_a_stream_is_one_value(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/plain")
    async def plain(input: Any) -> Any:
        return {"whole": True}

    assert await values_of(fal.stream("me/plain", path="")) == [{"whole": True}]


async def test_keep_alives_keep_a_stream_from_going_idle_and_are_not_yielded(
    fal: Session, emulator: Emulator
) -> None:
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


async def test_a_stream_that_arrives_in_tiny_pieces_is_decoded(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.drip(0.0001, on="stream"))
    values = await values_of(fal.stream("me/count", {"n": 2}))
    assert values == [{"number": n, "name": "é😀"} for n in range(2)]


async def test_the_module_level_stream_yields_the_values(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_BASE_URL", emulator.url)
    monkeypatch.setenv("FAL_KEY", emulator.key)
    url = emulator.url

    async def script() -> list[int]:
        assert url
        return [value["number"] async for value in fal_async.stream("me/count")]

    # In another loop, as with `asyncio.run` in a script.
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
async def test_an_error_response_to_a_stream_is_raised_on_its_first_use(
    fal: Session, emulator: Emulator, fault: Fault, kind: type[Exception], how: str
) -> None:
    emulator.faults.add(fault)
    stream = fal.stream("me/count")
    use = {"block": stream.__aenter__, "loop": lambda: numbers(stream), "last": stream.last}
    with pytest.raises(kind):
        await use[how]()
    assert emulator.count("stream") == 1


async def test_a_stream_of_an_endpoint_without_one_raises_not_found(fal: Session) -> None:
    with pytest.raises(NotFoundError, match="none"):
        await fal.stream("me/none").last()
    with pytest.raises(NotFoundError):
        await fal.stream("fal-ai/flux/dev").last()


async def test_a_stream_that_was_refused_with_429_is_retried(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(429, on="stream", retry_after=0))
    assert await numbers(fal.stream("me/count")) == [0, 1, 2]
    assert emulator.count("stream") == 2
    emulator.faults.add(Fault.answer(429, on="stream"))
    with pytest.raises(RateLimitError):
        await fal.stream("me/count", retry=ONCE).last()


async def test_a_stream_that_fal_may_have_accepted_is_not_retried(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.reset(on="stream"))
    with pytest.raises(SubmissionUncertainError):
        await fal.stream("me/count").last()
    assert emulator.count("stream") == 1


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), True, "1"])
async def test_an_invalid_idle_timeout_is_refused(fal: Session, seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="idle_timeout"):
        fal.stream("me/count", idle_timeout=seconds)


async def test_an_invalid_argument_of_a_stream_is_refused_before_anything_is_sent(
    fal: Session, emulator: Emulator
) -> None:
    with pytest.raises(ConfigurationError, match="endpoint id"):
        fal.stream("nonsense")
    with pytest.raises(ConfigurationError, match="input"):
        await fal.stream("me/count", {"x": object()}).last()
    assert emulator.count() == 0


# Errors after the first event.


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
async def test_a_broken_stream_raises_stream_error_with_what_was_received(
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


async def test_an_error_event_raises_stream_error_with_its_message_and_detail(
    fal: Session, emulator: Emulator
) -> None:
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


async def test_a_value_that_looks_like_a_failed_step_is_yielded_if_the_model_is_no_workflow(
    fal: Session, emulator: Emulator
) -> None:
    @emulator.endpoint("me/critic")
    async def critic(_: Any) -> AsyncIterator[Any]:
        yield FAILED_STEP

    assert await fal.stream("me/critic").last() == FAILED_STEP


async def test_a_value_that_does_not_fit_output_type_raises_stream_error(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.missing("number", on="stream"))
    with pytest.raises(StreamError, match="number") as caught:
        await fal.stream("me/count", output_type=Number).last()
    assert caught.value.reason == "undecodable"


async def test_a_str_or_bytes_value_does_not_fit_a_list_as_output_type(
    fal: Session, emulator: Emulator
) -> None:
    @emulator.endpoint("me/words")
    async def words(input: Any) -> AsyncIterator[Any]:
        yield b"bytes" * 100 if input["binary"] else "text"

    for binary, came in ((False, "string"), (True, "bytes")):
        with pytest.raises(StreamError, match=f"expected an array, got {came}") as caught:
            await fal.stream("me/words", {"binary": binary}, output_type=list[str]).last()
        assert caught.value.reason == "undecodable"


async def test_an_html_page_instead_of_a_stream_raises_stream_error(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.html(200, on="stream"))
    with pytest.raises(StreamError, match="HTML"):
        await fal.stream("me/count").last()


async def test_a_stream_yields_nothing_more_after_a_failure(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.truncate(on="stream", events=2))
    async with fal.stream("me/count") as stream:
        with pytest.raises(StreamError):
            await numbers(stream)
        assert await numbers(stream) == []
    assert emulator.count("stream") == 1


async def test_received_values_of_a_stream_error_are_bounded(fal: Session, emulator: Emulator) -> None:
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


async def test_leaving_the_loop_of_a_stream_closes_its_connection_at_once(
    fal: Session, emulator: Emulator
) -> None:
    model = Endless(emulator)
    stream = fal.stream("me/endless")  # referenced by a name, so that it is not garbage collected
    async for value in stream:
        assert value == 1
        break
    await model.stopped()
    assert await values_of(stream) == []


async def test_an_exception_in_the_loop_of_a_stream_closes_its_connection(
    fal: Session, emulator: Emulator
) -> None:
    model = Endless(emulator)
    with pytest.raises(KeyError):  # noqa: PT012 - the test is about leaving the loop
        async for _ in fal.stream("me/endless"):
            raise KeyError("mine")
    await model.stopped()


async def test_leaving_the_block_of_a_stream_closes_its_connection(fal: Session, emulator: Emulator) -> None:
    model = Endless(emulator)
    async with fal.stream("me/endless") as stream:
        async for _ in stream:
            break
        assert not model.left.is_set()  # inside the block, the stream can be read further
    await model.stopped()


async def test_cancelling_the_reader_of_a_stream_closes_its_connection(
    fal: Session, emulator: Emulator
) -> None:
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
    with pytest.raises(SessionStateError, match="closed during the call") as caught:
        await asyncio.wait_for(waiting, 5)
    assert caught.value.request_id == stream.request_id
    await model.stopped()


async def test_a_timeout_around_a_stream_raises_the_builtin_timeout_error(
    fal: Session, emulator: Emulator
) -> None:
    model = Endless(emulator)
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.2):
            await fal.stream("me/endless").last()
    assert not isinstance(caught.value, fal_async.FalError)
    await model.stopped()


async def test_a_stream_that_is_garbage_collected_closes_its_connection(
    fal: Session, emulator: Emulator
) -> None:
    model = Endless(emulator)
    iterator = aiter(fal.stream("me/endless"))
    assert await anext(iterator) == 1
    del iterator
    gc.collect()
    await model.stopped()


async def test_two_hundred_streams_at_once_return_their_last_values(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/many", runners=500)
    async def many(input: Any, job: JobContext) -> AsyncIterator[int]:
        for number in range(5):
            await job.sleep(0.5)
            yield number

    results = await asyncio.gather(*(fal.stream("me/many").last() for _ in range(200)))
    assert results == [4] * 200
