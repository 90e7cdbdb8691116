"""`subscribe(mode="webhook")`: a webhook delivery ends the wait; slow polls cover for a lost delivery."""

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
"""Seconds between polls by default. They only serve a lost delivery, which then costs this time."""


class Arrivals(Protocol):
    """Where the deliveries of a receiver arrive."""

    def submitting(self) -> contextlib.AbstractContextManager[None]:
        """Enclose a submit and the call of `expect` with its request id, so that no early delivery is missed."""
        ...

    def expect(self, request_id: str) -> contextlib.AbstractContextManager[asyncio.Future[WebhookEvent]]:
        """Give a future of the request's delivery."""
        ...


@attrs.frozen(kw_only=True)
class WebhookSubscription:
    """A subscription that ends by a webhook delivery. `arrivals`: where its receiver's deliveries arrive."""

    asked: Subscription
    arrivals: Arrivals

    async def result(self) -> Result[Any, str]:
        """Submit the request and return its result, by the delivery or by polls, whichever is first."""
        with contextlib.ExitStack() as stack:
            with self.arrivals.submitting():
                await self.asked.submit()
                arrival = stack.enter_context(self.arrivals.expect(self.asked.state.request_id))
            await self.asked.tell_id()
            reported = await self._completed_by_polls(arrival)
            asked = self.asked
            result = await _unless(arrival, partial(asked.operations.result, asked.state, asked.output_type))
            return await self._by_event(arrival.result(), reported) if result is None else result

    async def _completed_by_polls(self, arrival: asyncio.Future[WebhookEvent]) -> bool:
        """Poll until the request is complete or the delivery arrives.

        Return whether polls saw it complete, so that `on_queue_update` was called with `Completed`. A delivery ends
        a running poll, but not a running callback.
        """
        asked = self.asked.following
        interval = asked.poll_interval or SLOW_POLL
        await asyncio.wait((arrival,), timeout=interval)  # most deliveries arrive before the first poll
        following = Following(logs=asked.logs, poll_interval=interval)
        async with contextlib.aclosing(self.asked.operations.updates(self.asked.state, following)) as updates:
            while status := await _unless(arrival, partial(anext, updates)):
                await call_back(self.asked.on_queue_update, status)
                if isinstance(status, Completed):
                    return True
        return False

    async def _by_event(self, event: WebhookEvent, reported: bool) -> Result[Any, str]:
        asked, state = self.asked, self.asked.state
        state.last_status = event.completed
        if not reported:
            await call_back(asked.on_queue_update, event.completed)
        if event.is_incomplete:
            return await asked.operations.result(state, asked.output_type)
        if event.lacks_headers:  # the result has them; if it can't be fetched, the event has to do
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
    """Return what `work` returns; None if `arrival` is done first: `work` is cancelled then."""
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
