"""Every response with JSON is decoded with a byte order mark, too, and with exact integers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fal_async import Hosts, Session, ValidationError
from tests.quick import ONCE
from tests.servers.raw import answer
from tests.servers.raw_fal import ID, raw_fal

APP = "me/app"
MARK = b"\xef\xbb\xbf"
BIG = 2**64 + 1
OUTPUT = {"seed": BIG}
URLS = {f"{name}_url": f"/{name}" for name in ("status", "response", "cancel")}


def marked(document: Any, status: int = 200) -> bytes:
    return answer(MARK + json.dumps(document).encode(), status, x_fal_request_id=ID)


def session(url: str) -> Session:
    return Session("a:b", hosts=Hosts.local(url), retry=ONCE)


async def test_queue_responses_with_a_byte_order_mark_are_decoded() -> None:
    documents = {
        "submit": {"request_id": ID, **URLS},
        "status": {"status": "COMPLETED", "request_id": ID, "metrics": OUTPUT},
        "result": OUTPUT,
    }
    on: dict[str, Any] = {kind: lambda _, said=said: marked(said) for kind, said in documents.items()}
    async with raw_fal(**on) as server, session(server.url) as fal:
        result = await fal.subscribe(APP, {})
    assert (result.data, result.metrics) == (OUTPUT, OUTPUT)


async def test_a_run_response_with_a_byte_order_mark_is_decoded() -> None:
    async with raw_fal(run=lambda _: marked(OUTPUT)) as server, session(server.url) as fal:
        assert (await fal.run(APP, {})).data == OUTPUT


async def test_an_error_response_with_a_byte_order_mark_is_decoded() -> None:
    detail = [{"loc": ["body", "seed"], "msg": "too large", "type": "value_error", "input": BIG}]
    async with raw_fal(run=lambda _: marked({"detail": detail}, 422)) as server, session(server.url) as fal:
        with pytest.raises(ValidationError, match=r"body\.seed: too large") as caught:
            await fal.run(APP, {})
    assert caught.value.errors[0].input == BIG


TEXT = json.dumps(OUTPUT).encode()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (MARK + TEXT, "application/json"),
        (TEXT.decode().encode("utf-16"), "text/json"),
        (MARK + b"data: " + TEXT + b"\n\n", "text/event-stream"),
        (b"data: " + MARK + TEXT + b"\n\n", "text/event-stream"),
    ],
)
async def test_a_stream_with_a_byte_order_mark_is_decoded(body: bytes, kind: str) -> None:
    async with raw_fal(run=lambda _: answer(body, content_type=kind)) as server, session(server.url) as fal:
        assert await fal.stream(APP, {}).last() == OUTPUT
