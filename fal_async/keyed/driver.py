"""The driver of one keyed request: a task that submits the request, follows it and stores its outcome.

The outcome of the request (a result, or a final error) is in the ledger before any caller gets it. If the ledger
can't be written then, the callers get the outcome anyway, and the write is retried. A claim is the ledger's note,
written before a submit is sent, that this process is about to send it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import attrs

from fal_async.cancellation import CANCEL_LIMIT, SUBMIT_GRACE
from fal_async.errors import (
    CancelOutcome,
    FalError,
    RequestCancelledError,
    RequestRef,
    SessionStateError,
)
from fal_async.keyed.call import Ended, KeyedRequest
from fal_async.keyed.driver_task import DriverTask
from fal_async.keyed.input_digests import Recognised
from fal_async.keyed.steps import Reason, Steps
from fal_async.keyed.submits import KeyedSubmit
from fal_async.keyed.tools import Tools
from fal_async.models import QueueStatus, RequestLog
from fal_async.protocol.ledger.decisions import Asked
from fal_async.protocol.ledger.entry import UNDER_WAY, Owner, Place, Record
from fal_async.protocol.ledger.key_checks import quoted


class KeyedDriver(Steps):
    """Submits and follows the request of one key, in a task of the session.

    The task runs until the outcome is stored or the session is closed, even after all callers have left.
    """

    def __init__(self, tools: Tools, place: Place, compared: Asked, record: Record | None) -> None:
        super().__init__(tools, place, compared, record)
        self.task: DriverTask = DriverTask(self._run(), self.close)
        self.task.add_done_callback(self._task_ended)

    # What callers see and do: see `Driver`.

    @property
    def request_id(self) -> str | None:
        """The request id; None as long as it is not known."""
        if self.state is not None:
            return self.state.request_id
        # If another process has followed the request, its id is in the outcome only.
        return None if self.outcome is None else self.outcome.request_id

    @property
    def attempts(self) -> int:
        """How many times the key was submitted, as far as this session knows."""
        return max(self.newest, 0 if self.record is None else self.record.attempts)

    @property
    def last_status(self) -> QueueStatus | None:
        """The last status that this session has received from fal; None before the first one."""
        return None if self.state is None else self.state.last_status

    @property
    def is_given_up(self) -> bool:
        """Whether fal was, or is being, asked to cancel the request, which may still complete."""
        requests = () if self.record is None else self.record.requests
        return self.is_cancelling or any(
            request.outcome is None and request.cancel_requested_at is not None for request in requests
        )

    @property
    def logs(self) -> Sequence[RequestLog]:
        """All log entries received so far."""
        return () if self.state is None else self.state.logs

    @property
    def held_by(self) -> Owner | None:
        """The other running process that submits or follows the request; None if there is no other process."""
        record = self.record
        if record is None or not record.owner_lives or self.tools.store.owns(record):
            return None
        return record.owner if record.state in ("claimed", "submitted") else None

    def join(self, asked: KeyedRequest, input: Recognised) -> None:
        """Add a caller.

        The first caller decides how the request is submitted and followed. A later caller can change only two
        things: that the request is followed until it has an outcome (`follow`), and that log entries are requested
        (`following.logs`).
        """
        if self.asked is None:
            self.ask(asked, input)
        if asked.follow:
            self.want(logs=asked.following.logs)

    def want(self, *, logs: bool) -> None:
        """Follow the request until it has an outcome. `logs`: whether a caller wants log entries."""
        self.follow = True
        if logs:
            self.following.logs = True

    async def cancel(self) -> CancelOutcome | None:
        """Ask fal to cancel the request.

        If fal has cancelled it, all callers get RequestCancelledError. If it was complete already, they get its
        outcome. Otherwise they continue to wait. Returns None if nothing had to be cancelled, because the outcome
        is known or nothing was submitted.
        """
        if self.outcome is not None:
            return None
        self.is_cancelling = True
        if self.state is None:
            self._stop("cancel")
            return await self._wait_for_late_id()
        outcome = await self.ask_to_cancel(self.state)
        if outcome is CancelOutcome.CANCELLED:
            self._stop("cancelled")
        elif outcome is CancelOutcome.ALREADY_COMPLETED:
            self._stop("look")
        if outcome in (CancelOutcome.CANCELLED, CancelOutcome.ALREADY_COMPLETED):
            await asyncio.wait([self.task], timeout=CANCEL_LIMIT)
        return outcome

    async def _wait_for_late_id(self) -> CancelOutcome | None:
        """Wait until the submit has stopped or the request id has arrived; return the outcome of the cancellation.

        If the id arrives, the request is cancelled, and the outcome of that is returned. FAILED: nothing was
        cancelled, because the id did not arrive although fal may have the request, or because another process
        follows it. None: nothing was submitted.
        """
        changed = asyncio.Event()
        unwatch = self.watch(changed.set)
        try:
            while self.outcome is None and self.cancelled is None:
                await changed.wait()
                changed.clear()
        finally:
            unwatch()
        if self.cancelled is CancelOutcome.CANCELLED:
            # Wait for the task to end, so that a call with the key after this one starts a new attempt.
            await asyncio.wait([self.task], timeout=CANCEL_LIMIT)
        return CancelOutcome.FAILED if self.cancelled is None and self._fal_may_have_it() else self.cancelled

    def _fal_may_have_it(self) -> bool:
        """Whether fal may have a request of this key whose id this session does not know."""
        entry = self.record
        return self.lost is not None or (entry is not None and entry.state in UNDER_WAY)

    # Stopping.

    def close(self) -> bool:
        """End the task. Callers get SessionStateError.

        The ledger keeps what is known about an unfinished submit. A request that fal has accepted continues, and
        the next call with the key waits for it. Returns False if `close` was called before.
        """
        begins = self.stopping != "close"
        self._stop("close")
        return begins

    def give_up(self) -> None:
        """Interrupt the task at once, even during a write to the ledger.

        `LateWrites` retries an interrupted write until the session is closed. If it has not succeeded by then, the
        loss is logged.
        """
        self.stop_for("close")
        self.task.interrupt()

    def _stop(self, why: Reason) -> None:
        """Interrupt the task for this reason.

        Does nothing if the outcome is known, the session is being closed, or this reason was given before.

        While the outcome is being stored, the task is not interrupted, as it ends after that. A submit that may
        have been sent has `SUBMIT_GRACE` seconds to return the request id.
        """
        if (
            self.outcome is not None
            or self.stopping in ("close", why)
            or (self.is_writing and why != "close")
        ):
            return
        self.stop_for(why)
        if self.is_writing:
            return
        submit = self.submit
        if submit is None or submit.give_up():
            self.task.interrupt()
        else:
            self.task.get_loop().call_later(SUBMIT_GRACE, self._end_grace, submit)

    def _end_grace(self, submit: KeyedSubmit) -> None:
        """Interrupt the submit if it has not returned the request id in time."""
        # With an id, it is not interrupted, because the id is being stored. After that the task stops or cancels.
        if self.submit is submit and submit.state is None:
            self.task.interrupt()

    # The body of the task, and its end, which gives the callers an outcome whatever happens.

    async def _run(self) -> None:
        try:
            ended = await self.drive()
        except asyncio.CancelledError:
            # The session's own store releases all entries when it is closed. A store that the user has passed
            # stays open.
            if self.stopping != "cancel" and self.state is not None and not self.tools.ledger.is_ours:
                await self._leave()
            ended = self._stopped()
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except (
            BaseException
        ) as error:  # an error of fal, or of the caller's `on_retry`, such as `pytest.fail`
            if not self.task.is_running():
                return  # Python discards this coroutine, as the event loop was closed: await would fail
            ended = await self._broken(error)
        self._finish(ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """Give the callers an outcome if `_run` gave none.

        If the task is interrupted before its first step, Python does not execute `_run` at all. KeyboardInterrupt
        and SystemExit end the task at once.
        """
        if self.outcome is not None:
            return
        error = None if task.cancelled() else task.exception()
        self._finish(
            self._stopped()
            if error is None
            else Ended(record=self.record, error=error, request_id=self.request_id)
        )

    def _finish(self, ended: Ended) -> None:
        self.leave_registry()
        self.end(ended if ended.attempts else attrs.evolve(ended, attempts=self.attempts))
        self.tools.ledger.running.discard(self)
        self.task.ends()

    # Outcomes of a task that was interrupted, or that failed.

    def _stopped(self) -> Ended:
        """Return the outcome of an interrupted task.

        The session was closed, or a caller has cancelled the request before its id was known.
        """
        if self.stopping == "cancel":
            return Ended(record=self.record, error=self.lost or self._cancelled_error())
        error = self._closed_error()
        error.__cause__ = self.lost
        return Ended(record=self.record, error=error, request_id=self.request_id)

    async def _broken(self, error: BaseException) -> Ended:
        """Return an outcome with this error; the request is released, so that another call can follow it."""
        if self.state is not None:
            await self._leave()
        if isinstance(error, FalError):
            error.about(RequestRef(endpoint_id=self._endpoint_id, request_id=self.request_id))
        return Ended(record=self.record, error=error, request_id=self.request_id)

    async def _leave(self) -> None:
        # If this is interrupted, `LateWrites` repeats the write, and the callers still get their outcome.
        with contextlib.suppress(asyncio.CancelledError):
            await self.outcomes.leave()

    def _cancelled_error(self) -> RequestCancelledError:
        words = (
            "cancelled, but the request may have been submitted and may still run: the next call with the same key "
            f"looks it up or follows it (key {quoted(self.place.key)})"
            if self._fal_may_have_it()
            else "cancelled before the request was submitted: nothing was sent"
        )
        return RequestCancelledError(words, endpoint_id=self._endpoint_id)

    def _closed_error(self) -> SessionStateError:
        if self.state is not None:
            became = "; the request continues, and the next call with the same key follows it"
        elif self._fal_may_have_it():
            became = "; fal may have the request, and the next call with the same key looks it up"
        else:
            became = " before the request was submitted"
        words = f"the session was closed{became} (key {quoted(self.place.key)})"
        return SessionStateError(words, request_id=self.request_id, endpoint_id=self._endpoint_id)

    @property
    def _endpoint_id(self) -> str:
        return self.compared.endpoint_id
