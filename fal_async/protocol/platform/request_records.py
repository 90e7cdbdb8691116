"""The account's past requests, and the deletion of what fal keeps of them (protocol 11.1, 11.10)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from fal_async.checks import check_flag, check_int
from fal_async.config import Hosts
from fal_async.errors import ConfigurationError, RequestRef
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.protocol.platform.documents import Page, object_of, page_of, raw_field, read, rows_in, wire
from fal_async.protocol.platform.queries import (
    BY_ENDPOINT,
    Endpoints,
    Moment,
    Names,
    Query,
    deleting,
    endpoint_ids,
    listed,
    names,
    page_size,
    path_part,
    period,
    reading,
    required_ids,
    single,
)

MAX_PAGE = 100
"""The most requests on a page of one endpoint's requests (protocol 11.7)."""


@attrs.frozen(kw_only=True)
class RequestRecord:
    """A past request, as fal keeps it (protocol 11.10).

    Attributes:
        request_id: fal's id of the request.
        endpoint_id: the endpoint that ran.
        sent_at: when fal sent the request to a runner.
        started_at: when the runner began.
        ended_at: when it ended; None while it runs.
        status_code: the HTTP status of its result; None while it runs.
        duration: how long it took, in seconds; None while it runs.
        input: the input, with `expand="payloads"`; None if fal does not keep it.
        output: the output, with `expand="payloads"`; None if fal does not keep it.
        similarity: how similar it is to what was searched for, from 0 to 1; None without a search.
        raw: the whole entry.
    """

    request_id: str
    endpoint_id: str
    sent_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    status_code: int | None = None
    duration: float | None = None
    input: Any = attrs.field(default=None, repr=False, eq=False, metadata=wire("json_input"))
    output: Any = attrs.field(default=None, repr=False, eq=False, metadata=wire("json_output"))
    similarity: float | None = None
    raw: Mapping[str, Any] = raw_field()


@attrs.frozen(kw_only=True)
class DeletedFile:
    """A file of an output that was to be deleted (protocol 11.10).

    Attributes:
        url: the URL of the file.
        error: why it was not deleted; None if it was.
        raw: the whole entry.
    """

    url: str = attrs.field(metadata=wire("link"))
    error: str | None = attrs.field(default=None, metadata=wire("exception"))
    raw: Mapping[str, Any] = raw_field()


def requests_query(
    ids: Endpoints,
    *,
    start: Moment | None,
    end: Moment | None,
    status: str | None,
    request_id: str | None,
    sort_by: str | None,
    expand: Names | None,
    limit: int | None,
) -> Query:
    """Return the checked query of the requests of 1 to 50 endpoints."""
    check_int("limit", limit, least=1, most=MAX_PAGE, or_none=True)
    return [
        *listed("endpoint_id", required_ids(ids)),
        *period(start, end),
        *single("status", status),
        *single("request_id", request_id),
        *single("sort_by", sort_by),
        *listed("expand", names("expand", expand)),
        *page_size(limit),
    ]


def requests_request(hosts: Hosts, query: Query, cursor: str | None = None) -> HttpRequest:
    return reading(hosts, BY_ENDPOINT, query, cursor=cursor)


def parse_requests(response: HttpResponse) -> Page[RequestRecord]:
    return page_of(object_of(response), "items", _record)


def search_query(
    *,
    query: str | None,
    image_url: str | None,
    video_url: str | None,
    ids: Endpoints | None,
    only_api_requests: bool,
    exclude_api_requests: bool,
    min_similarity: float | None,
    limit: int | None,
) -> Query:
    """Return the checked query of a search. Raises ConfigurationError for arguments that exclude each other."""
    wanted = {"query": query, "image_url": image_url, "video_url": video_url}
    if len(given := [name for name, value in wanted.items() if value is not None]) > 1:
        raise ConfigurationError(
            f"{' and '.join(given)}: expected at most one of query, image_url and video_url"
        )
    flags = {"only_api_requests": only_api_requests, "exclude_api_requests": exclude_api_requests}
    for name, flag in flags.items():
        check_flag(name, flag)
    if only_api_requests and exclude_api_requests:
        raise ConfigurationError("only_api_requests with exclude_api_requests: expected at most one of them")
    return [
        *(pair for name, value in wanted.items() for pair in single(name, value)),
        *listed("endpoint_id", endpoint_ids("endpoint_ids", ids)),
        *((name, "true") for name, flag in flags.items() if flag),
        *_similarity(min_similarity),
        *page_size(limit),
    ]


def _similarity(least: float | None) -> Query:
    if least is None:
        return []
    if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
        raise ConfigurationError(f"min_similarity={least!r}: expected a number from 0 to 1, or None")
    return [("min_similarity", str(least))]


def search_request(hosts: Hosts, query: Query, cursor: str | None = None) -> HttpRequest:
    return reading(hosts, "models/requests/search", query, cursor=cursor)


def parse_search(response: HttpResponse) -> Page[RequestRecord]:
    return page_of(object_of(response), "results", _record)


def _record(row: Mapping[str, Any], place: str) -> RequestRecord:
    return read(RequestRecord, row, place)


def deletion_request(hosts: Hosts, request_id: str, idempotency_key: str) -> HttpRequest:
    path = f"models/requests/{path_part('request_id', request_id)}/payloads"
    return deleting(hosts, path, idempotency_key, RequestRef(request_id=request_id))


def parse_deletion(response: HttpResponse) -> tuple[DeletedFile, ...]:
    rows = rows_in(object_of(response), "cdn_delete_results")
    return tuple(read(DeletedFile, row, f"$.cdn_delete_results[{at}]") for at, row in enumerate(rows))
