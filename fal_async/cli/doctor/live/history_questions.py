"""Questions about the request history, the usage and the billing events. All are reads that cost nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from fal_async.cli.doctor.live.live_requests import OVER, word_in
from fal_async.cli.doctor.live.not_seen import NotSeenError
from fal_async.cli.doctor.live.observations import Lag, Observations
from fal_async.cli.doctor.live.question import Question
from fal_async.protocol.json_input import digest_of, encode_json

_TIMES = ("sent_at", "started_at", "ended_at")
_WIDEST = timedelta(seconds=1)
_NARROWEST = timedelta(milliseconds=2)
"""Times that are closer together can't be told apart."""


async def _lag(seen: Observations) -> str:
    return _seconds((await seen.records()).listed)


async def _billing_lag(seen: Observations) -> str:
    return _seconds((await seen.records()).billed)


async def _usage_lag(seen: Observations) -> str:
    return _seconds((await seen.records()).counted)


def _seconds(found: Lag | str) -> str:
    if isinstance(found, str):
        raise NotSeenError(found)
    return f"{'at most ' if found.at_most else ''}{found.seconds:.0f} s after the end"


async def _waiting(seen: Observations) -> str:
    done = await seen.completed()
    word = word_in(done.request.polls[0])
    if word != "IN_QUEUE":
        raise NotSeenError(f"the request was {word} at the first poll")
    return _presence(done.listed, word)


async def _running(seen: Observations) -> str:
    cancelled = await seen.cancelled_running()
    if cancelled.before == OVER:
        raise NotSeenError("the request completed before it was seen running")
    return _presence(cancelled.listed, cancelled.before)


def _presence(listed: bool | str, word: str) -> str:
    if isinstance(listed, str):
        raise NotSeenError(listed)
    return f"listed while it was {word}" if listed else f"not listed while it was {word} (perhaps it lags)"


async def _input(seen: Observations) -> str:
    item, sent = await _item(seen), (await seen.completed()).request.body
    if item.get("json_input") is None:
        return "no input shown"
    same = digest_of(encode_json(item["json_input"])) == digest_of(sent)
    return "the same as was sent" if same else "another one than was sent"


async def _filtered_time(seen: Observations) -> str:
    """Ask for a narrow window around each time of the record."""
    item = await _item(seen)
    request = (await seen.completed()).request
    times = {name: moment for name in _TIMES if (moment := _moment(item.get(name))) is not None}
    found = []
    for names, (start, end) in _windows(times).items():
        query = {"start": _text(start), "end": _text(end), "limit": 100}
        rows = await seen.rows("/models/requests/by-endpoint", "items", query)
        if seen.item_of(request, rows) is not None:
            found.append(names)
    return " and ".join(found) or "none of them"


async def _item(seen: Observations) -> dict[str, Any]:
    item = (await seen.records()).item
    if isinstance(item, str):
        raise NotSeenError(item)
    return item


def _windows(times: Mapping[str, datetime]) -> dict[str, tuple[datetime, datetime]]:
    """Return a window around each time that contains no other one. Times that are equal share one window."""
    groups: list[tuple[list[str], datetime]] = []
    for name, moment in sorted(times.items(), key=lambda pair: pair[1]):
        if groups and moment - groups[-1][1] < _NARROWEST:
            groups[-1][0].append(name)
        else:
            groups.append(([name], moment))
    gaps = [later - earlier for (_, earlier), (_, later) in pairwise(groups)]
    half = min([_WIDEST, *(gap / 3 for gap in gaps)])
    # Equal times may differ by up to `_NARROWEST`, in the direction of later times.
    return {" or ".join(names): (moment - half, moment + half + _NARROWEST / 2) for names, moment in groups}


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


QUESTIONS = (
    Question(
        name="history-lag",
        section="11.7",
        asks="lag of the request history",
        sheet="it lags by a few minutes",
        ask=_lag,
    ),
    Question(
        name="history-queued",
        section="11.10",
        asks="does the history list requests that wait?",
        sheet="open",
        ask=_waiting,
    ),
    Question(
        name="history-running",
        section="11.10",
        asks="does the history list requests that run?",
        sheet="open",
        ask=_running,
    ),
    Question(
        name="history-input",
        section="11.10",
        asks="is json_input what was sent?",
        sheet="the input, where payloads are kept",
        expected=("the same as was sent", "no input shown"),
        ask=_input,
    ),
    Question(
        name="history-time",
        section="11.10",
        asks="which time do start and end filter?",
        sheet="open",
        ask=_filtered_time,
    ),
    Question(
        name="billing-lag",
        section="11.9",
        asks="lag of the billing events (ADMIN key)",
        sheet="it lags by a few minutes",
        ask=_billing_lag,
    ),
    Question(
        name="usage-lag",
        section="11.7",
        asks="lag of the usage (ADMIN key)",
        sheet="it lags by a few minutes",
        ask=_usage_lag,
    ),
)
