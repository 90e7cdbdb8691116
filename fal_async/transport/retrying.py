"""Retries: after a failed attempt, make another one, or raise the error that the caller gets.

`protocol/retry.py` decides which, and the library `backoff` makes the further attempts. A poll has only one
attempt, because the next poll serves as its retry: `protocol/poll_failures.py` judges its failures.
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
    """Raised by an attempt that failed with `error` if another attempt is to follow after `delay` seconds."""

    def __init__(self, error: FalError, delay: float) -> None:
        super().__init__()
        self.error: FalError = error
        self.delay: float = delay


async def retrying(attempt: Callable[[Call], Awaitable[T]], call: Call) -> T:
    """Call `attempt` until it returns, or raises something other than `Again`.

    The library `backoff` is imported only when a first attempt has failed, so that most programs never import it.
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
    """Return the retrying function. All calls can share it, because each `Again` carries its own delay."""
    import backoff

    # backoff calls asyncio.iscoroutinefunction, which warns on Python 3.14 and is removed in 3.16. Where warnings
    # are turned into errors, the caller would get the warning instead of the response.
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
    """Decides for one transport whether a failed attempt is followed by another one."""

    def __init__(self, budget: RetryBudget, keys: KeySource) -> None:
        self._budget, self._keys = budget, keys

    async def release_claim_and_raise_next(self, call: Call, error: FalError) -> NoReturn:
        """Do the same as `raise_next`, but withdraw the claim before `Again` is raised.

        The claim is the ledger's note that a submit is about to be sent. Each attempt writes its own.
        """
        try:
            self.raise_next(call, error)
        except Again:
            if call.progress.claim is not None:
                await call.progress.claim.give_back()
            raise

    def raise_next(self, call: Call, error: FalError) -> NoReturn:
        """Raise `Again` if another attempt follows after `error`, else the error for the caller."""
        if error.from_caller:
            raise error  # raised by the caller's code, such as a file object: no attempt can repair it
        outcome = self._again_or_error(call, error)
        if outcome is error:
            raise error
        raise outcome from error

    def _again_or_error(self, call: Call, error: FalError) -> Exception:
        """Return `Again` if another attempt follows, else the error that the caller gets. Report the retry."""
        request = call.request
        error.about(request.ref)
        call.goes_first = False
        if isinstance(error, AuthenticationError) and request.auth:
            return self._after_refused_key(call, error)
        verdict = judge(request, error, sent=call.progress.sent, policy=call.policy)
        if verdict is Verdict.UNCERTAIN:
            return call.progress.may_be_taken(request, error.message, error.request_id or call.seen_id)
        delay = self._delay_within_limits(call, error) if verdict is Verdict.RETRY else None
        if delay is None or call.progress.given_up:
            logger.debug("%s failed: %s", request.operation, error)
            return error
        # The next attempt has sent nothing yet. This is recorded before `on_retry` is called, which may raise.
        call.progress.sent = False
        announce_retry(call.policy, request.operation.value, call.attempts, error, delay)
        return Again(error, delay)

    def _after_refused_key(self, call: Call, error: AuthenticationError) -> Exception:
        refused = call.headers.get("Authorization")
        if refused is None:
            return error  # nothing was sent, because the key source failed; or the request was sent without a key
        # fal does not process a request with a wrong key, so that it is safe to send it again.
        again, call.key_renewed = self._keys.refused(refused) and not call.key_renewed, True
        call.goes_first = again
        return Again(error, 0.0) if again else error

    def _delay_within_limits(self, call: Call, error: FalError) -> float | None:
        """Return the seconds to wait before another attempt; None if a limit or the retry budget forbids one.

        A `persistent` request fetches a result that was paid for: it has a time limit, but no limit of attempts.
        """
        if call.attempts >= allowed_attempts(call.request, call.policy):
            return None
        persistent = call.request.persistent
        # Only if the server was not reached at all, such as for a wrong host name, the delays are short.
        reached = call.progress.sent or persistent or not isinstance(error, TransportError)
        delay = delay_before_retry(call.policy, call.attempts, error, random.random(), reached=reached)
        if delay is None and persistent:  # the server asked for a longer delay than the policy allows
            delay = call.policy.max_retry_after
        now = time.monotonic()
        # `patience` counts only a part of the time for which the computer was asleep.
        spent = call.patience.at(now) if persistent else now - call.began
        if delay is None or spent + delay > allowed_seconds(call.request, call.policy):
            return None
        # A result that was paid for is fetched even if the budget is empty: its attempts are far apart anyway.
        return delay if self._budget.take(error) or persistent else None
