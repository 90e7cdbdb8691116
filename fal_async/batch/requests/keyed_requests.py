"""The requests of a batch with a ledger. Each is a keyed call, which a task of the session submits and follows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

import attrs

from fal_async.auth.credentials import KeySource
from fal_async.batch.costs.spending import Spending
from fal_async.batch.requests.missing_key import affects_all
from fal_async.batch.requests.pauses import Pauses
from fal_async.batch.requests.plain_requests import FOLLOWING
from fal_async.batch.requests.request_maker import Outcome, Work
from fal_async.batch.summary import Tally
from fal_async.cancellation import SUBMIT_GRACE, cancelled
from fal_async.errors import (
    BatchStoppedError,
    CancelOutcome,
    ClientTimeoutError,
    FalError,
    LedgerError,
    RequestCancelledError,
)
from fal_async.keyed.call import Driver, Ended, KeyedCalls, KeyedRequest
from fal_async.ledger.store import Store
from fal_async.models import Completed, InProgress, Queued, QueueStatus
from fal_async.options import CallOptions
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.ledger.decisions import Uncertain
from fal_async.protocol.ledger.entry import Place, Space
from fal_async.queue.operations import QueueOperations
from fal_async.sheltered import ShelteredTask, settle


class Ledgered(KeyedCalls, Protocol):
    """The keyed calls of a view, with access to the ledger that they use."""

    async def store(self) -> Store:
        """Return the ledger's store, open."""
        ...


@attrs.define(kw_only=True, eq=False, repr=False)
class KeyedRequests:
    """Makes the requests of one batch: see `RequestMaker`.

    Attributes:
        space: the run, with its tenant and queue host.
        timeout: time limit of one request in seconds, from when its status was first seen to be `InProgress`; None:
            no limit.
        retries, retry_failed, uncertain: see `KeyedRequest`.
        cancel_on_exit: whether leaving the batch cancels running requests, too.
        recover: follows the requests that an earlier process left running in the run, until each has its outcome.
        spending: limits and counts what the submits cost. Its `costs` are those of the run in the ledger.
    """

    calls: Ledgered
    operations: QueueOperations
    key_source: KeySource
    space: Space
    tally: Tally
    endpoint: EndpointId
    options: CallOptions
    output_type: Any
    timeout: float | None
    retries: int
    retry_failed: bool
    uncertain: Uncertain
    cancel_on_exit: bool
    recover: Callable[[], Coroutine[Any, Any, object]]
    spending: Spending
    _drivers: set[Driver] = attrs.field(factory=set, init=False)
    _cancels: set[ShelteredTask[Any]] = attrs.field(factory=set, init=False)
    _pauses: Pauses = attrs.field(init=False)
    _recovery: asyncio.Task[object] | None = attrs.field(default=None, init=False)
    _cancelled: int = attrs.field(default=0, init=False)
    _left: int = attrs.field(default=0, init=False)

    @_pauses.default
    def _between_attempts(self) -> Pauses:
        return Pauses(self.options.retry or self.operations.settings.retry)

    async def begin(self) -> None:
        costs = await self.spending.costs()
        self.spending.set_costs(costs)
        await self.spending.begin()
        if costs.open:
            await self.spending.learn_price()
        # In parallel to the batch, because a request that waits in fal's queue must not delay all others.
        self._recovery = asyncio.create_task(self._recover())

    async def _recover(self) -> None:
        with self.spending.item():
            await self.recover()

    async def finish(self) -> None:
        if self._recovery is not None:
            await self._recovery
        with contextlib.suppress(
            LedgerError
        ):  # all items have ended, and the summary has what this process knows
            self.spending.set_costs(await self.spending.costs())

    async def aclose(self) -> None:
        recovery = self._recovery
        if recovery is not None:
            recovery.cancel()
            await asyncio.gather(recovery, return_exceptions=True)

    async def outcome(self, work: Work) -> Outcome:
        """Return the outcome of the item's request.

        Another caller may be cancelling the request of this key when the item joins it, or may be another batch
        whose `max_cost` has no room for it. If the request is then cancelled, or not submitted, the item is
        submitted again.
        """
        with self.spending.item():
            while True:
                outcome, is_submitted_again = await self._attempt(work)
                if not is_submitted_again or self._pauses.stopped:
                    return outcome

    async def _attempt(self, work: Work) -> tuple[Outcome, bool]:
        """Return an outcome, and whether the item must be submitted again in its place."""
        work.enter("queued")
        try:
            driver = await self.calls.begin(self._asked(work))
        except FalError as error:
            if error.from_caller:
                raise
            affected = await affects_all(error, self.key_source, self.operations)
            return Outcome(error=error, affects_all=affected), False
        if driver.outcome is not None:
            return await self._outcome(driver.outcome, shared=False), False
        is_given_up = driver.is_given_up
        outcome = await self._joined(work, driver)
        cancelled = is_given_up and isinstance(outcome.error, RequestCancelledError)
        is_of_other_batch = isinstance(outcome.error, BatchStoppedError) and not self.spending.is_over
        return outcome, cancelled or is_of_other_batch

    async def _joined(self, work: Work, driver: Driver) -> Outcome:
        shared = driver in self._drivers
        self._drivers.add(driver)
        try:
            with self.spending.idle() if shared else contextlib.nullcontext():
                return await self._followed(work, driver, shared)
        except asyncio.CancelledError:
            await self._leave(driver)
            raise
        finally:
            if not shared:
                self._drivers.discard(driver)

    async def _followed(self, work: Work, driver: Driver, shared: bool) -> Outcome:
        waiting = _Waiting(work, driver, self.timeout)
        try:
            reason = await waiting.over
        finally:
            waiting.end()
        if reason == "held":
            return Outcome(held=True)
        if reason == "timeout":
            return self._too_slow(driver)
        assert driver.outcome is not None
        return await self._outcome(driver.outcome, shared=shared)

    def stop(self) -> None:
        self._pauses.stop()
        self.spending.stop()

    def hurry(self) -> None:
        for cancel in self._cancels:
            cancel.give_up()

    def left(self) -> str | None:
        if not self._cancelled and not self._left:
            return None
        return (
            f"the batch was left: {self._cancelled} requests were cancelled; {self._left} are still at fal, and "
            "the next run follows them"
        )

    def _asked(self, work: Work) -> KeyedRequest:
        assert work.key is not None
        return KeyedRequest(
            place=Place(space=self.space, key=work.key),
            new=work.request(self.endpoint, self.options),
            following=FOLLOWING,
            uncertain=self.uncertain,
            retries=self.retries,
            retry_failed=self.retry_failed,
            renew=work.renew,
            before_retry=self._pauses.over,
            payment=self.spending,
            recognised=work.recognised,
        )

    async def _outcome(self, ended: Ended, *, shared: bool) -> Outcome:
        error, result = None, None
        try:
            result = ended.result(self.output_type, logs=False)
        except FalError as failed:
            if failed.from_caller:
                raise
            error = failed
        taken = ended.request_id is not None
        return Outcome(
            result=result,
            error=error,
            taken=taken,
            affects_all=not taken
            and error is not None
            and await affects_all(error, self.key_source, self.operations),
            shared=shared,
            entry=None if ended.record is None else ended.record.number,
            files=() if ended.record is None else ended.record.files,
            request_id=ended.request_id,
            attempts=ended.attempts,
            billable_units=ended.billable_units,
            cost=ended.cost_of_all_attempts,
            from_ledger=ended.from_ledger,
        )

    def _too_slow(self, driver: Driver) -> Outcome:
        """Return the outcome for a request that exceeded `timeout`. It still runs, and is not cancelled."""
        assert self.timeout is not None
        last = driver.last_status
        error = ClientTimeoutError(
            f"no result within {self.timeout:g} s after the request began to run; it is still running, and the "
            "next run follows it",
            timeout=self.timeout,
            last_status=None if last is None else last.headline,
            request_id=driver.request_id,
            endpoint_id=self.endpoint.full,
        )
        return Outcome(error=error, taken=True, request_id=driver.request_id, attempts=driver.attempts)

    # What happens to the request of an item whose batch is left early.

    async def _leave(self, driver: Driver) -> None:
        """Cancel the request if it was last seen in the queue, or with `cancel_on_exit`."""
        if driver.outcome is not None or driver.is_awaited or driver.is_kept:
            return  # the request has ended, or other calls wait for it
        if isinstance(driver.last_status, Completed):
            return  # the result is being fetched
        if not (self.cancel_on_exit or _waits_in_queue(driver)):
            self._left += 1
            return
        driver.is_cancelling = True
        cancel = ShelteredTask(cancelled(partial(self._cancel_if_queued, driver), driver.request_id))
        self._cancels.add(cancel)
        try:
            interrupted = await settle(cancel, SUBMIT_GRACE + self.operations.waits.cancel_limit)
        finally:
            self._cancels.discard(cancel)
        gone = cancel.result_or(CancelOutcome.FAILED) in (None, CancelOutcome.CANCELLED)
        self._cancelled += gone
        self._left += not gone
        if interrupted:
            raise asyncio.CancelledError

    async def _cancel_if_queued(self, driver: Driver) -> CancelOutcome | None:
        """Get the status once more, and cancel the request unless it runs by now.

        A running request is billed even if it is cancelled, and the next run would pay for it again.
        """
        if driver.state is not None and not self.cancel_on_exit:
            status = await self.operations.status(driver.state, logs=False)
            if not isinstance(status, Queued):
                return CancelOutcome.CANCELLATION_REQUESTED
        return await driver.cancel()


def _waits_in_queue(driver: Driver) -> bool:
    """Return whether the request was last seen in the queue.

    Before its first status, a request that this process submitted is assumed to be in the queue. A request of an
    earlier process may already run, so the answer is False for it.
    """
    if driver.last_status is not None:
        return isinstance(driver.last_status, Queued)
    return driver.state is None or driver.state.submitted_at is not None


class _Waiting:
    """Waits until a request has its outcome, turns out to be followed by another process, or exceeds `timeout`.

    `over` is then done, with "ended", "held" or "timeout".
    """

    def __init__(self, work: Work, driver: Driver, timeout: float | None) -> None:
        self._work, self._driver, self._timeout = work, driver, timeout
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.over: asyncio.Future[str] = self._loop.create_future()
        self._unwatch = driver.watch(self._changed)
        self._changed()

    def end(self) -> None:
        self._unwatch()
        del (
            self._unwatch
        )  # breaks a reference cycle, so that the result does not stay in memory after its item
        if self._timer is not None:
            self._timer.cancel()

    def _changed(self) -> None:
        driver, work = self._driver, self._work
        if driver.outcome is not None:
            self._end_with("ended")
        elif driver.held_by is not None and not work.patient:
            self._end_with("held")
        else:
            work.saw(driver.last_status)
            self._look_at_time(driver.last_status)

    def _look_at_time(self, status: QueueStatus | None) -> None:
        """Time the request from its first `InProgress` to its `Completed`: the result fetch has its own limits."""
        if self._timeout is None:
            return
        if isinstance(status, InProgress) and self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._end_with, "timeout")
        elif isinstance(status, Completed) and self._timer is not None:
            self._timer.cancel()

    def _end_with(self, reason: str) -> None:
        if not self.over.done():
            self.over.set_result(reason)
