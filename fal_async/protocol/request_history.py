"""The platform API's history of past requests (protocol 11.1), used to find a lost submit. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import attrs

from fal_async.config import Hosts
from fal_async.errors import RequestRef, ResponseDecodeError
from fal_async.protocol.fields import http_seconds, iso_seconds, text_in
from fal_async.protocol.http import JSON_TYPE, REQUEST_ID, HttpRequest, HttpResponse
from fal_async.protocol.json_input import digest_of
from fal_async.protocol.platform.queries import BY_ENDPOINT, reading

MARGIN = 120.0
"""Seconds by which fal's clock may differ from this machine's, in either direction."""
NEAR = 5.0
"""Seconds around the attempt that are searched first, because clocks rarely differ by more."""
MAX_PAGES = 10
"""Maximum number of HTTP requests of one search."""
_PAGE = 100
"""Rows per page, the API's own maximum."""
_LATER = (600.0, 3_600.0, 21_600.0)
"""Ends of the later windows, in seconds after the attempt. The last window ends now."""
_DATE_IS_COARSE = 2.0
"""Difference between two clocks, in seconds, that is ignored.

A `Date` header has whole seconds and takes time to arrive."""


@attrs.frozen(kw_only=True)
class LostSubmit:
    """The known facts about a submit without a response. Times are Unix seconds of this machine's clock.

    Attributes:
        ended_at: when the attempt failed; None if it is unknown, because the process died.
    """

    endpoint_id: str
    input_digest: str
    started_at: float
    ended_at: float | None

    def shifted(self, seconds: float) -> LostSubmit:
        """Return a copy with its times converted to a clock that is `seconds` ahead."""
        ended_at = None if self.ended_at is None else self.ended_at + seconds
        return attrs.evolve(self, started_at=self.started_at + seconds, ended_at=ended_at)


@attrs.frozen(kw_only=True)
class PastRequest:
    """One request of the history.

    Attributes:
        ended_at: when it was completed; None while it waits or runs.
        input_digest: the digest of its input; None if fal does not keep the input, or it was not requested.
    """

    request_id: str
    sent_at: float | None = None
    ended_at: float | None = None
    input_digest: str | None = None


@attrs.frozen(kw_only=True)
class Page:
    """One page of the history. `next_cursor`: None on the last page."""

    items: tuple[PastRequest, ...]
    next_cursor: str | None = None


@attrs.frozen(kw_only=True)
class Window:
    """A period whose requests are listed, in Unix seconds of fal's clock; `end` is exclusive."""

    start: float
    end: float

    def has(self, moment: float | None) -> bool:
        """Return whether a time is in the window; False for None."""
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
    """Return the HTTP request that lists an endpoint's past requests (protocol 11.1).

    `window`: the period; None means fal's default, which is 90 days for one `request_id`.
    """
    query = {"endpoint_id": endpoint_id, "limit": str(_PAGE)}
    if window is not None:
        query |= {"start": _iso(window.start), "end": _iso(window.end)}
    query |= {"expand": "payloads"} if payloads else {}
    query |= {} if request_id is None else {"request_id": request_id}
    ref = RequestRef(endpoint_id=endpoint_id, request_id=request_id)
    return reading(hosts, BY_ENDPOINT, list(query.items()), cursor=cursor, ref=ref)


def rows_of(response: HttpResponse) -> list[Mapping[str, Any]]:
    """Return the raw rows that have an id. Raise ResponseDecodeError if the body is not a page of requests."""
    document = response.json()
    items = document.get("items") if isinstance(document, Mapping) else None
    if not isinstance(items, list):
        raise ResponseDecodeError(
            "the response of the request history has no items",
            paths=["required field missing @ $.items"],
            retryable=True,
        )
    return [item for item in items if isinstance(item, Mapping) and text_in(item, "request_id")]


def parse_history(response: HttpResponse) -> Page:
    """Parse a page of the history. Raise ResponseDecodeError if the body is not one."""
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
    """Return the output of a successful request as the response to its result URL; None if the page lacks it."""
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
    """Return the seconds by which fal's clock is ahead of this one, from the `Date` header; 0.0 if unknown."""
    date = http_seconds(response.headers.get("date", ""))
    ahead = 0.0 if date is None else date - now
    return ahead if abs(ahead) > _DATE_IS_COARSE else 0.0


def windows(lost: LostSubmit, now: float) -> Iterator[Window]:
    """Yield the windows in the order in which they are searched: close to the attempt, around it, then later ones.

    fal does not document whether its filter uses the time of submission or of completion (protocol 11.10). The
    later windows are for the second case, and for an attempt whose end is unknown.
    """
    first, last = lost.started_at, lost.started_at if lost.ended_at is None else lost.ended_at
    yield Window(start=first - NEAR, end=last + NEAR)
    yield Window(start=first - MARGIN, end=first - NEAR)
    yield from _up_to(now, last, (NEAR, MARGIN, *_LATER, float("inf")))


def later(end: float, now: float) -> Iterator[Window]:
    """Yield windows of growing length from `end` up to now."""
    yield from _up_to(now, end, (0.0, *_LATER, float("inf")))


def _up_to(now: float, since: float, borders: Sequence[float]) -> Iterator[Window]:
    for start, end in pairwise(borders):
        window = Window(start=since + start, end=min(since + end, now + _DATE_IS_COARSE))
        if window.start >= window.end:
            return
        yield window


def is_by_sending(window: Window, items: Iterable[PastRequest]) -> bool:
    """Return whether the rows of a window show that fal filters by the time of submission, not of completion."""
    return any(window.has(item.sent_at) and not window.has(item.ended_at) for item in items)


def best_match(
    lost: LostSubmit, items: Iterable[PastRequest], exclude: Collection[str] = ()
) -> PastRequest | None:
    """Return the request with the same input that was sent closest to the attempt; None without one.

    Within the attempt all are equally close, and the newest is returned, because an older one with the same input
    more likely belongs to a caller who knows its id. If the attempt's end is unknown, the first one after its
    beginning is returned.
    """
    same = [
        item
        for item in items
        if item.input_digest == lost.input_digest and item.request_id not in exclude and _may_be(lost, item)
    ]
    return min(same, key=lambda item: _distance(lost, item), default=None)


def is_enough(lost: LostSubmit, match: PastRequest | None, window: Window, *, by_sending: bool) -> bool:
    """Return whether the search can stop before `window`, the next one.

    It can if a match is close enough, or if fal filters by the time of submission and the lost request can't have
    been sent in that window.
    """
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
        # Clocks differ little, so a request before the beginning is less likely than one long after it.
        return (0.0, -before) if before <= _DATE_IS_COARSE else (before + NEAR, 0.0)
    return max(before, item.sent_at - lost.ended_at, 0.0), -item.sent_at


def _iso(seconds: float) -> str:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
