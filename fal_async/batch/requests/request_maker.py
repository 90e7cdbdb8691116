"""The seam between a batch and what makes the requests of its items.

`plain_requests.py` implements it; with a ledger `keyed_requests.py`.
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
    """One item that has not ended yet.

    Attributes:
        key: its key, set by `batch/keys/item_keys.py: ItemKeys`.
        recognised: the digests of its input and files, set in the same place.
        refused: what is wrong with its input; no request is made for it then.
        patient: whether to wait for a request that another process holds: the item was put off once already.
        renew: the id of a request whose files are gone: the item is submitted again, unless another item with the
            same key did that.
        attempts: submits so far; with a ledger the driver counts them instead.
        phase: whether its request was last seen with a runner ("running"), or waiting for one ("queued").
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
    phase: Phase = "none"

    def request(self, endpoint: EndpointId, options: CallOptions) -> NewRequest:
        """Return the request to submit. A file that has changed since its digest was made is not sent."""
        sha256s = None if self.recognised is None else self.recognised.sha256s
        return NewRequest(endpoint=endpoint, input=self.input, options=options, sha256s=sha256s)

    def enter(self, phase: Phase) -> None:
        """Count the item in this phase, and no longer in the one before."""
        if phase == self.phase:
            return
        tally = self.tally
        tally.queued += (phase == "queued") - (self.phase == "queued")
        tally.running += (phase == "running") - (self.phase == "running")
        self.phase = phase
        tally.changed()

    def saw(self, status: QueueStatus | None) -> None:
        """Count the item in the phase that this status means; None: fal has not reported a status yet."""
        self.tally.accepted = self.tally.accepted or status is not None
        if isinstance(status, Queued):
            self.enter("queued")
        elif isinstance(status, InProgress | Completed):
            self.enter("running")


@attrs.frozen(kw_only=True, eq=False)
class Outcome:
    """How the request of an item ended.

    Attributes:
        result: the result, if there is one.
        error: why there is no result, or None.
        held: another process holds the request, so the item is to be put off. No other attribute is set then.
        taken: whether fal took a request for the item. If not, `error` says why.
        unended: whether fal is still working on the request.
        meets_all: whether every further item would get the same error.
        shared: whether another item of this batch caused the request; the cost is counted for that one.
        entry: number of its entry in the ledger; None without one.
        files: files that an earlier run has downloaded, from the ledger.
        request_id, attempts, billable_units, cost, from_ledger: see `BatchItem`.
    """

    result: Result[Any, str] | None = None
    error: FalError | None = None
    held: bool = False
    taken: bool = False
    unended: bool = False
    meets_all: bool = False
    shared: bool = False
    entry: int | None = None
    files: tuple[StoredFile, ...] = ()
    request_id: str | None = None
    attempts: int = 0
    billable_units: Decimal | None = None
    cost: Decimal | None = None
    from_ledger: bool = False


class RequestMaker(Protocol):
    """Makes one request for each item, and follows it to its end."""

    async def begin(self) -> None:
        """Do what comes before the first input is read."""
        ...

    async def outcome(self, work: Work) -> Outcome:
        """Return how the request of an item ended; a failure is an outcome, too.

        Cancelling it leaves the request or cancels that, too, as the batch was asked to do. It raises only errors
        that are not this item's failure, such as those of the caller's own functions.
        """
        ...

    async def finish(self) -> None:
        """Wait for what else must end, once all items have been started."""
        ...

    async def aclose(self) -> None:
        """Release what it holds: no item is started any more. Closing twice is allowed."""
        ...

    def stop(self) -> None:
        """Submit nothing more. Running requests go on to their end."""
        ...

    def hurry(self) -> None:
        """Give up running remote cancellations: the program is to end at once."""
        ...

    def left(self) -> str | None:
        """Say in words what became of the requests of items that were left; None if there were none."""
        ...
