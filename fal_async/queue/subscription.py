"""One subscription: submitted, followed to its end, its result fetched."""

from __future__ import annotations

from typing import Any

import attrs

from fal_async.cancellation import Progress, Wait, submit_under
from fal_async.config import RetryPolicy
from fal_async.models import Result
from fal_async.options import CallOptions
from fal_async.protocol.endpoint import EndpointId
from fal_async.queue.client import EnqueueCallback, Queue, RequestHandle, UpdateCallback, call_back
from fal_async.queue.updates import Mode


@attrs.define(kw_only=True, eq=False, repr=False)
class Subscription:
    """What the caller of `subscribe` asked for. There may be ten thousand at once: one object, no closures."""

    queue: Queue
    endpoint: EndpointId
    input: Any
    options: CallOptions
    webhook_url: str | None
    retry: RetryPolicy | None
    logs: bool
    on_enqueue: EnqueueCallback | None
    on_queue_update: UpdateCallback | None
    mode: Mode
    poll_interval: float | None
    output_type: Any
    wait: Wait
    progress: Progress = attrs.field(factory=Progress, init=False)

    async def result(self) -> Result[Any]:
        handle = await self.submit()
        await call_back(self.on_enqueue, handle.request_id)
        return await self.see_through(handle, self.mode, self.poll_interval)

    async def submit(self) -> RequestHandle:
        put = self.queue.put(
            self.endpoint, self.input, self.options, self.webhook_url, self.retry, self.progress
        )
        return await submit_under(self.wait, self.progress, put)

    async def see_through(
        self, handle: RequestHandle, mode: Mode, poll_interval: float | None
    ) -> Result[Any]:
        return await self.queue.see_through(
            handle, self.logs, self.on_queue_update, mode, poll_interval, self.output_type
        )
