"""What this process knows of one request in the queue: its ids, its URLs, and its newest status."""

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
    """A request that is about to be submitted. `input` is set to None when fal has accepted the request."""

    endpoint: EndpointId
    input: Any = attrs.field(converter=own_copy)
    options: CallOptions
    webhook_url: str | None = None
    sha256s: Sequence[str] | None = None
    """SHA-256 digests of the files in `input`, by which a changed file is detected; None: not computed before."""


@attrs.define(kw_only=True, eq=False, repr=False)
class RequestState:
    """The state of one request in the queue. Its handle, the operations and the follower share one object."""

    ref: RequestRef
    urls: RequestUrls
    retry: RetryPolicy | None = None
    """The policy for following the request: the one that it was submitted with. None: the session's."""
    submitted_at: float | None = None
    """When this session submitted the request, in seconds on the event loop's clock; None if it did not."""
    taken_at: float | None = None
    """When this process learned that fal had accepted the request, in Unix seconds; None: not known."""
    existed: bool = False
    """Whether fal is known to have accepted the request; default False, because a user may pass a wrong id."""
    last_status: QueueStatus | None = None
    attempts: Counter[str] = attrs.field(factory=Counter)
    """How many HTTP requests were made, by operation."""
    log_history: LogHistory = attrs.field(factory=LogHistory)

    @property
    def logs(self) -> list[RequestLog]:
        """All log entries that were received. An entry that fal sent twice is in the list twice."""
        return self.log_history.lines

    @property
    def completed(self) -> Completed | None:
        """The last status, if it is `Completed`; else None."""
        return self.last_status if isinstance(self.last_status, Completed) else None

    @property
    def request_id(self) -> str:
        return self.ref.request_id or ""

    @property
    def endpoint_id(self) -> str:
        return self.ref.endpoint_id or ""


def may_be_paid(last_status: QueueStatus | None) -> bool:
    """Return whether a request that fal accepted may be billed: False only if fal reported that it failed."""
    return not (isinstance(last_status, Completed) and last_status.error is not None)
