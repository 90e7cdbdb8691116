"""The seam between a batch and the code that submits and follows the requests of its items.

`plain_requests.py` implements it for a batch without a ledger, `keyed_requests.py` for one with a ledger.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, Protocol

import attrs

from fal_async.batch.summary import Tally
from fal_async.errors import FalError
from fal_async.keyed.input_digests import Recognised
from fal_async.models import Completed, InProgress, Queued, QueueStatus, Result
from fal_async.options import CallOptions
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.ledger.entry import StoredFile
from fal_async.queue.state import NewRequest

Phase = Literal["none", "queued", "running"]


@attrs.define(kw_only=True, eq=False, repr=False)
class Work:
    """An item whose request has no outcome yet.

    Attributes:
        index: position of the input, from 0.
        input: the batch's own copy of the input.
        tally: the counters of the batch.
        key: the key of the item, set by `batch/keys/item_keys.py: ItemKeys`; None if it could not be derived.
        recognised: the digests of its input and files, also set there.
        refused: the error of its input or key; None if both are valid. If set, no request is made.
        patient: whether to wait for a request that another process follows. False at first: the item is put off
            once, so that other items are started before.
        renew: the id of a request whose files are gone; None normally. If set, the item is submitted again, unless
            another item with the same key was.
        attempts, cost: number of submits so far, and what they cost, as far as it is known. With a ledger the
            driver counts them instead.
        phase: "queued" while the request is submitted or waits in fal's queue, "running" while a runner works on
            it (both as last seen), "none" before and after.
    """

    index: int
    input: Any
    tally: Tally
    key: str | None = None
    recognised: Recognised | None = None
    refused: FalError | None = None
    patient: bool = False
    renew: str | None = None
    attempts: int = 0
    cost: Decimal | None = None
    phase: Phase = "none"

    def request(self, endpoint: EndpointId, options: CallOptions) -> NewRequest:
        """Return the request to submit. Sending it raises if a file has changed since its digest was computed."""
        sha256s = None if self.recognised is None else self.recognised.sha256s
        return NewRequest(endpoint=endpoint, input=self.input, options=options, sha256s=sha256s)

    def enter(self, phase: Phase) -> None:
        """Count the item in this phase, and no longer in its previous phase."""
        if phase == self.phase:
            return
        tally = self.tally
        tally.queued += (phase == "queued") - (self.phase == "queued")
        tally.running += (phase == "running") - (self.phase == "running")
        self.phase = phase
        tally.changed()

    def saw(self, status: QueueStatus | None) -> None:
        """Count the item in the phase of this status; None means that fal has not reported a status yet."""
        self.tally.accepted = self.tally.accepted or status is not None
        if isinstance(status, Queued):
            self.enter("queued")
        elif isinstance(status, InProgress | Completed):
            self.enter("running")


@attrs.frozen(kw_only=True, eq=False)
class Outcome:
    """The outcome of an item's request.

    Attributes:
        result: the result; None if the request failed.
        error: the error; None if the request succeeded.
        held: whether another process follows the request, so that the item is put off. If so, no other attribute
            is set.
        taken: whether fal accepted a request for the item. If not, `error` says why.
        affects_all: whether every further item would get the same error.
        shared: whether the request belongs to an earlier item of this batch with the same key.
        entry: number of the item's entry in the ledger; None if it has none.
        files: files that an earlier run has downloaded, as stored in the ledger.
        request_id, attempts, billable_units, cost, from_ledger: see `BatchItem`.
    """

    result: Result[Any, str] | None = None
    error: FalError | None = None
    held: bool = False
    taken: bool = False
    affects_all: bool = False
    shared: bool = False
    entry: int | None = None
    files: tuple[StoredFile, ...] = ()
    request_id: str | None = None
    attempts: int = 0
    billable_units: Decimal | None = None
    cost: Decimal | None = None
    from_ledger: bool = False


class RequestMaker(Protocol):
    """Submits the request of each item, and follows it until it has its outcome."""

    async def begin(self) -> None:
        """Prepare for requests. Called before the first input is read."""
        ...

    async def outcome(self, work: Work) -> Outcome:
        """Submit and follow the request of an item, and return its outcome. A failure is an outcome, too.

        If this call is cancelled, the request is cancelled on fal, or is left to the next run (`cancel_on_exit=`).
        It raises only errors that are not this item's failure, such as those of the caller's own functions.
        """
        ...

    async def finish(self) -> None:
        """Wait for work that is not about an item, such as recovery. Called when all items have been started."""
        ...

    async def aclose(self) -> None:
        """Cancel such work. No item is started after this call. Calling it twice is allowed."""
        ...

    def stop(self) -> None:
        """Submit nothing more. Running requests are still followed until they have their outcome."""
        ...

    def hurry(self) -> None:
        """No longer wait for requests to be cancelled on fal, because the program is ending."""
        ...

    def left(self) -> str | None:
        """Return a sentence about the requests of a batch that was left early; None without such requests."""
        ...
