"""When the transport takes a claim before a paid request is sent, and when it gives it back."""

from __future__ import annotations

import asyncio

import pytest

from fal_async import LedgerError, RateLimitError, RetryPolicy, Session, SubmissionUncertainError
from fal_async.config import Settings
from fal_async.emulator import Emulator, Fault
from fal_async.options import NO_OPTIONS
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.protocol.queue import submit_request
from fal_async.transport.progress import Progress
from tests.quick import LLM, quick, session_on
from tests.transport.test_own_transport import Canned


class Noting:
    """A claim that records its calls, and how many requests the server had received by then."""

    def __init__(self, emulator: Emulator | None = None) -> None:
        self.done: list[str] = []
        self._emulator = emulator

    async def take(self) -> None:
        await asyncio.sleep(0)
        self.done.append("take" if self._emulator is None else f"take at {self._emulator.count('submit')}")

    async def give_back(self) -> None:
        self.done.append("give back")


class Refusing(Noting):
    async def take(self) -> None:
        self.done.append("take")
        raise LedgerError("the disk is full")


def a_submit(settings: Settings) -> HttpRequest:
    return submit_request(settings, EndpointId.parse(LLM), b'{"prompt":"x"}', NO_OPTIONS)


async def send(fal: Session, claim: Noting, retry: RetryPolicy | None = None) -> HttpResponse:
    return await fal.transport.send(a_submit(fal.settings), progress=Progress(claim=claim), retry=retry)


async def test_a_claim_is_taken_once_before_the_request_is_sent(fal: Session, emulator: Emulator) -> None:
    claim = Noting(emulator)
    assert (await send(fal, claim)).status == 200
    assert claim.done == ["take at 0"]


async def test_each_attempt_takes_its_own_claim_if_fal_took_nothing(emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(429, on="submit", times=2))
    claim = Noting(emulator)
    async with session_on(emulator) as fal:
        await send(fal, claim)
    assert claim.done == ["take at 0", "give back", "take at 1", "give back", "take at 2"]


async def test_the_claim_of_the_last_attempt_is_left_to_the_caller(emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(429, on="submit", times=2))
    claim = Noting()
    async with session_on(emulator) as fal:
        with pytest.raises(RateLimitError):
            await send(fal, claim, quick(max_attempts=2))
    assert claim.done == ["take", "give back", "take"]


async def test_a_request_that_fal_may_have_taken_stays_claimed(emulator: Emulator) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    claim = Noting()
    async with session_on(emulator) as fal:
        with pytest.raises(SubmissionUncertainError):
            await send(fal, claim)
    assert claim.done == ["take"]


async def test_a_claim_that_fails_ends_the_call_before_anything_is_sent(emulator: Emulator) -> None:
    claim = Refusing()
    async with session_on(emulator) as fal:
        with pytest.raises(LedgerError) as caught:
            await send(fal, claim)
        assert caught.value.endpoint_id == LLM
    assert (claim.done, emulator.count("submit")) == (["take"], 0)


async def test_a_request_that_waits_for_a_connection_has_no_claim(emulator: Emulator) -> None:
    under_way = 0

    class Counting(Noting):
        async def take(self) -> None:
            nonlocal under_way
            under_way += 1
            await super().take()
            assert under_way <= connections

    async with session_on(emulator, max_connections=4) as fal:
        connections = fal._view.shared.pool.short_requests._limit

        async def one(claim: Noting) -> None:
            nonlocal under_way
            await send(fal, claim)
            under_way -= 1

        claims = [Counting() for _ in range(16)]
        await asyncio.gather(*map(one, claims))
    assert [claim.done for claim in claims] == [["take"]] * 16


async def test_a_custom_transport_is_called_after_the_claim() -> None:
    transport, claim = Canned(), Noting()
    async with Session(transport=transport) as fal:
        await send(fal, claim)
        refusing = Refusing()
        with pytest.raises(LedgerError):
            await send(fal, refusing)
    assert (claim.done, len(transport.requests)) == (["take"], 1)
