"""Reporting a retry: in the log, and to the policy's `on_retry`."""

from __future__ import annotations

import logging

from fal_async.callbacks import callers_function
from fal_async.config import Retry, RetryPolicy
from fal_async.errors import FalError

logger: logging.Logger = logging.getLogger("fal_async")


def announce_retry(policy: RetryPolicy, operation: str, attempt: int, error: FalError, delay: float) -> None:
    """Report that another attempt follows. An exception that `on_retry` raises is raised to the caller.

    `attempt`: the number of the failed attempt, from 1. `error`: why it failed; the error names the request.
    `delay`: seconds until the next attempt.
    """
    logger.info(
        "%s: attempt %d failed (%s); the next one follows in %.2f s (request %s)",
        operation,
        attempt,
        error,
        delay,
        error.request_id,
    )
    if policy.on_retry is not None:
        retry = Retry(
            operation=operation,
            attempt=attempt,
            delay=delay,
            error=error,
            endpoint_id=error.endpoint_id,
            request_id=error.request_id,
        )
        with callers_function():
            policy.on_retry(retry)
