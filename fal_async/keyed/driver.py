"""The driver of one keyed request: it submits, follows, and stores the end before any caller gets it."""

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


class KeyedDriver(Steps):
    """Drives one key in a task of the session, even without callers, until the end or until the session closes."""

    def __init__(self, tools: Tools, place: Place, compared: Asked, record: Record | None) -> None:
        super().__init__(tools, place, compared, record)
        self.task: DriverTask = DriverTask(self._run(), self.close)

    # The view of its callers.

    @property
    def request_id(self) -> str | None:
        if self.state is not None:
            return self.state.request_id
        # Another process may have followed the request to its end.
        return None if self.outcome is None else self.outcome.request_id

    @property
    def attempts(self) -> int:
        return max(self.newest, 0 if self.record is None else self.record.attempts)

    @property
    def last_status(self) -> QueueStatus | None:
        return None if self.state is None else self.state.last_status

    @property
    def is_given_up(self) -> bool:
        requests = () if self.record is None else self.record.requests
        return self.is_cancelling or any(
            request.outcome is None and request.cancel_requested_at is not None for request in requests
        )

    @property
    def logs(self) -> Sequence[RequestLog]:
        return () if self.state is None else self.state.logs

    @property
    def held_by(self) -> Owner | None:
        record = self.record
        if record is None or not record.owner_lives or self.tools.store.owns(record):
            return None
        return record.owner if record.state in ("claimed", "submitted") else None

    def join(self, asked: KeyedRequest, input: Recognised) -> None:
        """Add a caller. Of its arguments only `follow` and its wish for logs count, unless it is the first one."""
        if self.asked is None:
            self.ask(asked, input)
        if asked.follow:
            self.want(logs=asked.following.logs)

    def want(self, *, logs: bool) -> None:
        """Follow the request to its end, with logs if any caller wants them."""
        self.follow = True
        if logs:
            self.following.logs = True

    async def cancel(self) -> CancelOutcome | None:
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
        """Wait until the submit has stopped, and return the outcome.

        If the request id still arrives, the request is cancelled then. FAILED if fal may have the request, or
        another process follows it, as neither was cancelled.
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
            # Let the task end first: the next call with the key makes another attempt.
            await asyncio.wait([self.task], timeout=CANCEL_LIMIT)
        return CancelOutcome.FAILED if self.cancelled is None and self._may_go_on() else self.cancelled

    def _may_go_on(self) -> bool:
        """Whether there may be a request whose id this session does not know."""
        entry = self.record
        return self.lost is not None or (entry is not None and entry.state in UNDER_WAY)

    # Stopping.

    def close(self) -> bool:
        """Resolve the claim and end; a running request is left to the next call. False if it is closing already."""
        begins = self.stopping != "close"
        self._stop("close")
        return begins

    def give_up(self) -> None:
        """End now, even if writes are pending."""
        self.stop_for("close")
        self.task.interrupt()

    def _stop(self, why: Reason) -> None:
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
        if (
            self.submit is submit and submit.state is None
        ):  # otherwise the id is being stored, and the request cancelled then
            self.task.interrupt()

    # Its task.

    async def _run(self) -> None:
        try:
            ended = await self.drive()
        except asyncio.CancelledError:
            ended = await self._stopped()
        except Exception as error:  # an error of fal, or of the caller's `on_retry`
            if not self.task.is_running():
                return  # discarded with its closed event loop, whose sockets raise
            ended = await self._broken(error)
        self.leave_registry()
        self.end(ended if ended.attempts else attrs.evolve(ended, attempts=self.attempts))
        self.tools.ledger.running.discard(self)
        self.task.ends()

    # Other ends.

    async def _stopped(self) -> Ended:
        """Return the end after the session was closed, or the call cancelled before the request was submitted."""
        if self.stopping == "cancel":
            return Ended(record=self.record, error=self.lost or self._cancelled_error())
        if (
            self.state is not None and not self.tools.ledger.is_ours
        ):  # our own store releases all entries when it closes
            await self._leave()
        error = self._closed_error()
        error.__cause__ = self.lost
        return Ended(record=self.record, error=error, request_id=self.request_id)

    async def _broken(self, error: Exception) -> Ended:
        if self.state is not None:
            await self._leave()
        if isinstance(error, FalError):
            error.about(RequestRef(endpoint_id=self._endpoint_id, request_id=self.request_id))
        return Ended(record=self.record, error=error, request_id=self.request_id)

    async def _leave(self) -> None:
        with contextlib.suppress(
            asyncio.CancelledError
        ):  # the write is made later; the callers get the end all the same
            await self.outcomes.leave()

    def _cancelled_error(self) -> RequestCancelledError:
        words = (
            f"the wait for the request of the key {self.place.key!r} was cancelled: "
            "it may have been submitted, and may go on"
            if self._may_go_on()
            else "cancelled before it was submitted: nothing was sent"
        )
        return RequestCancelledError(words, endpoint_id=self._endpoint_id)

    def _closed_error(self) -> SessionStateError:
        key = self.place.key
        if self.state is not None:
            became = f"; the request goes on, and the next call with the key {key!r} follows it"
        elif self._may_go_on():
            became = f"; fal may have the request, and the next call with the key {key!r} looks it up"
        else:
            became = f" before the request of the key {key!r} was submitted"
        words = f"the session was closed{became}"
        return SessionStateError(words, request_id=self.request_id, endpoint_id=self._endpoint_id)

    @property
    def _endpoint_id(self) -> str:
        return self.compared.endpoint_id
