"""How far a request has got, which decides whether it may be sent again."""

from __future__ import annotations

import time
from typing import Protocol

import attrs

from fal_async.errors import SubmissionUncertainError
from fal_async.protocol.http import HttpRequest
from fal_async.protocol.json_input import digest_of


class Claim(Protocol):
    """A record that is written before a paid request is sent. Calls of its methods never overlap."""

    async def take(self) -> None:
        """Write the claim. The request has a place and is sent next; if this raises, nothing is sent."""
        ...

    async def give_back(self) -> None:
        """Remove the claim: fal has not taken the request. Another attempt follows a pause, with its own claim."""
        ...


@attrs.define(eq=False, repr=False)
class Progress:
    """How far a request has got."""

    sent: bool = False
    """Whether anything of the current attempt may have been sent."""
    given_up: bool = False
    """Whether the caller has given up: if nothing was sent, nothing will be, and no attempt follows."""
    began_at: float | None = None
    """When the current attempt began, in Unix seconds."""
    request: HttpRequest | None = None
    """The request, until its response has arrived."""
    claim: Claim | None = None
    """The claim of a call with a key."""

    def leaves(self) -> None:
        """Note that the body's first byte is sent next. ConnectionAbortedError if the caller has given up."""
        if self.given_up:
            raise ConnectionAbortedError("given up before it was sent")
        self.sent = True

    def may_be_taken(
        self, request: HttpRequest, reason: str, request_id: str | None = None
    ) -> SubmissionUncertainError:
        """Return the error for a paid request that fal may have taken, so that it is not sent again."""
        words = f"{request.operation}: fal may have taken the request, so it is not sent again: {reason}"
        return self.uncertain(request, words, request_id)

    def uncertain(
        self, request: HttpRequest, message: str, request_id: str | None = None
    ) -> SubmissionUncertainError:
        """Return the error for a paid request whose outcome is unknown, with what `find_submission` needs."""
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
