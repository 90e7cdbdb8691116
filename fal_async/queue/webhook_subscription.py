"""`subscribe(mode="webhook")`: the delivery ends the wait; slow polls stand in for one that is lost."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Protocol

import attrs

from fal_async.callbacks import call_back
from fal_async.errors import RequestFailedError, TransportError
from fal_async.models import Result
from fal_async.protocol.following import Following
from fal_async.protocol.webhook_events import WebhookEvent
from fal_async.queue.subscription import Subscription

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
            polls = asyncio.ensure_future(self._by_polls())
            try:
                await asyncio.wait((arrival, polls), return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not polls.done():
                    polls.cancel()
                    await asyncio.wait((polls,))
            if not arrival.done():
                return polls.result()
            return await self._by_event(arrival.result())

    async def _by_polls(self) -> Result[Any, str]:
        asked = self.asked.following
        interval = asked.poll_interval or SLOW_POLL
        await asyncio.sleep(interval)  # most deliveries are there before the first poll would be
        return await self.asked.follow(Following(logs=asked.logs, poll_interval=interval))

    async def _by_event(self, event: WebhookEvent) -> Result[Any, str]:
        asked, state = self.asked, self.asked.state
        state.last_status = event.completed
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
