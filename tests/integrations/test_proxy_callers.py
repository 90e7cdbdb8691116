"""Callers of the proxy that are slow, don't read, come in crowds, or disconnect: limits and clean-up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fal_async import Session, Timeouts
from fal_async.emulator import Emulator, Fault
from fal_async.integrations.proxy import FalProxy
from tests.quick import GATE, gate_at, pool_of, session_on

RUN, QUEUE = "https://fal.run", "https://queue.fal.run"
MiB = 1024 * 1024


class Caller:
    """One request to the proxy, for which the test controls body, reading and disconnect."""

    def __init__(self, fal: Session, method: str, target: str) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.answered: list[dict[str, Any]] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.broken: OSError | None = None
        headers = [(b"x-fal-target-url", target.encode())]
        scope: Any = {"type": "http", "method": method, "headers": headers, "client": None, "state": {}}
        proxy = FalProxy(endpoints=["me/**"], anonymous=True, session=fal)
        self.served = asyncio.ensure_future(proxy(scope, self.incoming.get, self._send))

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        if self.broken is not None:
            raise self.broken
        self.answered.append(message)

    def sends(self, data: bytes = b"{}", *, more: bool = False) -> Caller:
        self.incoming.put_nowait({"type": "http.request", "body": data, "more_body": more})
        return self

    def leaves(self) -> None:
        self.incoming.put_nowait({"type": "http.disconnect"})

    async def status(self) -> int:
        async with asyncio.timeout(10):
            await self.served
        status: int = self.answered[0]["status"]
        return status


async def steps() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


# Slow callers.


async def test_a_slow_proxied_body_is_refused_and_uses_no_connection(emulator: Emulator) -> None:
    async with session_on(emulator, max_connections=2, timeout=Timeouts(total=0.2)) as fal:
        slow = Caller(fal, "POST", f"{RUN}/me/echo").sends(b"{", more=True)
        await steps()
        pool = pool_of(fal)
        assert (pool.long_requests.taken, pool.passed_through.taken) == (0, 0)
        assert (await fal.run("me/echo", {"a": 1})).data == {"a": 1}
        assert await slow.status() == 408
    assert emulator.count() == 1


async def test_a_stalled_large_proxied_body_is_refused_and_frees_its_connection(
    emulator: Emulator,
) -> None:
    limits = Timeouts(first_byte=0.2)
    async with session_on(emulator, max_connections=2, timeout=limits) as fal:
        slow = Caller(fal, "POST", f"{QUEUE}/me/echo").sends(b" " * (MiB + 1), more=True)
        assert await slow.status() == 408
        assert pool_of(fal).long_requests.taken == 0
    assert len(emulator.jobs) == 0


async def test_a_large_proxied_body_gets_more_time_than_a_small_one(emulator: Emulator) -> None:
    """It may take a second more for each 64 KiB."""
    async with session_on(emulator, timeout=Timeouts(total=0.05)) as fal:
        slow = Caller(fal, "POST", f"{QUEUE}/me/echo").sends(b" " * (2 * MiB), more=True)
        await asyncio.sleep(0.1)
        assert await slow.sends(b"{}").status() == 200
    assert len(emulator.jobs) == 1


async def test_a_proxied_caller_that_does_not_read_is_cut_off(emulator: Emulator) -> None:
    async with session_on(emulator, timeout=Timeouts(first_byte=0.2)) as fal:
        caller = Caller(fal, "POST", f"{RUN}/me/echo").sends()
        caller.reads.clear()
        async with asyncio.timeout(10):
            await caller.served
        assert pool_of(fal).long_requests.taken == 0
    assert caller.answered == []


async def test_proxied_callers_use_at_most_half_of_the_connections(
    emulator: Emulator,
) -> None:
    gate = gate_at(emulator)
    async with session_on(emulator, max_connections=4) as fal:
        callers = [Caller(fal, "POST", f"{RUN}/{GATE}").sends() for _ in range(5)]
        await emulator.wait_for("run")
        assert (await fal.run("me/echo", {"a": 1}, timeout=10)).data == {"a": 1}
        assert pool_of(fal).passed_through.taken == 1
        gate.open()
        assert [await caller.status() for caller in callers] == [200] * 5


async def test_a_proxied_call_that_gets_no_connection_is_answered_with_504(emulator: Emulator) -> None:
    gate = gate_at(emulator)
    async with session_on(emulator, max_connections=4, timeout=Timeouts(total=0.2)) as fal:
        first = Caller(fal, "POST", f"{RUN}/{GATE}").sends()
        await emulator.wait_for("run")
        assert await Caller(fal, "POST", f"{RUN}/{GATE}").sends().status() == 504
        gate.open()
        assert await first.status() == 200
    assert emulator.count("run") == 1


# Callers that disconnect.


async def test_a_proxied_caller_that_disconnects_in_its_body_sends_nothing(emulator: Emulator) -> None:
    async with session_on(emulator) as fal:
        caller = Caller(fal, "POST", f"{QUEUE}/me/endless").sends(b"{", more=True)
        caller.leaves()
        await caller.served
    assert (caller.answered, emulator.count()) == ([], 0)


async def test_a_disconnect_during_a_proxied_submit_cancels_the_job(emulator: Emulator) -> None:
    emulator.faults.add(Fault.stall(0.2, on="submit"))
    async with session_on(emulator) as fal:
        caller = Caller(fal, "POST", f"{QUEUE}/me/endless").sends()
        await emulator.wait_for("submit")
        caller.leaves()
        await caller.served
    (job,) = emulator.jobs.values()
    assert (job.cancel_requests, emulator.count("cancel")) == (1, 1)


async def test_a_server_shutdown_during_a_proxied_submit_cancels_the_job(emulator: Emulator) -> None:
    emulator.faults.add(Fault.stall(0.2, on="submit"))
    async with session_on(emulator) as fal:
        caller = Caller(fal, "POST", f"{QUEUE}/me/endless").sends()
        await emulator.wait_for("submit")
        caller.served.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller.served
    (job,) = emulator.jobs.values()
    assert job.cancel_requests == 1


async def test_a_second_cancellation_during_a_proxied_submit_still_cancels_the_job(
    emulator: Emulator,
) -> None:
    emulator.faults.add(Fault.stall(0.2, on="submit"))
    async with session_on(emulator) as fal:
        caller = Caller(fal, "POST", f"{QUEUE}/me/endless").sends()
        await emulator.wait_for("submit")
        for _ in range(2):
            caller.served.cancel()
            await steps()
        with pytest.raises(asyncio.CancelledError):
            await caller.served
    (job,) = emulator.jobs.values()
    assert job.cancel_requests == 1


async def test_closing_the_session_during_a_proxied_submit_cancels_the_job(emulator: Emulator) -> None:
    """As uvicorn does: it ends the lifespan without waiting for the handlers that it cancelled."""
    emulator.faults.add(Fault.stall(0.2, on="submit"))
    async with session_on(emulator) as fal:
        caller = Caller(fal, "POST", f"{QUEUE}/me/endless").sends()
        await emulator.wait_for("submit")
    (job,) = emulator.jobs.values()
    assert job.cancel_requests == 1
    assert await caller.status() == 503


async def test_a_proxied_submit_whose_response_cannot_be_sent_cancels_the_job(
    emulator: Emulator,
) -> None:
    async with session_on(emulator) as fal:
        caller = Caller(fal, "POST", f"{QUEUE}/me/endless").sends()
        caller.broken = OSError("gone")
        await caller.served
    (job,) = emulator.jobs.values()
    assert job.cancel_requests == 1


async def test_a_disconnect_after_the_response_of_a_proxied_submit_cancels_nothing(
    emulator: Emulator,
) -> None:
    async with session_on(emulator) as fal:
        caller = Caller(fal, "POST", f"{QUEUE}/me/endless").sends()
        assert await caller.status() == 200
        caller.leaves()
        await steps()
        (job,) = emulator.jobs.values()
        assert (job.cancel_requests, emulator.count("cancel")) == (0, 0)


async def test_a_proxied_submit_that_fal_refused_is_not_cancelled(emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(422, on="submit"))
    async with session_on(emulator) as fal:
        caller = Caller(fal, "POST", f"{QUEUE}/me/endless").sends()
        caller.broken = OSError("gone")
        await caller.served
    assert emulator.count() == 1


async def test_an_uncertain_proxied_submit_is_logged_if_its_caller_disconnected(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    async with session_on(emulator) as fal:
        caller = Caller(fal, "POST", f"{QUEUE}/me/endless").sends()
        caller.leaves()
        await caller.served
    assert "submit: fal may have accepted the request" in caplog.text


async def test_a_proxied_cancel_is_finished_if_its_caller_disconnects(emulator: Emulator) -> None:
    async with session_on(emulator) as fal:
        handle = await fal.queue.submit("me/endless", {})
        await emulator.jobs[handle.request_id].wait_for("IN_PROGRESS", timeout=5)
        emulator.faults.add(Fault.stall(0.1, on="cancel"))
        caller = Caller(fal, "PUT", f"{QUEUE}/me/endless/requests/{handle.request_id}/cancel").sends(b"")
        caller.leaves()
        await caller.served
        assert emulator.jobs[handle.request_id].cancel_requests == 1
    assert emulator.count("cancel") == 1


# Requests that may have been accepted.


@pytest.mark.parametrize("target", [f"{RUN}/me/echo", f"{QUEUE}/me/echo"])
@pytest.mark.parametrize("size", [0, 2 * MiB])
async def test_an_uncertain_proxied_request_is_answered_with_500(
    emulator: Emulator, target: str, size: int
) -> None:
    """A 502, 503 or 504 would be retried by fal's JavaScript client (protocol 3.4)."""
    operation = "run" if target.startswith(RUN) else "submit"
    emulator.faults.add(Fault.close(on=operation, taken=True))
    async with session_on(emulator) as fal:
        caller = Caller(fal, "POST", target).sends(b" " * size, more=True).sends(b"{}")
        assert await caller.status() == 500
    assert b"billed twice" in caller.answered[1]["body"]


async def test_a_proxied_submit_with_a_truncated_response_is_answered_with_500(emulator: Emulator) -> None:
    emulator.faults.add(Fault.truncate(on="submit"))
    async with session_on(emulator) as fal:
        assert await Caller(fal, "POST", f"{QUEUE}/me/echo").sends().status() == 500
    assert len(emulator.jobs) == 1
