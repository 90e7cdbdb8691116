"""Tests of a user that call the real fal. `test_checks.py` expects the line with "# here" in each report."""

import asyncio
import socket
import threading
import urllib.request
from typing import Any

import aiohttp
import fal_client
import httpx
import httpx2
import pytest
import requests
import websockets
from fastapi import FastAPI
from fastapi.testclient import TestClient

import fal_async
from fal_async import Session
from fal_async.emulator import Emulator, NetworkGuard, NetworkGuardError

URL = "https://queue.fal.run/fal-ai/any-llm"


@pytest.fixture(autouse=True)
def settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "real:key")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)


def test_call_of_a_session_is_stopped() -> None:
    async def main() -> None:
        async with Session() as fal:
            await fal.subscribe("fal-ai/any-llm", {"prompt": "x"})  # here

    asyncio.run(main())


def test_direct_call_is_stopped() -> None:
    async def main() -> None:
        await fal_async.run("fal-ai/any-llm", {"prompt": "x"})  # here

    asyncio.run(main())


def test_fal_client_is_stopped() -> None:
    fal_client.subscribe("fal-ai/any-llm", {"prompt": "x"})  # here


def test_asynchronous_fal_client_is_stopped() -> None:
    async def main() -> None:
        await fal_client.AsyncClient().submit("fal-ai/any-llm", {})  # here

    asyncio.run(main())


def test_httpx_is_stopped() -> None:
    httpx.get(URL)  # here


def test_asynchronous_httpx2_is_stopped() -> None:
    async def main() -> None:
        async with httpx2.AsyncClient() as client:
            await client.get(URL)  # here

    asyncio.run(main())


def test_requests_is_stopped() -> None:
    requests.get("https://v3.fal.media/files/a.png")  # here


def test_urllib_is_stopped() -> None:
    urllib.request.urlopen("https://FAL.ai./models")  # here


def test_aiohttp_is_stopped() -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as http:
            await http.get("https://rest.fal.ai/storage")  # here

    asyncio.run(main())


def test_websockets_is_stopped() -> None:
    async def main() -> None:
        await websockets.connect("wss://fal.run/fal-ai/any-llm/realtime")  # here

    asyncio.run(main())


def test_socket_is_stopped() -> None:
    with socket.socket() as raw:
        raw.connect(("gateway.falrun.com", 443))  # here


def test_error_in_a_thread_fails_the_test() -> None:
    def call() -> None:
        with pytest.raises(NetworkGuardError):
            urllib.request.urlopen(URL)  # here

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_error_that_the_application_swallows_fails_the_test() -> None:
    app = FastAPI()

    @app.get("/")
    async def index() -> str:
        try:
            await fal_async.run("fal-ai/any-llm", {"prompt": "x"})  # here
        except Exception:
            return "fallback"
        return "answer"

    with TestClient(app) as client:
        assert client.get("/").json() == "fallback"


def test_stopped_calls_are_shown_when_the_test_fails_otherwise() -> None:
    with pytest.raises(NetworkGuardError):
        urllib.request.urlopen(URL)  # here
    raise AssertionError("another failure")


class TestOfATeardown:
    @pytest.fixture
    def late(self) -> Any:
        yield
        with pytest.raises(NetworkGuardError):
            urllib.request.urlopen(URL)  # here

    def test_call_of_a_fixtures_teardown_is_an_error(self, late: Any) -> None:
        pass


# What follows passes.


@pytest.mark.fal_verify(unexpected=False)
def test_emulator_is_not_the_real_fal(fal_env: Any, fal_emulator: Emulator) -> None:
    asyncio.run(fal_async.run("fal-ai/any-llm", {"prompt": "x"}))
    request = urllib.request.Request(fal_emulator.url + "/fal-ai/x", headers={"Host": "queue.fal.run"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    caught.value.close()


def test_other_hosts_are_not_stopped() -> None:
    for host in ("localhost", "127.0.0.1"):
        assert socket.getaddrinfo(host, 80)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass


def test_expected_calls_are_taken_from_the_guard(fal_network_guard: NetworkGuard) -> None:
    with pytest.raises(NetworkGuardError, match=r"nothing was sent"):
        urllib.request.urlopen(URL)
    assert [call.host for call in fal_network_guard.take()] == ["queue.fal.run"]


@pytest.mark.fal_network_guard(False)
def test_marker_switches_the_guard_off() -> None:
    with NetworkGuard() as guard, pytest.raises(NetworkGuardError):
        urllib.request.urlopen(URL)
    assert len(guard.calls) == 1
