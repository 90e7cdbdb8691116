"""The platform API's look-up of past requests (protocol 11.1), as far as it finds a lost submit again. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import attrs

from fal_async.config import Hosts
from fal_async.errors import RequestRef, ResponseDecodeError
from fal_async.protocol.fields import http_seconds, iso_seconds, text_in
from fal_async.protocol.http import JSON_TYPE, REQUEST_ID, HttpRequest, HttpResponse, Operation
from fal_async.protocol.json_input import digest_of

MARGIN = 120.0
"""Seconds that fal's clock may differ from this machine's, either way."""
NEAR = 5.0
"""Seconds within which it is looked for first: clocks are rarely further apart."""
MAX_PAGES = 10
"""HTTP requests of one search at most."""
_PAGE = 100  # the API's own maximum
_LATER = (600.0, 3_600.0, 21_600.0)
"""Ends of the windows after that, in seconds after the attempt; the last one ends now."""
_DATE_IS_COARSE = 2.0
"""A `Date` header has whole seconds, and is some time on its way: a smaller difference is none."""


@attrs.frozen(kw_only=True)
class LostSubmit:
    """What is known of a submit that was never answered. Times are Unix seconds of this machine's clock.

    Attributes:
        ended_at: when the attempt broke. None: nobody knows, as its process died.
    """

    endpoint_id: str
    input_digest: str
    started_at: float
    ended_at: float | None

    def shifted(self, seconds: float) -> LostSubmit:
        """By another clock."""
        ended_at = None if self.ended_at is None else self.ended_at + seconds
        return attrs.evolve(self, started_at=self.started_at + seconds, ended_at=ended_at)


@attrs.frozen(kw_only=True)
class PastRequest:
    """One request of the history. `input_digest` is None where its input is not shown: fal does not keep it, or
    it was not asked for. `ended_at` is None while it waits or runs."""

    request_id: str
    sent_at: float | None = None
    ended_at: float | None = None
    input_digest: str | None = None


@attrs.frozen(kw_only=True)
class Page:
    items: tuple[PastRequest, ...]
    next_cursor: str | None = None


@attrs.frozen(kw_only=True)
class Window:
    """A stretch of time whose requests are listed; `end` is exclusive. Unix seconds of fal's clock."""

    start: float
    end: float

    def has(self, moment: float | None) -> bool:
        return moment is not None and self.start <= moment < self.end

    def overlaps(self, other: Window) -> bool:
        return self.start < other.end and other.start < self.end


def history_request(
    hosts: Hosts,
    endpoint_id: str,
    window: Window | None = None,
    *,
    cursor: str | None = None,
    request_id: str | None = None,
    payloads: bool = True,
) -> HttpRequest:
    """The requests of an endpoint in a stretch of time (None: fal's own, 90 days for one `request_id`)."""
    query = {"endpoint_id": endpoint_id, "limit": str(_PAGE)}
    if window is not None:
        query |= {"start": _iso(window.start), "end": _iso(window.end)}
    query |= {"expand": "payloads"} if payloads else {}
    query |= {} if cursor is None else {"cursor": cursor}
    query |= {} if request_id is None else {"request_id": request_id}
    return HttpRequest(
        operation=Operation.READ,
        method="GET",
        url=f"{hosts.platform}/models/requests/by-endpoint?{urlencode(query)}",
        headers={"Accept": "application/json"},
        ref=RequestRef(endpoint_id=endpoint_id, request_id=request_id),
    )


def rows_of(response: HttpResponse) -> list[Mapping[str, Any]]:
    """The rows as they came, those without an id left out. ResponseDecodeError where it is no page of requests."""
    document = response.json()
    items = document.get("items") if isinstance(document, Mapping) else None
    if not isinstance(items, list):
        raise ResponseDecodeError(
            "the history has no items", paths=["required field missing @ $.items"], retryable=True
        )
    return [item for item in items if isinstance(item, Mapping) and text_in(item, "request_id")]


def parse_history(response: HttpResponse) -> Page:
    """ResponseDecodeError where it is no page of requests."""
    rows = rows_of(response)
    return Page(items=tuple(map(_past_request, rows)), next_cursor=text_in(response.json(), "next_cursor"))


def _past_request(item: Mapping[str, Any]) -> PastRequest:
    kept = item.get("json_input")
    return PastRequest(
        request_id=item["request_id"],
        sent_at=iso_seconds(item.get("sent_at")) or iso_seconds(item.get("started_at")),
        ended_at=iso_seconds(item.get("ended_at")),
        input_digest=None if kept is None else digest_of(json.dumps(kept).encode()),
    )


def kept_result(response: HttpResponse, request_id: str) -> HttpResponse | None:
    """The output of a request that went well, as its result would have brought it; None where it is not shown."""
    for row in rows_of(response):
        if row["request_id"] == request_id and row.get("json_output") is not None and _went_well(row):
            body = json.dumps(row["json_output"], separators=(",", ":")).encode()
            return HttpResponse(
                status=200, headers={"content-type": JSON_TYPE, REQUEST_ID: request_id}, body=body
            )
    return None


def _went_well(row: Mapping[str, Any]) -> bool:
    status = row.get("status_code")
    return isinstance(status, int) and 200 <= status < 300


def clock_ahead(response: HttpResponse, now: float) -> float:
    """Seconds that fal's clock is ahead of this machine's, by the answer's `Date`; 0.0 where it can't be told."""
    date = http_seconds(response.headers.get("date", ""))
    ahead = 0.0 if date is None else date - now
    return ahead if abs(ahead) > _DATE_IS_COARSE else 0.0


def windows(lost: LostSubmit, now: float) -> Iterator[Window]:
    """Where it is looked for, in this order: close to the attempt, then around it, then later.

    It is not said whether the filter goes by when a request was sent or by when it ended (protocol 11.10): the
    later ones are for the second case, and for an attempt whose end nobody knows.
    """
    first, last = lost.started_at, lost.started_at if lost.ended_at is None else lost.ended_at
    yield Window(start=first - NEAR, end=last + NEAR)
    yield Window(start=first - MARGIN, end=first - NEAR)
    yield from _up_to(now, last, (NEAR, MARGIN, *_LATER, float("inf")))


def later(end: float, now: float) -> Iterator[Window]:
    """What follows a stretch of time, in windows that get longer, up to now."""
    yield from _up_to(now, end, (0.0, *_LATER, float("inf")))


def _up_to(now: float, since: float, borders: Sequence[float]) -> Iterator[Window]:
    for start, end in pairwise(borders):
        window = Window(start=since + start, end=min(since + end, now + _DATE_IS_COARSE))
        if window.start >= window.end:
            return
        yield window


def is_by_sending(window: Window, items: Iterable[PastRequest]) -> bool:
    """Whether the rows of a window show that its filter goes by when a request was sent, not by when it ended."""
    return any(window.has(item.sent_at) and not window.has(item.ended_at) for item in items)


def best_match(
    lost: LostSubmit, items: Iterable[PastRequest], exclude: Collection[str] = ()
) -> PastRequest | None:
    """Of those with the same input, the one that was sent closest to the attempt; None without any.

    Inside the attempt's own time all are equally close, and the newest wins: an older one with the same input
    is more likely to be somebody's who knows its id. Where its end is not known, the first after its beginning.
    """
    same = [
        item
        for item in items
        if item.input_digest == lost.input_digest and item.request_id not in exclude and _may_be(lost, item)
    ]
    return min(same, key=lambda item: _distance(lost, item), default=None)


def is_enough(lost: LostSubmit, match: PastRequest | None, window: Window, *, by_sending: bool) -> bool:
    """Whether `window`, the next one, need not be looked at: a match that is close enough is there, or nothing that
    was sent in it can be the lost one, and the filter goes by that."""
    last = lost.started_at if lost.ended_at is None else lost.ended_at
    is_later = window.start >= last + MARGIN
    if match is not None and match.sent_at is not None:
        return _distance(lost, match)[0] <= (MARGIN if is_later else NEAR)
    return is_later and by_sending and lost.ended_at is not None


def _may_be(lost: LostSubmit, item: PastRequest) -> bool:
    if item.sent_at is None:
        return True
    latest = float("inf") if lost.ended_at is None else lost.ended_at + MARGIN
    return lost.started_at - MARGIN <= item.sent_at <= latest


def _distance(lost: LostSubmit, item: PastRequest) -> tuple[float, float]:
    if item.sent_at is None:
        return MARGIN, 0.0
    before = lost.started_at - item.sent_at
    if lost.ended_at is None:
        # Before the beginning is worse than long after it: clocks differ little.
        return (0.0, -before) if before <= _DATE_IS_COARSE else (before + NEAR, 0.0)
    return max(before, item.sent_at - lost.ended_at, 0.0), -item.sent_at


def _iso(seconds: float) -> str:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
