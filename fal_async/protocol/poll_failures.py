"""Which poll failures are tolerated while a request is followed, and for how long; detection of a stuck queue."""

from __future__ import annotations

from fal_async.config import RetryPolicy
from fal_async.errors import ApiError, FalError, NotFoundError, ResponseDecodeError, TransportError
from fal_async.models import Queued, QueueStatus
from fal_async.protocol.api_errors import is_gateways_page
from fal_async.protocol.retry import Patience

WARN_AFTER = 3
"""Number of failed polls in a row before a warning is logged."""
_UNKNOWN_TIMES = 3
"""Number of 404s, without a success in between, after which a 404 is final.

A single 404 may come from a replica that does not have a new request yet."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
"""Seconds between two failing polls. The shortest prevents a busy loop if the server sends `Retry-After: 0`."""


class PollFailures:
    """Counts the failed polls since the last successful one.

    Attributes:
        in_a_row: the number of failed polls since the last successful one.
    """

    __slots__ = ("_patience", "_policy", "_unknown", "in_a_row")

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._patience = Patience(policy.outage)
        self._unknown = 0
        self.in_a_row: int = 0

    def restored(self) -> None:
        """Note a successful poll."""
        self.in_a_row, self._unknown = 0, 0
        self._patience = Patience(self._policy.outage)

    def tolerates(self, error: FalError, now: float) -> bool:
        """Note a failed poll, and return whether following continues.

        A temporary failure is tolerated until polls have failed for `RetryPolicy.outage` seconds, a 404 twice.
        `now`: the seconds of a monotonic clock, the same in every call.
        """
        self.in_a_row += 1
        failing = self._patience.at(now)
        if _is_not_found(error):
            self._unknown += 1
            return self._unknown < _UNKNOWN_TIMES
        return _is_temporary(error) and failing < self._policy.outage

    def pause(self, error: FalError, chance: float) -> float:
        """Return the seconds until the next poll: few at first, because most failures are brief.

        `chance`: a random number from 0 to 1.
        """
        asked = error.retry_after if isinstance(error, ApiError) else None
        if asked is not None:
            return min(max(asked, _SHORTEST_PAUSE), self._policy.max_retry_after)
        grown = self._policy.base_delay * 2.0 ** min(self.in_a_row - 1, 20)
        longest = min(self._policy.max_delay, _LONGEST_PAUSE)
        return max(_SHORTEST_PAUSE, (0.5 + 0.5 * chance) * min(longest, grown))


def _is_not_found(error: FalError) -> bool:
    return isinstance(error, NotFoundError) and not is_gateways_page(error.status, error.headers)


def _is_temporary(error: FalError) -> bool:
    """Return whether the failure may be temporary. fal's own 4xx, except 408, 425 and 429, are final."""
    if isinstance(error, TransportError | ResponseDecodeError):
        return True
    if not isinstance(error, ApiError):
        return False
    not_from_fal = 300 <= error.status < 400 or is_gateways_page(error.status, error.headers)
    return not_from_fal or error.status >= 500 or error.status in (408, 425, 429)


class StuckDetector:
    """Detects a queue position that has not changed for `after` seconds. Each position is reported once."""

    __slots__ = ("_after", "_position", "_reported", "_since")

    def __init__(self, after: float) -> None:
        self._after = after
        self._position: int | None = None
        self._since = 0.0
        self._reported = False

    def seconds_stuck(self, status: QueueStatus, now: float) -> float | None:
        """Return the seconds for which the position has been the same, if they must be reported now; else None.

        `now`: the seconds of a monotonic clock, the same in every call.
        """
        position = (status.position or 0) if isinstance(status, Queued) else None
        if position is None or position != self._position:
            self._position, self._since, self._reported = position, now, False
            return None
        stuck = now - self._since
        if self._reported or stuck < self._after:
            return None
        self._reported = True
        return stuck
