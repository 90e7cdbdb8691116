"""The seam between who wants a keyed request (`subscribe`, `submit`, a batch) and what drives it.

A keyed request is driven by a task of the session, never of a caller: callers join and leave.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, Protocol

import attrs

from fal_async.errors import CancelOutcome, FalError
from fal_async.models import QueueStatus, Result
from fal_async.protocol.following import Following
from fal_async.protocol.ledger.entry import Owner, Place, Record
from fal_async.queue.state import NewRequest

Uncertain = Literal["report", "lookup", "resubmit"]


@attrs.define(kw_only=True, eq=False, repr=False)
class KeyedRequest:
    """What a call with a key asks for.

    Attributes:
        following: of the first caller, if the request is not being driven yet.
        retries: further attempts, over the entry's life, that this call itself may make after an open failure; an
            open failure that was there before counts as well. None: one attempt, whatever there was.
        retry_failed: an entry that ended badly, finally or not, is submitted anew, once, with fresh retries.
    """

    place: Place
    new: NewRequest
    following: Following
    uncertain: Uncertain = "lookup"
    retries: int | None = None
    retry_failed: bool = False


@attrs.frozen(kw_only=True)
class Ended:
    """How a keyed request ended: each caller builds its own `Result` of it (its own copy, its own `output_type`).

    Attributes:
        record: the entry as it stands, payloads included. None where the ledger could not be read any more.
        error: what every caller gets. None: it is done.
        from_ledger: no request was made by this session for it: a replay.
    """

    record: Record | None
    error: FalError | None = None
    from_ledger: bool = False
    request_id: str | None = None
    attempts: int = 0
    billable_units: Decimal | None = None
    cost: Decimal | None = None

    def result(self, output_type: Any = None) -> Result[Any, str]:
        """Raises `error` (a copy of its own), or ResponseDecodeError where the output is no `output_type`."""
        raise NotImplementedError


class Driver(Protocol):
    """One keyed request under way in this session. It goes on when callers leave."""

    @property
    def request_id(self) -> str | None: ...

    @property
    def last_status(self) -> QueueStatus | None: ...

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
        """Cancel the remote request: all who wait get RequestCancelledError. None where there is nothing to cancel:
        it was not submitted, or has ended."""
        ...


class KeyedCalls(Protocol):
    """The keyed calls of one view of a session, with the drivers that all views share."""

    async def begin(self, asked: KeyedRequest) -> Driver:
        """Join the driver of this key, or start one. A replay is a driver that has ended.

        Raises KeyConflictError, LedgerError, ConfigurationError (a file that can't be read twice); nothing was
        sent then.
        """
        ...
