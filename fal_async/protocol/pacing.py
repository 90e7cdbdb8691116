"""When to ask for a request's status next: pure. Times are seconds on any one clock.

A poll costs fal and this process a request, a missing poll costs the caller time. So: quick for short jobs,
sparse for long ones, and dense where this endpoint's jobs usually end, once the session has seen some end.
"""

from __future__ import annotations

from collections import OrderedDict, deque

import attrs

from fal_async.models import Completed, Queued, QueueStatus

FIRST_POLL = 0.2
_SHORT, _SHORT_INTERVAL = 1.0, 0.4
_MEDIUM, _MEDIUM_INTERVAL = 10.0, 0.52
_GROWTH = 0.25
"""Seconds that the interval grows with each second of a job of more than `_MEDIUM`."""
_LONG_INTERVAL = 2.4
_SHARE = 0.04
"""For jobs of more than a minute: an interval of 4 % of the time they have run, so 2 % late on average."""
_LONGEST = 10.0
_SHORTEST = 0.03
_JITTER = 0.15
_QUEUE_SHORTEST, _QUEUE_LONGEST = 0.5, 5.0
_SAMPLES = 32
_ENOUGH = 3


@attrs.frozen
class Turn:
    """Wait `delay` seconds, then ask. `likely`: it has a good chance to be complete by then."""

    delay: float
    likely: bool


class RunTimes:
    """What one endpoint's latest requests taught: how long they run, and how much that varies."""

    __slots__ = ("_samples", "mean", "spread")

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self.mean = 0.0
        self.spread = 0.0

    @property
    def known(self) -> bool:
        return len(self._samples) >= _ENOUGH

    def add(self, seconds: float) -> None:
        samples = self._samples
        samples.append(max(0.0, seconds))
        self.mean = sum(samples) / len(samples)
        self.spread = sum(abs(sample - self.mean) for sample in samples) / len(samples)


class RunTimesByEndpoint:
    """The run times of the endpoints used last; `limit` of them."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._known: OrderedDict[str, RunTimes] = OrderedDict()

    def of(self, endpoint_id: str) -> RunTimes:
        times = self._known.get(endpoint_id)
        if times is None:
            times = self._known[endpoint_id] = RunTimes()
            if len(self._known) > self._limit:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(endpoint_id)
        return times


class Pacer:
    """The polls of one request. `started` is when it was submitted, or when somebody began to follow it.

    With a fixed `interval` it is that; else it goes by what `times` knows of the endpoint.
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
        """The wait before the first poll; `chance` from 0 to 1 as everywhere here."""
        if self._interval is not None:
            return Turn(min(self._interval, FIRST_POLL), False)
        if self._times.known:
            return self._running(0.0, chance)
        return Turn(FIRST_POLL * _jitter(chance), False)

    def next(self, now: float, status: QueueStatus | None, chance: float) -> Turn:
        """After an answer at `now`; `status` None: the answer was of no use."""
        if isinstance(status, Queued):
            self._waited_for = True
            turn = self._queued(now, status, chance)
        else:
            if self._began is None and status is not None:
                self._began = self._last_poll if self._waited_for else self._started
            turn = self._running(now - (self._began or self._started), chance)
        self._last_poll = now
        return turn if self._interval is None else Turn(self._interval, turn.likely)

    def learn(self, now: float, completed: Completed) -> None:
        """The request was seen complete at `now`: what it took becomes part of what the session knows."""
        began = self._began
        if began is None:
            began = self._last_poll if self._waited_for else self._started
        latest, earliest = now - began, max(0.0, self._last_poll - began)
        told = completed.metrics.get("inference_time")
        # The server's own figure, as far as it agrees with what was seen: it ended between two polls.
        exact = told if isinstance(told, int | float) and not isinstance(told, bool) else None
        middle = (earliest + latest) / 2
        self._times.add(middle if exact is None else min(max(float(exact), earliest), latest))

    def _queued(self, now: float, status: Queued, chance: float) -> Turn:
        waited = now - self._started
        delay = min(_QUEUE_LONGEST, max(_QUEUE_SHORTEST, 0.1 * waited))
        if status.position is not None:
            self._see_place(now, status.position)
            if self._rate > 0:
                until_start = status.position / self._rate
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
        blind = _blind_interval(ran)
        if not self._times.known:
            return Turn(blind * _jitter(chance), False)
        mean, spread = self._times.mean, max(self._times.spread, 0.01 * self._times.mean, 0.01)
        begin, end = mean - 2.1 * spread, mean + 4 * spread
        if ran < begin:
            # Now and then it ends early; three looks before the likely time are enough.
            step = max(begin / 3, _SHORTEST)
            delay = min(begin - ran, step, _LONGEST)
            # Only the last look is placed exactly: it decides how soon the end is noticed.
            return Turn(delay if delay == begin - ran else delay * _jitter(chance), delay == begin - ran)
        dense = max(_SHORTEST, 0.4 * spread)
        if ran <= end:
            return Turn(min(dense, blind) * _jitter(chance), True)
        return Turn(min(blind, max(dense, 0.1 * (ran - mean))) * _jitter(chance), False)


def _blind_interval(ran: float) -> float:
    """For an endpoint that nothing is known of."""
    if ran < _SHORT:
        return _SHORT_INTERVAL
    if ran < _MEDIUM:
        return _MEDIUM_INTERVAL
    grown = min(_LONG_INTERVAL, _MEDIUM_INTERVAL + _GROWTH * (ran - _MEDIUM))
    return min(_LONGEST, max(grown, _SHARE * ran if ran > 60 else 0.0))


def _jitter(chance: float) -> float:
    """So that a thousand subscribers don't ask in step."""
    return 1.0 + _JITTER * (2.0 * chance - 1.0)
