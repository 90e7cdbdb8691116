"""`sse_response` with values that JSON can't represent, with errors, and with browsers that reconnect."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from starlette.requests import Request
from starlette.types import Message

from fal_async import Session
from fal_async.emulator import Answer, Emulator, Fault, JobContext
from fal_async.integrations.sse_events import LastEvent, last_event
from fal_async.integrations.starlette import sse_response, webhook_route
from fal_async.protocol.sse import SSEDecoder
from tests.quick import quick, session_on
from tests.test_json_values import strict

Event = dict[str, Any]


class Browser:
    """One request of an EventSource, passed directly to the response."""

    def __init__(self, last_event_id: str | None = None) -> None:
        headers = [] if last_event_id is None else [(b"last-event-id", last_event_id.encode())]
        self.scope: Any = {"type": "http", "method": "GET", "headers": headers}
        self.left = asyncio.Event()
        self.received = bytearray()
        self.complete = False

    async def follow(self, source: Any, **options: Any) -> list[Event]:
        response = await sse_response(Request(self.scope), source, **options)
        async with asyncio.timeout(10):
            await response(self.scope, self._receive, self._send)
        return self.events

    async def _receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self.received += message.get("body", b"")
            self.complete = not message.get("more_body", False)

    @property
    def events(self) -> list[Event]:
        found: list[Event] = []
        for block in self.received.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "data" in fields:
                found.append({"event": "message", **fields, "data": strict(fields["data"])})
        return found


async def test_a_relayed_result_with_nan_is_valid_json(emulator: Emulator, fal: Session) -> None:
    @emulator.endpoint("me/score")
    async def score(_: Any) -> Any:
        return Answer(
            200, {"Content-Type": "application/json"}, '{"score": NaN, "worst": -Infinity, "\\ud800": 1}'
        )

    *_, result = await Browser().follow(lambda: fal.queue.submit("me/score", {}))
    assert result["event"] == "result"
    assert result["data"]["data"] == {"score": None, "worst": None, "\ufffd": 1}


@attrs.frozen
class Scored:
    score: float
    at: datetime.date = datetime.date(2026, 1, 2)


async def test_a_relayed_stream_of_typed_items_is_valid_json(emulator: Emulator, fal: Session) -> None:
    @emulator.endpoint("me/scores")
    async def scores(_: Any) -> AsyncIterator[Any]:
        yield {"score": 1.5}
        yield {"score": float("nan")}

    events = await Browser().follow(fal.stream("me/scores", {}, output_type=Scored))
    assert [event["data"] for event in events] == [
        {"score": 1.5, "at": "2026-01-02"},
        {"score": None, "at": "2026-01-02"},
        None,
    ]
    assert events[-1]["event"] == "done"


async def test_a_relayed_request_that_may_be_paid_is_not_retryable(emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(429, on="result", times=None))
    async with session_on(emulator, retry=quick(result_total=0.1)) as fal:
        *_, failed = await Browser().follow(lambda: fal.submit("me/echo", {}))
    assert (failed["event"], failed["data"]["status"], failed["data"]["retryable"]) == ("failed", 500, False)


async def test_a_relayed_iterable_may_yield_results_of_calls(fal: Session) -> None:
    async def results() -> AsyncIterator[Any]:
        yield await fal.subscribe("me/echo", {"a": 1})
        yield [await fal.run("me/echo", {"a": 2})]

    one, (two,), _ = [event["data"] for event in await Browser().follow(results())]
    assert (one["data"], two["data"]) == ({"a": 1}, {"a": 2})
    assert one["request_id"]


async def test_an_item_without_a_json_form_ends_a_relay_with_a_failed_event() -> None:
    async def values() -> AsyncIterator[Any]:
        yield 1
        yield object()

    browser = Browser()
    one, failed = await browser.follow(values())
    assert (one["data"], failed["event"], failed["data"]["status"]) == (1, "failed", 500)
    assert browser.complete


async def test_an_iterable_that_raises_sends_a_failed_event_before_its_error() -> None:
    """To a browser a truncated response is a lost connection: it would reconnect, and pay again."""

    async def values() -> AsyncIterator[Any]:
        yield 1
        raise ZeroDivisionError("secret")

    browser = Browser()
    with pytest.raises(ZeroDivisionError):
        await browser.follow(values())
    assert [event["event"] for event in browser.events] == ["message", "failed"]
    assert b"secret" not in browser.received


async def test_a_browser_that_reads_nothing_counts_as_disconnected(emulator: Emulator, fal: Session) -> None:
    """It could hold one of the session's connections, and the job, for ever."""

    class Stuck(Browser):
        async def _send(self, message: Message) -> None:
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

    await Stuck().follow(lambda: fal.queue.submit("me/endless", {}), keep_alive=0.05)
    (job,) = emulator.jobs.values()
    assert job.cancel_requests == 1


# Browsers that reconnect.


def talkative(emulator: Emulator) -> asyncio.Queue[str]:
    """Register an endpoint that logs each line put into the queue, and ends at an empty one."""
    said: asyncio.Queue[str] = asyncio.Queue()

    @emulator.endpoint("me/talk")
    async def talk(_: Any, job: JobContext) -> Any:
        while line := await said.get():
            job.log(line)
        return {}

    return said


def lines_of(events: list[Event]) -> list[str]:
    return [line["message"] for event in events for line in event["data"].get("logs", ())]


async def until(browser: Browser, line: str) -> None:
    async with asyncio.timeout(10):
        while line not in lines_of(browser.events):
            await asyncio.sleep(0.01)


async def test_a_reconnecting_browser_gets_each_log_line_once(emulator: Emulator, fal: Session) -> None:
    said = talkative(emulator)
    handle = await fal.queue.submit("me/talk", {})
    browser = Browser()
    following = asyncio.ensure_future(browser.follow(handle, cancel_on_disconnect=False))
    for line in ("one", "two", "two"):
        said.put_nowait(line)
    await until(browser, "two")
    browser.left.set()
    first = await following
    for line in ("three", "four", ""):
        said.put_nowait(line)
    await emulator.jobs[handle.request_id].wait_for("COMPLETED", timeout=5)
    again = Browser(first[-1]["id"])
    rest = await again.follow(
        lambda: pytest.fail("it pays again"),
        resume=lambda request_id: fal.queue.handle("me/talk", request_id),
        cancel_on_disconnect=False,
    )
    assert lines_of(rest) == ["three", "four"]
    numbers = [int(event["id"].rpartition(".")[2].partition("-")[0]) for event in [*first, *rest][:-1]]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_reconnecting_browser_gets_all_lines_if_its_last_one_is_gone(
    emulator: Emulator, fal: Session
) -> None:
    said = talkative(emulator)
    handle = await fal.queue.submit("me/talk", {})
    for line in ("one", "two", "three", ""):
        said.put_nowait(line)
    await emulator.jobs[handle.request_id].wait_for("COMPLETED", timeout=5)
    again = Browser(f"{handle.request_id}.3-0123456789ab")
    rest = await again.follow(lambda: handle, resume=lambda _: handle, cancel_on_disconnect=False)
    assert lines_of(rest) == ["one", "two", "three"]


async def test_a_browser_gets_the_request_id_before_the_first_event(emulator: Emulator, fal: Session) -> None:
    handle = await fal.queue.submit("me/endless", {})
    browser = Browser()
    browser.left.set()
    await browser.follow(handle)
    assert browser.received.startswith(f"id: {handle.request_id}.0\n\n".encode())
    assert SSEDecoder().feed(f"id: {handle.request_id}.0\n\n".encode()) == []  # no event is dispatched for it


async def test_a_browser_that_reconnects_before_the_first_event_follows_the_same_request(
    emulator: Emulator, fal: Session
) -> None:
    """The id of the first block, which has no data, is what EventSource sends as `Last-Event-ID`."""
    handle = await fal.queue.submit("me/echo", {"a": 1})
    again = Browser(f"{handle.request_id}.0")
    events = await again.follow(
        lambda: pytest.fail("the request is submitted again"),
        resume=lambda request_id: fal.queue.handle("me/echo", request_id),
        cancel_on_disconnect=False,
    )
    assert events[-1]["data"]["data"] == {"a": 1}
    assert emulator.count("submit") == 1


@pytest.mark.parametrize(
    ("header", "seen"),
    [
        ("a-b.1", LastEvent("a-b", False, 1)),
        ("a.1-2.7-0123456789ab", LastEvent("a.1-2", False, 7, "0123456789ab")),
        ("a.end", LastEvent("a", True)),
        ("a.1-", None),
        ("a.1-0123456789AB", None),
        ("a.end-0123456789ab", None),
        ("a.\u0661", None),
        ("a", None),
        (None, None),
    ],
)
def test_a_last_event_id_is_parsed_or_ignored(header: str | None, seen: LastEvent | None) -> None:
    assert last_event(header) == seen


# Webhooks.


async def test_a_webhook_sender_that_disconnects_is_answered_with_499(fal: Session) -> None:
    receiver = fal.webhooks.attach("https://me.example/hook")
    route, sent = webhook_route("/", receiver=receiver), list[Any]()
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "http", "method": "POST", "headers": [], "path": "/", "client": None}
    await route.app(scope, receive, send)
    assert sent[0]["status"] == 499
    assert json.dumps([message.get("type") for message in sent])
