"""`subscribe(mode="webhook")`: the delivery ends the wait; slow polls stand in for one that is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import attrs

from fal_async.callbacks import call_back
from fal_async.errors import RequestFailedError, TransportError
from fal_async.models import Completed, Result
from fal_async.protocol.following import Following
from fal_async.protocol.webhook_events import WebhookEvent
from fal_async.queue.subscription import Subscription

T = TypeVar("T")
SLOW_POLL = 30.0
"""Seconds between polls, unless the caller says otherwise: a lost delivery only costs time."""


class Arrivals(Protocol):
    """Where the deliveries of a receiver arrive."""

    def submitting(self) -> contextlib.AbstractContextManager[None]:
        """Around a submit, up to and with the `expect` of its request id."""
        ...

    def expect(self, request_id: str) -> contextlib.AbstractContextManager[asyncio.Future[WebhookEvent]]:
        """The delivery of this request, as soon as it is there."""
        ...


@attrs.frozen(kw_only=True)
class WebhookSubscription:
    """A subscription, and where the deliveries of its receiver arrive."""

    asked: Subscription
    arrivals: Arrivals

    async def result(self) -> Result[Any, str]:
        """Submit, and the outcome by whichever way it comes first."""
        with contextlib.ExitStack() as stack:
            with self.arrivals.submitting():
                await self.asked.submit()
                arrival = stack.enter_context(self.arrivals.expect(self.asked.state.request_id))
            await self.asked.tell_id()
            told = await self._told_by_polls(arrival)
            asked = self.asked
            result = await _unless(arrival, partial(asked.operations.result, asked.state, asked.output_type))
            return await self._by_event(arrival.result(), told) if result is None else result

    async def _told_by_polls(self, arrival: asyncio.Future[WebhookEvent]) -> bool:
        """Whether polls saw it complete, and told so, before the delivery came: that ends a poll, no callback."""
        asked = self.asked.following
        interval = asked.poll_interval or SLOW_POLL
        await asyncio.wait((arrival,), timeout=interval)  # most are there before the first poll would be
        following = Following(logs=asked.logs, poll_interval=interval)
        async with contextlib.aclosing(self.asked.operations.updates(self.asked.state, following)) as updates:
            while status := await _unless(arrival, partial(anext, updates)):
                await call_back(self.asked.on_queue_update, status)
                if isinstance(status, Completed):
                    return True
        return False

    async def _by_event(self, event: WebhookEvent, told: bool) -> Result[Any, str]:
        asked, state = self.asked, self.asked.state
        state.last_status = event.completed
        if not told:
            await call_back(asked.on_queue_update, event.completed)
        if event.is_incomplete:
            return await asked.operations.result(state, asked.output_type)
        if event.lacks_headers:  # where they can't be had, the event says what is known
            with contextlib.suppress(TransportError, RequestFailedError):
                return await asked.operations.result(state, asked.output_type)
        result = event.result(state.endpoint_id, output_type=asked.output_type)
        return attrs.evolve(
            result,
            attempts={**state.attempts, **result.attempts},
            logs=tuple(state.logs),
            files=asked.operations.files,
        )


async def _unless(arrival: asyncio.Future[Any], work: Callable[[], Awaitable[T]]) -> T | None:
    """What `work` gives; None where `arrival` is done first, which ends it."""
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
