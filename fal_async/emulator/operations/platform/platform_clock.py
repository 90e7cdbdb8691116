"""The platform API's clock, its lag, and the time range of a query (protocol 11, 11.7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fal_async.emulator.core import Call, Core
from fal_async.emulator.operations.platform.platform_errors import invalid

DAY = timedelta(days=1)


def now(core: Core) -> datetime:
    return moment_of(core, core.clock.now())


def moment_of(core: Core, seconds: float) -> datetime:
    """Return a time of this machine by the platform's clock, which `RequestHistory.clock_ahead` may shift."""
    return datetime.fromtimestamp(seconds + core.history.clock_ahead, UTC)


def iso(core: Core, seconds: float) -> str:
    return moment_of(core, seconds).isoformat(timespec="microseconds").replace("+00:00", "Z")


def is_known(core: Core, moment: float) -> bool:
    """Return whether the platform knows what happened then: it lags by `RequestHistory.lag`."""
    return core.clock.now() >= moment + core.history.lag


def time_range(
    core: Core, call: Call, *, days: int = 1, longest: int | None = None
) -> tuple[datetime, datetime]:
    """Return start and end; the end is exclusive.

    Args:
        core: the emulator.
        call: has `start` and `end` in its query.
        days: how many days ago the range starts if the query has no start.
        longest: how many days the range may have. None: no limit.
    """
    until = now(core)
    # A request that arrives while this one is answered is not after the end.
    end = _moment(call, "end") or until + DAY
    start = _moment(call, "start") or min(until, end) - DAY * days
    if start >= end:
        raise invalid("start: expected a time before end")
    if longest is not None and min(end, until) - start > DAY * longest:
        raise invalid(f"start and end: expected {longest} days at most")
    return start, end


def _moment(call: Call, name: str) -> datetime | None:
    text = call.query.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"{name}={text!r}: expected a time such as 2026-01-31T12:00:00Z, or a date") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
