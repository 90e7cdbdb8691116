"""TLS, and fal's own host names with DNS that points at the emulator, as an unchanged client sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.emulator import Emulator, Fault, JobContext
from fal_async.emulator.wire.routing import FAL_HOSTS, parse
from tests.emulator.bent_dns import BentDns
from tests.emulator.caller import Caller
from tests.emulator.certificates import client_side, server_side

KEY = {"Authorization": "Key emulator:key"}


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(speed=50, ssl=server_side()) as emulator:
        yield emulator


@pytest.fixture
async def caller(emulator: Emulator) -> AsyncIterator[Caller]:
    port = int(emulator.url.rpartition(":")[2])
    connector = aiohttp.TCPConnector(resolver=BentDns(port), ssl=client_side())
    async with aiohttp.ClientSession(connector=connector) as http:
        yield Caller(emulator, http)


async def test_an_emulator_with_ssl_serves_https_and_refuses_http(caller: Caller) -> None:
    assert caller.emulator.url.startswith("https://127.0.0.1:")
    submitted = await caller.submit("fal-ai/any-llm", {"prompt": "x"})
    assert submitted.data["status_url"].startswith(f"{caller.emulator.url}/queue.fal.run/fal-ai/any-llm/")
    assert (await caller.finished(submitted)).data["status"] == "COMPLETED"
    assert (await caller.result(submitted)).data["output"]
    with pytest.raises(aiohttp.ClientError):
        await caller.get(caller.emulator.url.replace("https", "http"))


async def test_a_request_to_queue_fal_run_gets_fals_own_urls_and_can_be_followed(caller: Caller) -> None:
    submitted = await caller.call(
        "POST", "https://queue.fal.run/fal-ai/any-llm", json={"prompt": "x"}, headers=KEY
    )
    base = f"https://queue.fal.run/fal-ai/any-llm/requests/{submitted.data['request_id']}"
    urls = {name: submitted.data[name] for name in ("response_url", "status_url", "cancel_url")}
    assert urls == {"response_url": base, "status_url": f"{base}/status", "cancel_url": f"{base}/cancel"}
    finished = await caller.finished(submitted)
    assert finished.data["response_url"] == base
    assert (await caller.result(submitted)).data["output"]
    assert (await caller.cancel(submitted)).data == {"status": "ALREADY_COMPLETED"}
    assert caller.emulator.requests[0].host_segment == "queue.fal.run"


async def test_the_backup_hosts_serve_the_same_and_answer_with_primary_urls(caller: Caller) -> None:
    """URLs in a submit answer of the backup host name queue.fal.run (protocol 1.1)."""
    run = await caller.call("POST", "https://falrun.com/fal-ai/any-llm", json={"prompt": "x"}, headers=KEY)
    assert run.data["output"]
    submitted = await caller.call("POST", "https://queue.falrun.com/fal-ai/any-llm", json={}, headers=KEY)
    assert submitted.data["status_url"].startswith("https://queue.fal.run/fal-ai/any-llm/requests/")


async def test_a_produced_file_has_a_url_of_fals_file_host_and_can_be_read(caller: Caller) -> None:
    @caller.emulator.endpoint("me/file")
    async def produce(input: Any, job: JobContext) -> Any:
        return await job.file(b"data", "text/plain", "a.txt")

    produced = await caller.call("POST", "https://fal.run/me/file", json={}, headers=KEY)
    assert produced.data["url"].startswith("https://v3.fal.media/files/b/")
    assert (await caller.get(produced.data["url"], headers={})).body == b"data"


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("https://api.fal.ai/v1/models", 200),
        ("https://fal.ai/api/openapi/queue/openapi.json?endpoint_id=fal-ai/flux/dev", 200),
        ("https://auth.fal.ai/oauth/token", 405),
        ("https://fal.run/_emulator", 404),
    ],
)
async def test_the_other_hosts_of_fal_answer_over_tls(caller: Caller, url: str, status: int) -> None:
    assert (await caller.get(url)).status == status


async def test_a_foreign_urls_fault_keeps_the_whole_path_of_fals_own_urls(caller: Caller) -> None:
    caller.emulator.faults.add(Fault.foreign_urls("https://evil.example", on="submit"))
    submitted = await caller.call("POST", "https://queue.fal.run/fal-ai/any-llm", json={}, headers=KEY)
    request_id = submitted.data["request_id"]
    assert submitted.data["response_url"] == f"https://evil.example/fal-ai/any-llm/requests/{request_id}"


@pytest.mark.parametrize(
    "fault",
    [Fault.reset(), Fault.close(), Fault.reset(taken=True), Fault.truncate()],
    ids=["reset", "close", "reset taken", "truncate"],
)
async def test_faults_that_break_connections_work_over_tls(caller: Caller, fault: Fault) -> None:
    caller.emulator.faults.add(fault)
    with pytest.raises(aiohttp.ClientError):
        await caller.submit("fal-ai/any-llm", {"prompt": "x"})
    assert (await caller.submit("fal-ai/any-llm", {"prompt": "x"})).status == 200


async def test_a_restart_does_not_wait_for_a_client_without_a_tls_handshake(caller: Caller) -> None:
    """Such a client connects and sends nothing."""
    port = int(caller.emulator.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await caller.emulator.restart()
    assert (await caller.run("fal-ai/any-llm", {"prompt": "x"})).status == 200
    writer.close()
    assert await reader.read() == b""


@given(
    host=st.sampled_from(sorted(FAL_HOSTS)),
    port=st.sampled_from(["", ":443", ":8765"]),
    method=st.sampled_from(["GET", "POST", "PUT"]),
    segments=st.lists(st.sampled_from(["me", "app", "requests", "id", "status", "stream", "cancel", "x.y"])),
)
def test_a_host_header_with_a_name_of_fal_counts_as_the_first_path_segment(
    host: str, port: str, method: str, segments: list[str]
) -> None:
    path = "/" + "/".join(segments)
    assert parse(method, path, host.upper() + port) == parse(method, f"/{host}{path}", "127.0.0.1:8765")
