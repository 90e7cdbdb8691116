"""What type checkers and editors see. mypy checks this file with the other tests; pytest compares the names."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict, assert_type, get_type_hints

import attrs
import pytest

import fal_async
from fal_async import (
    Batch,
    BatchItem,
    BillingEvent,
    CancelOutcome,
    Endpoint,
    EventStream,
    HttpOverWebSocket,
    Listing,
    Model,
    Price,
    QueueStatus,
    RequestHandle,
    Result,
    RetryPolicy,
    Session,
    StorageSettings,
)
from fal_async.options import CallOptions, QueueOptions, RunOptions
from fal_async.platform import ApiKey, Page
from fal_async.queue import Queue
from fal_async.storage import Storage


@dataclass
class Answer:
    output: str


class AnswerDict(TypedDict):
    output: str


@attrs.frozen
class Prompt:
    prompt: str


class PromptDict(TypedDict, total=False):
    prompt: str


TYPED = Endpoint("a/b", input=Prompt, output=Answer)


async def typed_endpoint(fal: Session) -> None:
    """Never called. An `Endpoint` gives its types to every call, and `output_type` takes precedence."""
    assert_type(TYPED, Endpoint[Prompt, Answer])
    assert_type(await fal.run(TYPED, Prompt("x")), Result[Answer])
    assert_type(await fal.run(TYPED, Prompt("x"), output_type=AnswerDict), Result[AnswerDict])
    assert_type(await fal.subscribe(TYPED, Prompt("x")), Result[Answer, str])
    assert_type(await fal.subscribe(TYPED), Result[Answer, str])
    assert_type(await fal.subscribe(TYPED, Prompt("x"), output_type=AnswerDict), Result[AnswerDict, str])
    assert_type(fal.stream(TYPED, Prompt("x")), EventStream[Answer])
    assert_type(await fal.stream(TYPED, Prompt("x")).last(), Answer)
    assert_type(fal.stream(TYPED, Prompt("x"), output_type=AnswerDict), EventStream[AnswerDict])
    assert_type(fal.map(TYPED, [Prompt("x")]), Batch[Answer])
    assert_type(fal.map(TYPED, (Prompt(text) for text in "ab"), output_type=AnswerDict), Batch[AnswerDict])
    async for item in fal.map(TYPED, [Prompt("x")]):
        assert_type(item, BatchItem[Answer])
        assert_type(item.unwrap().data.output, str)
    assert_type(await fal_async.run(TYPED, Prompt("x")), Result[Answer])
    assert_type(await fal_async.subscribe(TYPED, Prompt("x")), Result[Answer, str])
    assert_type(fal_async.stream(TYPED, Prompt("x")), EventStream[Answer])
    assert_type(await fal_async.submit(TYPED, Prompt("x")), RequestHandle[Answer])
    event = await fal.webhooks.verify({}, b"")
    assert_type(event.result(TYPED), Result[Answer, str])
    async with fal.websocket(TYPED) as calls:
        assert_type(calls, HttpOverWebSocket[Prompt, Answer])
        assert_type(await calls.run(Prompt("x")), Result[Answer])
        assert_type(await calls.recv(output_type=AnswerDict), Result[AnswerDict])
    fal.realtime.connect(TYPED)


async def typed_queue(fal: Session) -> None:
    """Never called. A handle knows the output type of its endpoint."""
    assert_type(await fal.submit(TYPED, Prompt("x")), RequestHandle[Answer])
    handle = await fal.queue.submit(TYPED, Prompt("x"))
    assert_type(handle, RequestHandle[Answer])
    assert_type(await handle.wait(), Result[Answer, str])
    assert_type(await handle.result(), Result[Answer, str])
    assert_type(await handle.wait(output_type=AnswerDict), Result[AnswerDict, str])
    assert_type(await handle.result(output_type=AnswerDict), Result[AnswerDict, str])
    assert_type(await fal.queue.handle(TYPED, "r-1").wait(), Result[Answer, str])
    assert_type(await fal.queue.result(TYPED, "r-1"), Result[Answer, str])
    assert_type(await fal.queue.result(TYPED, "r-1", output_type=AnswerDict), Result[AnswerDict, str])
    assert_type(await fal.queue.find_submission(TYPED, Prompt("x"), since=1.0), RequestHandle[Answer] | None)
    assert_type(await fal.queue.status(TYPED, "r-1"), QueueStatus)


async def inputs_of_a_typed_endpoint(fal: Session) -> None:
    """Never called. An input of another class is a mistake; a mapping only fits a TypedDict."""
    await fal.subscribe(TYPED, Answer("x"))  # type: ignore[misc]
    await fal.run(TYPED, {"prompt": "x"})  # type: ignore[misc]
    await fal.submit(TYPED, "x")  # type: ignore[misc]
    fal.stream(TYPED, Answer("x"))  # type: ignore[misc]
    fal.map(TYPED, [Answer("x")])  # type: ignore[misc]
    await fal_async.subscribe(TYPED, Answer("x"))  # type: ignore[misc]
    by_dict = Endpoint("a/b", input=PromptDict, output=Answer)
    assert_type(await fal.subscribe(by_dict, PromptDict(prompt="x")), Result[Answer, str])
    any_input = Endpoint("a/b", output=Answer)
    assert_type(await fal.subscribe(any_input, {"prompt": "x"}), Result[Answer, str])
    any_output = Endpoint("a/b", input=Prompt)
    assert_type(await fal.subscribe(any_output, Prompt("x")), Result[Any, str])
    either: str | Endpoint = "a/b"
    assert_type(await fal.subscribe(either, {"prompt": "x"}), Result[Any, str])


async def user_code(fal: Session) -> None:
    """Never called: the type checker reads it."""
    assert_type(await fal.run("a/b", {"x": 1}), Result[Any])
    assert_type(await fal.run("a/b", {"x": 1}, output_type=Answer), Result[Answer])
    assert_type((await fal.run("a/b", output_type=AnswerDict)).data["output"], str)
    assert_type((await fal.subscribe("a/b", output_type=Answer)).data.output, str)
    assert_type(await fal_async.subscribe("a/b", output_type=Answer), Result[Answer, str])
    handle = await fal.queue.submit("a/b", Answer("x"))
    assert_type(handle, RequestHandle[Any])
    assert_type(await handle.wait(output_type=Answer), Result[Answer, str])
    assert_type(await handle.cancel(), CancelOutcome)
    async for status in handle.updates():
        assert_type(status, QueueStatus)
    assert_type(fal.stream("a/b", output_type=Answer), EventStream[Answer])
    assert_type(await fal.storage.upload(Path("x.png")), str)
    assert_type(await fal.verify_credentials(), bool)
    assert_type(fal.with_options(tags={"a": "b"}), Session)
    event = await fal.webhooks.verify({}, b"")
    assert_type(event.result(), Result[Any, str])
    assert_type(event.result(output_type=Answer), Result[Answer, str])


async def results(fal: Session) -> None:
    """Never called. A queued request has an id; the answer to a direct call may lack it."""
    queued = await fal.subscribe("a/b", output_type=Answer)
    assert_type(queued.request_id, str)
    assert_type((await fal_async.subscribe("a/b")).request_id, str)
    assert_type((await fal.queue.result("a/b", "r-1")).request_id, str)
    assert_type((await fal.queue.handle("a/b", "r-1").wait()).request_id, str)
    direct = await fal.run("a/b", output_type=Answer)
    assert_type(direct.request_id, str | None)
    either: Result[Answer] = direct
    either = queued
    assert_type(either.to_dict(), dict[str, Any])
    queued["output"]  # type: ignore[index]
    queued.output  # type: ignore[attr-defined]  # noqa: B018
    for _ in queued:  # type: ignore[attr-defined]
        pass


async def platform_values(fal: Session) -> None:
    """Never called. A list of the platform API is awaited, or read item by item, or page by page."""
    platform = fal.platform
    assert_type(await platform.pricing("a/b"), list[Price])
    assert_type(platform.pricing([Endpoint("a/b")]), Listing[Price])
    async for model in platform.models(q="flux"):
        assert_type(model, Model)
    async for page in platform.billing_events().pages():
        assert_type(page, Page[BillingEvent])
        assert_type(page.items[0].cost_total, Decimal)
    assert_type((await platform.usage(summary=True))[0].bucket, datetime | None)
    assert_type((await platform.cost("a/b", 3)).amount, Decimal)
    assert_type((await platform.keys.create("ci")).key, str)
    assert_type(await platform.keys.list(), list[ApiKey])
    assert_type(await platform.account.focus("estimate"), str)
    assert_type((await platform.workflows.get("me", "w")).endpoint_id, str | None)
    await platform.requests()  # type: ignore[call-arg]
    platform.usage(start="yesterday")  # type: ignore[arg-type]


async def options_by_name(fal: Session) -> None:
    """Never called. mypy reports an unneeded `ignore`, so each one proves that a type checker finds the mistake."""
    storage = StorageSettings(expires_in="1d")
    await fal.run("a/b", hint="h", start_timeout=5, headers={"a": "b"}, tags={"a": "b"}, storage=storage)
    await fal.subscribe("a/b", store_io=False, disable_fallback=True, inline_below=9, retry=RetryPolicy())
    await fal.queue.submit("a/b", priority="low", no_retry=True, max_queue_length=3)
    await fal_async.subscribe("a/b", priority="low", hint="h")
    await fal.run("a/b", hnt="h")  # type: ignore[call-arg]
    await fal.subscribe("a/b", start_timout=5)  # type: ignore[call-arg]
    await fal.queue.submit("a/b", prio="low")  # type: ignore[call-arg]
    await fal_async.subscribe("a/b", tag={"a": "b"})  # type: ignore[call-arg]
    fal.stream("a/b", header={"a": "b"})  # type: ignore[call-arg]
    await fal.run("a/b", priority="low")  # type: ignore[call-arg]
    await fal.subscribe("a/b", priority="urgent")  # type: ignore[arg-type]
    await fal.subscribe("a/b", start_timeout="5 s")  # type: ignore[arg-type]


def test_every_public_call_has_its_whole_signature() -> None:
    for call in (fal_async.run, fal_async.subscribe, fal_async.submit):
        assert "endpoint_id" in inspect.signature(call).parameters
    for name in ("run", "subscribe", "stream", "with_options", "verify_credentials"):
        method = getattr(Session, name)
        assert method.__doc__
        assert all(
            p.annotation is not p.empty
            for n, p in inspect.signature(method).parameters.items()
            if n != "self"
        )


@pytest.mark.parametrize(
    ("call", "options"),
    [
        (Session.run, "RunOptions"),
        (Session.stream, "RunOptions"),
        (Session.subscribe, "QueueOptions"),
        (Queue.submit, "QueueOptions"),
        (Session.submit, "QueueOptions"),
        (fal_async.run, "RunOptions"),
        (fal_async.stream, "RunOptions"),
        (fal_async.subscribe, "QueueOptions"),
        (fal_async.submit, "QueueOptions"),
    ],
)
def test_the_options_of_a_call_are_typed_and_listed_in_its_help(
    call: Callable[..., Any], options: str
) -> None:
    parameters = inspect.signature(call).parameters.values()
    assert [p.annotation for p in parameters if p.kind is p.VAR_KEYWORD] == [f"Unpack[{options}]"]
    known = {"RunOptions": RunOptions, "QueueOptions": QueueOptions}[options]
    listed = inspect.getdoc(call) or ""
    assert [name for name in known.__annotations__ if f"\n    {name}: " not in listed] == []


@pytest.mark.parametrize(("method", "same"), [("submit", Queue.submit), ("upload", Storage.upload)])
def test_a_session_has_what_the_module_has_with_the_same_signature(
    method: str, same: Callable[..., Any]
) -> None:
    assert inspect.signature(getattr(Session, method)) == inspect.signature(same)
    of_module = inspect.signature(getattr(fal_async, method)).parameters
    assert {name: p for name, p in inspect.signature(same).parameters.items() if name != "self"} == {
        name: p for name, p in of_module.items() if name != "self"
    }
    assert getattr(Session, method).__doc__


def test_an_editor_completes_the_queue_to_its_public_names() -> None:
    names = [name for name in dir(Session("a:b").queue) if not name.startswith("_")]
    assert names == ["cancel", "find_submission", "handle", "result", "status", "submit", "updates"]


def test_every_option_is_a_keyword_of_some_call() -> None:
    assert set(QueueOptions.__annotations__) == {field.name for field in attrs.fields(CallOptions)}
    assert set(RunOptions.__annotations__) < set(QueueOptions.__annotations__)


def test_wire_values_keep_their_annotations_at_run_time() -> None:
    assert get_type_hints(fal_async.RequestLog)["message"] is str
    assert get_type_hints(fal_async.Timeouts)["connect"] == float | None
