"""One caller of a keyed request, with its own callbacks, time limit, copy and output type."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from fal_async.callbacks import call_back
from fal_async.cancellation import BECAME, SUBMIT_GRACE, OpenWaits, cancelled
from fal_async.checks import check_seconds
from fal_async.errors import (
    BatchStoppedError,
    CancelOutcome,
    ClientTimeoutError,
    FalError,
    RequestCancelledError,
)
from fal_async.keyed.call import Driver, Ended
from fal_async.models import QueueStatus, Result
from fal_async.protocol.ledger.key_checks import quoted
from fal_async.queue.operations import EnqueueCallback, UpdateCallback
from fal_async.sheltered import ShelteredTask, settle, within


@attrs.define(kw_only=True, eq=False, repr=False)
class Caller:
    """A call that waits for a keyed request. If it is cancelled or times out, other callers are not affected.

    Attributes:
        begin: joins the driver of the key, or starts one.
        logs: whether this caller gets log entries. The driver requests them if any caller wants them.
        cancel_on_exit: whether the request is cancelled on fal if this caller leaves without the result and no
            other caller waits.
        waits: the open waits of the session, which know how long a cancellation may take.
        driver: the driver that this caller has joined; None before.
    """

    begin: Callable[[], Awaitable[Driver]]
    key: str
    endpoint_id: str
    logs: bool
    on_enqueue: EnqueueCallback | None
    on_queue_update: UpdateCallback | None
    output_type: Any
    cancel_on_exit: bool
    waits: OpenWaits
    driver: Driver | None = attrs.field(default=None, init=False)
    _is_enqueued: bool = attrs.field(default=False, init=False)
    _seen: QueueStatus | None = attrs.field(default=None, init=False)
    _unseen: deque[QueueStatus] = attrs.field(factory=deque, init=False)
    _turn: asyncio.Future[None] | None = attrs.field(default=None, init=False)

    async def result(self, timeout: float | None, began: float | None = None) -> Result[Any, str]:
        """Wait for the result, at most `timeout` seconds after `began`; see `within`."""
        check_seconds("timeout", timeout, or_none=True)
        scope = None
        try:
            if timeout is None:
                return await self._result()
            async with within(timeout, began) as scope:
                return await self._result()
        except (Exception, asyncio.CancelledError) as error:
            outcome = await self._leave()
            if isinstance(error, FalError):
                error.key = self.key
            if (
                timeout is not None
                and scope is not None
                and scope.expired()
                and isinstance(error, TimeoutError)
            ):
                raise self._timeout_error(timeout, outcome) from None
            raise

    async def _result(self) -> Result[Any, str]:
        """Wait for the result.

        Begin again if the request was already being cancelled when this call joined, or if a batch that should have
        submitted it was stopped by its `max_cost`.
        """
        while True:
            driver = self.driver = await self.begin()
            is_given_up = driver.is_given_up
            if self.on_enqueue is None and self.on_queue_update is None:
                ended = await driver.ended()
            else:
                ended = await self._watched(driver)
            is_gone = is_given_up and isinstance(ended.error, RequestCancelledError)
            if not (is_gone or isinstance(ended.error, BatchStoppedError)):
                return ended.result(self.output_type, logs=self.logs)
            self._is_enqueued, self._seen = False, None

    # Calling `on_enqueue` and `on_queue_update`.

    async def _watched(self, driver: Driver) -> Ended:
        """Wait for the outcome, and call the callbacks for each change before it."""
        unwatch = driver.watch(self._changed)
        try:
            self._changed()
            while True:
                await self._call_back(driver)
                if driver.outcome is not None and not self._unseen:
                    return driver.outcome
                self._turn = asyncio.get_running_loop().create_future()
                await self._turn
        finally:
            unwatch()

    def _changed(self) -> None:
        """Queue a new status for the callbacks, and wake `_watched`."""
        assert self.driver is not None
        status = self.driver.last_status
        if status is not None and status is not self._seen and self.on_queue_update is not None:
            self._unseen.append(self._own(status))
            self._seen = status
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def _own(self, status: QueueStatus) -> QueueStatus:
        """Return the status with the log entries that this caller would get if it were the only one."""
        assert self.driver is not None
        if not self.logs:
            return attrs.evolve(status, logs=(), new_logs=()) if status.logs else status
        known = self.driver.logs
        if self._seen is None and len(known) > len(status.new_logs):
            return attrs.evolve(status, new_logs=tuple(known))
        return status

    async def _call_back(self, driver: Driver) -> None:
        if not self._is_enqueued and driver.request_id is not None:
            self._is_enqueued = True
            await call_back(self.on_enqueue, driver.request_id)
        while self._unseen:
            await call_back(self.on_queue_update, self._unseen.popleft())

    # Leaving without the result.

    async def _leave(self) -> CancelOutcome | None:
        """Cancel the request on fal if this caller wants that and no other caller needs it.

        Returns the outcome of the cancellation; None if the request was not cancelled, or was not submitted.
        """
        driver = self.driver
        if driver is None or driver.outcome is not None:
            return None
        if not self.cancel_on_exit:
            driver.is_kept = True
        if driver.is_kept or driver.is_awaited:
            return None
        driver.is_cancelling = True
        cancel = ShelteredTask(cancelled(driver.cancel, driver.request_id))
        if await settle(cancel, SUBMIT_GRACE + self.waits.cancel_limit):
            raise asyncio.CancelledError
        return cancel.result_or(CancelOutcome.FAILED)

    def _timeout_error(self, timeout: float, outcome: CancelOutcome | None) -> ClientTimeoutError:
        driver = self.driver
        last = None if driver is None else driver.last_status
        seen = f", last seen {last.headline}" if last is not None else ""
        elapsed = ClientTimeoutError(
            f"no result within {timeout:g} s{seen}; {self._fate(outcome)}",
            timeout=timeout,
            last_status=None if last is None else last.headline,
            cancel_outcome=outcome,
            request_id=None if driver is None else driver.request_id,
            endpoint_id=self.endpoint_id,
            retryable=True,  # the next call with the key joins the same request, or submits it if this one did not
        )
        elapsed.key = self.key
        return elapsed

    def _fate(self, outcome: CancelOutcome | None) -> str:
        """Say what became of the request, given the outcome of its cancellation."""
        key = quoted(self.key)
        if self.driver is None:
            return f"nothing was submitted (key {key})"
        if outcome is None and self.cancel_on_exit and not self.driver.is_kept and not self.driver.is_awaited:
            return f"the request was not submitted (key {key})"
        if outcome is not None:
            return BECAME[outcome]
        return f"the request continues, and the next call with the same key follows it (key {key})"
