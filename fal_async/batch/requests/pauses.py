"""The pauses between the attempts of an item: a batch that is stopped, or left, ends them."""

from __future__ import annotations

import asyncio
import contextlib
import random

from fal_async.config import RetryPolicy
from fal_async.errors import FalError
from fal_async.protocol.retry import delay_before_retry


class Pauses:
    """Of one batch."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._stopped = asyncio.Event()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        """No further attempt is made."""
        self._stopped.set()

    async def over(self, failures: int, error: FalError) -> bool:
        """Wait before a further attempt. False where there is to be none: the batch was stopped, or the server asks
        for too long a wait.

        `failures`: how many attempts have failed, `error` being what the last one ended with.
        """
        seconds = delay_before_retry(self._policy, failures, error, random.random())
        if seconds is None:
            return False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)
        return not self._stopped.is_set()
