"""When to poll a request's status next. Pure. All times are seconds of one monotonic clock.

Each poll costs fal and this process an HTTP request; a late poll costs the caller time. So polls are frequent for
short requests and sparse for long ones. When the session knows the run times of earlier requests of an endpoint,
polls are dense around these times.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import OrderedDict, deque

import attrs

from fal_async.models import Completed, Queued, QueueStatus

FIRST_POLL = 0.15
"""Seconds before the first poll of a request of an unknown endpoint."""
SHORTEST, LONGEST = 0.03, 12.0
"""Shortest and longest pause, in seconds, unless the caller sets a fixed interval."""
SHORTEST_FIXED = 0.01
"""Shortest interval that the caller can set, in seconds."""

_BLIND = (
    (0.0, 0.25),
    (0.3, 0.25),
    (2.4, 0.5),
    (3.0, 0.8),
    (8.6, 0.8),
    (9.0, 0.42),
    (10.6, 0.42),
    (14.0, 3.4),
    (53.0, 3.4),
    (56.0, 2.1),
    (63.0, 2.2),
    (75.0, 3.0),
)
"""For an unknown endpoint: pairs of run time and interval in seconds, interpolated linearly.

The completion of a 10 s request should be noticed within 0.27 s and 21 polls, that of a 60 s request within 2 % and
40 polls. No interval that only grows achieves both, so polls are dense around these two times. Between them,
completion is noticed about 1.6 s late."""
_BLIND_TIMES = tuple(seconds for seconds, _ in _BLIND)
_SHARE = 0.04
"""For longer run times: an interval of 4 % of the run time, so that completion is noticed 2 % late on average."""

# For an endpoint with samples, which are the run times of earlier requests.
_SAMPLES = 32
"""How many of the latest run times are kept."""
_STEP = 0.08
"""The next poll is due at the run time by which 8 % more of the samples were complete..."""
_FINE = 0.006
"""...but not before another 0.6 % of the present run time, and not after `_COARSE` times that."""
_COARSE, _COARSE_OF_FEW, _FEW = 3, 2, 16
"""With fewer than `_FEW` samples, `_COARSE_OF_FEW` is used, because few samples tell less about other run times."""
_FIRST_LOOK, _LOOK, _LOOK_PER_SAMPLE = 0.6, 1.5, 0.25
"""Polls before the shortest sample, for early completions, which are mostly errors.

The first one is due after 0.6 s, each further one after 0.25 times the run time per sample, at most 1.5 times the
run time: the fewer samples, the more polls."""
_STRETCH = 1.25
"""An early poll is omitted if the next sample is at most 1.25 times as far away."""
_OVERDUE = 0.25
"""After the longest sample: an interval of a quarter of the time since then."""

_JITTER = 0.15
"""Delays vary at random by this share, up and down."""
_QUEUE_SHORTEST, _QUEUE_LONGEST = 0.5, 5.0
"""Seconds between polls of a request that waits in fal's queue."""
_MANY_AHEAD = 1_000_000
"""Larger queue positions count as this one, so that the arithmetic with them can't overflow."""


@attrs.define
class Turn:
    """The next poll, `delay` seconds from now. `likely`: whether the request is probably complete by then."""

    delay: float
    likely: bool


class RunTimes:
    """The run times of one endpoint's latest requests, in seconds.

    The samples are kept, and not only their mean, because an endpoint may have several typical run times.

    Attributes:
        ordered: the samples, shortest first.
        mean: their mean; 0 without samples.
    """

    __slots__ = ("_latest", "mean", "ordered")

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=_SAMPLES)
        self.ordered: tuple[float, ...] = ()
        self.mean: float = 0.0

    @property
    def known(self) -> bool:
        """Whether there is a sample."""
        return bool(self.ordered)

    def add(self, seconds: float) -> None:
        """Add a sample. The oldest one is deleted if there are more than `_SAMPLES`."""
        self._latest.append(max(0.0, seconds))
        self.ordered = tuple(sorted(self._latest))
        self.mean = sum(self.ordered) / len(self.ordered)


class RunTimesByEndpoint:
    """The run times of the `limit` most recently used endpoints."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._known: OrderedDict[str, RunTimes] = OrderedDict()

    def of(self, endpoint_id: str) -> RunTimes:
        """Return the run times of an endpoint, without samples if it is new."""
        times = self._known.get(endpoint_id)
        if times is None:
            times = self._known[endpoint_id] = RunTimes()
            if len(self._known) > self._limit:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(endpoint_id)
        return times


class Pacer:
    """Decides when one request is polled.

    Args:
        started: when it was submitted, or when following began.
        times: the run times of the endpoint.
        interval: fixed seconds between polls; None: as `times` suggest.
    """

    __slots__ = ("_began", "_interval", "_last_poll", "_place", "_rate", "_started", "_times", "_waited_for")

    def __init__(self, started: float, times: RunTimes, interval: float | None = None) -> None:
        self._started, self._times, self._interval = started, times, interval
        self._began: float | None = None  # when it was first seen to run
        self._last_poll = started
        self._place: tuple[float, int] | None = None  # when a queue position was first seen, and which
        self._rate = 0.0  # positions per second by which the queue moves
        self._waited_for = False

    def first(self, chance: float) -> Turn:
        """Return the wait before the first poll. `chance`: a random number from 0 to 1, as everywhere here."""
        if self._interval is not None:
            return Turn(min(max(self._interval, SHORTEST_FIXED), FIRST_POLL), False)
        if not self._times.known:
            return Turn(FIRST_POLL * _jitter(chance), False)
        if self._times.mean < SHORTEST:
            return Turn(0.0, True)  # such requests are complete before the response to their submit arrives
        return self._running(0.0, chance)

    def next(self, now: float, status: QueueStatus | None, chance: float) -> Turn:
        """Return the next poll after a response at `now`. `status`: None if the response was unusable."""
        if isinstance(status, Queued):
            self._waited_for = True
            turn = self._queued(now, status, chance)
        else:
            if self._began is None and status is not None:
                self._began = self._last_poll if self._waited_for else self._started
            began = self._started if self._began is None else self._began
            turn = self._running(max(0.0, now - began), chance)
        self._last_poll = now
        return turn if self._interval is None else Turn(max(self._interval, SHORTEST_FIXED), turn.likely)

    def learn(self, now: float, completed: Completed) -> None:
        """Add the run time of a request that was seen complete at `now` to the endpoint's samples."""
        began = self._began
        if began is None:
            began = self._last_poll if self._waited_for else self._started
        latest, earliest = now - began, max(0.0, self._last_poll - began)
        # The run time that the server reports, limited to the time between the last two polls.
        reported = _seconds(completed.metrics.get("inference_time"))
        middle = (earliest + latest) / 2
        self._times.add(middle if reported is None else min(max(reported, earliest), latest))

    def _queued(self, now: float, status: Queued, chance: float) -> Turn:
        waited = now - self._started
        delay = min(_QUEUE_LONGEST, max(_QUEUE_SHORTEST, 0.1 * waited))
        if status.position is not None:
            position = min(status.position, _MANY_AHEAD)
            self._see_place(now, position)
            if self._rate > 0:
                until_start = position / self._rate
                delay = min(_QUEUE_LONGEST, max(_QUEUE_SHORTEST, 0.4 * until_start))
        if self._times.known and (status.position or 0) > 0:
            delay = max(delay, min(_QUEUE_LONGEST, 0.5 * self._times.mean))
        return Turn(delay * _jitter(chance), False)

    def _see_place(self, now: float, position: int) -> None:
        if self._place is None or position > self._place[1]:
            self._place, self._rate = (now, position), 0.0
            return
        since, first = self._place
        if now > since:
            self._rate = (first - position) / (now - since)

    def _running(self, ran: float, chance: float) -> Turn:
        blind, ordered = _blind_interval(ran), self._times.ordered
        if not ordered:
            return _turn(blind * _jitter(chance), False)
        fine = max(SHORTEST, _FINE * ran)
        passed = bisect_right(ordered, ran)
        if passed == len(ordered):
            return _turn(min(blind, max(fine, _OVERDUE * (ran - ordered[-1]))) * _jitter(chance), True)
        if passed and ordered[passed] - ran < blind:
            at = min(passed + math.ceil(_STEP * len(ordered)), len(ordered)) - 1
            coarse = (_COARSE_OF_FEW if len(ordered) < _FEW else _COARSE) * fine
            return _turn(_within(ordered[at] - ran, fine, min(blind, coarse)) * _jitter(chance), True)
        until = ordered[passed] - ran
        look = max(_FIRST_LOOK, min(_LOOK, _LOOK_PER_SAMPLE * len(ordered)) * ran)
        if until > _STRETCH * look or until > LONGEST:
            return _turn(look * _jitter(chance), False)
        # The jitter is at most `fine`, because this poll decides how soon the completion is noticed.
        return _turn(max(fine, until) + (chance - 0.5) * _JITTER * fine, True)


def _within(value: float, least: float, most: float) -> float:
    return min(most, max(least, value))


def _turn(delay: float, likely: bool) -> Turn:
    return Turn(_within(delay, SHORTEST, LONGEST), likely)


def _seconds(metric: object) -> float | None:
    """Return a metric of the server as seconds; None if it is not a plausible time."""
    if isinstance(metric, bool) or not isinstance(metric, int | float) or not 0 <= metric < 1e9:
        return None
    return float(metric)


def _blind_interval(ran: float) -> float:
    """Return the interval for an unknown endpoint, in seconds. `ran`: the run time so far."""
    at = bisect_right(_BLIND_TIMES, ran)
    if at == len(_BLIND):
        return min(LONGEST, _SHARE * ran)
    (since, before), (until, after) = _BLIND[at - 1], _BLIND[at]
    return before + (after - before) * (ran - since) / (until - since)


def _jitter(chance: float) -> float:
    """Return a random factor, so that a thousand subscribers do not poll at the same moments."""
    return 1.0 + _JITTER * (2.0 * chance - 1.0)
