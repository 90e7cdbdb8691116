"""Only the connections, the proxy and the traces of a borrowed aiohttp session are used: the rest could do harm."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from fal_async import FalError, Hosts, Session
from fal_async.emulator import Emulator, Fault
from tests.quick import ASK, LLM, ONCE, gate_at, pool_of, session_on
from tests.servers.serving import listening

PAYING: Mapping[str, Callable[[Session], Awaitable[Any]]] = {
    "submit": lambda fal: fal.queue.submit(LLM, ASK),
    "run": lambda fal: fal.run(LLM, ASK),
    "run by GET": lambda fal: fal.run(LLM, ASK, method="GET"),
    "run by PUT": lambda fal: fal.run(LLM, ASK, method="PUT"),
    "stream": lambda fal: fal.stream(LLM, ASK).last(),
}


async def _again(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """A common middleware, which sends a request again after a 5xx."""
    response = await handler(request)
    if response.status < 500:
        return response
    response.release()
    return await handler(request)


@pytest.mark.parametrize("call", PAYING)
async def test_a_retrying_middleware_of_a_borrowed_session_sends_nothing_twice(
    emulator: Emulator, call: str
) -> None:
    operation = call.partition(" ")[0]
    emulator.faults.add(Fault.answer(502, taken=True, fal_headers=False, on=operation))
    async with (
        aiohttp.ClientSession(middlewares=(_again,)) as lent,
        session_on(emulator, client_session=lent, retry=ONCE) as fal,
    ):
        with pytest.raises(FalError):
            await PAYING[call](fal)
    assert emulator.count(operation) == 1


@pytest.mark.parametrize("call", PAYING)
async def test_a_borrowed_session_does_not_alter_requests_and_responses(
    emulator: Emulator, call: str
) -> None:
    async def twice(request: aiohttp.ClientRequest, handler: Any) -> aiohttp.ClientResponse:
        await handler(request)
        return await handler(request)  # type: ignore[no-any-return]

    jar = aiohttp.CookieJar(unsafe=True)
    jar.update_cookies({"session": "abc"})
    async with (
        aiohttp.ClientSession(
            base_url="http://fal.invalid/",
            middlewares=(twice,),
            raise_for_status=True,
            auto_decompress=False,
            read_bufsize=16,
            cookie_jar=jar,
            headers={"Authorization": "Bearer other", "X-Mine": "1", "Accept-Encoding": "br"},
            timeout=aiohttp.ClientTimeout(total=1e-9),
            trust_env=True,
        ) as lent,
        session_on(emulator, client_session=lent) as fal,
    ):
        await PAYING[call](fal)
    (request,) = emulator.requests
    assert request.headers["Authorization"] == f"Key {emulator.key}"
    assert "Cookie" not in request.headers
    assert "X-Mine" not in request.headers
    assert len(jar) == 1


@pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
async def test_a_borrowed_sessions_password_headers_and_cookies_are_not_sent_to_file_hosts(
    emulator: Emulator, tmp_path: Path
) -> None:
    seen: list[Mapping[str, str]] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.headers)
        return web.Response(body=b"picture", content_type="image/png", headers={"Set-Cookie": "a=b"})

    async with (
        listening(answer) as url,
        aiohttp.ClientSession(
            auth=aiohttp.BasicAuth("me", "s3cret"),
            headers={"X-Gateway-Secret": "s3cret"},
            cookie_jar=aiohttp.CookieJar(unsafe=True),
        ) as lent,
        session_on(emulator, client_session=lent) as fal,
    ):
        for _ in range(2):
            await fal.storage.download(f"{url}/x.png", tmp_path / "x.png")
        assert await fal.verify_credentials()
    assert not {"Authorization", "X-Gateway-Secret", "Cookie"} & {
        name for headers in seen for name in headers
    }


async def test_a_borrowed_sessions_connections_traces_and_proxy_are_used(emulator: Emulator) -> None:
    told = 0

    async def began(*_: Any) -> None:
        nonlocal told
        told += 1

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(began)
    async with aiohttp.ClientSession(proxy=emulator.url, trace_configs=[trace]) as lent:
        async with Session(emulator.key, hosts=Hosts.local("http://fal.invalid"), client_session=lent) as fal:
            await fal.run(LLM, ASK)
            assert pool_of(fal).http().connector is lent.connector
        assert not lent.closed
        async with lent.get(emulator.url) as answer:
            assert answer.status == 200
    assert told == 2


@pytest.mark.parametrize("trusting", [True, False])
async def test_environment_proxies_are_used_if_the_borrowed_session_trusts_them(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, trusting: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", emulator.url)
    hosts = Hosts.local("http://fal.invalid")
    async with (
        aiohttp.ClientSession(trust_env=trusting) as lent,
        Session(emulator.key, hosts=hosts, client_session=lent, retry=ONCE) as fal,
    ):
        if trusting:
            await fal.run(LLM, ASK)
        else:
            with pytest.raises(FalError, match="HTTP_PROXY names a proxy, but trust_env is False"):
                await fal.run(LLM, ASK)


@pytest.mark.parametrize(
    "limits",
    [{"limit": 4}, {"limit_per_host": 4}, {"limit": 100, "limit_per_host": 4}],
    ids=["limit", "limit_per_host", "both"],
)
async def test_direct_runs_leave_connections_for_the_queue_of_a_borrowed_session(
    emulator: Emulator, limits: dict[str, int]
) -> None:
    gate = gate_at(emulator)
    connector = aiohttp.TCPConnector(**limits)  # type: ignore[arg-type]
    async with (
        aiohttp.ClientSession(connector=connector) as lent,
        session_on(emulator, client_session=lent) as fal,
    ):
        assert pool_of(fal).max_connections == 4
        runs = [asyncio.create_task(fal.run("me/gate", {"n": n})) for n in range(8)]
        while len(gate.started) < 2:
            await asyncio.sleep(0)
        assert await fal.verify_credentials()
        gate.open()
        assert len(await asyncio.gather(*runs)) == 8


async def test_a_session_over_a_borrowed_one_need_not_be_closed(emulator: Emulator) -> None:
    async with aiohttp.ClientSession() as lent:
        fal = Session(emulator.key, hosts=emulator.hosts, client_session=lent)
        await fal.run(LLM, ASK)
        del fal
        gc.collect()  # a ResourceWarning would be an error
        assert not lent.closed
