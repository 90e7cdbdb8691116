"""The platform API's look-up of past requests (protocol 11.1), as far as it finds a lost submit again. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import attrs

from fal_async.checks import check_kind
from fal_async.config import Hosts
from fal_async.errors import ConfigurationError, RequestRef, ResponseDecodeError, SubmissionUncertainError
from fal_async.protocol.fields import iso_seconds, text_in
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation
from fal_async.protocol.json_input import digest_of

MARGIN = 120.0
"""Seconds that fal's clock may differ from this machine's, either way."""
_PAGE = 100  # the API's own maximum


@attrs.frozen(kw_only=True)
class LostSubmit:
    """What is known of a submit that was never answered. Times are Unix seconds of this machine's clock."""

    endpoint_id: str
    input_digest: str
    started_at: float
    ended_at: float


@attrs.frozen(kw_only=True)
class PastRequest:
    """One request of the history. `input_digest` is None where fal does not keep its input."""

    request_id: str
    sent_at: float | None = None
    input_digest: str | None = None


@attrs.frozen(kw_only=True)
class Page:
    items: tuple[PastRequest, ...]
    next_cursor: str | None = None


def lost_submit(error: BaseException) -> LostSubmit:
    """Out of a SubmissionUncertainError, or an error that one is the cause of. ConfigurationError without it."""
    check_kind("error", error, kind=BaseException)
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SubmissionUncertainError):
        cause = cause.__cause__
    if cause is None:
        raise ConfigurationError(
            f"{type(error).__name__} is no SubmissionUncertainError, nor caused by one: nothing to look for"
        )
    if cause.operation != "submit":
        raise ConfigurationError(
            f"a {cause.operation} has no handle: only a submit can be found again",
            endpoint_id=cause.endpoint_id,
        )
    if cause.endpoint_id is None or cause.input_digest is None or cause.started_at is None:
        raise ConfigurationError("this error does not say what was submitted where and when")
    return LostSubmit(
        endpoint_id=cause.endpoint_id,
        input_digest=cause.input_digest,
        started_at=cause.started_at,
        ended_at=cause.started_at if cause.ended_at is None else cause.ended_at,
    )


def history_request(hosts: Hosts, lost: LostSubmit, cursor: str | None = None) -> HttpRequest:
    """The requests of its endpoint around its time, with their inputs."""
    query = {
        "endpoint_id": lost.endpoint_id,
        "start": _iso(lost.started_at - MARGIN),
        "end": _iso(lost.ended_at + MARGIN),
        "expand": "payloads",
        "limit": str(_PAGE),
    }
    if cursor is not None:
        query["cursor"] = cursor
    return HttpRequest(
        operation=Operation.READ,
        method="GET",
        url=f"{hosts.platform}/models/requests/by-endpoint?{urlencode(query)}",
        headers={"Accept": "application/json"},
        ref=RequestRef(endpoint_id=lost.endpoint_id),
    )


def parse_history(response: HttpResponse) -> Page:
    """ResponseDecodeError where it is no page of requests."""
    document = response.json()
    items = document.get("items") if isinstance(document, Mapping) else None
    if not isinstance(items, list):
        raise ResponseDecodeError(
            "the history has no items", paths=["required field missing @ $.items"], retryable=True
        )
    return Page(
        items=tuple(found for item in items if (found := _past_request(item)) is not None),
        next_cursor=text_in(document, "next_cursor"),
    )


def _past_request(item: Any) -> PastRequest | None:
    request_id = item.get("request_id") if isinstance(item, Mapping) else None
    if not isinstance(request_id, str) or not request_id:
        return None
    kept = item.get("json_input")
    return PastRequest(
        request_id=request_id,
        sent_at=iso_seconds(item.get("sent_at")) or iso_seconds(item.get("started_at")),
        input_digest=None if kept is None else digest_of(json.dumps(kept).encode()),
    )


def best_match(
    lost: LostSubmit, items: Iterable[PastRequest], exclude: Collection[str] = ()
) -> PastRequest | None:
    """Of those with the same input, the one that was sent closest to the attempt; None without any.

    Inside the attempt's own time all are equally close, and the newest wins: an older one with the same input
    is more likely to be somebody's who knows its id.
    """
    same = [
        item for item in items if item.input_digest == lost.input_digest and item.request_id not in exclude
    ]
    return min(same, key=lambda item: _distance(lost, item), default=None)


def _distance(lost: LostSubmit, item: PastRequest) -> tuple[float, float]:
    if item.sent_at is None:
        return MARGIN, 0.0
    outside = max(lost.started_at - item.sent_at, item.sent_at - lost.ended_at, 0.0)
    return outside, -item.sent_at


def _iso(seconds: float) -> str:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
