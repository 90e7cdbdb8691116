"""Which poll failures are tolerated while following a request, and for how long; detection of a stuck queue."""

from __future__ import annotations

from fal_async.config import RetryPolicy
from fal_async.errors import ApiError, FalError, NotFoundError, ResponseDecodeError, TransportError
from fal_async.models import Queued, QueueStatus
from fal_async.protocol.api_errors import is_gateways_page
from fal_async.protocol.retry import Patience

WARN_AFTER = 3
"""Failed polls in a row before a warning is logged."""
_UNKNOWN_TIMES = 3
"""A 404 may come from a replica that lags behind the submit. This many without a success in between are final."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
"""Seconds. The shortest prevents a busy loop if the server says `Retry-After: 0`."""


class PollFailures:
    """Counts the failed polls since the last successful one. Times are seconds of any one clock."""

    __slots__ = ("_patience", "_policy", "_unknown", "in_a_row")

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._patience = Patience(policy.outage)
        self._unknown = 0
        self.in_a_row: int = 0

    def restored(self) -> None:
        self.in_a_row, self._unknown = 0, 0
        self._patience = Patience(self._policy.outage)

    def tolerates(self, error: FalError, now: float) -> bool:
        """Whether to continue after this failed poll: for `RetryPolicy.outage` seconds, unless it is final."""
        self.in_a_row += 1
        failing = self._patience.at(now)
        if _is_not_found(error):
            self._unknown += 1
            return self._unknown < _UNKNOWN_TIMES
        return _is_passing(error) and failing < self._policy.outage

    def pause(self, error: FalError, chance: float) -> float:
        """Return the seconds until the next poll: short at first, because most failures are brief."""
        asked = error.retry_after if isinstance(error, ApiError) else None
        if asked is not None:
            return min(max(asked, _SHORTEST_PAUSE), self._policy.max_retry_after)
        grown = self._policy.base_delay * 2.0 ** min(self.in_a_row - 1, 20)
        longest = min(self._policy.max_delay, _LONGEST_PAUSE)
        return max(_SHORTEST_PAUSE, (0.5 + 0.5 * chance) * min(longest, grown))


def _is_not_found(error: FalError) -> bool:
    return isinstance(error, NotFoundError) and not is_gateways_page(error.status, error.headers)


def _is_passing(error: FalError) -> bool:
    """Whether the failure may be temporary. fal's own 4xx, except 408, 425 and 429, are final."""
    if isinstance(error, TransportError | ResponseDecodeError):
        return True
    if not isinstance(error, ApiError):
        return False
    elsewhere = 300 <= error.status < 400 or is_gateways_page(error.status, error.headers)
    return elsewhere or error.status >= 500 or error.status in (408, 425, 429)


class StuckDetector:
    """Detects a queue position that has not changed for `after` seconds. Reports each position once."""

    __slots__ = ("_after", "_place", "_reported", "_since")

    def __init__(self, after: float) -> None:
        self._after = after
        self._place: int | None = None
        self._since = 0.0
        self._reported = False

    def seconds_stuck(self, status: QueueStatus, now: float) -> float | None:
        """Return how long the position has been the same, when that is to be reported; else None."""
        place = (status.position or 0) if isinstance(status, Queued) else None
        if place is None or place != self._place:
            self._place, self._since, self._reported = place, now, False
            return None
        stuck = now - self._since
        if self._reported or stuck < self._after:
            return None
        self._reported = True
        return stuck
