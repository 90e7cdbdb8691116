"""What is known of one request in the queue: who it is, where it is followed, and what was seen of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs

from fal_async.config import RetryPolicy
from fal_async.errors import RequestRef
from fal_async.models import Completed, QueueStatus, RequestLog
from fal_async.options import CallOptions
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.input_copies import own_copy
from fal_async.protocol.queue import RequestUrls
from fal_async.protocol.queue_status import LogHistory


@attrs.define(kw_only=True, eq=False, repr=False)
class NewRequest:
    """A request that is about to be submitted, as the caller gave it. `input` is forgotten once it is taken."""

    endpoint: EndpointId
    input: Any = attrs.field(converter=own_copy)
    options: CallOptions
    webhook_url: str | None = None
    sha256s: Sequence[str] | None = None
    """Of the files in `input`, where it was recognised long before: they may have changed since."""


@attrs.define(kw_only=True, eq=False, repr=False)
class RequestState:
    """One request in the queue. Handle, operations and updates hold the same one."""

    ref: RequestRef
    urls: RequestUrls
    retry: RetryPolicy | None = None
    """The policy it was submitted with, for following it too; None for the session's."""
    submitted_at: float | None = None
    """On the event loop's clock, where it was submitted by this session."""
    taken_at: float | None = None
    """Unix seconds at which it was known that fal has it; None: nobody says."""
    existed: bool = False
    """Whether fal is known to have taken it: an id that was typed may be wrong."""
    last_status: QueueStatus | None = None
    attempts: Counter[str] = attrs.field(factory=Counter)
    """HTTP requests made, by kind."""
    log_history: LogHistory = attrs.field(factory=LogHistory)

    @property
    def logs(self) -> list[RequestLog]:
        """Every log entry seen, as often as it was sent."""
        return self.log_history.lines

    @property
    def completed(self) -> Completed | None:
        """Its last status, where that is how it ended."""
        return self.last_status if isinstance(self.last_status, Completed) else None

    @property
    def request_id(self) -> str:
        return self.ref.request_id or ""

    @property
    def endpoint_id(self) -> str:
        return self.ref.endpoint_id or ""


def may_be_paid(last_status: QueueStatus | None) -> bool:
    """Of a request that fal has: unless fal said that it failed, a second one would be paid for as well."""
    return not (isinstance(last_status, Completed) and last_status.error is not None)
