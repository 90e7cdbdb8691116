"""Our client against a real application of the `fal` package in uvicorn: directly, and behind the emulator."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fal_async import (
    CancelOutcome,
    Completed,
    Hosts,
    InProgress,
    RealtimeError,
    RequestCancelledError,
    Session,
    ValidationError,
)
from fal_async.emulator import Emulator
from tests.real.conftest import SCRIPTS, python_with


@pytest.fixture
async def port(workshop: Path) -> AsyncIterator[int]:
    """Serve the application; return its port."""
    python = python_with(workshop, "python-fal")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # Connections before the application has started wait in the queue of this socket.
        port: int = listening.getsockname()[1]
        listening.set_inheritable(True)
        script = (python, SCRIPTS / "python" / "fal_app.py", str(listening.fileno()))
        server = await asyncio.create_subprocess_exec(*script, pass_fds=[listening.fileno()])
    try:
        yield port
    finally:
        if server.returncode is None:
            server.terminate()
        await server.wait()


@pytest.fixture
async def mounted(port: int) -> AsyncIterator[Session]:
    """A session on an emulator whose queue forwards to the application."""
    async with Emulator() as emulator:
        emulator.mount("me/app", f"http://127.0.0.1:{port}/me/app")
        async with Session(emulator.key, hosts=emulator.hosts) as session:
            yield session


@pytest.fixture
async def alone(port: int) -> AsyncIterator[Session]:
    hosts = Hosts(run=f"http://127.0.0.1:{port}", realtime=f"ws://127.0.0.1:{port}")
    async with Session("any:key", hosts=hosts) as session:
        yield session


@pytest.fixture(params=["alone", "mounted"])
def fal(request: pytest.FixtureRequest) -> Session:
    session: Session = request.getfixturevalue(request.param)
    return session


async def test_run_calls_a_plain_endpoint_of_a_real_application(fal: Session) -> None:
    assert (await fal.run("me/app", {"prompt": "hello"})).data["output"] == "HELLO"
    with pytest.raises(ValidationError):
        await fal.run("me/app", {"prompt": 5})


async def test_subscribe_calls_a_real_application_behind_the_queue(mounted: Session) -> None:
    result = await mounted.subscribe("me/app", {"prompt": "hello"})
    assert (result.data["output"], result.billable_units) == ("HELLO", 1)
    with pytest.raises(ValidationError):
        await mounted.subscribe("me/app", {"prompt": 5})


async def test_cancelling_a_running_request_reaches_the_real_application(mounted: Session) -> None:
    handle = await mounted.queue.submit("me/app/long", {"prompt": "hello"})
    outcome: CancelOutcome | None = None
    async for update in handle.updates():
        if outcome is None and isinstance(update, InProgress):  # only once, as a second one may come too late
            outcome = await handle.cancel()
    assert outcome is CancelOutcome.CANCELLATION_REQUESTED
    assert isinstance(update, Completed)
    assert (update.error, update.error_type) == ("stopped by the app", "client_cancelled")
    with pytest.raises(RequestCancelledError):
        await handle.result()


async def test_stream_yields_the_events_of_a_real_application(fal: Session) -> None:
    async with fal.stream("me/app", {"prompt": "one two drei größer"}) as stream:
        assert [event["output"] async for event in stream] == ["one", "two", "drei", "größer"]
    with pytest.raises(ValidationError):
        await fal.stream("me/app", {}).last()


async def test_realtime_exchanges_messages_with_a_real_application(fal: Session) -> None:
    async with fal.realtime.connect("me/app", use_token=False, max_buffering=5) as connection:
        for word in ("one", "two", "three"):
            answer = await connection.request({"prompt": word, "image": b"\x00\x01\xff"})
            assert (answer["output"], answer["image"]) == (word.upper(), b"\xff\x01\x00")
        assert [
            message async for message in connection
        ] == []  # the session timeout of the app is a normal end
        assert connection.ended
        assert (await connection.request({"prompt": "again"}))["output"] == "AGAIN"
        assert connection.reconnects == 0


async def test_realtime_receives_all_messages_of_a_real_generator(fal: Session) -> None:
    async with fal.realtime.connect("me/app", path="/many", use_token=False) as connection:
        await connection.send({"prompt": "a b c"})
        assert [message["output"] async for message in connection] == ["a", "b", "c"]


@pytest.mark.parametrize("message", [{"prompt": "fail"}, {"wrong": 1}])
async def test_an_error_of_a_real_realtime_application_raises_realtime_error(
    fal: Session, message: dict[str, object]
) -> None:
    async with fal.realtime.connect("me/app", use_token=False) as connection:
        await connection.send(message)
        with pytest.raises(RealtimeError) as caught:
            await connection.recv()
    assert caught.value.error == "INTERNAL_ERROR"
