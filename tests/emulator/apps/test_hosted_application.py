"""ASGI applications in this process: their server, and their prints. `test_mount.py` tests both kinds of mount."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse

from fal_async.emulator import Emulator
from tests.emulator.caller import Caller

APP = "me/my-app"
logger = logging.getLogger("of.an.application")


def printing() -> FastAPI:
    """Return an application whose handlers print, in the event loop and in threads."""
    app = FastAPI()

    @app.post("/sync")
    def sync(input: dict[str, str]) -> str:
        print("sync", input["name"])
        print("no end", end="")
        return "done"

    @app.post("/async")
    async def in_loop(input: dict[str, str]) -> str:
        for part in ("one ", "line\nand a second", "\n\n"):
            sys.stdout.write(part)
        await asyncio.create_task(told(input["name"]))
        await asyncio.to_thread(print, "thread", input["name"], file=sys.stderr)
        return "done"

    async def told(name: str) -> None:
        print("task", name)

    @app.post("/progress")
    def progress() -> None:
        for done in (0, 50, 100):
            print(f"\r{done} %", end="", file=sys.stderr)
        print(file=sys.stderr)

    @app.post("/alone")
    def alone() -> None:
        thread = threading.Thread(target=print, args=("only in the terminal",))
        thread.start()
        thread.join()

    @app.post("/logs")
    def logs() -> None:
        logger.error("to the terminal of the handler")

    @app.websocket("/realtime")
    async def realtime(socket: WebSocket) -> None:
        await socket.accept()
        print("session of", await socket.receive_text())
        await socket.close()

    return app


async def logs_of(caller: Caller, path: str, input: Any) -> list[tuple[str, str]]:
    submitted = await caller.submit(APP + path, input)
    status = await caller.finished(submitted)
    assert {entry["source"] for entry in status.data["logs"]} <= {"USER"}
    return [(entry["message"], entry["level"]) for entry in status.data["logs"]]


async def test_prints_of_a_mounted_app_are_log_entries_of_their_own_request(
    caller: Caller, capsys: pytest.CaptureFixture[str]
) -> None:
    caller.emulator.mount(APP, printing(), runners=8)
    names = [str(n) for n in range(8)]
    logs = await asyncio.gather(*(logs_of(caller, "/sync", {"name": name}) for name in names))
    assert logs == [[(f"sync {name}", "STDOUT"), ("no end", "STDOUT")] for name in names]
    logs = await asyncio.gather(*(logs_of(caller, "/async", {"name": name}) for name in names))
    assert logs == [
        [
            ("one line", "STDOUT"),
            ("and a second", "STDOUT"),
            (f"task {name}", "STDOUT"),
            (f"thread {name}", "STDERR"),
        ]
        for name in names
    ]
    out, err = capsys.readouterr()
    assert ("sync" in out, "thread" in err) == (True, True)  # parts of lines of several threads may mix
    assert "write" not in vars(sys.stdout)
    assert "write" not in vars(sys.stderr)


async def test_prints_outside_of_requests_and_in_own_threads_only_reach_the_terminal(
    caller: Caller, capsys: pytest.CaptureFixture[str]
) -> None:
    caller.emulator.mount(APP, printing())
    assert await logs_of(caller, "/alone", {}) == []
    print("outside")
    assert capsys.readouterr().out == "only in the terminal\noutside\n"


async def test_a_progress_bar_is_the_log_entry_that_the_terminal_shows_at_its_end(caller: Caller) -> None:
    caller.emulator.mount(APP, printing())
    assert await logs_of(caller, "/progress", {}) == [("100 %", "STDERR")]


async def test_lines_that_a_logging_handler_writes_to_stderr_are_log_entries(caller: Caller) -> None:
    caller.emulator.mount(APP, printing())
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger.addHandler(handler)
    try:
        logs = await logs_of(caller, "/logs", {})
    finally:
        logger.removeHandler(handler)
    assert logs == [("ERROR: to the terminal of the handler", "STDERR")]


async def test_prints_of_a_websocket_session_are_log_entries_of_its_request(caller: Caller) -> None:
    caller.emulator.mount(APP, printing())
    url, key = (
        f"{caller.emulator.url}/fal.run/{APP}/realtime",
        {"Authorization": f"Key {caller.emulator.key}"},
    )
    async with caller.http.ws_connect(url, headers=key) as socket:
        await socket.send_str("one")
        assert (await socket.receive()).data == 1000
    (job,) = caller.emulator.jobs.values()
    await job.wait_for("COMPLETED", timeout=5)
    assert [entry["message"] for entry in job.logs] == ["session of one"]


async def test_another_process_cannot_call_a_mounted_app_through_its_own_port(caller: Caller) -> None:
    app = FastAPI()
    seen: list[dict[str, str]] = []

    @app.post("/")
    async def root(request: Request) -> None:
        seen.append(dict(request.headers))

    @app.websocket("/")
    async def session(socket: WebSocket) -> None:
        seen.append({"not": "reached"})

    async def base_url(request: Request) -> str:
        return str(request.scope["server"][1])

    app.add_api_route("/port", base_url, methods=["POST"])
    caller.emulator.mount(APP, app)
    assert (await caller.run(APP, {})).status == 200
    arrived = seen.pop()
    assert "x-fal-emulator-secret" not in arrived
    assert f"http://{arrived['host']}" == caller.emulator.url
    url = f"http://127.0.0.1:{(await caller.run(f'{APP}/port', {})).data}/"
    for headers in ({}, {"x-fal-emulator-secret": ""}, {"x-fal-emulator-secret": "0" * 32}):
        async with caller.http.post(url, headers=headers) as response:
            assert (response.status, await response.text()) == (403, "Only the emulator may call this port\n")
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await caller.http.ws_connect(url)
    assert seen == []


async def test_the_server_of_a_mounted_app_sends_small_writes_at_once(caller: Caller) -> None:
    app = FastAPI()

    @app.post("/")
    async def delays(request: Request) -> list[int]:
        place = tuple(request.scope["server"])
        transports = [one for one in gc.get_objects() if isinstance(one, asyncio.Transport)]
        accepted = [one for one in transports if one.get_extra_info("sockname") == place]
        sockets = [one.get_extra_info("socket") for one in accepted]
        return [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets]

    caller.emulator.mount(APP, app)
    assert (await caller.run(APP, {})).data == [1]


async def test_mounting_leaves_signal_handlers_and_logging_of_the_process_as_they_are() -> None:
    def state() -> Any:
        loggers = [logging.getLogger(name) for name in ("", "uvicorn", "uvicorn.error", "uvicorn.access")]
        return (
            signal.getsignal(signal.SIGINT),
            signal.getsignal(signal.SIGTERM),
            [(one.level, one.propagate, list(one.handlers)) for one in loggers],
        )

    before = state()
    emulator = Emulator()
    emulator.mount(APP, printing())
    async with emulator:
        assert state() == before


async def test_an_app_reads_a_large_body_and_its_long_headers_reach_the_caller(caller: Caller) -> None:
    app = FastAPI()

    @app.post("/")
    async def size(request: Request) -> Any:
        return StreamingResponse(iter([str(len(await request.body()))]), headers={"x-long": "a" * 20_000})

    caller.emulator.mount(APP, app)
    url, key = f"{caller.emulator.url}/fal.run/{APP}", {"Authorization": f"Key {caller.emulator.key}"}
    async with caller.http.post(
        url, data=iter_of(5, 1 << 20), headers=key, max_field_size=1 << 16
    ) as response:
        assert (response.status, await response.text()) == (200, str(5 << 20))
        assert len(response.headers["x-long"]) == 20_000


async def iter_of(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(size)


async def test_stopping_the_emulator_ends_a_call_of_an_app_that_does_not_read_its_body() -> None:
    reached, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    emulator = Emulator()
    emulator.mount(APP, app)
    async with emulator, aiohttp.ClientSession() as http:
        url, key = f"{emulator.url}/queue.fal.run/{APP}", {"Authorization": f"Key {emulator.key}"}
        async with http.post(url, data=iter_of(3, 1 << 20), headers=key) as response:
            assert response.status == 200
        await reached.wait()
    assert ended.is_set()


async def test_cancelling_the_start_of_an_emulator_stops_the_app_that_is_starting() -> None:
    life = []
    starting = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        starting.set()
        try:
            await asyncio.Event().wait()
            yield
        finally:
            life.append("cleaned up")

    emulator = Emulator()
    emulator.mount(APP, FastAPI(lifespan=lifespan))
    start = asyncio.create_task(emulator.start())
    await starting.wait()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert life == ["cleaned up"]


async def test_an_emulator_that_is_restarted_keeps_its_mounted_app_running(caller: Caller) -> None:
    caller.emulator.mount(APP, printing())
    assert (await caller.run(f"{APP}/sync", {"name": "a"})).data == "done"
    await caller.emulator.restart(keep_memory=False)
    assert (await caller.run(f"{APP}/sync", {"name": "b"})).data == "done"


async def test_background_work_is_cancelled_when_the_emulator_stops() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    emulator = Emulator()
    emulator.mount(APP, app)
    async with emulator, aiohttp.ClientSession() as http:
        url, key = f"{emulator.url}/fal.run/{APP}", {"Authorization": f"Key {emulator.key}"}
        async with http.post(url, json={}, headers=key) as response:
            assert await response.read() == b"{}"
        await begun.wait()
    assert ended.is_set()


WITHOUT_PACKAGES = """
import asyncio, sys
import aiohttp
from fal_async.emulator import Emulator

async def app(scope, receive, send):
    raise RuntimeError

async def main():
    sys.modules["uvicorn"] = None
    emulator = Emulator()
    emulator.mount("me/elsewhere", "http://127.0.0.1:8000")
    try:
        emulator.mount("me/app", app)
    except ModuleNotFoundError as error:
        print(error)
    del sys.modules["uvicorn"]
    sys.modules["websockets"] = None
    emulator.mount("me/app", app)
    async with emulator, aiohttp.ClientSession(headers={"Authorization": "Key " + emulator.key}) as http:
        try:
            await http.ws_connect(emulator.url + "/fal.run/me/app/realtime")
        except aiohttp.WSServerHandshakeError as error:
            print(error.status)

asyncio.run(main())
"""


def test_mounting_without_uvicorn_or_websockets_names_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PACKAGES], capture_output=True, text=True, timeout=50, check=True
    )
    extra = "pip install 'fal-async[emulator]'"
    assert done.stdout.splitlines() == [
        f"an ASGI application is mounted with uvicorn: {extra}; or start the application on its own and mount its "
        "base URL",
        "501",
    ]
    assert f"need the package 'websockets': {extra}" in done.stderr
