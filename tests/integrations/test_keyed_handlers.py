"""Calls with a key in web handlers: one key is one paid request, even after disconnects, restarts and kills."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from fal_async import RetryPolicy
from fal_async.emulator import Emulator, Fault
from tests.emulator.gate import Gate
from tests.integrations.keyed_app import shop
from tests.servers.serving import serving

QUICK = RetryPolicy(base_delay=0.01, max_delay=0.05)


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    return str(tmp_path / "orders.db")


@pytest.fixture
def gate(emulator: Emulator) -> Gate:
    gate = Gate()
    emulator.endpoint("me/gate", runners=50)(gate)
    return gate


@attrs.frozen
class Answer:
    status: int
    data: Any
    headers: Any

    @property
    def result(self) -> Any:
        assert self.status == 200, self.data
        return self.data["data"]


async def order(http: aiohttp.ClientSession, url: str, *, model: str = "gate", **more: Any) -> Answer:
    headers = {"Idempotency-Key": more.pop("key", "k-1")}
    input, query = more.pop("input", {"a": 1}), more
    async with http.post(f"{url}/orders/{model}", json=input, headers=headers, params=query) as answer:
        return Answer(answer.status, await answer.json(), answer.headers)


@asynccontextmanager
async def shop_at(emulator: Emulator, ledger: str, **settings: Any) -> AsyncIterator[str]:
    settings = {"credentials": emulator.key, "hosts": emulator.hosts, "retry": QUICK, **settings}
    async with serving(shop(ledger, **settings)) as server:
        yield server.url


async def gone(call: asyncio.Task[Any]) -> None:
    """Let the browser disconnect."""
    call.cancel()
    await asyncio.wait([call])


async def test_concurrent_calls_with_one_key_are_one_request_with_equal_responses(
    emulator: Emulator, http: aiohttp.ClientSession, gate: Gate, ledger: str
) -> None:
    async with shop_at(emulator, ledger) as url:
        calls = [asyncio.ensure_future(order(http, url)) for _ in range(20)]
        await emulator.wait_for("submit")
        gate.open()
        answers = await asyncio.gather(*calls)
        assert [answer.result for answer in answers] == [{"a": 1}] * 20
        later = await order(http, url)
    assert later.data == answers[0].data
    assert emulator.books.taken("me/gate", {"a": 1}) == 1


async def test_a_key_with_another_input_is_422_and_another_users_key_is_separate(
    emulator: Emulator, http: aiohttp.ClientSession, ledger: str
) -> None:
    async with shop_at(emulator, ledger) as url:
        first = await order(http, url, model="echo")
        conflict = await order(http, url, model="echo", input={"a": 2})
        assert (conflict.status, conflict.data["error"]) == (422, "KeyConflictError")
        headers = {"Idempotency-Key": "k-1", "X-User": "eve"}
        async with http.post(f"{url}/orders/echo", json={"a": 1}, headers=headers) as answer:
            assert (await answer.json())["request_id"] != first.data["request_id"]
    assert emulator.books.total("me/echo") == 2


Moment = Callable[[Emulator, Gate], Awaitable[None]]


async def while_it_submits(emulator: Emulator, _: Gate) -> None:
    await emulator.wait_for("submit")


async def while_it_waits_or_runs(emulator: Emulator, _: Gate) -> None:
    await emulator.wait_for("status")


async def while_its_result_is_fetched(emulator: Emulator, gate: Gate) -> None:
    gate.open()
    await emulator.wait_for("result")


MOMENTS = [
    pytest.param(Fault.stall(0.5, on="submit"), while_it_submits, id="submit"),
    pytest.param(Fault.reset(on="submit", taken=True), while_it_submits, id="uncertain-submit"),
    pytest.param(Fault.stall(0.5, on="status"), while_it_waits_or_runs, id="status"),
    pytest.param(Fault.stall(0.5, on="result"), while_its_result_is_fetched, id="result"),
]


@pytest.mark.parametrize(("fault", "moment"), MOMENTS)
async def test_a_browser_that_disconnects_and_repeats_its_call_pays_once(
    emulator: Emulator, http: aiohttp.ClientSession, gate: Gate, ledger: str, fault: Fault, moment: Moment
) -> None:
    emulator.faults.add(fault)
    async with shop_at(emulator, ledger) as url:
        first = asyncio.ensure_future(order(http, url))
        await moment(emulator, gate)
        await gone(first)
        gate.open()
        assert (await order(http, url)).result == {"a": 1}
    assert emulator.books.taken("me/gate", {"a": 1}) == 1
    (job,) = emulator.jobs.values()
    assert job.cancel_requests == 0


async def test_a_keyed_call_that_times_out_is_409_and_the_next_gets_the_result(
    emulator: Emulator, http: aiohttp.ClientSession, gate: Gate, ledger: str
) -> None:
    async with shop_at(emulator, ledger) as url:
        waited = await order(http, url, timeout="0.3")
        assert (waited.status, waited.headers["Retry-After"]) == (409, "5")
        assert waited.data["retryable"] is True
        gate.open()
        assert (await order(http, url)).result == {"a": 1}
    assert emulator.books.taken("me/gate", {"a": 1}) == 1


async def test_an_uncertain_submit_is_503_until_the_history_shows_it(
    emulator: Emulator, http: aiohttp.ClientSession, gate: Gate, ledger: str
) -> None:
    gate.open()
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    emulator.history.permitted = False
    async with shop_at(emulator, ledger) as url:
        for _ in range(2):
            unknown = await order(http, url)
            assert (unknown.status, unknown.headers["Retry-After"]) == (503, "5")
        emulator.history.permitted = True
        assert (await order(http, url)).result == {"a": 1}
    assert emulator.books.taken("me/gate", {"a": 1}) == 1


async def test_an_uncertain_submit_that_fal_did_not_take_stays_503(
    emulator: Emulator, http: aiohttp.ClientSession, gate: Gate, ledger: str
) -> None:
    gate.open()
    emulator.faults.add(Fault.reset(on="submit"))
    async with shop_at(emulator, ledger) as url:
        first = asyncio.ensure_future(order(http, url))
        await emulator.wait_for("submit")
        await gone(first)
        # The history does not show the request, but it may lag behind.
        assert [(await order(http, url)).status for _ in range(2)] == [503, 503]
    assert emulator.books.total("me/gate") == 0


async def test_a_keyed_call_on_a_damaged_ledger_is_500_and_sends_nothing(
    emulator: Emulator, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    broken = tmp_path / "orders.db"
    broken.write_bytes(b"not a database " * 100)
    async with shop_at(emulator, str(broken)) as url:
        refused = await order(http, url, model="echo")
    assert refused.status == 500
    assert "orders.db" not in str(refused.data)
    assert emulator.books.total("me/echo") == 0


async def test_a_request_of_a_stopped_server_is_finished_by_the_next_one(
    emulator: Emulator, http: aiohttp.ClientSession, gate: Gate, ledger: str
) -> None:
    settings = {"credentials": emulator.key, "hosts": emulator.hosts}
    async with serving(shop(ledger, **settings), grace=1) as server:
        first = asyncio.ensure_future(order(http, server.url))
        await emulator.wait_for("status")
    await asyncio.wait([first])
    gate.open()
    async with shop_at(emulator, ledger) as url:
        assert (await order(http, url)).result == {"a": 1}
    (job,) = emulator.jobs.values()
    assert job.cancel_requests == 0


# Two processes with one ledger file.


@asynccontextmanager
async def worker(emulator: Emulator, ledger: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    command = [
        "tests.integrations.keyed_app:from_environment",
        "--factory",
        "--port",
        "0",
        "--log-level",
        "info",
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "uvicorn",
        *command,
        env={**os.environ, "FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key, "SHOP_LEDGER": ledger},
        cwd=Path(__file__).parents[2],
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stderr is not None
    draining: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(30):
            while b"running on " not in (line := await process.stderr.readline()):
                assert line, "the worker ended"
        draining = asyncio.ensure_future(process.stderr.read())
        yield line.decode().partition("running on ")[2].split()[0], process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if draining is not None:
            await draining


async def test_two_workers_on_one_ledger_pay_once_even_if_one_is_killed(
    emulator: Emulator, http: aiohttp.ClientSession, gate: Gate, ledger: str
) -> None:
    async with worker(emulator, ledger) as (url, first), worker(emulator, ledger) as (other, _):
        calls = [asyncio.ensure_future(order(http, at)) for at in (url, other) * 5]
        await emulator.wait_for("status", timeout=30)
        first.send_signal(signal.SIGKILL)
        await first.wait()
        gate.open()
        answers = await asyncio.gather(*calls, return_exceptions=True)
    ends = [answer.result if isinstance(answer, Answer) else "broken" for answer in answers]
    assert ends == ["broken", {"a": 1}] * 5
    assert emulator.books.taken("me/gate", {"a": 1}) == 1
    (job,) = emulator.jobs.values()
    assert job.cancel_requests == 0


# Relays to browsers.


async def follow(http: aiohttp.ClientSession, url: str) -> str:
    async with http.post(f"{url}/live/gate", headers={"Idempotency-Key": "k-1"}) as answer:
        return await answer.text()


async def test_a_browser_that_leaves_a_keyed_relay_does_not_end_it_for_others(
    emulator: Emulator, http: aiohttp.ClientSession, gate: Gate, ledger: str
) -> None:
    async with shop_at(emulator, ledger) as url:
        leaving = asyncio.ensure_future(follow(http, url))
        staying = asyncio.ensure_future(follow(http, url))
        await emulator.wait_for("status_stream", 2)
        await gone(leaving)
        gate.open()
        assert "event: result" in await staying
    assert emulator.books.taken("me/gate", {"a": 1}) == 1
    (job,) = emulator.jobs.values()
    assert job.cancel_requests == 0


async def test_a_keyed_relay_returns_the_ledgers_result_if_fal_has_dropped_it(
    emulator: Emulator, http: aiohttp.ClientSession, gate: Gate, ledger: str
) -> None:
    gate.open()
    async with shop_at(emulator, ledger) as url:
        await order(http, url)
        await emulator.restart(keep_memory=False)
        assert "event: result" in await follow(http, url)
    assert emulator.books.taken("me/gate", {"a": 1}) == 1
