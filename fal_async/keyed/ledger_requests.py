"""Requests with a key, for `fal.queue`: their handles read the result from the ledger, or fetch and store it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from fal_async.cancellation import Wait, supervise
from fal_async.errors import ApiError, BatchStoppedError, CancelOutcome, FalError, LedgerError
from fal_async.keyed.call import Driver, Ended, KeyedRequest
from fal_async.keyed.caller import Caller
from fal_async.keyed.outcomes import Outcomes, replay, response_of
from fal_async.keyed.view_calls import ViewCalls
from fal_async.models import Completed, QueueStatus, Result
from fal_async.protocol.following import Following
from fal_async.protocol.ledger.decisions import Uncertain
from fal_async.protocol.ledger.entry import ENDED, Place, Record, Space
from fal_async.protocol.ledger.key_checks import check_uncertain
from fal_async.protocol.queue_status import LogHistory
from fal_async.queue.operations import QueueOperations, UpdateCallback
from fal_async.queue.state import NewRequest, RequestState

logger: logging.Logger = logging.getLogger("fal_async")


class LedgerRequests:
    """Implements `KeptRequests` for one view."""

    def __init__(
        self,
        operations: QueueOperations,
        calls: ViewCalls,
        *,
        place_of: Callable[[str, str], Place],
        whose: Space | None,
    ) -> None:
        """Take the tools of the view.

        `place_of` returns the place of a key and a run; `whose` is the origin and tenant of the view's keys, or
        None if they are not known.
        """
        self._operations, self._calls, self._place_of, self._whose = operations, calls, place_of, whose

    async def submit(self, new: NewRequest, *, key: str, run: str, uncertain: Uncertain) -> RequestState:
        """Return the request of this key; submit it first if the key has none."""
        check_uncertain(uncertain)
        asked = KeyedRequest(
            place=self._place_of(key, run), new=new, following=Following(), follow=False, uncertain=uncertain
        )
        while True:
            driver = await self._calls.begin(asked)
            # A batch that should have submitted it may be stopped by its `max_cost`.
            with contextlib.suppress(BatchStoppedError):
                request_id = await _id_of(driver)
                break
        state = driver.state
        if state is None:
            state = self._operations.state_by_id(new.endpoint.full, request_id)
            state.existed = True
        return attrs.evolve(
            state, attempts=Counter(state.attempts), log_history=LogHistory(), retry=new.options.retry
        )

    async def find(self, state: RequestState) -> LedgerRequest | None:
        """Return the entry with this request; None if there is none, or if the ledger can't be read.

        If the ledger can't be read, this is only logged, because fal has the request and its result can be fetched.
        """
        if self._whose is None:
            return None
        try:
            store = await self._calls.store()
            record = await store.find_request(self._whose.origin, state.request_id)
        except LedgerError as error:
            logger.error(
                "the ledger can't be read for request %s, so that its result will not be stored: %s",
                state.request_id,
                error,
            )
            return None
        if record is None or record.place.space.tenant != self._whose.tenant:
            return None
        return LedgerRequest(self._operations, self._calls, state, record)

    async def cancel(self, record: Record) -> CancelOutcome:
        """Cancel the request of an entry on fal."""
        await self._calls.store()
        state = self._operations.state_by_id(record.endpoint_id, record.request_id or "")
        return await LedgerRequest(self._operations, self._calls, state, record).cancel()

    async def fetch(self, record: Record, completed: Completed) -> Ended:
        """Fetch and store the outcome of a completed request of an entry, and return it."""
        await self._calls.store()
        state = self._operations.state_by_id(record.endpoint_id, completed.request_id)
        state.last_status = completed
        return await LedgerRequest(self._operations, self._calls, state, record).fetched()


async def _id_of(driver: Driver) -> str:
    """Wait for the request id; raise the error if the request was not submitted."""
    changed: asyncio.Event = asyncio.Event()
    unwatch = driver.watch(changed.set)
    try:
        while driver.request_id is None and driver.outcome is None:
            await changed.wait()
            changed.clear()
    finally:
        unwatch()
    if driver.request_id is not None:
        return driver.request_id
    assert driver.outcome is not None
    driver.outcome.result()
    raise AssertionError("a request with a result has an id")


class LedgerRequest:
    """Implements `KeptRequest`: one request, and the entry that has it among its attempts."""

    def __init__(
        self, operations: QueueOperations, calls: ViewCalls, state: RequestState, record: Record
    ) -> None:
        self._operations, self._calls, self._state, self._record = operations, calls, state, record
        state.existed = True  # the id in the ledger is from fal
        state.taken_at = record.submitted_at_of(state.request_id)

    @property
    def request_id(self) -> str:
        return self._state.request_id

    @property
    def last_status(self) -> QueueStatus | None:
        return self._state.last_status

    @property
    def has_ended(self) -> bool:
        """Whether the ledger has the outcome of this request."""
        return self._replay() is not None

    async def result(self, output_type: Any) -> Result[Any, str]:
        """Return the stored result; otherwise fetch it once, and store it."""
        ended = self._replay() or await self.fetched()
        return ended.result(output_type)

    async def wait(
        self,
        following: Following,
        *,
        on_queue_update: UpdateCallback | None,
        output_type: Any,
        timeout: float | None,
        began: float,
        cancel_on_exit: bool,
    ) -> Result[Any, str]:
        """Wait for the result, which is stored before it is returned."""
        if (ended := self._replay()) is not None:
            return ended.result(output_type)
        record, state = self._record, self._state
        if not self._is_current:
            among, endpoint_id = self._operations.waits, record.endpoint_id
            wait = Wait(endpoint_id=endpoint_id, among=among, handle=self, cancel_on_exit=cancel_on_exit)
            work = partial(self.fetched, following, on_queue_update)
            ended = await supervise(wait, work, timeout=timeout, began=began)
            return ended.result(output_type, logs=following.logs)
        caller = Caller(
            begin=lambda: self._calls.follow(record, following, state),
            key=record.place.key,
            endpoint_id=record.endpoint_id,
            logs=following.logs,
            on_enqueue=None,
            on_queue_update=on_queue_update,
            output_type=output_type,
            cancel_on_exit=cancel_on_exit,
            waits=self._operations.waits,
        )
        return await caller.result(timeout, began)

    async def cancel(self) -> CancelOutcome:
        """Cancel the request on fal; all callers that wait for it get the outcome."""
        driver = self._calls.running(self._record)
        if driver is not None and driver.request_id == self._state.request_id:
            outcome = await driver.cancel()
            if outcome is not None:
                return outcome
        outcome = await self._operations.cancel(self._state)
        if self._replay() is None:
            await self._after_cancel(outcome)
        return outcome

    async def _after_cancel(self, outcome: CancelOutcome) -> None:
        """Store the outcome of a cancellation; fetch and store the result if the request was complete already."""
        if outcome is CancelOutcome.CANCELLED:
            await self._outcomes().cancelled(self._state)
        elif outcome is CancelOutcome.CANCELLATION_REQUESTED:
            await self._outcomes().cancel_requested(self._state.request_id)
        elif outcome in (CancelOutcome.ALREADY_COMPLETED, CancelOutcome.REFUSED):
            with contextlib.suppress(
                FalError
            ):  # after REFUSED, it may also be running: then there is no result
                await self.fetched()

    @property
    def _is_current(self) -> bool:
        """Whether this is the attempt whose outcome the entry has or, without an outcome, the newest attempt.

        A driver follows only this attempt.
        """
        return self._record.request_id == self._state.request_id

    def _replay(self) -> Ended | None:
        """Return the stored outcome of the entry if it is that of this request; None otherwise."""
        record = self._record
        if record.state not in ENDED or not self._is_current:
            return None
        return replay(record, self._operations.files, from_ledger=True)

    async def fetched(
        self, following: Following | None = None, on_queue_update: UpdateCallback | None = None
    ) -> Ended:
        """Fetch the outcome from fal, store it and return it.

        With `following`, wait until the request is complete. Without, raise if it is not complete yet.
        """
        state = self._state
        try:
            response = await response_of(self._operations, state, following, on_queue_update)
        except FalError as error:
            if not await self._is_complete(error):
                raise
            return await self._outcomes().failed(state, error, leave=False)
        return await self._outcomes().done(state, response)

    async def _is_complete(self, error: FalError) -> bool:
        """Whether an error may be the outcome of the request.

        For an error response of fal, ask for the status first: it is an outcome only if the request is complete.
        """
        if isinstance(error, ApiError) and self._state.completed is None:
            with contextlib.suppress(FalError):
                await self._operations.status(self._state, logs=False)
        return not error.from_caller

    def _outcomes(self) -> Outcomes:
        return self._calls.outcomes(self._record)
