"""What follows a failed attempt: another one (run by backoff), or the error that the caller gets.

`protocol/retry.py` decides which. A poll has only one attempt; `protocol/poll_failures.py` judges its failures.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
import warnings
from collections.abc import Awaitable, Callable, Generator
from typing import Any, NoReturn, TypeVar

from fal_async.auth.credentials import KeySource
from fal_async.errors import AuthenticationError, FalError, TransportError
from fal_async.protocol.retry import (
    RetryBudget,
    Verdict,
    allowed_attempts,
    allowed_seconds,
    delay_before_retry,
    judge,
)
from fal_async.transport.attempt import Call
from fal_async.transport.retry_hook import announce_retry

logger: logging.Logger = logging.getLogger("fal_async")
T = TypeVar("T")


class Again(Exception):
    """Tells backoff that this attempt failed with `error`, and that another one follows after `delay` seconds."""

    def __init__(self, error: FalError, delay: float) -> None:
        super().__init__()
        self.error: FalError = error
        self.delay: float = delay


async def retrying(attempt: Callable[[Call], Awaitable[T]], call: Call) -> T:
    """Call `attempt`, and again while it raises `Again`.

    The first attempt is made without backoff, so that a call that does not fail does not pay for importing it.
    """
    try:
        return await attempt(call)
    except Again as again:
        first = again
    repeat = _with_backoff()
    await asyncio.sleep(first.delay)
    answer: T = await repeat(attempt, call)
    return answer


@functools.cache
def _with_backoff() -> Callable[[Callable[[Call], Awaitable[Any]], Call], Awaitable[Any]]:
    """Return the function that retries. All calls share it, since each `Again` has its own delay."""
    import backoff

    # backoff calls asyncio.iscoroutinefunction, which warns on Python 3.14 and is removed in 3.16. If warnings are
    # errors, a caller would get the warning instead of the response.
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        decorate = backoff.on_exception(_announced_delays, Again, jitter=None, logger=None)
        repeat: Callable[[Callable[[Call], Awaitable[Any]], Call], Awaitable[Any]] = decorate(_attempt_again)
    return repeat


async def _attempt_again(attempt: Callable[[Call], Awaitable[Any]], call: Call) -> Any:
    return await attempt(call)


def _announced_delays() -> Generator[float, Any, None]:
    failure = yield 0.0  # backoff discards the first value, then sends each exception in
    while True:
        failure = yield failure.delay


class Retries:
    """Decides what follows a failed attempt, for one transport."""

    def __init__(self, budget: RetryBudget, keys: KeySource) -> None:
        self._budget, self._keys = budget, keys

    async def after(self, call: Call, error: FalError) -> NoReturn:
        """The same as `go_on_after`, and give the claim back before another attempt, which makes its own."""
        try:
            self.go_on_after(call, error)
        except Again:
            if call.progress.claim is not None:
                await call.progress.claim.give_back()
            raise

    def go_on_after(self, call: Call, error: FalError) -> NoReturn:
        """Raise `Again`, or the error that the caller gets."""
        if error.from_caller:
            raise error  # raised by the caller's code, such as a file object: it is not fal's answer
        outcome = self._next_step(call, error)
        if outcome is error:
            raise error
        raise outcome from error

    def _next_step(self, call: Call, error: FalError) -> Exception:
        request = call.request
        error.about(request.ref)
        call.goes_first = False
        if isinstance(error, AuthenticationError) and request.auth:
            return self._after_refused_key(call, error)
        verdict = judge(request, error, sent=call.progress.sent, policy=call.policy)
        if verdict is Verdict.UNCERTAIN:
            return call.progress.may_be_taken(request, error.message, error.request_id or call.seen_id)
        delay = self._affordable_delay(call, error) if verdict is Verdict.RETRY else None
        if delay is None or call.progress.given_up:
            logger.debug("%s failed: %s", request.operation, error)
            return error
        call.progress.sent = False  # before `on_retry`, which may raise: fal has not taken the request
        announce_retry(call.policy, request.operation.value, call.attempts, error, delay)
        return Again(error, delay)

    def _after_refused_key(self, call: Call, error: AuthenticationError) -> Exception:
        refused = call.headers.get("Authorization")
        if refused is None:
            return error  # raised by the key source, so that nothing was sent; or the call is anonymous
        # fal does nothing with a wrong key, so repeating is safe.
        again, call.key_renewed = self._keys.refused(refused) and not call.key_renewed, True
        call.goes_first = again
        return Again(error, 0.0) if again else error

    def _affordable_delay(self, call: Call, error: FalError) -> float | None:
        if call.attempts >= allowed_attempts(call.request, call.policy):
            return None
        persistent = call.request.persistent
        reached = call.progress.sent or persistent or not isinstance(error, TransportError)
        delay = delay_before_retry(call.policy, call.attempts, error, random.random(), reached=reached)
        if delay is None and persistent:
            delay = call.policy.max_retry_after
        now = time.monotonic()
        spent = call.patience.at(now) if persistent else now - call.began
        if delay is None or spent + delay > allowed_seconds(call.request, call.policy):
            return None
        # A paid result is not lost to an empty retry budget: its attempts are far apart anyway.
        return delay if self._budget.take(error) or persistent else None
