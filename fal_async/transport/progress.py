"""How far a request has come: what decides whether it may be sent again."""

from __future__ import annotations

import time
from typing import Protocol

import attrs

from fal_async.errors import SubmissionUncertainError
from fal_async.protocol.http import HttpRequest
from fal_async.protocol.json_input import digest_of


class Claim(Protocol):
    """What is written down before a paid request leaves. Neither is called twice at once."""

    async def take(self) -> None:
        """The request has its connection, and would leave next. Nothing leaves where this raises."""
        ...

    async def give_back(self) -> None:
        """Nothing was taken, and another attempt follows, after a pause and with a claim of its own."""
        ...


@attrs.define(eq=False, repr=False)
class Progress:
    """How far a request has come."""

    sent: bool = False
    """Whether anything of the attempt under way may have left the process."""
    given_up: bool = False
    """Nobody waits for it any more: what has not left yet stays here, and no attempt follows."""
    began_at: float | None = None
    """When the attempt under way began, Unix seconds."""
    request: HttpRequest | None = None
    """What is sent, until it is answered."""
    claim: Claim | None = None
    """Of a call with a key."""

    def leaves(self) -> None:
        """The first byte of the body is about to leave. ConnectionAbortedError where nobody waits for it."""
        if self.given_up:
            raise ConnectionAbortedError("given up before it was sent")
        self.sent = True

    def may_be_taken(
        self, request: HttpRequest, reason: str, request_id: str | None = None
    ) -> SubmissionUncertainError:
        """The error for a paid request that fal may have taken, and that is therefore not sent again."""
        words = f"{request.operation}: fal may have taken the request, so it is not sent again: {reason}"
        return self.uncertain(request, words, request_id)

    def uncertain(
        self, request: HttpRequest, message: str, request_id: str | None = None
    ) -> SubmissionUncertainError:
        """The error for a paid request whose outcome is not known, with what helps to find it again."""
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
