"""What a type checker and an editor see: checked by mypy with the rest of the tests, and run once for the names."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, assert_type, get_type_hints

import fal_async
from fal_async import CancelOutcome, EventStream, QueueStatus, RequestHandle, Result, Session


@dataclass
class Answer:
    output: str


class AnswerDict(TypedDict):
    output: str


async def user_code(fal: Session) -> None:
    """Never run: it stands here for the type checker."""
    assert_type(await fal.run("a/b", {"x": 1}), Result[Any])
    assert_type(await fal.run("a/b", {"x": 1}, output_type=Answer), Result[Answer])
    assert_type((await fal.run("a/b", output_type=AnswerDict)).data["output"], str)
    assert_type((await fal.subscribe("a/b", output_type=Answer)).data.output, str)
    assert_type(await fal_async.subscribe("a/b", output_type=Answer), Result[Answer])
    handle = await fal.queue.submit("a/b", Answer("x"))
    assert_type(handle, RequestHandle)
    assert_type(await handle.wait(output_type=Answer), Result[Answer])
    assert_type(await handle.cancel(), CancelOutcome)
    async for status in handle.updates():
        assert_type(status, QueueStatus)
    assert_type(fal.stream("a/b", output_type=Answer), EventStream[Answer])
    assert_type(await fal.storage.upload(Path("x.png")), str)
    assert_type(await fal.verify_credentials(), bool)
    assert_type(fal.with_options(tags={"a": "b"}), Session)
    event = await fal.webhooks.verify({}, b"")
    assert_type(event.result(), Result[Any])
    assert_type(event.result(output_type=Answer), Result[Answer])


def test_every_public_call_has_its_whole_signature() -> None:
    for call in (fal_async.run, fal_async.subscribe, fal_async.submit):
        parameters = inspect.signature(call).parameters
        assert "endpoint_id" in parameters
        assert all(p.kind is not p.VAR_KEYWORD for p in parameters.values())
    for name in ("run", "subscribe", "stream", "with_options", "verify_credentials"):
        method = getattr(Session, name)
        assert method.__doc__
        assert all(
            p.annotation is not p.empty
            for n, p in inspect.signature(method).parameters.items()
            if n != "self"
        )


def test_wire_values_keep_their_annotations_at_run_time() -> None:
    assert get_type_hints(fal_async.RequestLog)["message"] is str
    assert get_type_hints(fal_async.Timeouts)["connect"] == float | None
