"""How long the submit of a claim may take.

Other callers wait that long for its id, and a look-up searches the history that long after the claim.
"""

from __future__ import annotations

from fal_async.config import RetryPolicy, Timeouts

_UNBOUNDED = 3600.0
"""Seconds used in place of a time limit that is off: fal itself gives up after them (protocol 3.3)."""


def submit_budget(policy: RetryPolicy, timeouts: Timeouts) -> float:
    """Return the seconds from the claim to the end of the last attempt if all retries are made."""
    limits = (timeouts.connect, timeouts.first_byte, timeouts.total)
    attempt = sum(_UNBOUNDED if limit is None else limit for limit in limits)
    return attempt + (policy.max_total if policy.max_attempts > 1 else 0.0)
