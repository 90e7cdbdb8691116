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
"""These operations hold a connection until a model is done; others must not wait behind them."""


class Call:
    """One `send` or `open`, over all its attempts."""

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
        self.silence: float | None = None  # seconds between pieces of a body, if nothing else limits them
        self.progress: Progress = Progress() if progress is None else progress
        self.clock: AttemptClock | None = None  # of the current attempt
        self.headers: dict[str, str] = {}  # of the current attempt; empty until the key is known
        self.seen_id: str | None = None  # the request id in the headers of a response that broke off later
        self.key_renewed: bool = False
        self.goes_first: bool = False  # skips the queue for a place: the attempt right after a renewed key
        # The longest silence, and the time to the end of the response, in seconds.
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
