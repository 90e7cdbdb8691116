"""The seam between the callers of a keyed request (`subscribe`, `submit`, a batch) and its driver.

A task of the session drives a keyed request, never a task of a caller: callers join and leave.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, Protocol

import attrs

from fal_async.errors import CancelOutcome, FalError
from fal_async.keyed.input_digests import Recognised
from fal_async.keyed.own_copies import Answer
from fal_async.models import QueueStatus, RequestLog, Result
from fal_async.protocol.following import Following
from fal_async.protocol.ledger.decisions import Uncertain
from fal_async.protocol.ledger.entry import Owner, Place, Record
from fal_async.queue.state import NewRequest, RequestState

BeforeRetry = Callable[[int, FalError], Awaitable[bool]]
"""Called with the number of failed attempts and the last error; False prevents a further attempt."""


@attrs.define(kw_only=True, eq=False, repr=False)
class KeyedRequest:
    """What a call with a key asks for.

    Attributes:
        place: the place of the key in the ledger.
        new: the request to submit, unless the key has one.
        following: how to follow the request; counts only for the first caller.
        follow: False: the driver stops as soon as the request id is known.
        uncertain: what to do with an entry of which it is not known whether fal accepted it.
        retries: further attempts that this call may make after failures that are not final; earlier failures of the
            entry count, too. None: one attempt, whatever happened before.
        retry_failed: submit an entry that has failed, finally or not, once more, with fresh retries.
        renew: submit a completed entry with this request id again, as the files of its result are gone.
        before_retry: awaited before each further attempt; counts only for the first caller. None: retry at once.
        recognised: the digests of `new.input`, if they are known already.
    """

    place: Place
    new: NewRequest
    following: Following
    follow: bool = True
    uncertain: Uncertain = "lookup"
    retries: int | None = None
    retry_failed: bool = False
    renew: str | None = None
    before_retry: BeforeRetry | None = None
    recognised: Recognised | None = None


@attrs.frozen(kw_only=True, eq=False)
class Ended:
    """The end of a keyed request, from which each caller builds its own `Result` with its own `output_type`.

    Attributes:
        record: the entry after the end. None if there is none, or the ledger could not be written.
        error: the error for every caller. None: there is a result.
        from_ledger: True for a replay, for which this session made no request.
        request_id: the id of the request; None if it is not known.
        attempts: how many times the entry was submitted in total.
        billable_units: of the attempt; None if it did not report them.
        cost: of the attempt, by list price; None if no price is known.
        answer: the response that the result is built from; None if there is an error.
    """

    record: Record | None
    error: BaseException | None = None
    from_ledger: bool = False
    request_id: str | None = None
    attempts: int = 0
    billable_units: Decimal | None = None
    cost: Decimal | None = None
    answer: Answer | None = attrs.field(default=None, repr=False)

    def result(self, output_type: Any = None, *, logs: bool = True) -> Result[Any, str]:
        """Return the caller's own result, with logs only if this caller has asked for them.

        Raises a copy of `error` if there is one, ResponseDecodeError if the output does not fit `output_type`.
        """
        if self.error is not None:
            raise self.own_error() from self.error.__cause__
        assert self.answer is not None
        return self.answer.result(output_type, logs=logs, from_ledger=self.from_ledger, cost=self.cost)

    def own_error(self) -> BaseException:
        """Return a copy of the error, so that each caller has its own traceback and may change it."""
        assert self.error is not None
        return copy.copy(self.error) if isinstance(self.error, FalError) else self.error


class Driver(Protocol):
    """One keyed request that this session submits or follows. It goes on when callers leave.

    Attributes:
        is_kept: a caller has left and wants it to go on.
        is_cancelling: a caller cancels it, or is about to: that cancellation is not the answer to a caller that
            joins later.
    """

    is_kept: bool
    is_cancelling: bool

    @property
    def outcome(self) -> Ended | None:
        """The end of the request; None before."""
        ...

    @property
    def is_awaited(self) -> bool:
        """Whether a caller waits for its end, or watches it."""
        ...

    @property
    def request_id(self) -> str | None: ...

    @property
    def attempts(self) -> int:
        """How many times the entry was submitted, as far as this session knows."""
        ...

    @property
    def state(self) -> RequestState | None:
        """The state of its request; None before it has an id, and in a replay."""
        ...

    @property
    def is_given_up(self) -> bool:
        """Whether fal was asked to cancel its request, which may complete all the same."""
        ...

    @property
    def last_status(self) -> QueueStatus | None: ...

    @property
    def logs(self) -> Sequence[RequestLog]:
        """All log entries seen."""
        ...

    @property
    def held_by(self) -> Owner | None:
        """The other running process that submits or follows the request; None if this session does."""
        ...

    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call `on_change` synchronously for each new request id, status, owner and at the end.

        Returns a function that ends the watch.
        """
        ...

    async def ended(self) -> Ended:
        """Wait for the end. Cancelling is safe, and ends only this wait."""
        ...

    async def cancel(self) -> CancelOutcome | None:
        """Cancel the remote request; all callers get RequestCancelledError.

        A request that was not submitted yet is not submitted any more. None if there was nothing to cancel: the
        request was not submitted, or has ended.
        """
        ...


class KeyedCalls(Protocol):
    """The keyed calls of one view of a session, with the drivers that all views share."""

    async def begin(self, asked: KeyedRequest) -> Driver:
        """Join the driver of this key, or start one. A replay is a driver that has ended.

        Raises KeyConflictError, LedgerError, or ConfigurationError (a file that can be read only once); nothing was
        sent then.
        """
        ...

    async def follow(
        self, record: Record, following: Following | None = None, state: RequestState | None = None
    ) -> Driver:
        """Join the driver of an entry that has a request id, or start one that never submits.

        A driver that is started keeps `state`, the known state of the request, up to date.
        """
        ...
