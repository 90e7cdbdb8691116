"""What the tests of faults share: endpoints to call, and retry policies with very short delays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fal_async import Retry, RetryPolicy, Session, Timeouts
from fal_async.emulator import Emulator
from fal_async.transport.aiohttp_transport import AiohttpTransport
from fal_async.transport.pool import Pool
from tests.emulator.gate import Gate

T = TypeVar("T")
LLM = "fal-ai/any-llm"
ASK = {"prompt": "x"}
GATE = "me/gate"
ONCE = RetryPolicy(max_attempts=1)


def quick(**other: Any) -> RetryPolicy:
    """Return the default retry policy with delays that are about a hundred times shorter."""
    return RetryPolicy(base_delay=0.005, max_delay=0.05, **other)


@asynccontextmanager
async def session_on(emulator: Emulator, **options: Any) -> AsyncIterator[Session]:
    options.setdefault("retry", quick())
    options.setdefault("credentials", emulator.key)
    async with Session(hosts=emulator.hosts, **options) as fal:
        yield fal
    await nothing_held(fal)


async def nothing_held(fal: Session) -> None:
    """Wait until the requests of a closed session have released their places in the connection pool.

    A call that ends with an error releases its place in a later step of the event loop.
    """
    transport = fal.transport
    if isinstance(transport, AiohttpTransport):
        async with asyncio.timeout(10):
            while transport.pool.places_taken:
                await asyncio.sleep(0.01)


def pool_of(fal: Session) -> Pool:
    """Return the connection pool of a session."""
    transport = fal.transport
    assert isinstance(transport, AiohttpTransport)
    return transport.pool


async def at_once(check: Callable[[T], Awaitable[None]], cases: Iterable[T]) -> None:
    """Check all cases at the same time, because each of them waits most of its time. An error names its case."""

    async def checked(case: T) -> None:
        try:
            await check(case)
        except BaseException as error:
            error.add_note(f"in the case {case!r}")
            raise

    async with asyncio.TaskGroup() as group:
        for case in cases:
            group.create_task(checked(case))


def gate_at(emulator: Emulator, endpoint_id: str = GATE) -> Gate:
    """Add an endpoint that works until the test opens its gate."""
    gate = Gate()
    emulator.endpoint(endpoint_id)(gate)
    return gate


def impatient(seconds: float = 0.1) -> Timeouts:
    return Timeouts(connect=seconds, first_byte=seconds, total=seconds, run=seconds)


class Noted:
    """An `on_retry` that records its retries, and sets an event on the first."""

    def __init__(self) -> None:
        self.retries: list[Retry] = []
        self.first = asyncio.Event()

    def __call__(self, retry: Retry) -> None:
        self.retries.append(retry)
        self.first.set()
