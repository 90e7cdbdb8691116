"""`subscribe(mode="webhook")`: the delivery ends the wait; slow polls stand in for one that is lost."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import attrs

from fal_async.errors import RequestFailedError, TransportError
from fal_async.models import Result
from fal_async.protocol.webhook_events import WebhookEvent
from fal_async.queue.client import RequestHandle, call_back
from fal_async.queue.subscription import Subscription

if TYPE_CHECKING:
    from fal_async.webhooks.receiver import Arrivals

SLOW_POLL = 30.0
"""Seconds between polls, unless the caller says otherwise: a lost delivery only costs time."""


@attrs.frozen(kw_only=True)
class WebhookWait:
    """A subscription, and where the deliveries of its receiver arrive."""

    asked: Subscription
    arrivals: Arrivals

    async def result(self) -> Result[Any]:
        """Submit, and the outcome by whichever way it comes first."""
        with contextlib.ExitStack() as stack:
            with self.arrivals.submitting():
                handle = await self.asked.submit()
                arrival = stack.enter_context(self.arrivals.expect(handle.request_id))
            await call_back(self.asked.on_enqueue, handle.request_id)
            polls = asyncio.ensure_future(self._by_polls(handle))
            try:
                await asyncio.wait((arrival, polls), return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not polls.done():
                    polls.cancel()
                    await asyncio.wait((polls,))
            if not arrival.done():
                return polls.result()
            return await self._by_event(handle, arrival.result())

    async def _by_polls(self, handle: RequestHandle) -> Result[Any]:
        interval = self.asked.poll_interval or SLOW_POLL
        await asyncio.sleep(interval)  # most deliveries are there before the first poll would be
        return await self.asked.see_through(handle, "polling", interval)

    async def _by_event(self, handle: RequestHandle, event: WebhookEvent) -> Result[Any]:
        handle.last_status = event.completed
        await call_back(self.asked.on_queue_update, event.completed)
        if event.is_incomplete:
            return await self.asked.queue.fetch(handle, self.asked.output_type)
        if event.lacks_headers:  # where they can't be had, the event says what is known
            with contextlib.suppress(TransportError, RequestFailedError):
                return await self.asked.queue.fetch(handle, self.asked.output_type)
        result = event.result(handle.endpoint_id, output_type=self.asked.output_type)
        return attrs.evolve(result, attempts={**handle.attempts, **result.attempts}, logs=tuple(handle.logs))
