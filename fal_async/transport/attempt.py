"""The state of one HTTP request over all its attempts."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from fal_async.config import RetryPolicy, Timeouts
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation
from fal_async.protocol.retry import Patience
from fal_async.transport.attempt_clock import AttemptClock
from fal_async.transport.http_proxies import DIRECT, Route
from fal_async.transport.progress import Progress

LONG = frozenset({Operation.RUN, Operation.STREAM})
"""These operations use a connection until the model has finished. Short requests must not wait behind them."""


class Call:
    """One call of `send`, `open`, `pass_through` or `websocket`, with the state that all its attempts share."""

    __slots__ = (
        "accept",
        "attempts",
        "began",
        "check",
        "clock",
        "goes_first",
        "headers",
        "key_renewed",
        "limits",
        "patience",
        "policy",
        "progress",
        "request",
        "route",
        "seen_id",
        "silence",
        "timeouts",
    )

    def __init__(
        self, request: HttpRequest, policy: RetryPolicy, timeouts: Timeouts, progress: Progress | None = None
    ) -> None:
        self.request: HttpRequest = request
        self.route: Route = DIRECT
        self.policy: RetryPolicy = policy
        self.timeouts: Timeouts = timeouts
        self.attempts: int = 0
        self.accept: Collection[int] = ()
        self.check: Callable[[HttpResponse], None] | None = None
        # Seconds between two pieces of a body that `open` reads. None: no limit.
        self.silence: float | None = None
        self.progress: Progress = Progress() if progress is None else progress
        self.clock: AttemptClock | None = None  # of the current attempt
        self.headers: dict[str, str] = {}  # of the current attempt; empty until the API key is known
        # The request id in the response's headers, known even if the body never arrives.
        self.seen_id: str | None = None
        self.key_renewed: bool = False
        # Whether the attempt gets the next free connection: it is the first one with a renewed API key.
        self.goes_first: bool = False
        # Seconds that the server may be silent, and seconds until the end of the response. None: no limit.
        self.limits: tuple[float | None, float | None] = (timeouts.first_byte, timeouts.total)
        if request.operation in LONG:
            self.limits = (timeouts.run, timeouts.run)
        self.began: float = time.monotonic()
        self.patience: Patience = Patience(policy.result_total, self.began)

    def begin_attempt(self) -> None:
        self.attempts += 1
        self.progress.sent = False
        self.seen_id = None
        self.headers = {}
