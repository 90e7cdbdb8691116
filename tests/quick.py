"""What the tests of faults share: a model to call, and policies that don't make anybody wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fal_async import Retry, RetryPolicy, Session, Timeouts
from fal_async.emulator import Emulator
from fal_async.transport.aiohttp_transport import AiohttpTransport
from fal_async.transport.pool import Pool
from tests.emulator.gate import Gate

LLM = "fal-ai/any-llm"
ASK = {"prompt": "x"}
GATE = "me/gate"
ONCE = RetryPolicy(max_attempts=1)


def quick(**other: Any) -> RetryPolicy:
    """The defaults, hundred times as quick."""
    return RetryPolicy(base_delay=0.005, max_delay=0.05, **other)


@asynccontextmanager
async def session_on(emulator: Emulator, **options: Any) -> AsyncIterator[Session]:
    options.setdefault("retry", quick())
    options.setdefault("credentials", emulator.key)
    async with Session(hosts=emulator.hosts, **options) as fal:
        yield fal
    await nothing_held(fal)


async def nothing_held(fal: Session) -> None:
    """Waits until a closed session's requests hold no connection: a place that is not given back is lost to others.
    Who is told of the end by an error gives it back in a step of its own."""
    transport = fal.transport
    if isinstance(transport, AiohttpTransport):
        async with asyncio.timeout(10):
            while transport.pool.places_taken:
                await asyncio.sleep(0.01)


def pool_of(fal: Session) -> Pool:
    """The connections of a session."""
    transport = fal.transport
    assert isinstance(transport, AiohttpTransport)
    return transport.pool


def gate_at(emulator: Emulator, endpoint_id: str = GATE) -> Gate:
    """An endpoint that works until the test lets it go on."""
    gate = Gate()
    emulator.endpoint(endpoint_id)(gate)
    return gate


def impatient(seconds: float = 0.1) -> Timeouts:
    return Timeouts(connect=seconds, first_byte=seconds, total=seconds, run=seconds)


class Noted:
    """An `on_retry` that keeps what it saw, and tells of the first."""

    def __init__(self) -> None:
        self.retries: list[Retry] = []
        self.first = asyncio.Event()

    def __call__(self, retry: Retry) -> None:
        self.retries.append(retry)
        self.first.set()
