"""The seam between the callers of a keyed request (`subscribe`, `submit`, a batch) and its driver.

The driver submits and follows the request in a task of the session, not in a task of a caller. So a caller can join
or leave without affecting other callers. The outcome of a request is its result or its error.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any, Protocol

import attrs

from fal_async.errors import CancelOutcome, FalError
from fal_async.keyed.input_digests import Recognised
from fal_async.keyed.own_copies import Answer
from fal_async.models import QueueStatus, RequestLog, Result
from fal_async.protocol.amounts import total
from fal_async.protocol.following import Following
from fal_async.protocol.ledger.claim_tokens import Purpose
from fal_async.protocol.ledger.decisions import Uncertain
from fal_async.protocol.ledger.entry import Owner, Place, Record
from fal_async.queue.state import NewRequest, RequestState

BeforeRetry = Callable[[int, FalError], Awaitable[bool]]
"""Called with the number of failed attempts and the last error; False prevents a further attempt."""


class Payment(Protocol):
    """Limits and counts what submits cost, for a batch."""

    def submitting(self) -> AbstractAsyncContextManager[None]:
        """Enter before a submit, which may wait or raise. Leave when the ledger has the outcome of the submit."""
        ...

    def ended(self, cost: Decimal | None, *, is_ours: bool) -> None:
        """Note that the outcome of an attempt is stored.

        `cost` is None if it is not known. `is_ours`: whether this process has submitted the attempt.
        """
        ...


@attrs.define(kw_only=True, eq=False, repr=False)
class KeyedRequest:
    """The arguments of a call with a key.

    Attributes:
        place: the namespace and the key, which identify the entry in the ledger.
        new: the request to submit if the key has no request yet.
        following: how to follow the request. Only that of the first caller is used; `logs` of each is respected.
        follow: whether to follow the request to its outcome; default True. If False, the call needs only the
            request id.
        uncertain: what to do if it is not known whether fal accepted the key's request: look it up in fal's history
            ("lookup", the default), raise ("report"), or submit again if the history lacks it ("resubmit").
        retries: how many further attempts this call may make after failures that are not final; failures of earlier
            calls with the key count, too. None (the default): one attempt, even if earlier ones have failed.
        retry_failed: whether a failed entry is submitted once more, even if its failure is final, and its retries
            are counted anew; default False.
        renew: the request id of a completed entry that is submitted again, because the files of its result have
            been deleted; None (the default): a completed entry is replayed.
        before_retry: awaited before each further attempt. Only that of the first caller is used. None (the
            default): the next attempt is made at once.
        payment: limits and counts the costs of the attempts. Only that of the first caller is used. None (the
            default): there is no limit.
        recognised: the digests of `new.input`, if the caller has computed them; None (the default): they are
            computed.
        delivery: why fal calls the receiver of the session at `new.webhook_url`, so that the submit has a token;
            "wait": the driver waits for the delivery, too. None (the default): fal does not call the receiver.
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
    payment: Payment | None = None
    recognised: Recognised | None = None
    delivery: Purpose | None = None

    def paying(self) -> AbstractAsyncContextManager[None]:
        """Enter before a submit, and leave when the ledger has the outcome of the submit."""
        return contextlib.nullcontext() if self.payment is None else self.payment.submitting()


@attrs.frozen(kw_only=True, eq=False)
class Ended:
    """The outcome of a keyed request, from which each caller builds its own `Result` with its own `output_type`.

    Attributes:
        record: the entry with the stored outcome. None if the outcome was not stored, or there is no entry.
        error: the error for every caller; None if there is a result.
        from_ledger: whether the outcome was read from the ledger and this session made no request for it; default
            False.
        request_id: the id of the request; None if it is not known.
        attempts: how many times the key was submitted in total.
        billable_units: the units that fal billed for the attempt; None if fal reported none.
        cost: the cost of the attempt by list price, in US dollars; None if it is not known.
        answer: the response from which the result is built; None if there is an error.
    """

    record: Record | None
    error: BaseException | None = None
    from_ledger: bool = False
    request_id: str | None = None
    attempts: int = 0
    billable_units: Decimal | None = None
    cost: Decimal | None = None
    answer: Answer | None = attrs.field(default=None, repr=False)

    @property
    def cost_of_all_attempts(self) -> Decimal | None:
        """What all attempts of the key cost, as far as it is known; None if the cost of no attempt is known."""
        attempts = () if self.record is None else self.record.requests
        known = [attempt.cost for attempt in attempts if attempt.cost is not None]
        return total(known) if known else self.cost

    def result(self, output_type: Any = None, *, logs: bool = True) -> Result[Any, str]:
        """Return a result for one caller, without the log entries if `logs` is False.

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
    """One keyed request that this session submits or follows. It continues after its callers have left.

    Attributes:
        is_kept: whether a caller with `cancel_on_exit=False` has left. If so, the request is not cancelled when the
            last caller leaves.
        is_cancelling: whether a caller of this session cancels the request, or is about to. A caller that joins
            after that makes a new attempt instead of raising this cancellation.
    """

    is_kept: bool
    is_cancelling: bool

    @property
    def outcome(self) -> Ended | None:
        """The outcome of the request; None as long as it is not known."""
        ...

    @property
    def is_awaited(self) -> bool:
        """Whether a caller waits for the outcome, or watches the changes."""
        ...

    @property
    def request_id(self) -> str | None:
        """The request id; None as long as it is not known."""
        ...

    @property
    def attempts(self) -> int:
        """How many times the key was submitted, as far as this session knows."""
        ...

    @property
    def state(self) -> RequestState | None:
        """The state of the request; None as long as it has no id, and if the outcome is from the ledger."""
        ...

    @property
    def is_given_up(self) -> bool:
        """Whether fal was, or is being, asked to cancel the request, which may still complete."""
        ...

    @property
    def last_status(self) -> QueueStatus | None:
        """The last status that this session has received from fal; None before the first one."""
        ...

    @property
    def logs(self) -> Sequence[RequestLog]:
        """All log entries received so far."""
        ...

    @property
    def held_by(self) -> Owner | None:
        """The other running process that submits or follows the request; None if there is no other process."""
        ...

    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call `on_change` at once for each new request id, status and owner, and when the outcome is known.

        Returns a function that stops these calls.
        """
        ...

    async def ended(self) -> Ended:
        """Wait for the outcome. Cancelling is safe: the request continues."""
        ...

    async def cancel(self) -> CancelOutcome | None:
        """Ask fal to cancel the request. If it was not submitted yet, it will not be.

        If fal has cancelled it, all callers get RequestCancelledError. If it was complete already, they get its
        outcome. Otherwise they continue to wait. Returns None if nothing had to be cancelled, because the outcome
        is known or nothing was submitted.
        """
        ...


class KeyedCalls(Protocol):
    """The keyed calls of one view of a session, with the drivers that all views share."""

    async def begin(self, asked: KeyedRequest) -> Driver:
        """Join the driver of this key, or start one. If the ledger has the outcome, return a driver with it.

        Raises KeyConflictError, LedgerError, or ConfigurationError (the input has a file that can be read only
        once). Nothing was sent in these cases.
        """
        ...

    async def follow(
        self, record: Record, following: Following | None = None, state: RequestState | None = None
    ) -> Driver:
        """Join the driver of an entry that has a request id, or start one that only follows, and never submits.

        A new driver updates `state`, a handle's state of the request; None: it uses a state of its own.
        """
        ...
