"""The requests of a batch without a ledger. Each is submitted and followed as by `subscribe`."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

import attrs

from fal_async.auth.credentials import KeySource
from fal_async.batch.costs.spending import OwnCosts, Spending
from fal_async.batch.requests.missing_key import affects_all
from fal_async.batch.requests.pauses import Pauses
from fal_async.batch.requests.request_maker import Outcome, Work
from fal_async.cancellation import Wait
from fal_async.errors import (
    ApiError,
    BatchStoppedError,
    CancelOutcome,
    ClientTimeoutError,
    FalError,
    SubmissionUncertainError,
    TransportError,
)
from fal_async.models import Completed, InProgress, QueueStatus, Result
from fal_async.options import CallOptions
from fal_async.protocol.amounts import billable_units, total
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.following import Following
from fal_async.protocol.ledger.ends import end_of
from fal_async.protocol.ledger.entry import End
from fal_async.queue.operations import QueueOperations
from fal_async.queue.subscription import Subscription

FOLLOWING = Following()
"""Requests are followed by polls, because a status stream for each item would need a connection for each."""


@attrs.define(kw_only=True, eq=False, repr=False)
class PlainRequests:
    """Makes the requests of one batch: see `RequestMaker`.

    Attributes:
        timeout: time limit of one request in seconds, from when its status was first seen to be `InProgress`; None:
            no limit.
        retries: maximum number of further attempts of one item.
        spending: limits and counts what the submits cost. Its `costs` are `own_costs`.
    """

    operations: QueueOperations
    endpoint: EndpointId
    options: CallOptions
    output_type: Any
    timeout: float | None
    retries: int
    key_source: KeySource
    spending: Spending
    own_costs: OwnCosts
    _waits: set[Wait] = attrs.field(factory=set, init=False)
    _pauses: Pauses = attrs.field(init=False)

    @_pauses.default
    def _between_attempts(self) -> Pauses:
        return Pauses(self.options.retry or self.operations.settings.retry)

    async def begin(self) -> None:
        await self.spending.begin()

    async def outcome(self, work: Work) -> Outcome:
        with self.spending.item():
            while True:
                work.enter("queued")
                try:
                    async with self.spending.submitting():
                        outcome, may_be_repeated = await self._attempt(work)
                except BatchStoppedError as stopped:
                    return Outcome(error=stopped, attempts=work.attempts, cost=work.cost)
                outcome, error = attrs.evolve(outcome, cost=work.cost), outcome.error
                if error is None or not may_be_repeated or work.attempts > self.retries:
                    return outcome
                if not await self._pauses.over(work.attempts, error):
                    return outcome

    async def _attempt(self, work: Work) -> tuple[Outcome, bool]:
        """Submit once, and return the outcome, and whether a further attempt may succeed."""
        work.attempts += 1
        asked = self._subscription(work)
        self._waits.add(asked.wait)
        try:
            result = await asked.supervised(asked.result, None)
        except FalError as error:
            if error.from_caller:
                raise
            failed = attrs.evolve(
                _failed(work, error, asked),
                affects_all=await affects_all(error, self.key_source, self.operations),
            )
            return failed, self._note_failure(work, error, asked)
        finally:
            self._waits.discard(asked.wait)
        self._note_cost(work, result.cost)
        return _done(work, result), False

    def _note_failure(self, work: Work, error: FalError, asked: Subscription) -> bool:
        """Count what a failed attempt cost. Return whether a further attempt may succeed and can't be billed twice.

        These are the rules of a ledger.
        """
        if asked.wait.handle is None:
            self.own_costs.open += isinstance(error, SubmissionUncertainError)
            return error.retryable and isinstance(error, ApiError | TransportError)
        given: FalError | CancelOutcome = error
        if isinstance(error, ClientTimeoutError) and error.cancel_outcome is not None:
            given = error.cancel_outcome
        end = end_of(given, completed=asked.state.completed, at=0.0)
        if isinstance(end, End):
            cost = end.cost
            if cost is None:
                cost = self.operations.cost(self.endpoint.full, end.billable_units)
            self._note_cost(work, cost)
            return end.state == "failed" and not end.final
        if asked.state.completed is None:
            self.own_costs.open += 1
        else:
            self._note_cost(work, None)
        return False

    def _note_cost(self, work: Work, cost: Decimal | None) -> None:
        self.spending.ended(cost, is_ours=True)
        if cost is not None:
            work.cost = cost if work.cost is None else total((work.cost, cost))

    async def finish(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        self._pauses.stop()
        self.spending.stop()

    def hurry(self) -> None:
        for wait in self._waits:
            wait.hurry()

    def left(self) -> str | None:
        return None

    def _subscription(self, work: Work) -> Subscription:
        wait = Wait(endpoint_id=self.endpoint.full, among=self.operations.waits)
        return Subscription(
            operations=self.operations,
            new=work.request(self.endpoint, self.options),
            following=FOLLOWING,
            on_enqueue=None,
            on_queue_update=partial(self._saw, work, wait),
            output_type=self.output_type,
            wait=wait,
        )

    def _saw(self, work: Work, wait: Wait, status: QueueStatus) -> None:
        work.saw(status)
        if self.timeout is None or wait.closing:
            return
        if isinstance(status, InProgress) and wait.limit is None:
            wait.limit = self.timeout
            wait.scope.reschedule(wait.loop.time() + self.timeout)
        elif isinstance(status, Completed):
            wait.scope.reschedule(None)  # fetching the result has its own time limits


def _done(work: Work, result: Result[Any, str]) -> Outcome:
    return Outcome(
        result=result,
        taken=True,
        request_id=result.request_id,
        attempts=work.attempts,
        billable_units=billable_units(result.headers),
    )


def _failed(work: Work, error: FalError, asked: Subscription) -> Outcome:
    handle = asked.wait.handle
    request_id = error.request_id if handle is None else handle.request_id
    return Outcome(error=error, taken=handle is not None, request_id=request_id, attempts=work.attempts)
