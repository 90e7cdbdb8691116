"""A connection on which anything arrived unasked is not reused: no request gets the response of another one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from fal_async import FalError, Hosts, Session, TransportError
from tests.emulator.certificates import client_side, server_side
from tests.quick import ONCE
from tests.servers.raw import Asked, answer, raw_server

APP = "me/app"
ID = "x_fal_request_id"


class Talkative:
    """A server that answers each request with its own name, and then sends `more`."""

    def __init__(self, more: bytes, *, at_once: bool) -> None:
        self.more, self.at_once = more, at_once
        self.connections: list[int] = []
        self._writer: asyncio.StreamWriter | None = None

    def __call__(self, asked: Asked) -> bytes:
        self.connections.append(asked.connection)
        self._writer = asked.writer
        name = f"id-{len(self.connections)}"
        own = answer({"request_id": name, "status": "IN_QUEUE", "name": name}, **{ID: name})
        return own + self.more if self.at_once else own

    async def go_on(self) -> None:
        """Send the rest now, if it was not sent with the response."""
        if not self.at_once and self._writer is not None:
            self._writer.write(self.more)
            await self._writer.drain()


@asynccontextmanager
async def sessions(url: str, own: bool) -> AsyncIterator[Session]:
    hosts = Hosts.local(url)
    if own:
        async with Session("a:b", hosts=hosts, retry=ONCE) as fal:
            yield fal
        return
    async with (
        aiohttp.ClientSession() as http,
        Session("a:b", hosts=hosts, retry=ONCE, client_session=http) as fal,
    ):
        yield fal


async def _submit(fal: Session) -> str:
    return (await fal.queue.submit(APP, {})).request_id


async def _run(fal: Session) -> str:
    return str((await fal.run(APP, {})).data["name"])


async def _status(fal: Session) -> str:
    return str((await fal.queue.status(APP, "some")).raw["name"])


async def _result(fal: Session) -> str:
    return str((await fal.queue.result(APP, "some")).data["name"])


KINDS = [_submit, _run, _status, _result]
STRAY = answer({"request_id": "stray", "status": "IN_QUEUE", "name": "stray"}, **{ID: "stray"})
MORE = {"a second answer": STRAY, "half of one": STRAY[:40], "nonsense": b"{}{}"}


@pytest.mark.parametrize("ask", KINDS)
@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
@pytest.mark.parametrize("own", [True, False], ids=["own", "borrowed"])
async def test_data_after_a_response_does_not_answer_the_next_request(
    ask: Callable[[Session], Any], more: bytes, own: bool
) -> None:
    server = Talkative(more, at_once=False)
    async with raw_server(server) as url, sessions(url, own) as fal:
        for number in (1, 2, 3):
            assert await ask(fal) == f"id-{number}"
            await server.go_on()
            await _arrived()
    assert len(set(server.connections)) == 3


async def _arrived() -> None:
    """Let the loop read what was sent on loopback, which takes two steps."""
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.mark.parametrize("ask", KINDS)
@pytest.mark.parametrize("own", [True, False], ids=["own", "borrowed"])
async def test_data_appended_to_a_response_does_not_answer_the_next_request(
    ask: Callable[[Session], Any], own: bool
) -> None:
    server = Talkative(STRAY, at_once=True)
    async with raw_server(server) as url, sessions(url, own) as fal:
        for number in (1, 2, 3):
            assert await ask(fal) == f"id-{number}"
    assert len(set(server.connections)) == 3


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_a_quiet_connection_is_reused_for_the_next_request(tls: bool) -> None:
    server = Talkative(b"", at_once=False)
    async with raw_server(server, server_side() if tls else None) as url:
        context = client_side() if tls else None
        async with Session("a:b", hosts=Hosts.local(url), retry=ONCE, ssl=context) as fal:
            for ask in KINDS:
                await ask(fal)
                await _arrived()
    assert set(server.connections) == {0}


async def test_data_sent_before_any_request_is_not_a_response() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STRAY)
        await writer.drain()
        writer.close()
        greeted.set()

    async def wait(*_: Any) -> None:
        await greeted.wait()
        await _arrived()

    greeted, traces = asyncio.Event(), aiohttp.TraceConfig()
    traces.on_connection_create_end.append(wait)
    async with await asyncio.start_server(greet, "127.0.0.1") as server:
        url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
        async with Session("a:b", hosts=Hosts.local(url), retry=ONCE, trace_configs=[traces]) as fal:
            with pytest.raises(TransportError, match="broke"):
                await fal.queue.submit(APP, {})


@pytest.mark.parametrize("status", [204, 304])
async def test_an_unexpected_body_does_not_answer_the_next_request(status: int) -> None:
    def told(asked: Asked) -> bytes:
        seen.append(asked.connection)
        if len(seen) == 1:
            return answer(STRAY, status, etag='"x"')
        return answer({"name": "own"})

    seen: list[int] = []
    async with raw_server(told) as url, sessions(url, True) as fal:
        with pytest.raises(FalError):
            await _status(fal)
        assert (await fal.run(APP, {})).data == {"name": "own"}
    assert seen == [0, 1]


@pytest.mark.parametrize(
    "early", [b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"]
)
async def test_interim_responses_are_skipped_before_the_final_one(early: bytes) -> None:
    def told(asked: Asked) -> bytes:
        return early + answer({"who": json.loads(asked.body)["who"]})

    async with raw_server(told) as url, sessions(url, True) as fal:
        for who in ("first", "second"):
            assert (await fal.run(APP, {"who": who})).data == {"who": who}
