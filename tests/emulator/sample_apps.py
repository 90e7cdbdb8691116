"""The same application twice, for `mount`: in process with Starlette, and on its own port with aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
from aiohttp import WSMsgType, web
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
REFUSAL = {"detail": [{"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}]}


@attrs.define(eq=False)
class Notes:
    """What the application saw, and events with which the test controls it."""

    seen: list[Any] = attrs.field(factory=list)
    failures: int = 0
    """How many more calls of `/flaky` fail."""
    working: int = 0
    at_once: int = 0
    """The largest number of calls of `/long` at the same time."""
    started: asyncio.Event = attrs.field(factory=asyncio.Event)
    go_on: asyncio.Event = attrs.field(factory=asyncio.Event)
    cut_off: asyncio.Event = attrs.field(factory=asyncio.Event)
    notified: asyncio.Event = attrs.field(factory=asyncio.Event)
    left: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set when the caller of a WebSocket has left."""
    life: list[str] = attrs.field(factory=list)

    async def work(self) -> None:
        self.working += 1
        self.at_once = max(self.at_once, self.working)
        self.started.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cut_off.set()
            raise
        finally:
            self.working -= 1

    async def work_politely(self) -> int:
        """Wait until `go_on` or a cancel. Return 200 or, after a cancel, 499."""
        self.started.set()
        ends = {asyncio.create_task(event.wait()) for event in (self.go_on, self.notified)}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.wait(ends)
        return 499 if self.notified.is_set() else 200

    async def events(self) -> AsyncIterator[bytes]:
        """Yield one event at once, and the second after `go_on`."""
        try:
            yield b'data: {"word":"one"}\n\n'
            self.started.set()
            await self.go_on.wait()
            yield 'data: {"word":"zwölf"}\n\n'.encode()
        except asyncio.CancelledError:
            self.cut_off.set()
            raise

    def greeting(self, headers: Mapping[str, str], input: Any) -> dict[str, Any]:
        self.seen.append({name.lower(): text for name, text in headers.items()})
        names = ("x-fal-request-id", "x-fal-endpoint", "x-fal-caller-user-id", "authorization", "x-mine")
        return {"input": input, **{name: headers.get(name) for name in names}}

    def is_flaky(self) -> bool:
        self.failures -= 1
        return self.failures >= 0


def on_starlette(notes: Notes) -> Starlette:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        notes.life.append("up")
        yield {"model": "ready"}
        notes.life.append("down")

    async def root(request: Request) -> Response:
        return JSONResponse(notes.greeting(request.headers, await request.json()))

    async def any_path(request: Request) -> Response:
        document = {
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.url.query,
            "body": (await request.body()).decode(),
            "model": request.state.model,
        }
        response = JSONResponse(document, 201, {"X-Own": "yes"})
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    async def fail(_: Request) -> Response:
        return JSONResponse(REFUSAL, 422)

    async def flaky(_: Request) -> Response:
        return JSONResponse({"failed": (failed := notes.is_flaky())}, 503 if failed else 200)

    async def broken(_: Request) -> Response:
        raise RuntimeError("no GPU here")

    async def cut(_: Request) -> Response:
        async def half() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("torn")

        return StreamingResponse(half())

    async def bill(_: Request) -> Response:
        return JSONResponse({}, headers={"x-fal-billable-units": "7.5"})

    async def stream(_: Request) -> Response:
        return StreamingResponse(notes.events(), media_type="text/event-stream")

    async def long(request: Request) -> Response:
        await notes.work()
        return JSONResponse(await request.json())

    async def polite(_: Request) -> Response:
        return JSONResponse({"by": "the app"}, await notes.work_politely())

    async def cancel(request: Request) -> Response:
        notes.seen.append(request.headers["x-fal-request-id"])
        notes.notified.set()
        return JSONResponse({})

    async def realtime(socket: WebSocket) -> None:
        notes.seen.append({"path": socket.url.path, "query": socket.url.query, **socket.headers})
        offered = socket.scope["subprotocols"]
        await socket.accept(subprotocol=offered[-1] if offered else None)
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    raise WebSocketDisconnect(message["code"], message.get("reason"))
                if message.get("text") == "bye":
                    await socket.close(4321, "so long")
                    return
                await socket.send({**message, "type": "websocket.send"})
        except WebSocketDisconnect as gone:
            notes.seen.append((gone.code, gone.reason))
            notes.left.set()

    async def closed(socket: WebSocket) -> None:
        await socket.close()

    return Starlette(
        routes=[
            Route("/", root, methods=["POST"]),
            Route("/any/{path:path}", any_path, methods=METHODS),
            *(
                Route(f"/{handler.__name__}", handler, methods=["POST"])
                for handler in (fail, flaky, broken, cut, bill, long, polite)
            ),
            Route("/polite/cancel", cancel, methods=["POST"]),
            Route("/words/stream", stream, methods=["POST", "GET"]),
            WebSocketRoute("/realtime", realtime),
            WebSocketRoute("/closed", closed),
        ],
        lifespan=lifespan,
    )


def on_aiohttp(notes: Notes) -> web.Application:
    async def root(request: web.Request) -> web.Response:
        return web.json_response(notes.greeting(request.headers, await request.json()))

    async def any_path(request: web.Request) -> web.Response:
        document = {
            "method": request.method,
            "path": request.rel_url.raw_path,
            "query": request.rel_url.raw_query_string,
            "body": await request.text(),
            "model": "ready",
        }
        response = web.json_response(document, status=201, headers={"X-Own": "yes"})
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    async def fail(_: web.Request) -> web.Response:
        return web.json_response(REFUSAL, status=422)

    async def flaky(_: web.Request) -> web.Response:
        return web.json_response({"failed": (failed := notes.is_flaky())}, status=503 if failed else 200)

    async def broken(request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        if request.transport is not None:
            request.transport.close()
        return response

    async def bill(_: web.Request) -> web.Response:
        return web.json_response({}, headers={"x-fal-billable-units": "7.5"})

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        async for event in notes.events():
            await response.write(event)
        return response

    async def long(request: web.Request) -> web.Response:
        input = await request.json()
        await notes.work()
        return web.json_response(input)

    async def polite(_: web.Request) -> web.Response:
        return web.json_response({"by": "the app"}, status=await notes.work_politely())

    async def cancel(request: web.Request) -> web.Response:
        notes.seen.append(request.headers["x-fal-request-id"])
        notes.notified.set()
        return web.json_response({})

    async def realtime(request: web.Request) -> web.WebSocketResponse:
        notes.seen.append(
            {
                "path": request.path,
                "query": request.query_string,
                **{name.lower(): text for name, text in request.headers.items()},
            }
        )
        offered = request.headers.get("Sec-WebSocket-Protocol", "").replace(" ", "").split(",")
        socket = web.WebSocketResponse(protocols=offered[-1:])
        await socket.prepare(request)
        reason = None
        while True:
            message = await socket.receive()
            if message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            elif message.type is not WSMsgType.TEXT:
                reason = message.extra
                break
            elif message.data == "bye":
                await socket.close(code=4321, message=b"so long")
                return socket
            else:
                await socket.send_str(message.data)
        notes.seen.append((socket.close_code, reason))
        notes.left.set()
        return socket

    async def closed(_: web.Request) -> web.Response:
        return web.Response(status=403)

    app = web.Application()
    app.add_routes(
        [
            web.post("/", root),
            web.route("*", "/any/{path:.*}", any_path),
            *(web.post(f"/{h.__name__}", h) for h in (fail, flaky, broken, cut, bill, long, polite)),
            web.post("/polite/cancel", cancel),
            web.route("*", "/words/stream", stream),
            web.get("/realtime", realtime),
            web.get("/closed", closed),
        ]
    )
    return app


@asynccontextmanager
async def served(app: web.Application, port: int = 0) -> AsyncIterator[str]:
    """Serve an app on a loopback port, 0 for a free one, and yield its URL. Cancel handlers whose callers leave."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
