"""The seam between a batch and what makes the requests of its items: `plain_requests.py`, or with a ledger
`keyed_requests.py`."""

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
    """One item while it is under way.

    Attributes:
        key, recognised: see `batch/keys/item_keys.py: ItemKeys`.
        refused: what is wrong with its input: there is no request for it.
        patient: it was put off once, since another process has it: now it is waited for.
        renew: the request of a result whose files are gone: it is to be submitted again, unless another item has
            done that.
        attempts: submits so far; with a ledger the driver counts them.
        phase: where its request was seen last: with a runner, or waiting for one.
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
        """Its input as it was recognised: files that changed since are not sent."""
        sha256s = None if self.recognised is None else self.recognised.sha256s
        return NewRequest(endpoint=endpoint, input=self.input, options=options, sha256s=sha256s)

    def enter(self, phase: Phase) -> None:
        """Count it where it is now."""
        if phase == self.phase:
            return
        tally = self.tally
        tally.queued += (phase == "queued") - (self.phase == "queued")
        tally.running += (phase == "running") - (self.phase == "running")
        self.phase = phase
        tally.changed()

    def saw(self, status: QueueStatus | None) -> None:
        """Count it as this status says; None: fal has said nothing of it yet."""
        self.tally.accepted = self.tally.accepted or status is not None
        if isinstance(status, Queued):
            self.enter("queued")
        elif isinstance(status, InProgress | Completed):
            self.enter("running")


@attrs.frozen(kw_only=True, eq=False)
class Outcome:
    """How the request of an item ended.

    Attributes:
        taken: whether fal has, or had, a request for it. If not, an error says why it took none.
        held: another process has it: it is to be put off. Nothing else is said then.
        unended: fal works on it still.
        meets_all: whether each further item would meet the same error.
        entry: its number in the ledger; `files` are those that an earlier run had stored.
        shared: another item of this batch had the request made, and counts what it costs.
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
        """What comes before the first input is asked for."""
        ...

    async def outcome(self, work: Work) -> Outcome:
        """The end of its request: also a failure is one. Cancelling it leaves the request, or cancels that, too.

        Raises what is no failure of this item: errors of the caller's functions, for example.
        """
        ...

    async def finish(self) -> None:
        """What else is waited for once all items have been begun."""
        ...

    async def aclose(self) -> None:
        """Nothing more is begun. Closing twice is no error."""
        ...

    def stop(self) -> None:
        """Submit nothing more. What is under way goes on to its end."""
        ...

    def hurry(self) -> None:
        """The program is to end at once: give up what is under way for items that were left."""
        ...

    def left(self) -> str | None:
        """What became of the requests of the items that were left, in words; None where there is nothing to say."""
        ...
