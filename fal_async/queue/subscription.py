"""One `subscribe` call: submit the request, follow it until it is completed, fetch the result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from fal_async.callbacks import call_back
from fal_async.cancellation import Wait, submit_under, supervise
from fal_async.errors import FalError
from fal_async.models import Result
from fal_async.protocol.following import Following
from fal_async.queue.handle import RequestHandle
from fal_async.queue.operations import EnqueueCallback, QueueOperations, UpdateCallback
from fal_async.queue.state import NewRequest, RequestState, may_be_paid
from fal_async.transport.progress import Progress


@attrs.define(kw_only=True, eq=False, repr=False)
class Subscription:
    """One call of `subscribe`: its arguments and its steps. It has no closures, to save memory in 10,000 calls."""

    operations: QueueOperations
    new: NewRequest
    following: Following
    on_enqueue: EnqueueCallback | None
    on_queue_update: UpdateCallback | None
    output_type: Any
    wait: Wait
    progress: Progress = attrs.field(factory=Progress, init=False)
    state: RequestState = attrs.field(init=False)
    """Set once the request is submitted."""

    async def supervised(
        self, work: Callable[[], Awaitable[Result[Any, str]]], timeout: float | None
    ) -> Result[Any, str]:
        """Await `work` under `supervise` and return its result.

        If fal has accepted the request, an error gets `retryable=False`: a retry of the whole call would submit,
        and pay for, a second request.
        """
        try:
            return await supervise(self.wait, work, timeout=timeout)
        except FalError as error:
            if self.wait.handle is not None and may_be_paid(self.state.last_status) and not error.from_caller:
                error.retryable = False
            raise

    async def result(self) -> Result[Any, str]:
        """Submit the request, follow it until it is completed, and return its result."""
        await self.submit()
        if self.on_enqueue is not None:
            await self.tell_id()
        return await self.follow(self.following)

    async def submit(self) -> None:
        """Submit the request, so that a cancellation does not lose the id of a request that fal has accepted."""
        await submit_under(self.wait, self.progress, self._submitted())

    async def _submitted(self) -> RequestHandle[Any]:
        self.state = await self.operations.submit(self.new, self.progress)
        return RequestHandle(self.operations, self.state, self.output_type)

    async def tell_id(self) -> None:
        """Call the caller's `on_enqueue` with the request id."""
        await call_back(self.on_enqueue, self.state.request_id)

    async def follow(self, following: Following) -> Result[Any, str]:
        """Follow the request until it is completed, and return its result."""
        return await self.operations.wait(
            self.state, following, on_queue_update=self.on_queue_update, output_type=self.output_type
        )
