"""The buckets of time series: their length, their borders, and the zone of these (protocol 11, 11.7)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from fal_async.emulator.core import Call, Core
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.operations.platform.page_numbers import page_number, page_of
from fal_async.emulator.operations.platform.platform_clock import moment_of, now, time_range
from fal_async.emulator.operations.platform.platform_errors import invalid
from fal_async.emulator.operations.platform.query_values import choice, flag, listed
from fal_async.emulator.wire.answers import Answer, json_answer

_TIMEFRAMES = ("minute", "hour", "day", "week", "month")
_UP_TO = (timedelta(hours=2), timedelta(days=2), timedelta(days=64), timedelta(days=183))
"""Below these lengths of a range, the buckets are minutes, hours, days and weeks by default."""
_STEPS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=31),
}
LISTS = ("time_series", "summary")
Lines = Callable[[Collection[Job]], list[dict[str, Any]]]
"""Makes the lines of a bucket, or of the summary, of its requests."""


@attrs.frozen(kw_only=True)
class Series:
    """The range of a query, and how it is divided."""

    start: datetime
    end: datetime
    timeframe: str
    zone: tzinfo

    def bucket(self, moment: datetime) -> datetime:
        """Return the start of a moment's bucket, in the zone of the query."""
        return _floor(moment.astimezone(self.zone), self.timeframe)


def series_of(core: Core, call: Call) -> Series:
    start, end = time_range(core, call)
    span = min(end, now(core)) - start
    usual = next((name for name, limit in zip(_TIMEFRAMES, _UP_TO, strict=False) if span < limit), "month")
    timeframe = choice(call, "timeframe", _TIMEFRAMES) or usual
    series = Series(start=start, end=end, timeframe=timeframe, zone=_zone(call))
    if not flag(call, "bound_to_timeframe", default=True):
        return series
    last = series.bucket(end)
    bound = last if last == end else _floor(last + _STEPS[timeframe], timeframe)
    return attrs.evolve(series, start=series.bucket(start), end=bound)


def _zone(call: Call) -> tzinfo:
    name = call.query.get("timezone", "UTC")
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise invalid(f"timezone={name!r}: expected a name such as Europe/Berlin") from None


def _floor(local: datetime, timeframe: str) -> datetime:
    if timeframe == "minute":
        return local.replace(second=0, microsecond=0)
    if timeframe == "hour":
        return local.replace(minute=0, second=0, microsecond=0)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    if timeframe == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if timeframe == "month" else day


def series_answer(core: Core, call: Call, series: Series, jobs: Iterable[Job], lines: Lines) -> Answer:
    """Return `time_series` and `summary`, as `expand` asks; buckets without requests are left out.

    A page has so many buckets. The summary is whole, and on the first page only.
    """
    expand, known = listed(call, "expand") or [LISTS[0]], list(jobs)
    if not set(expand) & set(LISTS):
        raise invalid(f"expand: expected one of {', '.join(LISTS)}, or both")
    buckets: dict[datetime, list[Job]] = {}
    for job in known:
        buckets.setdefault(series.bucket(moment_of(core, job.submitted_at)), []).append(job)
    page, more = page_of(sorted(buckets) if "time_series" in expand else [], call)
    document: dict[str, Any] = {}
    if "time_series" in expand:
        document["time_series"] = [
            {"bucket": start.isoformat(), "results": lines(buckets[start])} for start in page
        ]
    if "summary" in expand and page_number(call) == 1:
        document["summary"] = lines(known)
    return json_answer({**document, **more})
