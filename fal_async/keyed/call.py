"""The seam between who wants a keyed request (`subscribe`, `submit`, a batch) and what drives it.

A keyed request is driven by a task of the session, never of a caller: callers join and leave.
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
"""Given how many attempts have failed, and the last error; False: no further one is made."""


@attrs.define(kw_only=True, eq=False, repr=False)
class KeyedRequest:
    """What a call with a key asks for.

    Attributes:
        following: of the first caller, if the request is not being driven yet.
        follow: False: only until its id is known.
        retries: further attempts, over the entry's life, that this call itself may make after an open failure; an
            open failure that was there before counts as well. None: one attempt, whatever there was.
        retry_failed: an entry that ended badly, finally or not, is submitted anew, once, with fresh retries.
        renew: so is one that is done with this request id, for what its result leads to is gone.
        before_retry: of the first caller: awaited before each further attempt. None: they follow at once.
        recognised: of `new.input`, where it is known.
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
    """How a keyed request ended: each caller builds its own `Result` of it (its own copy, its own `output_type`).

    Attributes:
        record: the entry as it stands. None where there is none, or the ledger could not be written any more.
        error: what every caller gets. None: it is done.
        from_ledger: no request was made by this session for it: a replay.
        attempts: submits over the entry's life.
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
        """Raises `error` (a copy of its own), or ResponseDecodeError where the output is no `output_type`.

        `logs`: whether this caller asked for them; another one may have.
        """
        if self.error is not None:
            raise self.own_error() from self.error.__cause__
        assert self.answer is not None
        return self.answer.result(output_type, logs=logs, from_ledger=self.from_ledger, cost=self.cost)

    def own_error(self) -> BaseException:
        """Each caller's traceback, and what it does to its error, is its own."""
        assert self.error is not None
        return copy.copy(self.error) if isinstance(self.error, FalError) else self.error


class Driver(Protocol):
    """One keyed request under way in this session. It goes on when callers leave.

    Attributes:
        is_kept: a caller left that wants it to go on.
        is_cancelling: somebody here is about to ask for its cancellation, or has: who joins then is not to be
            answered by that.
    """

    is_kept: bool
    is_cancelling: bool

    @property
    def outcome(self) -> Ended | None:
        """How it ended; None before."""
        ...

    @property
    def is_awaited(self) -> bool:
        """Whether anybody waits for its end, or watches it."""
        ...

    @property
    def request_id(self) -> str | None: ...

    @property
    def attempts(self) -> int:
        """Submits over the entry's life, as far as is known here."""
        ...

    @property
    def state(self) -> RequestState | None:
        """What is known of its request; None without an id, and in a replay."""
        ...

    @property
    def is_given_up(self) -> bool:
        """Whether somebody asked fal to cancel its request: it may end all the same."""
        ...

    @property
    def last_status(self) -> QueueStatus | None: ...

    @property
    def logs(self) -> Sequence[RequestLog]:
        """Every log entry seen."""
        ...

    @property
    def held_by(self) -> Owner | None:
        """The living process elsewhere whose claim, or whose request, it is; None where it is ours."""
        ...

    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call back, plainly, on each new request id, status, owner and at the end; gives what ends the watch."""
        ...

    async def ended(self) -> Ended:
        """Wait for the end. Cancelling it is safe, and ends this wait only."""
        ...

    async def cancel(self) -> CancelOutcome | None:
        """Cancel the remote request: all who wait get RequestCancelledError. What is not submitted yet never is.
        None where there was nothing to cancel: it was not submitted, or has ended."""
        ...


class KeyedCalls(Protocol):
    """The keyed calls of one view of a session, with the drivers that all views share."""

    async def begin(self, asked: KeyedRequest) -> Driver:
        """Join the driver of this key, or start one. A replay is a driver that has ended.

        Raises KeyConflictError, LedgerError, ConfigurationError (a file that can't be read twice); nothing was
        sent then.
        """
        ...

    async def follow(
        self, record: Record, following: Following | None = None, state: RequestState | None = None
    ) -> Driver:
        """Join the driver of an entry that has a request id, or start one. Nothing is ever submitted by it.

        `state`: what is known of its request, to be kept up to date by a driver that is started.
        """
        ...
