"""The steps for one key until its request has an outcome. `protocol/ledger/decisions.py` decides on each next step.

A claim is the ledger's note, written before a submit is sent, that a process is about to send it. The owner of an
entry is the process that has claimed it, or that follows its request.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal

from fal_async.errors import (
    CancelOutcome,
    FalError,
    LedgerError,
    SubmissionUncertainError,
)
from fal_async.keyed.call import Ended, KeyedRequest
from fal_async.keyed.deliveries.entry_wait import EntryWait
from fal_async.keyed.input_digests import Recognised
from fal_async.keyed.joined import Joined
from fal_async.keyed.outcomes import Outcomes, delivered, replay, response_of
from fal_async.keyed.submits import KeyedSubmit, Outrun
from fal_async.keyed.tools import Tools
from fal_async.protocol.following import Following
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.ledger import decisions, refusals
from fal_async.protocol.ledger.decisions import Asked, decide, newest_claim
from fal_async.protocol.ledger.entry import ENDED, Place, Record
from fal_async.protocol.ledger.key_checks import quoted
from fal_async.queue.state import RequestState

Reason = Literal["close", "cancel", "cancelled", "look"]
"""Why the task is interrupted.

close: the session is being closed. cancel: a caller cancels the request, whose id is not known yet. cancelled: fal
has removed the request from the queue. look: fal says that the request is complete, so its result is fetched now.
"""
_FIRST_LOOK, _LONGEST_PAUSE = 0.05, 2.0
"""Seconds between two checks of the claim of another process."""


class Steps(Joined):
    """Submits and follows one key.

    Attributes:
        compared: what the call needs, for `decide`.
        record: the entry as it was last read or written; None if the key has no entry.
        asked: the arguments of the first caller; None if the request of an existing entry is only followed.
        input: the digests of the input; None together with `asked`.
        following: how the request is followed.
        follow: whether a caller waits for the outcome, and not only for the request id.
        known: the state that a handle of this request has; None without a handle.
        state: the state of the request; None as long as fal has not accepted it.
        outcomes: stores the outcomes of the attempts.
        submit: the running submit; None if there is none.
        lost: the error of a submit that was interrupted and that fal may have accepted.
        newest: the number of the newest attempt of this driver; 0 before the first.
        waits: waits for changes of the entry by other processes, and for deliveries.
        is_writing: whether the outcome is known and is being stored, so that the task is not interrupted any more.
        stopping: why the task is being interrupted; None if it is not.
        is_cancelling: whether a caller of this session cancels the request; see `Driver`.
        cancelled: the outcome of a cancellation; None before.
    """

    def __init__(self, tools: Tools, place: Place, compared: Asked, record: Record | None) -> None:
        super().__init__()
        self.tools: Tools = tools
        self.place: Place = place
        self.compared: Asked = compared.begun(record)
        self.record: Record | None = record
        self.asked: KeyedRequest | None = None
        self.input: Recognised | None = None
        self.following: Following = Following()
        self.follow: bool = False
        self.known: RequestState | None = None
        self.state: RequestState | None = None
        self.outcomes: Outcomes = Outcomes(tools, place)
        self.submit: KeyedSubmit | None = None
        self.lost: SubmissionUncertainError | None = None
        self.newest: int = 0
        self.waits: EntryWait = EntryWait(tools.store, place)
        self.is_writing: bool = False
        self.stopping: Reason | None = None
        self.is_cancelling: bool = False
        self.cancelled: CancelOutcome | None = None

    @property
    def entry(self) -> Record:
        """The entry; before the first claim, a record with the place, endpoint and input that it will have."""
        return self.record or Record(
            number=0,
            version=0,
            place=self.place,
            endpoint_id=self.compared.endpoint_id,
            input_digest=self.compared.input_digest,
            state="claimed",
        )

    def ask(self, asked: KeyedRequest, input: Recognised) -> None:
        """Set the arguments of the first caller."""
        self.asked, self.input, self.outcomes.payment = asked, input, asked.payment

    def stop_for(self, why: Reason) -> None:
        """Note why the task is about to be interrupted."""
        self.stopping = why

    def leave_registry(self) -> None:
        """Remove this driver from the session, so that the next call with the key starts another one."""
        drivers = self.tools.ledger.drivers
        if drivers.get(self.place) is self:
            del drivers[self.place]

    async def drive(self) -> Ended:
        """Take one step after another until there is an outcome."""
        while True:
            ended = await self._step(decide(self.record, self.compared))
            if ended is not None:
                return ended

    async def _step(self, step: decisions.Step) -> Ended | None:
        """Take one step. Return the outcome, or None if the next step has to be decided."""
        record = self.record
        match step:
            case decisions.Submit() if self.asked is not None:
                return await self._submitted(step.seen, self.asked)
            case decisions.Attach():
                return await self._attach(step)
            case decisions.WaitFor():
                await self._wait_for(step)
                return None
            case decisions.LookUp():
                await self._look_up(resubmit=step.resubmit)
                return None
        if record is None:
            raise LedgerError(
                "the key's entry was deleted from the ledger during the call: call again "
                f"(key {quoted(self.place.key)})"
            )
        match step:
            case decisions.Report():
                raise refusals.uncertain(record)
            case decisions.Expired():
                raise refusals.expired(record)
            case decisions.Conflict():
                raise refusals.conflict(record, step.differs)
        is_new = self.state is None and not self.newest
        return replay(record, self.tools.operations.files, from_ledger=is_new)

    # Submitting: these methods return the outcome, or None if the next step has to be decided.

    async def _submitted(self, seen: int | None, asked: KeyedRequest) -> Ended | None:
        self.state = None
        assert self.input is not None
        submit = KeyedSubmit(self.tools, asked, self.input, seen, self.record)
        self.submit = submit
        try:
            async with asked.paying():
                state = await submit.run()
        except Outrun:
            self.record = await self.tools.store.find(self.place)
            return None
        except SubmissionUncertainError as error:
            self.submit = None
            return await self._after_lost_submit(error)
        finally:
            self.submit, self.lost, self.state = None, submit.lost, submit.state
            self.outcomes.entry = submit.entry or 0
            self.newest = max(self.newest, submit.attempt)
            self.outcomes.is_ours = self.newest > 0
        self.record = submit.record
        if self.compared.retries is None:
            asked.new.input = None  # no attempt needs it any more, so release a large input now
        self.changed()
        return await self._after_submit(state)

    async def _after_submit(self, state: RequestState) -> Ended | None:
        if self.stopping == "close":
            raise asyncio.CancelledError
        if self.stopping == "cancel":
            self.stopping = None
            if await self.ask_to_cancel(state) is CancelOutcome.CANCELLED:
                return await self.outcomes.cancelled(state)
        return await self._until_ended(state)

    async def _after_lost_submit(self, error: SubmissionUncertainError) -> Ended | None:
        """Look up a submit that fal may have accepted, unless the caller or the ledger prevents it."""
        if self.stopping is not None or self.compared.uncertain == "report":
            raise error
        self.record = record = await self.tools.store.find(self.place)
        if record is None or record.state == "claimed":
            raise error  # the entry is not marked as uncertain, because the ledger could not be written
        if record.state == "uncertain":
            await self._look_up(resubmit=self.compared.uncertain == "resubmit")
        return None

    # Claims and requests of other processes, or of an earlier one.

    async def _wait_for(self, claim: decisions.WaitFor) -> None:
        """Wait until the process that is submitting the key has stored a request id, or has withdrawn its claim.

        Raises SubmissionUncertainError if that takes longer than the submit may take.
        """
        loop, pause = asyncio.get_running_loop(), _FIRST_LOOK
        give_up_at = loop.time() + claim.seconds
        while isinstance(decide(self.record, self.compared), decisions.WaitFor):
            assert self.record is not None
            if loop.time() >= give_up_at:
                raise refusals.uncertain(self.record)
            if self.tools.store.owns(self.record):
                # This session's own submit is over, but the write about it is pending.
                await self.tools.ledger.late.check()
                give_up_at = loop.time()
            else:
                await self.waits.changed(self.record, pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE)
            self.record = await self.tools.store.find(self.place)
        self.changed()

    async def _look_up(self, *, resubmit: bool) -> None:
        """See `Tools.look_up`; then read the entry again.

        If fal delivers the outcome of the request, first wait for that, for a limited time.
        """
        record = self.record
        assert record is not None
        lost = newest_claim(record)
        if self._waits_for_delivery and lost is not None and lost.by_webhook:
            self.record = record = await self.waits.while_uncertain(record, self.following.poll_interval)
            if record is None or record.state != "uncertain":
                self.changed()
                return
        asked = self.asked
        store_io = asked is None or asked.new.options.store_io is not False
        await self.tools.look_up(record, resubmit=resubmit, store_io=store_io)
        self.record = await self.tools.store.find(self.place)
        self.changed()

    async def _attach(self, step: decisions.Attach) -> Ended | None:
        """Follow the request of an existing entry, as its owner if it has none."""
        record = self.record
        assert record is not None
        if step.take:
            taken = await self.tools.store.take(record.number, record.version)
            if taken is None:
                self.record = await self.tools.store.find(self.place)
                return None
            self.record = taken
        self.state = state = self._state_of(record.endpoint_id, step.request_id)
        self.outcomes.entry = record.number
        self.changed()
        return await self._until_ended(state)

    def _state_of(self, endpoint_id: str, request_id: str) -> RequestState:
        if self.known is not None and self.known.request_id == request_id:
            return self.known
        state = self.tools.operations.state_by_id(endpoint_id, request_id)
        state.existed = True
        state.taken_at = self.entry.submitted_at_of(request_id)
        if self.asked is not None:
            state.retry = self.asked.new.options.retry
        return state

    # Following.

    async def _until_ended(self, state: RequestState) -> Ended | None:
        """Follow the request until it has an outcome. None if a further attempt is made."""
        if not self.follow:
            self.leave_registry()
            await self.outcomes.leave()
            return Ended(record=self.record, request_id=state.request_id)
        while True:
            try:
                ended = await self._end_of(state)
                return None if ended is None else await self._unless_retried(ended)
            except asyncio.CancelledError:
                if self.stopping == "close":
                    raise
                _uncancel()
                if self.stopping == "cancelled":
                    return await self.outcomes.cancelled(state)
                self.stopping = None
                # An error is ignored here, because following the request raises it again.
                with contextlib.suppress(FalError):
                    await self.tools.operations.status(state, logs=self.following.logs)

    async def _end_of(self, state: RequestState) -> Ended | None:
        """Wait for the outcome of a request, and store it. None if the next step has to be decided."""
        try:
            found = await self._answer_of(state)
        except FalError as error:
            self.is_writing = True
            return await self.outcomes.failed(state, error)
        if isinstance(found, Record):
            return self._delivered(found, state)
        self.is_writing = True
        return await self.outcomes.done(state, found)

    async def _answer_of(self, state: RequestState) -> HttpResponse | Record:
        """Wait until the request is complete, and fetch its result; or return the entry if that is delivered."""
        operations = self.tools.operations
        if state.completed is None and self._is_delivered(state):
            wait = self.waits.outcome(self.record, operations, state, self.following, self.changed)
            if (found := await wait) is not None:
                return found
        following = self.following if state.completed is None else None
        return await response_of(operations, state, following, lambda _: self.changed())

    @property
    def _waits_for_delivery(self) -> bool:
        return self.asked is not None and self.asked.delivery == "wait"

    def _is_delivered(self, state: RequestState) -> bool:
        """Whether to wait for the delivery of a request, which may have been submitted without a webhook."""
        attempt = self.entry.attempt_of(state.request_id)
        return self._waits_for_delivery and (attempt is None or attempt.by_webhook)

    def _delivered(self, record: Record, state: RequestState) -> Ended | None:
        """Return the stored outcome of a request; None if the entry is about another request now."""
        self.record = record
        if record.state not in ENDED or record.request_id != state.request_id:
            return None
        ended = delivered(record, state, self.tools.operations.files, from_ledger=not self.newest)
        self.changed()
        return ended

    async def _unless_retried(self, ended: Ended) -> Ended | None:
        """Return the outcome, or None if a further attempt is made."""
        self.is_writing = False
        if ended.error is None or ended.record is None or self.compared.retries is None or self.stopping:
            return ended
        self.record = record = ended.record
        if not isinstance(decide(record, self.compared), decisions.Submit):
            return ended
        ask = None if self.asked is None else self.asked.before_retry
        if ask is None or not isinstance(ended.error, FalError):
            return None
        return None if await ask(decisions.failures(record), ended.error) else ended

    async def ask_to_cancel(self, state: RequestState) -> CancelOutcome:
        """Cancel a request on fal, store that this was requested, and return the outcome."""
        # Both at once, so that the cancellation is stored even if the process ends before fal responds.
        written = self.outcomes.cancel_requested(state.request_id)
        _, outcome = await asyncio.gather(written, self.tools.operations.cancel(state))
        self.cancelled = outcome
        self.changed()
        return outcome


def _uncancel() -> None:
    """Clear the interruption, so that the task continues."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
