"""The pauses before further attempts of an item. They end early if the batch is stopped or left."""

from __future__ import annotations

import asyncio
import contextlib
import random

from fal_async.config import RetryPolicy
from fal_async.errors import FalError
from fal_async.protocol.retry import delay_before_retry


class Pauses:
    """The pauses of all items of one batch."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._stopped = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether the batch was stopped, so that no further attempt is made."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """End all pauses. No further attempt is made then."""
        self._stopped.set()

    async def over(self, failures: int, error: FalError) -> bool:
        """Wait before a further attempt, and return whether to make it.

        Return False if the batch was stopped, or if the server asks for a longer wait than the policy allows.

        Args:
            failures: number of attempts that have failed.
            error: the error of the last attempt.
        """
        seconds = delay_before_retry(self._policy, failures, error, random.random())
        if seconds is None:
            return False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)
        return not self._stopped.is_set()
