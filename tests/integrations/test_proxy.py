"""The proxy under uvicorn in front of the emulator: what passes, and what is refused without sending anything."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from fal_async import ConfigurationError, Hosts, Session
from fal_async.emulator import Answer, Emulator, Fault
from fal_async.integrations.proxy import FalProxy, ProxyRequest
from fal_async.integrations.starlette import fal_lifespan
from tests.protocol.test_proxy import BAD_CALLS, BAD_TARGETS, ID
from tests.servers.serving import listening, serving

ENDPOINTS = ["fal-ai/flux/dev", "fal-ai/any-llm", "me/**"]
RUN, QUEUE = "https://fal.run", "https://queue.fal.run"
MiB = 1024 * 1024


@pytest.fixture
async def session(emulator: Emulator) -> AsyncIterator[Session]:
    async with Session(emulator.key, hosts=emulator.hosts) as session:
        yield session


class Caller:
    """A browser client: it knows the URLs of the proxy and of fal, but has no key."""

    def __init__(self, http: aiohttp.ClientSession, proxy_url: str) -> None:
        self.http, self.proxy_url = http, proxy_url

    def call(self, method: str, target: str, headers: Any = (), **options: Any) -> Any:
        return self.http.request(
            method,
            self.proxy_url,
            headers=[("x-fal-target-url", target), *headers],
            allow_redirects=False,
            **options,
        )

    async def ask(self, method: str, target: str, headers: Any = (), **options: Any) -> tuple[int, Any]:
        async with self.call(method, target, headers, **options) as answer:
            return answer.status, await answer.json(content_type=None)


@contextlib.asynccontextmanager
async def proxying(session: Session, http: aiohttp.ClientSession, **options: Any) -> AsyncIterator[Caller]:
    options = {"endpoints": ENDPOINTS, "anonymous": True, "session": session, **options}
    async with serving(FalProxy(**options)) as server:
        yield Caller(http, server.url)


# What passes.


async def test_the_proxy_passes_a_queued_request_with_the_servers_key(
    emulator: Emulator, session: Session, http: aiohttp.ClientSession
) -> None:
    async with proxying(session, http) as caller:
        status, submitted = await caller.ask("POST", f"{QUEUE}/me/echo", json={"a": "é"})
        assert status == 200
        base = f"{QUEUE}/me/echo/requests/{submitted['request_id']}"
        await emulator.jobs[submitted["request_id"]].wait_for("COMPLETED", timeout=5)
        assert (await caller.ask("GET", f"{base}/status?logs=1"))[1]["status"] == "COMPLETED"
        async with caller.call("GET", base) as answer:
            assert await answer.json() == {"a": "é"}
            assert answer.headers["x-fal-request-id"] == submitted["request_id"]
        status, outcome = await caller.ask("PUT", f"{base}/cancel")
        assert (status, outcome["status"]) == (400, "ALREADY_COMPLETED")
    assert {request.headers["Authorization"] for request in emulator.requests} == {f"Key {emulator.key}"}


async def test_the_proxy_passes_direct_calls_and_errors_of_the_model(
    session: Session, http: aiohttp.ClientSession
) -> None:
    async with proxying(session, http) as caller:
        assert await caller.ask("POST", f"{RUN}/me/echo", json={"a": 1}) == (200, {"a": 1})
        assert await caller.ask("GET", f"{RUN}/me/echo?a=1%262&b=") == (200, {"a": "1&2", "b": ""})
        status, error = await caller.ask("POST", f"{RUN}/me/broken", json={})
        assert (status, error["detail"][0]["msg"]) == (422, "no")


async def test_the_proxy_streams_a_status_stream_event_by_event(
    emulator: Emulator, session: Session, http: aiohttp.ClientSession
) -> None:
    go_on = asyncio.Event()

    @emulator.endpoint("me/gated")
    async def gated(_: Any) -> Any:
        await go_on.wait()
        return {}

    async with proxying(session, http) as caller:
        _, submitted = await caller.ask("POST", f"{QUEUE}/me/gated", json={})
        target = f"{QUEUE}/me/gated/requests/{submitted['request_id']}/status/stream?logs=1"
        async with caller.call("GET", target, [("accept", "text/event-stream")]) as answer:
            assert answer.content_type == "text/event-stream"
            # The first event arrives before the last one exists: the proxy does not buffer.
            first = await answer.content.readline()
            assert b"IN_" in first
            go_on.set()
            assert b"COMPLETED" in await answer.read()


async def test_the_proxy_passes_only_the_listed_headers_in_both_directions(
    emulator: Emulator, session: Session, http: aiohttp.ClientSession
) -> None:
    @emulator.endpoint("me/talkative")
    async def talkative(_: Any) -> Any:
        chatter = {"Set-Cookie": "a=1", "x-fal-cdn-token": "secret", "Location": "x", "Retry-After": "3"}
        return Answer(200, {**chatter, "Content-Type": "application/json"}, "{}")

    sent = [
        ("X-Fal-Runner-Hint", "me"),
        ("X-Fal-Queue-Priority", "low"),
        ("X-Fal-Tags", "team=other"),
        ("Cookie", "session=1"),
        ("Authorization", "Key stolen:key"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Mine", "1"),
    ]
    async with (
        proxying(session, http, headers=["x-mine"]) as caller,
        caller.call("POST", f"{RUN}/me/talkative", sent, json={}) as answer,
    ):
        assert answer.status == 200
        assert not {"set-cookie", "x-fal-cdn-token", "location"} & {name.lower() for name in answer.headers}
        assert answer.headers["Retry-After"] == "3"
        assert emulator.key not in str(answer.headers)
    (received,) = emulator.requests
    assert received.headers["Authorization"] == f"Key {emulator.key}"
    assert (received.headers["X-Fal-Runner-Hint"], received.headers["X-Mine"]) == ("me", "1")
    assert not {"cookie", "x-fal-tags", "x-forwarded-for", "x-fal-target-url"} & {
        name.lower() for name in received.headers
    }


async def test_the_proxy_replaces_billing_tags_with_the_servers_own(
    emulator: Emulator, session: Session, http: aiohttp.ClientSession
) -> None:
    tagged = session.with_options(tags={"team": "ours"})
    async with proxying(tagged, http) as caller:
        await caller.ask("POST", f"{RUN}/me/echo", [("X-Fal-Tags", "team=theirs")], json={})
    assert emulator.requests[0].headers["X-Fal-Tags"] == "team=ours"


async def test_the_proxy_streams_bodies_in_both_directions(http: aiohttp.ClientSession) -> None:
    """The response begins before the request's body has ended: after its first MiB nothing is buffered."""
    began, first = asyncio.Event(), b"first" * MiB

    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        await answer.prepare(request)
        async for piece in request.content.iter_any():
            await answer.write(piece)
        return answer

    async def pieces() -> AsyncIterator[bytes]:
        yield first
        await began.wait()
        yield b"last"

    async with (
        listening(echo) as url,
        Session("a:b", hosts=Hosts.local(url)) as upstream,
        proxying(upstream, http) as caller,
        caller.call("POST", f"{RUN}/me/echo", data=pieces()) as answer,
    ):
        assert await answer.content.readexactly(len(first)) == first
        began.set()
        assert await answer.read() == b"last"


async def test_the_proxy_passes_a_body_of_thirty_mebibytes(
    session: Session, http: aiohttp.ClientSession
) -> None:
    text = "x" * (30 * 1024 * 1024)
    async with proxying(session, http) as caller:
        body = io.BytesIO(json.dumps({"a": text}).encode())
        status, data = await caller.ask("POST", f"{RUN}/me/echo", data=body)
    assert status == 200
    assert len(data["a"]) == len(text)


async def test_a_caller_that_disconnects_during_a_proxied_run_ends_it(
    emulator: Emulator, session: Session, http: aiohttp.ClientSession
) -> None:
    async with proxying(session, http) as caller:
        call = asyncio.ensure_future(caller.ask("POST", f"{RUN}/me/endless", json={}))
        await emulator.wait_for("run")
        call.cancel()
        (job,) = emulator.jobs.values()
        # A direct run ends with its connection (protocol 3.3).
        await job.wait_for("COMPLETED", timeout=1)
    assert job.error_type == "client_disconnected"


async def test_a_caller_that_closes_its_connection_in_a_proxied_submit_cancels_the_job(
    emulator: Emulator, session: Session, http: aiohttp.ClientSession
) -> None:
    emulator.faults.add(Fault.stall(0.2, on="submit"))
    async with proxying(session, http) as caller:
        call = asyncio.ensure_future(caller.ask("POST", f"{QUEUE}/me/endless", json={}))
        await emulator.wait_for("submit")
        call.cancel()
        (job,) = emulator.jobs.values()
        await job.wait_for("COMPLETED", timeout=5)
    assert (job.error_type, job.cancel_requests) == ("client_cancelled", 1)


async def test_a_caller_that_disconnects_in_a_large_body_ends_the_request_to_fal(
    http: aiohttp.ClientSession,
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def upstream(request: web.BaseRequest) -> web.StreamResponse:
        try:
            async for _ in request.content.iter_any():
                began.set()
        finally:
            ended.set()
        raise AssertionError("the body came to an end")

    async def pieces() -> AsyncIterator[bytes]:
        yield b" " * 2 * MiB
        await asyncio.Event().wait()

    async with (
        listening(upstream) as url,
        Session("a:b", hosts=Hosts.local(url)) as session,
        proxying(session, http) as caller,
        asyncio.timeout(10),
    ):
        call = asyncio.ensure_future(caller.ask("POST", f"{QUEUE}/me/echo", data=pieces()))
        await began.wait()
        call.cancel()
        await ended.wait()


# What is refused.


@pytest.mark.parametrize("name", [*BAD_TARGETS, *BAD_CALLS])
async def test_the_proxy_refuses_a_bad_target_and_sends_nothing(
    emulator: Emulator, session: Session, http: aiohttp.ClientSession, name: str
) -> None:
    method, target = BAD_CALLS.get(name, ("POST", BAD_TARGETS.get(name, "")))
    proxy = FalProxy(endpoints=ENDPOINTS, anonymous=True, session=session)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    # Passed directly to the application: an HTTP client or server would refuse some of these itself.
    headers = [(b"x-fal-target-url", target.encode("utf-8"))]
    scope = {"type": "http", "method": method, "path": "/", "headers": headers, "client": ("1.2.3.4", 1)}
    await proxy(scope, receive, send)
    assert 400 <= sent[0]["status"] < 500
    assert emulator.count() == 0
    assert emulator.connections_opened == 0
    assert emulator.key.encode() not in b"".join(message.get("body", b"") for message in sent)


SMUGGLED = {
    "two targets": b"x-fal-target-url: https://fal.run/me/echo\r\nX-Fal-Target-Url: https://fal.run/other/app\r\n",
    "no target": b"",
    "empty target": b"x-fal-target-url:\r\n",
    "folded target": b"x-fal-target-url: https://fal.run/me/echo\r\n /../../x\r\n",
    "space before the colon": b"x-fal-target-url : https://fal.run/me/echo\r\n",
    "two lengths": b"x-fal-target-url: https://fal.run/me/echo\r\ncontent-length: 2\r\ncontent-length: 5\r\n",
    "length and chunks": (
        b"x-fal-target-url: https://fal.run/me/echo\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n"
    ),
    "doubled header": (
        b"x-fal-target-url: https://fal.run/me/echo\r\nx-fal-runner-hint: a\r\nx-fal-runner-hint: b\r\n"
    ),
    "target in the connection header": (
        b"x-fal-target-url: http://fal.run/me/echo\r\nconnection: x-fal-target-url\r\n"
    ),
}


@pytest.mark.parametrize("name", SMUGGLED)
async def test_the_proxy_refuses_smuggled_headers_and_sends_nothing(
    emulator: Emulator, session: Session, name: str
) -> None:
    async with serving(FalProxy(endpoints=["me/**"], anonymous=True, session=session)) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\n" + SMUGGLED[name] + b"\r\n{}")
        status = (await reader.readline()).split()[1]
        writer.close()
    assert status[:1] == b"4"
    assert emulator.count() == 0


async def test_the_proxy_does_not_follow_or_pass_on_a_redirect(
    emulator: Emulator, session: Session, http: aiohttp.ClientSession
) -> None:
    elsewhere: list[str] = []

    async def trap(request: web.BaseRequest) -> web.StreamResponse:
        elsewhere.append(request.path)
        return web.Response()

    async with listening(trap) as url, proxying(session, http) as caller:
        for to in (f"{url}/stolen", f"{emulator.url}/queue.fal.run/me/other"):
            for status in (301, 302, 303, 307, 308):
                emulator.faults.add(Fault.redirect(to, status=status))
                for_get = f"{QUEUE}/me/echo/requests/{ID}/status"
                code, body = await caller.ask("GET", for_get)
                assert (code, body["detail"]) == (502, "fal redirected the request, which is not followed")
                emulator.faults.add(Fault.redirect(to, status=status))
                async with caller.call("POST", f"{RUN}/me/echo", json={}) as answer:
                    assert answer.status == 502
                    assert "Location" not in answer.headers
    assert elsewhere == []
    assert emulator.count() == 20


@pytest.mark.parametrize("chunked", [False, True])
async def test_the_proxy_refuses_a_body_over_the_limit(
    emulator: Emulator, session: Session, http: aiohttp.ClientSession, chunked: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    async with proxying(session, http, max_body=1000) as caller:
        body: Any = pieces() if chunked else b"x" * 1100
        assert (await caller.ask("POST", f"{RUN}/me/echo", data=body))[0] == 413
        assert (await caller.ask("POST", f"{RUN}/me/echo", data=b'{"a": 1}'))[0] == 200
    assert len(emulator.jobs) == 1


async def test_the_proxy_answers_502_if_fal_refuses_its_key(
    emulator: Emulator, session: Session, http: aiohttp.ClientSession
) -> None:
    emulator.rotate_key("other:key")
    async with proxying(session, http) as caller:
        status, body = await caller.ask("POST", f"{RUN}/me/echo", json={})
    assert (status, body) == (502, {"detail": "the proxy's credentials were refused"})


async def test_the_proxy_answers_502_or_breaks_off_if_fal_fails(
    session: Session, emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    async with proxying(session, http) as caller:
        await emulator.pause()
        status, body = await caller.ask("POST", f"{RUN}/me/echo", json={})
        assert (status, body) == (502, {"detail": "The model could not answer"})
        await emulator.resume()
        emulator.faults.add(Fault.truncate(on="run"))
        # The status has been sent already: the proxy can only break off too.
        with pytest.raises(aiohttp.ClientPayloadError):
            await caller.ask("POST", f"{RUN}/me/echo", json={"a": "x" * 1000})


# Who may call.


async def test_authorize_and_limit_decide_whether_a_proxied_request_passes(
    emulator: Emulator, session: Session, http: aiohttp.ClientSession
) -> None:
    seen: list[ProxyRequest] = []

    async def authorize(request: ProxyRequest) -> str | None:
        seen.append(request)
        return {"session=anna": "anna"}.get(request.headers.get("cookie", ""))

    def limit(request: ProxyRequest, user: object) -> float | None:
        return 2.5 if request.target.route == "submit" and user == "anna" else None

    async with proxying(session, http, anonymous=False, authorize=authorize, limit=limit) as caller:
        anna = [("Cookie", "session=anna")]
        assert (await caller.ask("POST", f"{RUN}/me/echo", json={})) == (401, {"detail": "not signed in"})
        assert emulator.count() == 0
        assert (await caller.ask("POST", f"{RUN}/me/echo", anna, json={}))[0] == 200
        async with caller.call("POST", f"{QUEUE}/me/echo", anna, json={}) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "3")
    assert seen[1].target.endpoint_id == "me/echo"
    assert (seen[1].method, seen[1].client) == ("POST", "127.0.0.1")
    assert "anna" not in repr(seen[1])
    assert emulator.count() == 1


@pytest.mark.parametrize(
    ("seconds", "status", "retry_after"),
    [(None, 200, None), (0, 200, None), (-3, 200, None), (0.2, 429, "1"), (float("inf"), 429, None)],
)
async def test_the_result_of_limit_is_none_or_the_seconds_to_wait(
    seconds: float | None,
    status: int,
    retry_after: str | None,
    session: Session,
    http: aiohttp.ClientSession,
) -> None:
    proxy = FalProxy(endpoints=["**"], anonymous=True, session=session, limit=lambda _, __: seconds)
    target = {"x-fal-target-url": f"{RUN}/me/echo"}
    async with serving(proxy) as server, http.post(server.url, json={}, headers=target) as answer:
        assert (answer.status, answer.headers.get("Retry-After")) == (status, retry_after)


@pytest.mark.parametrize(
    "options",
    [
        {"endpoints": ["**"]},
        {"endpoints": ["**"], "authorize": bool, "anonymous": True},
        {"endpoints": [], "anonymous": True},
        {"endpoints": ["**"], "anonymous": True, "allow": ["everything"]},
    ],
    ids=["neither authorize nor anonymous", "both authorize and anonymous", "no endpoints", "unknown route"],
)
def test_a_proxy_with_wrong_options_raises_a_configuration_error(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        FalProxy(**options)


# Inside an application, and standalone.


async def test_a_proxy_in_an_application_uses_its_session_and_needs_one(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    proxy = FalProxy(endpoints=["me/**"], anonymous=True)
    routes = [Route("/api/fal/proxy", proxy), Mount("/mounted", proxy)]
    app = Starlette(routes=routes, lifespan=fal_lifespan(lambda: Session(emulator.key, hosts=emulator.hosts)))
    async with serving(app) as server:
        for path in ("/api/fal/proxy", "/mounted/"):
            caller = Caller(http, server.url + path)
            assert await caller.ask("POST", f"{RUN}/me/echo", json={"a": 1}) == (200, {"a": 1})
            assert (await caller.ask("PUT", f"{QUEUE}/me/echo/requests/{ID}/cancel"))[0] == 404
    async with serving(Starlette(routes=routes)) as server:
        caller = Caller(http, f"{server.url}/api/fal/proxy")
        assert (await caller.ask("POST", f"{RUN}/me/echo", json={}))[0] == 503


async def test_the_proxy_works_as_a_route_or_mount_in_fastapi(emulator: Emulator) -> None:
    app = FastAPI(lifespan=fal_lifespan(lambda: Session(emulator.key, hosts=emulator.hosts)))
    proxy = FalProxy(endpoints=["me/**"], anonymous=True)
    app.router.routes.append(Route("/api/fal/proxy", proxy))
    app.mount("/mounted", proxy)
    async with serving(app) as server:
        for path in ("/api/fal/proxy", "/mounted/"):
            async with Session.with_proxy(server.url + path) as fal:
                assert (await fal.subscribe("me/echo", {"a": 1})).data == {"a": 1}


async def test_a_standalone_proxy_opens_and_closes_its_own_session(
    emulator: Emulator, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_BASE_URL", emulator.url)
    monkeypatch.setenv("FAL_KEY", emulator.key)
    async with serving(FalProxy(endpoints=["me/**"], anonymous=True)) as server:
        caller = Caller(http, server.url)
        assert await caller.ask("POST", f"{RUN}/me/echo", json={"a": 1}) == (200, {"a": 1})
    async with asyncio.timeout(5):
        while emulator.connections_open:  # the server notices a closed connection a little later
            await asyncio.sleep(0)


async def test_a_standalone_proxy_with_a_malformed_key_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAL_KEY", "no-colon")
    proxy = FalProxy(endpoints=["me/**"], anonymous=True)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    await proxy({"type": "lifespan"}, receive, send)
    (failed,) = sent
    assert failed["type"] == "lifespan.startup.failed"
    assert "no colon" in failed["message"]


async def test_the_proxy_refuses_websocket_connections(session: Session) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    proxy = FalProxy(endpoints=["**"], anonymous=True, session=session)
    await proxy({"type": "websocket", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_our_own_client_works_through_the_proxy(
    emulator: Emulator, session: Session, http: aiohttp.ClientSession
) -> None:
    async with proxying(session, http) as caller, Session(proxy_url=caller.proxy_url) as browser:
        result = await browser.subscribe("me/echo", {"a": 1}, timeout=10)
        assert result.data == {"a": 1}
        assert json.dumps((await browser.run("me/echo", {"b": 2})).data) == '{"b": 2}'
    assert {request.headers["Authorization"] for request in emulator.requests} == {f"Key {emulator.key}"}
