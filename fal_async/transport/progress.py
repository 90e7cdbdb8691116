"""How far the sending of a request has got, which decides whether it may be sent again."""

from __future__ import annotations

import time
from typing import Protocol

import attrs

from fal_async.errors import SubmissionUncertainError
from fal_async.protocol.http import HttpRequest
from fal_async.protocol.json_input import digest_of


class Claim(Protocol):
    """A note in the ledger, written before a paid request is sent. Its methods are never called concurrently."""

    async def take(self) -> None:
        """Write the claim. A connection is reserved. Then the request is sent, unless this raises."""
        ...

    async def give_back(self) -> None:
        """Remove the claim, because fal has not accepted the request. The next attempt writes a new claim."""
        ...


@attrs.define(eq=False, repr=False)
class Progress:
    """How far the sending of one request has got."""

    sent: bool = False
    """Whether any part of the request may have been sent in the current attempt; default False."""
    given_up: bool = False
    """Whether the caller stopped waiting; default False. If so, sending does not begin, and no attempt follows."""
    began_at: float | None = None
    """When the current attempt began, in Unix seconds; None before the first one."""
    request: HttpRequest | None = None
    """The HTTP request, until its response has arrived; then None."""
    claim: Claim | None = None
    """The claim of a keyed call; None for other calls."""

    def leaves(self) -> None:
        """Record that the body's first byte is sent next. ConnectionAbortedError if the caller stopped waiting."""
        if self.given_up:
            raise ConnectionAbortedError("the caller stopped waiting before the request was sent")
        self.sent = True

    def may_be_taken(
        self, request: HttpRequest, reason: str, request_id: str | None = None
    ) -> SubmissionUncertainError:
        """Return the error for a paid request that fal may have accepted, so that it is not sent again."""
        words = f"{request.operation}: fal may have accepted the request, so it is not sent again: {reason}"
        return self.uncertain(request, words, request_id)

    def uncertain(
        self, request: HttpRequest, message: str, request_id: str | None = None
    ) -> SubmissionUncertainError:
        """Return the error for a paid request whose outcome is unknown. It has the data for `find_submission`."""
        body = request.body if isinstance(request.body, bytes) else None
        return SubmissionUncertainError(
            message,
            operation=request.operation.value,
            started_at=self.began_at,
            ended_at=time.time(),
            input_digest=None if body is None else digest_of(body),
            request_id=request_id,
            endpoint_id=request.endpoint_id,
        )
