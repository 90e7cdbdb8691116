"""Responses with large or many headers are read; beyond the limits, the error names them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fal_async import Hosts, Session, SubmissionUncertainError, TransportError
from tests.quick import quick
from tests.servers.raw import Asked, answer, head, raw_server

APP = "me/app"
LONG = {"content-security-policy": "x" * 32_768}
MANY = {f"x-{number}": "y" for number in range(500)}
TOO_LONG = {"content-security-policy": "x" * 70_000}
TOO_MANY = {f"x-{number}": "y" for number in range(1_100)}
TAKEN = pytest.mark.parametrize("headers", [LONG, MANY], ids=["long", "many"])
REFUSED = pytest.mark.parametrize(
    "headers",
    [
        TOO_LONG,
        pytest.param(
            TOO_MANY,
            marks=pytest.mark.skipif(
                tuple(map(int, aiohttp.__version__.split(".")[:2])) < (3, 14), reason="aiohttp counts none"
            ),
        ),
    ],
    ids=["long", "many"],
)


@contextlib.asynccontextmanager
async def behind(
    headers: dict[str, str], *, own: bool = True
) -> AsyncIterator[tuple[Session, str, list[str]]]:
    """Give a session, the URL of its server, and the requested paths. Each response has the headers."""
    asked: list[str] = []

    def told(request: Asked) -> bytes:
        asked.append(request.path)
        if request.path.endswith("/stream"):
            return answer(b"data: 1\n\n", 200, content_type="text/event-stream", **headers)
        document = {"request_id": "some", "status": "COMPLETED", "images": []}
        return answer(document, 200, x_fal_request_id="some", **headers)

    async with raw_server(told) as url, contextlib.AsyncExitStack() as stack:
        http = None if own else await stack.enter_async_context(aiohttp.ClientSession())
        options = Session("a:b", hosts=Hosts.local(url), retry=quick(), client_session=http)
        yield await stack.enter_async_context(options), url, asked


def _submit(fal: Session) -> Awaitable[Any]:
    return fal.queue.submit(APP, {})


def _run(fal: Session) -> Awaitable[Any]:
    return fal.run(APP, {})


def _status(fal: Session) -> Awaitable[Any]:
    return fal.queue.status(APP, "some")


def _result(fal: Session) -> Awaitable[Any]:
    return fal.queue.result(APP, "some")


def _subscribe(fal: Session) -> Awaitable[Any]:
    return fal.subscribe(APP, {})


PAID = [_submit, _run, _subscribe]
FREE = [_status, _result]


@TAKEN
@pytest.mark.parametrize("own", [True, False], ids=["own", "borrowed"])
async def test_a_response_with_large_headers_is_read(headers: dict[str, str], own: bool) -> None:
    async with behind(headers, own=own) as (fal, _, _):
        for ask in PAID + FREE:
            assert await ask(fal)


@TAKEN
async def test_a_stream_with_large_headers_is_read(headers: dict[str, str]) -> None:
    async with behind(headers) as (fal, _, _):
        assert await fal.stream(APP, {}).last() == 1


@TAKEN
async def test_a_file_with_large_headers_is_downloaded(headers: dict[str, str], tmp_path: Path) -> None:
    async with behind(headers) as (fal, url, _):
        path = await fal.storage.download(f"{url}/file.json", tmp_path / "file.json")
        assert b"COMPLETED" in path.read_bytes()


@REFUSED
@pytest.mark.parametrize("ask", FREE)
async def test_a_read_whose_response_headers_are_too_large_is_not_retried(
    headers: dict[str, str], ask: Callable[[Session], Awaitable[Any]]
) -> None:
    async with behind(headers) as (fal, _, asked):
        with pytest.raises(TransportError, match="headers are too large") as caught:
            await ask(fal)
    assert not caught.value.retryable
    assert len(asked) == 1


@REFUSED
@pytest.mark.parametrize("ask", PAID)
async def test_a_paid_request_whose_response_headers_are_too_large_is_uncertain(
    headers: dict[str, str], ask: Callable[[Session], Awaitable[Any]]
) -> None:
    async with behind(headers) as (fal, _, asked):
        with pytest.raises(SubmissionUncertainError, match="headers are too large"):
            await ask(fal)
    assert len(asked) == 1


@TAKEN
async def test_a_websocket_handshake_with_large_headers_succeeds(headers: dict[str, str]) -> None:
    writers: list[asyncio.StreamWriter] = []

    def shake(asked: Asked) -> bytes:
        writers.append(asked.writer)
        key = re.search(r"(?i)sec-websocket-key: (\S+)", asked.head)
        assert key is not None
        digest = hashlib.sha1(f"{key[1]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        accept = base64.b64encode(digest).decode()
        upgrade = {"upgrade": "websocket", "connection": "upgrade", "sec-websocket-accept": accept}
        return head(101, {**upgrade, **headers})

    async with (
        raw_server(shake) as url,
        Session("a:b", hosts=Hosts.local(url)) as fal,
        fal.websocket(APP) as calls,
    ):
        assert calls.endpoint_id == APP
        writers[0].close()  # it would not respond to the client's close frame
