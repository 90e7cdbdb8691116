"""The load server of the benchmarks speaks fal's queue protocol, and counts correctly."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from benchmarks.harness import processes
from benchmarks.harness.load import Load
from benchmarks.servers.load_server import REPORT


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with processes.server() as url:
        yield url


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def answer(
    http: aiohttp.ClientSession, method: str, url: str, input: dict[str, Any] | None = None
) -> tuple[int, Any]:
    async with http.request(method, url, json=input) as response:
        return response.status, await response.json()


async def submit(http: aiohttp.ClientSession, url: str, **input: Any) -> dict[str, str]:
    status, submission = await answer(http, "POST", f"{url}/queue.fal.run/bench/app/sub", input)
    assert (status, submission["status"]) == (200, "IN_QUEUE")
    assert submission["status_url"].startswith(f"{url}/queue.fal.run/bench/app/requests/")
    return dict(submission)


async def test_an_instant_job_is_complete_at_its_first_status(url: str, http: aiohttp.ClientSession) -> None:
    job = await submit(http, url)
    status, document = await answer(http, "GET", job["status_url"] + "?logs=0")
    assert (status, document["status"]) == (200, "COMPLETED")
    status, result = await answer(http, "GET", job["response_url"])
    assert status == 200
    assert 0 <= time.monotonic() - result["completed_at"] < 30


async def test_a_running_job_has_no_result_and_can_be_cancelled(
    url: str, http: aiohttp.ClientSession
) -> None:
    job = await submit(http, url, seconds=60)
    assert (await answer(http, "GET", job["status_url"]))[0] == 202
    assert (await answer(http, "GET", job["response_url"]))[0] == 400
    assert await answer(http, "PUT", job["cancel_url"]) == (202, {"status": "CANCELLATION_REQUESTED"})


async def test_a_status_stream_sends_each_change_and_ends(url: str, http: aiohttp.ClientSession) -> None:
    job = await submit(http, url, seconds=0.2, jitter=0.05)
    async with http.get(job["status_url"] + "/stream") as response:
        assert response.content_type == "text/event-stream"
        lines = (await response.read()).decode().split("\n\n")
    statuses = [json.loads(line.removeprefix("data: "))["status"] for line in lines if line]
    assert statuses == ["IN_PROGRESS", "COMPLETED"]


async def test_a_direct_run_responds_when_the_job_is_done(url: str, http: aiohttp.ClientSession) -> None:
    status, result = await answer(http, "POST", f"{url}/fal.run/bench/app", {"seconds": 0.2})
    assert status == 200
    assert time.monotonic() >= result["completed_at"]


async def test_the_status_of_an_unknown_request_is_404(url: str, http: aiohttp.ClientSession) -> None:
    unknown = f"{url}/queue.fal.run/bench/app/requests/no-such-id/status"
    assert await answer(http, "GET", unknown) == (404, {"status": "NOT_FOUND"})


async def test_the_report_has_counts_and_the_times_of_each_job() -> None:
    with processes.server() as url:
        async with aiohttp.ClientSession() as http:
            job = await submit(http, url)
            await answer(http, "GET", job["status_url"])
            await answer(http, "GET", job["response_url"])
            _, report = await answer(http, "GET", url + REPORT + "?jobs=1")
    assert report["requests"] == {"submit": 1, "status": 1, "result": 1}
    assert (report["submissions"], report["fetched"], report["connections"]) == (1, 1, 1)
    [record] = report["jobs"]
    assert record["completed_at"] <= record["noticed_at"] <= record["fetched_at"]


async def test_requests_in_single_bytes_and_two_in_one_packet_are_answered(url: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    request = b"POST /fal.run/bench/app HTTP/1.1\r\nHost: x\r\nCONTENT-LENGTH: 2\r\n\r\n{}"
    try:
        for byte in request:
            writer.write(bytes([byte]))
            await writer.drain()
        writer.write(request + request)
        for _ in range(3):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.rpartition(b"Content-Length: ")[2])
            assert "completed_at" in json.loads(await reader.readexactly(length))
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_measurement_of_plain_aiohttp_finishes_every_call() -> None:
    load = Load(rival="aiohttp", total=30, at_once=10, seconds=0.1, jitter=0.05, new_endpoints=True)
    result = await asyncio.to_thread(processes.measure, load)
    assert (result["finished"], result["errors"]) == (30, {})
    assert result["server"]["requests"]["submit"] == 30
    assert result["server"]["most_connections"] <= 10


async def test_a_client_that_can_not_start_is_recorded_as_an_error_without_figures() -> None:
    result = await asyncio.to_thread(processes.measure, Load(rival="fal-client", mode="streaming"))
    assert result["finished"] == 0
    assert "wall" not in result
    assert len(result["errors"]) == 1
