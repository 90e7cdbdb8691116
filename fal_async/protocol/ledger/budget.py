"""How long a submit may take after its claim, the note in the ledger that a process is about to send it.

Other callers wait that long for the request id. A look-up searches the part of fal's history that begins with the
claim and is that long.
"""

from __future__ import annotations

from fal_async.config import RetryPolicy, Timeouts

_UNBOUNDED = 3600.0
"""Seconds used for a time limit that is off (None): fal itself stops waiting after them (protocol 3.3)."""


def submit_budget(policy: RetryPolicy, timeouts: Timeouts) -> float:
    """Return the seconds from the claim to the end of the last attempt if all retries are made."""
    limits = (timeouts.connect, timeouts.first_byte, timeouts.total)
    attempt = sum(_UNBOUNDED if limit is None else limit for limit in limits)
    return attempt + (policy.max_total if policy.max_attempts > 1 else 0.0)
