"""Fetch the outcome of an attempt (result, error or cancellation), store it, then return it for the callers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import attrs

from fal_async.errors import CancelOutcome, FalError, RequestCancelledError, ResultExpiredError
from fal_async.keyed.call import Ended, Payment
from fal_async.keyed.own_copies import Answer
from fal_async.keyed.tools import Tools
from fal_async.models import Completed, Files
from fal_async.protocol.following import Following
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.ledger import ends
from fal_async.protocol.ledger.ends import end_of
from fal_async.protocol.ledger.entry import End, LedgerRequest, Place, Record
from fal_async.protocol.ledger.replays import ref_of, replayed_error, stored_answer
from fal_async.queue.operations import QueueOperations, UpdateCallback
from fal_async.queue.recovery import result_in_history
from fal_async.queue.state import RequestState

T = TypeVar("T")


class Outcomes:
    """Stores the outcomes of the attempts of one entry.

    Attributes:
        entry: the number of the entry in the store; 0 as long as it is not known.
        payment: is notified of the cost of each outcome; None: nothing is notified.
        is_ours: whether this process has submitted the attempts, for `payment`; False until it has.
    """

    def __init__(self, tools: Tools, place: Place, entry: int = 0) -> None:
        self._tools, self._place = tools, place
        self.entry: int = entry
        self.payment: Payment | None = None
        self.is_ours: bool = False

    async def done(self, state: RequestState, response: HttpResponse) -> Ended:
        """Store a result."""
        record = await self._store(state, ends.done(response, self._tools.now()))
        answer = Answer(response=response, ref=state.ref, files=self._tools.operations.files, state=state)
        return _ended(record, state.request_id, answer=answer)

    async def failed(self, state: RequestState, error: FalError, *, leave: bool = True) -> Ended:
        """Store an error if it is the outcome of the request, and return it in either case.

        An error that does not say how the request ended, such as a broken connection, is not stored. `leave`:
        whether the entry is released then, so that the next caller can follow it; default True.
        """
        end = end_of(error, completed=state.completed, at=self._tools.now(), taken_at=state.taken_at)
        if isinstance(end, End):
            return _ended(await self._store(state, end), state.request_id, error=error)
        if leave:
            await self.leave()
        return _ended(None, state.request_id, error=error)

    async def cancelled(self, state: RequestState) -> Ended:
        """Store that fal has removed the request from the queue.

        Returns the stored result instead, if an attempt of the entry has one already.
        """
        end = end_of(CancelOutcome.CANCELLED, completed=None, at=self._tools.now())
        assert isinstance(end, End)
        record = await self._store(state, end)
        if record is not None and record.state == "done":
            return replay(record, self._tools.operations.files, from_ledger=False)
        error = RequestCancelledError("the request was cancelled before it started").about(state.ref)
        return _ended(record, state.request_id, error=error)

    async def _store(self, state: RequestState, end: End) -> Record | None:
        store, entry, request_id = self._tools.store, self.entry, state.request_id
        if end.cost is None:
            cost = self._tools.operations.cost(state.endpoint_id, end.billable_units)
            end = attrs.evolve(end, cost=cost)
        record = await self._write(request_id, lambda: store.end(entry, request_id, end))
        if self.payment is not None:
            self.payment.ended(end.cost, is_ours=self.is_ours)
        return record

    async def cancel_requested(self, request_id: str) -> None:
        """Store that a cancellation was requested, and that the request may still complete."""
        store, entry, now = self._tools.store, self.entry, self._tools.now()
        await self._write(request_id, lambda: store.cancel_requested(entry, request_id, now))

    async def leave(self) -> None:
        """Release the entry, so that the next caller can follow it."""
        store, entry = self._tools.store, self.entry
        await self._write(None, lambda: store.leave(entry))

    async def _write(self, request_id: str | None, write: Callable[[], Awaitable[T]]) -> T | None:
        return await self._tools.write(self._place, request_id, write)


async def response_of(
    operations: QueueOperations,
    state: RequestState,
    following: Following | None = None,
    on_queue_update: UpdateCallback | None = None,
) -> HttpResponse:
    """Fetch the result of a request, from fal's history if the queue no longer has it.

    `following`: how to wait first until the request is complete; None (the default): it may be complete.
    `on_queue_update` is called with each status meanwhile; None (the default): nothing is called.
    """
    try:
        if following is not None:
            await operations.follow(state, following, on_queue_update)
        return await operations.fetch(state)
    except ResultExpiredError as gone:
        return await result_in_history(operations.transport, operations.settings, state.ref, gone)


def replay(record: Record, files: Files, *, from_ledger: bool, state: RequestState | None = None) -> Ended:
    """Return the stored outcome of an entry.

    `from_ledger`: False if this session has submitted its request. `state`: the state of that request, if this
    session has waited for its outcome; None (the default): the outcome was stored before.
    """
    error = replayed_error(record)
    if error is not None:
        return _ended(record, record.request_id, error=error, from_ledger=from_ledger)
    answer = Answer(response=stored_answer(record), ref=ref_of(record), files=files, state=state)
    return _ended(record, record.request_id, answer=answer, from_ledger=from_ledger)


def delivered(record: Record, state: RequestState, files: Files, *, from_ledger: bool) -> Ended:
    """Return the stored outcome of an entry for callers that have waited for its delivery; see `replay`."""
    ended = replay(record, files, from_ledger=from_ledger, state=state)
    state.attempts["webhook"] = 1
    if state.completed is None:
        failure = ended.error.message if isinstance(ended.error, FalError) else None
        state.last_status = Completed(request_id=state.request_id, error=failure)
    return ended


def _ended(
    record: Record | None,
    request_id: str | None,
    *,
    error: FalError | None = None,
    answer: Answer | None = None,
    from_ledger: bool = False,
) -> Ended:
    attempt = next((one for one in _attempts(record) if one.request_id == request_id), None)
    return Ended(
        record=record,
        error=error,
        from_ledger=from_ledger,
        request_id=request_id,
        attempts=0 if record is None else record.attempts,
        billable_units=None if attempt is None else attempt.billable_units,
        cost=None if attempt is None else attempt.cost,
        answer=answer,
    )


def _attempts(record: Record | None) -> Sequence[LedgerRequest]:
    return () if record is None else record.requests
