"""FastAPI applications under uvicorn, with a real HTTP client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import aiohttp
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Request, Response, WebSocket
from pydantic import BaseModel
from starlette.responses import JSONResponse

from fal_async import Result, Session, WebhookEvent
from fal_async.emulator import Emulator
from fal_async.integrations.fastapi import (
    Fal,
    FalDependency,
    exception_handlers,
    fal_lifespan,
    get_session,
    sse_response,
    webhook_router,
)
from tests.servers.serving import serving


class Wanted(BaseModel):
    a: int


async def service(fal: Annotated[Session, Depends(get_session)]) -> AsyncIterator[Session]:
    """A dependency of the application itself."""
    yield fal


def application(emulator: Emulator, **lifespan: Any) -> FastAPI:
    def make_session() -> Session:
        return Session(emulator.key, hosts=emulator.hosts)

    return FastAPI(lifespan=fal_lifespan(make_session, **lifespan), exception_handlers=exception_handlers)


async def test_every_fastapi_handler_gets_the_same_session_as_a_dependency(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    app = application(emulator)
    sessions: set[int] = set()

    @app.post("/echo")
    async def echo(wanted: Wanted, fal: Fal) -> Any:
        sessions.add(id(fal))
        return (await fal.subscribe("me/echo", wanted.model_dump())).data

    @app.get("/same")
    async def same(
        request: Request, fal: Annotated[Session, Depends(FalDependency(cancel_on_disconnect=False))]
    ) -> bool:
        return fal is get_session(request)

    async with serving(app) as server:
        for n in range(3):
            async with http.post(f"{server.url}/echo", json={"a": n}) as response:
                assert await response.json() == {"a": n}
        async with http.get(f"{server.url}/same") as response:
            assert await response.json() is True
    assert len(sessions) == 1


async def test_get_session_works_as_a_fastapi_dependency_and_in_a_thread(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    app = application(emulator)

    @app.get("/echo")
    async def echo(fal: Annotated[Session, Depends(service)]) -> Any:
        return (await fal.subscribe("me/echo", {"a": 1})).data

    @app.get("/thread")
    def thread(request: Request) -> bool:
        return get_session(request) is app.state.fal

    async with serving(app) as server:
        async with http.get(f"{server.url}/echo") as response:
            assert await response.json() == {"a": 1}
        async with http.get(f"{server.url}/thread") as response:
            assert await response.json() is True


async def test_fastapi_websocket_handlers_get_the_session(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    app = application(emulator)

    @app.websocket("/dependency")
    async def dependency(websocket: WebSocket, fal: Fal) -> None:
        await websocket.accept()
        await websocket.send_json((await fal.subscribe("me/echo", {"a": 1})).data)

    @app.websocket("/by-hand")
    async def by_hand(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json((await get_session(websocket).subscribe("me/echo", {"a": 2})).data)

    async with serving(app, websockets=True) as server:
        for path, answer in (("/dependency", {"a": 1}), ("/by-hand", {"a": 2})):
            async with http.ws_connect(server.url + path) as connection:
                assert await connection.receive_json() == answer


async def test_a_disconnect_cancels_the_fastapi_handler_and_its_job_within_a_second(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    app = application(emulator)
    ended: asyncio.Queue[str] = asyncio.Queue()

    @app.post("/generate")
    async def generate(wanted: Wanted, fal: Fal) -> Any:
        try:
            return (await fal.subscribe("me/endless", wanted.model_dump())).data
        except asyncio.CancelledError:
            ended.put_nowait("cancelled")
            raise

    async with serving(app) as server:
        call = asyncio.ensure_future(http.post(f"{server.url}/generate", json={"a": 1}))
        await emulator.wait_for("submit")
        (job,) = emulator.jobs.values()
        await job.wait_for("IN_PROGRESS", timeout=5)
        call.cancel()
        async with asyncio.timeout(1):
            await job.wait_for("COMPLETED")
            assert await ended.get() == "cancelled"
        assert job.error_type == "client_cancelled"
        # The server and its session still work.
        async with http.get(f"{server.url}/docs") as response:
            assert response.status == 200


async def test_a_handler_without_cancel_on_disconnect_goes_on_after_a_disconnect(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    app = application(emulator)
    go_on, ended = asyncio.Event(), asyncio.Event()

    @emulator.endpoint("me/slow")
    async def slow(input: Any) -> Any:
        await go_on.wait()
        return input

    @app.get("/")
    async def handler(fal: Annotated[Session, Depends(FalDependency(cancel_on_disconnect=False))]) -> Any:
        result = await fal.subscribe("me/slow", {"a": 1})
        ended.set()
        return result.data

    async with serving(app) as server:
        call = asyncio.ensure_future(http.get(server.url))
        await emulator.wait_for("submit")
        call.cancel()
        go_on.set()
        async with asyncio.timeout(5):
            await ended.wait()
    assert emulator.count("cancel") == 0


async def test_a_background_task_is_not_cancelled_after_the_response(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """The watch for a disconnect ends with the handler: the end of the request must not cancel later work."""
    app = application(emulator)
    done = asyncio.Event()

    @app.get("/")
    async def handler(fal: Fal, later: BackgroundTasks) -> Any:
        async def work() -> None:
            await fal.subscribe("me/echo", {"a": 2})
            done.set()

        later.add_task(work)
        return (await fal.subscribe("me/echo", {"a": 1})).data

    async with serving(app) as server:
        async with http.get(server.url) as response:
            assert await response.json() == {"a": 1}
        async with asyncio.timeout(5):
            await done.wait()


async def test_a_fastapi_handler_can_still_read_the_request_body(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    app = application(emulator)

    @app.post("/")
    async def handler(request: Request, fal: Fal) -> Any:
        return (await fal.subscribe("me/echo", await request.json())).data

    async with serving(app) as server, http.post(server.url, json={"a": 1}) as response:
        assert await response.json() == {"a": 1}


async def size(request: Request) -> int:
    return sum([len(piece) async for piece in request.stream()])


async def test_a_body_that_another_dependency_has_read_is_allowed(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """FastAPI reads forms before it resolves dependencies."""
    app = application(emulator)

    @app.post("/")
    async def handler(sent: Annotated[int, Depends(size)], fal: Fal) -> Any:
        return (await fal.subscribe("me/echo", {"size": sent})).data

    async with serving(app) as server, http.post(server.url, data=b"12345") as response:
        assert await response.json() == {"size": 5}


ANSWERS = [
    ("me/broken", 422, "body.a: no"),
    ("me/unknown", 502, "The model could not be reached"),
    ("no-endpoint", 500, "The request could not be made"),
]


@pytest.mark.parametrize(("endpoint_id", "status", "detail"), ANSWERS)
async def test_errors_in_fastapi_become_responses_without_secrets(
    emulator: Emulator, http: aiohttp.ClientSession, endpoint_id: str, status: int, detail: str
) -> None:
    app = application(emulator)

    @app.get("/")
    async def handler(fal: Fal) -> Any:
        return (await fal.subscribe(endpoint_id, {"prompt": "secret"})).data

    async with serving(app) as server, http.get(server.url) as response:
        text = await response.text()
        assert (response.status, (await response.json())["detail"]) == (status, detail)
    assert "secret" not in text
    assert emulator.key not in text
    assert "127.0.0.1" not in text


@pytest.mark.parametrize("wrong", ["key", "balance"])
async def test_a_refused_key_or_a_locked_account_is_a_general_502_in_fastapi(
    emulator: Emulator, http: aiohttp.ClientSession, wrong: str
) -> None:
    app = application(emulator)

    @app.get("/")
    async def handler(fal: Fal) -> Any:
        return (await fal.subscribe("me/echo", {})).data

    async with serving(app) as server:
        if wrong == "key":
            emulator.rotate_key("another:key")
        else:
            emulator.lock_account()
        async with http.get(server.url) as response:
            assert response.status == 502
            assert await response.json() == {
                "detail": "The model could not answer",
                "error": "FalError",
                "request_id": None,
                "retryable": False,
            }


async def test_relays_and_webhook_routers_work_in_fastapi(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    arrived: asyncio.Queue[WebhookEvent] = asyncio.Queue()

    def attach(session: Session) -> None:
        session.webhooks.attach("http://127.0.0.1/", on_event=arrived.put_nowait)

    app = application(emulator, on_open=attach)
    app.include_router(webhook_router("/fal/webhook"))

    @app.get("/events")
    async def events(request: Request, fal: Fal) -> Response:
        return await sse_response(request, lambda: fal.queue.submit("me/echo", {"a": 1}))

    async with serving(app) as server:
        async with http.get(f"{server.url}/events") as response:
            assert b"event: result" in await response.read()
        url = f"{server.url}/fal/webhook"
        handle = await app.state.fal.queue.submit("me/echo", {"a": 2}, webhook_url=url)
        assert (await arrived.get()).request_id == handle.request_id
        async with http.get(f"{server.url}/openapi.json") as response:
            assert "/fal/webhook" not in (await response.json())["paths"]


async def test_a_relayed_request_in_fastapi_is_cancelled_by_a_disconnect(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    app = application(emulator)

    @app.get("/events")
    async def events(request: Request, fal: Fal) -> Response:
        return await sse_response(request, lambda: fal.queue.submit("me/endless", {}))

    async with serving(app) as server:
        async with http.get(f"{server.url}/events") as response:
            await response.content.readline()
            response.close()
        await emulator.wait_for("cancel", timeout=1)


async def test_two_hundred_fastapi_handlers_share_one_connection_pool(emulator: Emulator) -> None:
    app = application(emulator)

    @app.get("/{n}")
    async def handler(n: int, fal: Fal) -> Any:
        return (await fal.subscribe("me/echo", {"n": n})).data

    unlimited = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    async with serving(app) as server, unlimited as http:

        async def ask(n: int) -> Any:
            async with http.get(f"{server.url}/{n}") as response:
                return await response.json()

        assert await asyncio.gather(*(ask(n) for n in range(200))) == [{"n": n} for n in range(200)]
    assert emulator.connections_opened <= 100


async def test_a_shutdown_of_fastapi_under_load_cancels_all_requests(emulator: Emulator) -> None:
    app = application(emulator)

    @app.get("/")
    async def handler(fal: Fal) -> Any:
        return (await fal.subscribe("me/endless", {})).data

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        async with serving(app, grace=1) as server:

            async def ask() -> None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(server.url) as response:
                        assert response.status >= 500

            calls = [asyncio.ensure_future(ask()) for _ in range(100)]
            await emulator.wait_for("submit", 100)
        await asyncio.gather(*calls)
    assert app.state.fal.closed
    assert emulator.count("cancel") == 100
    assert emulator.connections_open == 0


@dataclass
class Echo:
    a: int


async def test_a_fastapi_handler_may_return_a_result(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    app = application(emulator)

    @app.get("/plain")
    async def plain(fal: Fal):  # type: ignore[no-untyped-def]
        return await fal.subscribe("me/echo", {"a": 1})

    @app.get("/annotated")
    async def annotated(fal: Fal) -> Result:
        return await fal.subscribe("me/echo", {"a": 1})

    @app.get("/typed")
    async def typed(fal: Fal) -> Result[Echo, str]:
        return await fal.subscribe("me/echo", {"a": 1}, output_type=Echo)

    @app.get("/one-argument")
    async def one_argument(fal: Fal) -> Result[Echo]:
        return await fal.run("me/echo", {"a": 1}, output_type=Echo)

    @app.get("/response")
    async def response(fal: Fal) -> Response:
        return JSONResponse((await fal.subscribe("me/echo", {"a": 1}, output_type=Echo)).to_dict())

    async with serving(app) as server:
        for path in ("plain", "annotated", "typed", "one-argument", "response"):
            async with http.get(f"{server.url}/{path}") as answer:
                assert answer.status == 200, path
                body = await answer.json()
            assert body["data"] == {"a": 1}
            assert body["request_id"]
            assert "headers" not in body
        async with http.get(f"{server.url}/openapi.json") as answer:
            assert answer.status == 200
