"""`@fal-ai/client` from npm, in Node, through our proxy to the emulator: the client has no API key."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fal_async import Session
from fal_async.emulator import Emulator
from fal_async.integrations.proxy import FalProxy
from tests.real.conftest import node_with, output_of
from tests.servers.serving import serving

SCRIPT = "scripts/browser_client.mjs"
ENDPOINTS = ["fal-ai/flux/*", "me/**"]
Client = Callable[[str], Awaitable[Any]]


@pytest.fixture
def emulator(emulator: Emulator) -> Emulator:
    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        return input

    return emulator


@pytest.fixture
async def client(workshop: Path, emulator: Emulator, fal: Session) -> AsyncIterator[Client]:
    folder = node_with(workshop)
    async with serving(FalProxy(endpoints=ENDPOINTS, anonymous=True, session=fal)) as server:

        async def run(task: str) -> Any:
            said = await output_of("node", SCRIPT, task, server.url, env={}, cwd=folder)
            # Every key that reached the emulator came from the proxy; storing and fetching files needs none.
            keys = {request.headers.get("Authorization") for request in emulator.requests}
            assert keys <= {None, f"Key {emulator.key}"}
            assert emulator.key not in said
            return json.loads(said)

        yield run


@pytest.mark.parametrize("task", ["subscribe", "streamed_status"])
async def test_the_javascript_client_subscribes_through_the_proxy(
    client: Client, emulator: Emulator, task: str
) -> None:
    answer = await client(task)
    (job,) = emulator.jobs.values()
    assert answer["requestId"] == job.request_id
    assert answer["updates"][-1] == "COMPLETED"
    async with aiohttp.ClientSession() as http, http.get(answer["data"]["images"][0]["url"]) as picture:
        assert picture.content_type == "image/png"
    assert emulator.count("status" if task == "subscribe" else "status_stream") >= 1


async def test_the_javascript_client_runs_through_the_proxy(client: Client) -> None:
    answer = await client("run")
    assert answer["data"] == {"text": "é"}
    assert answer["requestId"]


async def test_the_javascript_client_streams_through_the_proxy(client: Client, emulator: Emulator) -> None:
    async def words(input: Any) -> AsyncIterator[Any]:
        for word in input["text"].split():
            yield {"word": word}

    serve: Any = emulator.endpoint("me/words")
    serve(words)

    answer = await client("stream")
    assert answer["events"] == [{"word": "one"}, {"word": "two"}, {"word": "three"}]
    assert answer["last"] == {"word": "three"}


async def test_the_javascript_client_uploads_through_the_proxy(client: Client, emulator: Emulator) -> None:
    answer = await client("upload")
    async with aiohttp.ClientSession() as http:
        async with http.get(answer["url"]) as file:
            assert (await file.text(), file.content_type) == ("hello", "text/plain")
        async with http.get(answer["data"]["file"]) as file:
            assert await file.text() == "in the input"
    assert all(url.startswith(emulator.url) for url in (answer["url"], answer["data"]["file"]))


async def test_the_javascript_client_gets_403_for_an_endpoint_that_is_not_allowed(
    client: Client, emulator: Emulator
) -> None:
    answer = await client("refused")
    assert answer == {"status": 403, "body": {"detail": "this endpoint is not allowed"}}
    assert emulator.count() == 0
