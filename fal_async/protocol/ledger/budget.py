"""How long the submit of a claim may take: so long others wait for its id, and so long after it a look-up looks."""

from __future__ import annotations

from fal_async.config import RetryPolicy, Timeouts

_UNBOUNDED = 3600.0
"""Seconds that stand for a limit which is switched off: fal itself gives up after them (protocol 3.3)."""


def submit_budget(policy: RetryPolicy, timeouts: Timeouts) -> float:
    """Seconds from the first claim to the end of the last attempt, if all retries are made."""
    limits = (timeouts.connect, timeouts.first_byte, timeouts.total)
    attempt = sum(_UNBOUNDED if limit is None else limit for limit in limits)
    return attempt + (policy.max_total if policy.max_attempts > 1 else 0.0)
