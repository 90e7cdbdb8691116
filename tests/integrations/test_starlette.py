"""Starlette applications under uvicorn, with a real HTTP client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Message

from fal_async import (
    ConfigurationError,
    RateLimitError,
    Session,
    SessionStateError,
    StreamError,
    WebhookEvent,
)
from fal_async.emulator import Emulator, Fault
from fal_async.integrations.starlette import (
    exception_handlers,
    fal_lifespan,
    get_session,
    sse_response,
    webhook_route,
    while_connected,
)
from tests.servers.serving import serving

Event = dict[str, Any]


def application(emulator: Emulator, *routes: Route | Mount, **lifespan: Any) -> Starlette:
    def make_session() -> Session:
        return Session(emulator.key, hosts=emulator.hosts)

    return Starlette(
        routes=list(routes),
        lifespan=fal_lifespan(make_session, **lifespan),
        exception_handlers=exception_handlers,
    )


async def events_of(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    """Yield the events of a response, as a browser's EventSource parses them."""
    assert response.content_type == "text/event-stream"
    event: Event = {}
    async for raw in response.content:
        name, _, value = raw.decode().rstrip("\n").partition(":")
        if name:
            event[name] = value.removeprefix(" ")
        elif event.keys() & {"data", "event"}:
            yield {**event, "data": json.loads(event["data"])}
            event = {}


async def all_events(http: aiohttp.ClientSession, url: str, **options: Any) -> list[Event]:
    async with http.get(url, **options) as response:
        assert response.status == 200
        return [event async for event in events_of(response)]


# The lifespan.


async def test_fal_lifespan_keeps_one_session_open_around_the_inner_lifespan(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    steps: list[str] = []
    sessions: set[int] = set()

    @contextlib.asynccontextmanager
    async def own(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        steps.append("closed" if app.state.fal.closed else "open")
        yield {"mine": 1}
        steps.append("closed" if app.state.fal.closed else "open")

    async def opened(session: Session) -> None:
        steps.append(f"on_open {session.closed}")

    async def handler(request: Request) -> Response:
        session = get_session(request)
        sessions.add(id(session))
        result = await session.subscribe("me/echo", {"a": request.state.mine})
        return JSONResponse(result.data)

    routes = (Route("/", handler), Mount("/sub", Starlette(routes=[Route("/", handler)])))
    app = application(emulator, *routes, inner=own, on_open=opened)
    async with serving(app) as server:
        for path in ("/", "/sub/", "/"):
            async with http.get(server.url + path) as response:
                assert await response.json() == {"a": 1}
        session: Session = app.state.fal
    assert len(sessions) == 1
    assert steps == ["on_open False", "open", "open"]
    assert session.closed


async def test_get_session_without_fal_lifespan_raises_an_error_that_names_it(
    http: aiohttp.ClientSession,
) -> None:
    async def handler(request: Request) -> Response:
        with pytest.raises(SessionStateError, match="fal_lifespan"):
            get_session(request)
        return Response("ok")

    async with serving(Starlette(routes=[Route("/", handler)])) as server, http.get(server.url) as response:
        assert response.status == 200


# Browsers that disconnect.


async def test_while_connected_cancels_the_request_if_the_browser_disconnects(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    async def handler(request: Request) -> Response:
        sent = await request.json()
        result = await while_connected(request, get_session(request).subscribe("me/endless", sent))
        return JSONResponse(result.data)

    async with serving(application(emulator, Route("/", handler, methods=["POST"]))) as server:
        call = asyncio.ensure_future(http.post(server.url, json={"a": 1}))
        await emulator.wait_for("submit")
        call.cancel()
        await emulator.wait_for("cancel", timeout=1)
    (job,) = emulator.jobs.values()
    assert job.input == {"a": 1}
    assert job.error_type == "client_cancelled"


async def test_while_connected_returns_the_result_or_raises_the_error(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    async def handler(request: Request) -> Response:
        endpoint_id = request.query_params["id"]
        result = await while_connected(request, get_session(request).subscribe(endpoint_id, {"a": 1}))
        return JSONResponse({"data": result.data, "body": (await request.body()).decode()})

    async with serving(application(emulator, Route("/", handler, methods=["POST"]))) as server:
        async with http.post(server.url, params={"id": "me/echo"}, data=b"x") as response:
            assert await response.json() == {"data": {"a": 1}, "body": "x"}
        async with http.post(server.url, params={"id": "me/broken"}) as response:
            assert response.status == 422


async def test_while_connected_starts_no_work_if_the_browser_leaves_in_its_body(
    emulator: Emulator,
) -> None:
    outcomes: asyncio.Queue[str] = asyncio.Queue()

    async def handler(request: Request) -> Response:
        work = get_session(request).subscribe("me/echo", {})
        try:
            await while_connected(request, work)
        except ClientDisconnect:
            outcomes.put_nowait("gone")
            raise
        raise AssertionError("it went on")

    async with serving(application(emulator, Route("/", handler, methods=["POST"]))) as server:
        _, writer = await asyncio.open_connection(*server.address)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        async with asyncio.timeout(5):
            assert await outcomes.get() == "gone"
    assert emulator.count() == 0


# Server-sent events.


def relay(endpoint_id: str, **options: Any) -> Route:
    async def handler(request: Request) -> Response:
        fal = get_session(request)

        async def submit() -> Any:
            return await fal.queue.submit(endpoint_id, {"prompt": "a cat", "image_size": "square"})

        return await sse_response(request, submit, **options)

    return Route("/events", handler)


async def test_a_relay_sends_updates_with_logs_and_then_the_result(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    async with serving(application(emulator, relay("fal-ai/flux/schnell"))) as server:
        events = await all_events(http, server.url + "/events")
    (job,) = emulator.jobs.values()
    *updates, result = events
    assert {event["event"] for event in updates} == {"update"}
    assert {event["data"]["status"] for event in updates} <= {"IN_QUEUE", "IN_PROGRESS", "COMPLETED"}
    assert updates[-1]["data"]["status"] == "COMPLETED"
    lines = [entry["message"] for event in updates for entry in event["data"]["logs"]]
    assert lines == [entry["message"] for entry in job.logs]
    assert result["event"] == "result"
    assert result["id"] == f"{job.request_id}.end"
    assert result["data"]["data"]["images"][0]["url"].startswith(emulator.url)
    assert {event["id"].rpartition(".")[0] for event in events} == {job.request_id}


async def test_a_relay_sends_the_position_in_the_queue(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    go_on = asyncio.Event()

    @emulator.endpoint("me/one-by-one", runners=1)
    async def one_by_one(_: Any) -> Any:
        await go_on.wait()
        return {}

    async with serving(application(emulator, relay("me/one-by-one"))) as server:
        first = asyncio.ensure_future(all_events(http, server.url + "/events"))
        await emulator.wait_for("submit")
        async with http.get(server.url + "/events") as response:
            stream = events_of(response)
            event = await anext(stream)
            assert event["data"]["status"] == "IN_QUEUE"
            assert event["data"]["position"] == 0
            go_on.set()
            rest = [event["event"] async for event in stream]
        assert rest[-1] == "result"
        await first


async def test_a_relay_sends_a_failure_without_secrets(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    async with serving(application(emulator, relay("me/broken"))) as server:
        *_, failed = await all_events(http, server.url + "/events")
    assert failed["event"] == "failed"
    assert failed["data"]["status"] == 422
    assert failed["data"]["errors"] == [{"loc": ["body", "a"], "msg": "no", "type": "value_error"}]
    assert "secret" not in json.dumps(failed)


async def test_an_error_before_a_relay_begins_is_a_normal_error_response(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    async with (
        serving(application(emulator, relay("me/unknown"))) as server,
        http.get(server.url + "/events") as response,
    ):
        assert response.status == 502
        assert (await response.json())["detail"] == "The model could not be reached"


async def test_a_relay_sends_the_items_of_an_async_iterable_and_closes_it(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    closed: list[bool] = []

    async def numbers() -> AsyncIterator[Any]:
        try:
            for number in range(3):
                yield {"n": number, "text": "a\nb\r\u2028c"}
        finally:
            closed.append(True)

    async def handler(request: Request) -> Response:
        return await sse_response(request, numbers())

    async with serving(application(emulator, Route("/", handler))) as server:
        events = await all_events(http, server.url)
    assert [event["data"] for event in events[:-1]] == [{"n": n, "text": "a\nb\r\u2028c"} for n in range(3)]
    assert events[-1]["event"] == "done"
    assert closed == [True]


class Stream:
    """A stand-in for the EventStream of `fal.stream`, as far as a relay uses it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.closed = error, asyncio.Event()

    async def __aenter__(self) -> Stream:
        if self.error is not None:
            raise self.error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def __aiter__(self) -> AsyncIterator[Any]:
        yield b"\x00\xff"
        raise StreamError("it broke off")

    async def aclose(self) -> None:
        self.closed.set()


async def test_a_relay_opens_a_stream_before_the_response_and_closes_it_afterwards(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    streams = [Stream(RateLimitError("busy", status=429, retry_after=1.5)), Stream()]

    async def handler(request: Request) -> Response:
        return await sse_response(request, streams.pop(0))

    good = streams[1]
    async with serving(application(emulator, Route("/", handler))) as server:
        async with http.get(server.url) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "2")
        events = await all_events(http, server.url)
    assert [event.get("event", "message") for event in events] == ["message", "failed"]
    assert events[0]["data"] == "AP8="
    assert good.closed.is_set()


async def test_a_relay_sends_comments_on_an_idle_connection(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    async with (
        serving(application(emulator, relay("me/endless", keep_alive=0.01))) as server,
        http.get(server.url + "/events") as response,
    ):
        comments = 0
        async for line in response.content:
            comments += line.startswith(b":")
            if comments == 3:
                break


async def test_a_relayed_request_is_cancelled_if_the_browser_disconnects(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    async with serving(application(emulator, relay("me/endless"))) as server:
        async with http.get(server.url + "/events") as response:
            await anext(events_of(response))
            response.close()
        await emulator.wait_for("cancel", timeout=1)
    (job,) = emulator.jobs.values()
    assert job.error_type == "client_cancelled"


async def test_a_relayed_iterable_is_closed_if_the_browser_disconnects(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def handler(request: Request) -> Response:
        return await sse_response(request, endless)

    async with serving(application(emulator, Route("/", handler))) as server:
        async with http.get(server.url) as response:
            await anext(events_of(response))
            response.close()
        async with asyncio.timeout(1):
            await closed.wait()


async def test_a_relayed_request_is_cancelled_if_send_raises_an_os_error(
    emulator: Emulator, fal: Session
) -> None:
    """ASGI 2.4 allows a server to report a disconnect so; `receive` may then stay silent."""

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("nothing comes")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the client is gone")

    request = Request({"type": "http", "method": "GET", "headers": []})
    response = await sse_response(request, lambda: fal.queue.submit("me/endless", {}))
    async with asyncio.timeout(5):
        await response({"type": "http"}, receive, send)
    (job,) = emulator.jobs.values()
    assert job.cancel_requests == 1


async def test_a_relayed_request_is_cancelled_if_the_relay_raises_another_error(
    emulator: Emulator, fal: Session
) -> None:
    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("nothing comes")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise ValueError("a middleware's mistake")

    request = Request({"type": "http", "method": "GET", "headers": []})
    response = await sse_response(request, lambda: fal.queue.submit("me/endless", {}))
    with pytest.raises(ValueError, match="mistake"):
        await response({"type": "http"}, receive, send)
    (job,) = emulator.jobs.values()
    assert job.cancel_requests == 1


async def test_a_head_request_to_a_relay_submits_nothing(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    async with (
        serving(application(emulator, relay("me/endless"))) as server,
        http.head(server.url + "/events") as response,
    ):
        assert response.status == 200
        assert response.headers["content-type"].startswith("text/event-stream")
    assert emulator.count() == 0


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
async def test_sse_response_refuses_a_keep_alive_that_is_not_positive(seconds: float) -> None:
    request = Request({"type": "http", "method": "GET", "headers": []})
    with pytest.raises(ConfigurationError, match="keep_alive"):
        await sse_response(request, lambda: pytest.fail("asked for"), keep_alive=seconds)


def resumable(emulator: Emulator, endpoint_id: str) -> Starlette:
    async def handler(request: Request) -> Response:
        queue = get_session(request).queue
        return await sse_response(
            request,
            lambda: queue.submit(endpoint_id, {"a": 1}),
            resume=lambda request_id: queue.handle(endpoint_id, request_id),
            cancel_on_disconnect=False,
        )

    return application(emulator, Route("/events", handler))


async def test_a_reconnecting_browser_continues_its_request_without_paying_again(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    go_on = asyncio.Event()

    @emulator.endpoint("me/slow")
    async def slow(input: Any) -> Any:
        await go_on.wait()
        return input

    async with serving(resumable(emulator, "me/slow")) as server:
        async with http.get(server.url + "/events") as response:
            first = await anext(events_of(response))
            response.close()
        go_on.set()
        again = await all_events(http, server.url + "/events", headers={"Last-Event-ID": first["id"]})
        assert again[-1]["data"]["data"] == {"a": 1}
        # After the end, a 204 stops EventSource from reconnecting: it must not start, and pay for, a new request.
        async with http.get(server.url + "/events", headers={"Last-Event-ID": again[-1]["id"]}) as response:
            assert response.status == 204
    assert emulator.count("submit") == 1
    assert emulator.count("cancel") == 0


async def test_a_malformed_last_event_id_starts_a_new_request(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    async with serving(resumable(emulator, "me/echo")) as server:
        for odd in ("5", "../x.1", "a b.1", ".end"):
            events = await all_events(http, server.url + "/events", headers={"Last-Event-ID": odd})
            assert events[-1]["event"] == "result"
    assert emulator.count("submit") == 4


async def test_sse_response_refuses_a_source_that_is_not_iterable(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    async def handler(request: Request) -> Response:
        with pytest.raises(ConfigurationError, match="async iterable"):
            await sse_response(request, lambda: 5)  # type: ignore[arg-type, return-value]
        return Response("ok")

    async with (
        serving(application(emulator, Route("/", handler))) as server,
        http.get(server.url) as response,
    ):
        assert response.status == 200


# Webhooks.


async def test_a_webhook_route_handles_genuine_deliveries_and_refuses_others(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    arrived: asyncio.Queue[WebhookEvent] = asyncio.Queue()

    def attach(session: Session) -> None:
        session.webhooks.attach("http://127.0.0.1/", on_event=arrived.put_nowait)

    async def handler(request: Request) -> Response:
        result = await get_session(request).subscribe("me/echo", {"a": 1}, mode="webhook", poll_interval=3600)
        return JSONResponse({"data": result.data, "attempts": dict(result.attempts)})

    app = application(emulator, webhook_route("/fal/webhook"), Route("/", handler), on_open=attach)
    async with serving(app) as server:
        fal: Session = app.state.fal
        receiver = fal.webhooks.receiver
        assert receiver is not None
        receiver.url = f"{server.url}/fal/webhook"
        handle = await fal.queue.submit("me/echo", {"a": 2}, webhook_url=receiver.url)
        event = await arrived.get()
        assert (event.request_id, event.payload) == (handle.request_id, {"a": 2})
        assert (await emulator.webhooks.deliver(handle.request_id)).status == 200
        async with http.get(server.url) as response:
            assert await response.json() == {"data": {"a": 1}, "attempts": {"submit": 1, "webhook": 1}}
        assert arrived.empty()
        for spoilt in ({"body": b"{}"}, {"age": 1000}):
            assert (await emulator.webhooks.deliver(handle.request_id, **spoilt)).status == 401
        async with http.post(receiver.url, json={"request_id": "x", "status": "OK"}) as response:
            assert response.status == 401
            assert await response.json() == {"detail": "Not a valid delivery"}
        async with http.get(receiver.url) as response:
            assert response.status == 405


async def test_a_webhook_route_refuses_a_huge_delivery_without_reading_it(emulator: Emulator) -> None:
    def attach(session: Session) -> None:
        session.webhooks.attach("http://127.0.0.1/")

    async with serving(application(emulator, webhook_route("/hook"), on_open=attach)) as server:
        for length in ("content-length: 99999999", "content-length: 17825792", "transfer-encoding: chunked"):
            reader, writer = await asyncio.open_connection(*server.address)
            writer.write(f"POST /hook HTTP/1.1\r\nhost: x\r\n{length}\r\n\r\n".encode())
            if length.endswith("chunked"):
                for _ in range(17):
                    writer.write(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
            assert (await reader.readline()).split()[1] == b"413"
            writer.close()
    assert emulator.count() == 0


async def test_a_webhook_route_answers_503_if_the_keys_cannot_be_fetched(emulator: Emulator) -> None:
    def attach(session: Session) -> None:
        session.webhooks.attach("http://127.0.0.1/")

    emulator.faults.add(Fault.answer(404, on="key_set", times=None))
    async with serving(application(emulator, webhook_route("/hook"), on_open=attach)) as server:
        fal = Session(emulator.key, hosts=emulator.hosts)
        async with fal:
            result = await fal.subscribe("me/echo", {})
        assert result.request_id is not None
        attempt = await emulator.webhooks.deliver(result.request_id, f"{server.url}/hook")
        assert attempt.status == 503
        emulator.faults.clear()
        again = await emulator.webhooks.deliver(result.request_id, f"{server.url}/hook")
        assert again.status == 200


async def test_a_webhook_route_without_a_receiver_answers_503(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    async with (
        serving(application(emulator, webhook_route("/hook"))) as server,
        http.post(f"{server.url}/hook") as response,
    ):
        assert response.status == 503


# Under load.


async def test_two_hundred_starlette_handlers_share_one_connection_pool(emulator: Emulator) -> None:
    async def handler(request: Request) -> Response:
        result = await get_session(request).subscribe("me/echo", {"n": request.query_params["n"]})
        return JSONResponse(result.data)

    before = emulator.connections_opened
    unlimited = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    async with serving(application(emulator, Route("/", handler))) as server, unlimited as http:

        async def ask(n: int) -> Any:
            async with http.get(server.url, params={"n": n}) as response:
                return await response.json()

        answers = await asyncio.gather(*(ask(n) for n in range(200)))
        assert answers == [{"n": str(n)} for n in range(200)]
    # One pool, which has 100 connections for short requests, serves all 200 handlers.
    assert emulator.connections_opened - before <= 100


async def test_a_shutdown_of_starlette_under_load_cancels_all_relayed_requests(emulator: Emulator) -> None:
    async def handler(request: Request) -> Response:
        return await sse_response(
            request, lambda: get_session(request).queue.submit("me/endless", {}), logs=False
        )

    app = application(emulator, Route("/", handler))
    unlimited = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    async with unlimited as http:
        async with serving(app, grace=1) as server:

            async def watch() -> None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(server.url) as response:
                        async for _ in response.content:
                            pass

            watchers = [asyncio.ensure_future(watch()) for _ in range(100)]
            await emulator.wait_for("submit", 100)
            await emulator.wait_for("status_stream", 50)
        await asyncio.gather(*watchers)
    assert app.state.fal.closed
    assert emulator.connections_open == 0
    # The results have no readers any more, so each request was cancelled.
    assert emulator.count("cancel") == 100


def test_importing_an_integration_without_its_extra_names_the_extra() -> None:
    for name, extra in (("starlette", "starlette"), ("fastapi", "fastapi")):
        script = (
            f"import sys\nsys.modules['{name}'] = None\n"
            f"try:\n    import fal_async.integrations.{name}\n"
            "except ImportError as error:\n"
            f"    assert 'fal-async[{extra}]' in str(error), error\n"
            "else:\n    raise SystemExit('imported without it')\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
