"""`subscribe(mode="webhook")`: wait for a webhook delivery. Slow polls replace a delivery that gets lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import attrs

from fal_async.callbacks import call_back
from fal_async.errors import RequestFailedError, TransportError
from fal_async.models import Completed, QueueStatus, Result
from fal_async.protocol.following import Following
from fal_async.protocol.webhook_events import WebhookEvent
from fal_async.queue.operations import QueueOperations
from fal_async.queue.state import RequestState
from fal_async.queue.subscription import Subscription

T = TypeVar("T")
SLOW_POLL = 30.0
"""Default seconds between polls. If a delivery is lost, the result arrives up to this much later."""


class Arrivals(Protocol):
    """Hands out the deliveries of a webhook receiver."""

    def submitting(self) -> contextlib.AbstractContextManager[None]:
        """A block around a submit and the call of `expect`, so that a delivery before `expect` is not missed."""
        ...

    def expect(self, request_id: str) -> contextlib.AbstractContextManager[asyncio.Future[WebhookEvent]]:
        """A block with a future, which gets the delivery of the request."""
        ...


class Receiver(Protocol):
    """A webhook receiver.

    Attributes:
        fetch_units: whether results are fetched after their delivery, because only a response has billable units.
    """

    fetch_units: bool

    @property
    def arrivals(self) -> Arrivals:
        """The deliveries that it has received."""
        ...


@attrs.frozen(kw_only=True)
class WebhookSubscription:
    """A subscription that waits for a delivery to its webhook receiver."""

    asked: Subscription
    receiver: Receiver

    async def result(self) -> Result[Any, str]:
        """Submit the request and return its result, from the delivery or from fal, whichever arrives first."""
        with contextlib.ExitStack() as stack:
            with self.receiver.arrivals.submitting():
                await self.asked.submit()
                arrival = stack.enter_context(self.receiver.arrivals.expect(self.asked.state.request_id))
            await self.asked.tell_id()
            reported = await self._completed_by_polls(arrival)
            asked = self.asked
            result = await unless_arrived(
                arrival, partial(asked.operations.result, asked.state, asked.output_type)
            )
            return await self._by_event(arrival.result(), reported) if result is None else result

    async def _completed_by_polls(self, arrival: asyncio.Future[WebhookEvent]) -> bool:
        """Poll until the request is completed or its delivery arrives. Return whether a poll returned `Completed`.

        If so, `on_queue_update` was called with `Completed`. When the delivery arrives, a running poll is
        cancelled, but a running callback is not.
        """
        asked, status = self.asked, None
        polls = slow_polls(arrival, asked.operations, asked.state, asked.following)
        async with contextlib.aclosing(polls) as updates:
            async for status in updates:
                await call_back(asked.on_queue_update, status)
        return isinstance(status, Completed)

    async def _by_event(self, event: WebhookEvent, reported: bool) -> Result[Any, str]:
        asked, state = self.asked, self.asked.state
        state.last_status = event.completed
        if not reported:
            await call_back(asked.on_queue_update, event.completed)
        if event.is_incomplete:
            return await asked.operations.result(state, asked.output_type)
        if event.lacks_headers or (self.receiver.fetch_units and event.ok):
            # Fetch the result, whose response has headers; use the event if that fails.
            with contextlib.suppress(TransportError, RequestFailedError):
                return await asked.operations.result(state, asked.output_type)
        result = event.result(state.endpoint_id, output_type=asked.output_type)
        return attrs.evolve(
            result,
            attempts={**state.attempts, **result.attempts},
            logs=tuple(state.logs),
            files=asked.operations.files,
        )


async def slow_polls(
    arrival: asyncio.Future[Any], operations: QueueOperations, state: RequestState, following: Following
) -> AsyncGenerator[QueueStatus, None]:
    """Follow the request by slow polls, and yield each status, until it is completed or `arrival` is done.

    If `arrival` is done first, a running poll is cancelled.
    """
    interval = following.poll_interval or SLOW_POLL
    await asyncio.wait((arrival,), timeout=interval)  # most deliveries arrive before the first poll
    slow = Following(logs=following.logs, poll_interval=interval)
    async with contextlib.aclosing(operations.updates(state, slow)) as updates:
        while status := await unless_arrived(arrival, partial(anext, updates)):
            yield status
            if isinstance(status, Completed):
                return


async def unless_arrived(arrival: asyncio.Future[Any], work: Callable[[], Awaitable[T]]) -> T | None:
    """Return the value of `work`; or cancel `work` and return None if `arrival` is done first."""
    if arrival.done():
        return None
    working = asyncio.ensure_future(work())
    try:
        await asyncio.wait((arrival, working), return_when=asyncio.FIRST_COMPLETED)
    finally:
        if arrival.done() or not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
    return None if arrival.done() else working.result()
