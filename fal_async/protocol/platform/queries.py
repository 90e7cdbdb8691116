"""Arguments of the platform API as query parameters and JSON (protocol 11.7), checked before anything is sent."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote, urlencode

from fal_async.checks import check_int, check_str
from fal_async.config import Hosts
from fal_async.errors import NO_REF, ConfigurationError, RequestRef
from fal_async.protocol.endpoint import Endpoint, EndpointId
from fal_async.protocol.http import JSON_TYPE, HttpRequest, Operation
from fal_async.protocol.json_input import encode_json
from fal_async.protocol.options import JSON_HEADERS

MAX_VALUES = 50
"""The most values of one query parameter (protocol 11.7)."""
BY_ENDPOINT = "models/requests/by-endpoint"
ADMIN = "an admin key"
ROOT_ADMIN = "an admin key of the organization's root team"
"""What a 403 says that the call needs. An admin key has the scope ADMIN."""
Moment = datetime | date | float
"""A time: a `datetime` with a time zone, a `date`, or Unix seconds."""
Names = str | Iterable[str]
"""One str, or several."""
Endpoints = str | Endpoint[Any, Any] | Iterable[str | Endpoint[Any, Any]]
"""One endpoint id or `Endpoint`, or several."""
Query = list[tuple[str, str]]


def names(name: str, values: Names | None) -> tuple[str, ...]:
    """Return the values of a list argument without duplicates; empty for None.

    Raises ConfigurationError for an empty list, more than 50 values, or a value that is not a non-empty str.
    """
    if values is None:
        return ()
    several = _listed(name, values)
    for value in several:
        if not isinstance(value, str) or not value.strip():
            raise ConfigurationError(f"{name}: {value!r}: expected a str that is not empty")
    return _unique(name, several, MAX_VALUES)


def endpoint_ids(name: str, values: Endpoints | None, *, most: int | None = MAX_VALUES) -> tuple[str, ...]:
    """Return endpoint ids in their usual form, without duplicates; empty for None.

    Raises ConfigurationError for an empty list, more than `most` endpoints, or a malformed id.
    """
    if values is None:
        return ()
    return _unique(name, (EndpointId.parse(each).full for each in _listed(name, values)), most)


def required_ids(ids: Endpoints, *, most: int | None = MAX_VALUES) -> tuple[str, ...]:
    """Return the argument `endpoint_ids` as `endpoint_ids` does. Raises ConfigurationError also for None."""
    checked = endpoint_ids("endpoint_ids", ids, most=most)
    if not checked:
        raise ConfigurationError(
            "endpoint_ids=None: expected an endpoint id such as 'fal-ai/flux/dev', or several"
        )
    return checked


def _listed(name: str, values: Any) -> tuple[Any, ...]:
    if isinstance(values, str | Endpoint):
        return (values,)
    if isinstance(values, bytes) or not isinstance(values, Iterable):
        raise ConfigurationError(f"{name} is of type {type(values).__name__}: expected a str or several")
    return tuple(values)


def _unique(name: str, values: Iterable[str], most: int | None) -> tuple[str, ...]:
    unique = tuple(dict.fromkeys(values))
    if not unique or (most is not None and len(unique) > most):
        expected = "at least 1" if most is None else f"1 to {most}, or None for no filter"
        raise ConfigurationError(f"{name} has {len(unique)} values: expected {expected}")
    return unique


def listed(name: str, values: Iterable[str]) -> Query:
    """Return a query parameter that is repeated for each value."""
    return [(name, value) for value in values]


def single(name: str, value: str | None) -> Query:
    """Return a query parameter, or none for None. Raises ConfigurationError if the value is not a str."""
    check_str(name, value, or_none=True)
    return [] if value is None else [(name, value)]


def page_size(limit: int | None) -> Query:
    """Return the query parameter for the number of items per page. Raises ConfigurationError if it is below 1."""
    check_int("limit", limit, least=1, or_none=True)
    return [] if limit is None else [("limit", str(limit))]


def period(start: Moment | None, end: Moment | None) -> Query:
    """Return `start` and `end` as query parameters.

    Raises ConfigurationError for a time without a time zone, and if `end` is not after `start`.
    """
    query = single("start", moment_text("start", start)) + single("end", moment_text("end", end))
    if start is not None and end is not None and instant(end) <= instant(start):
        raise ConfigurationError(f"end={query[1][1]}: expected a time after start, which is {query[0][1]}")
    return query


def moment_text(name: str, value: Moment | None) -> str | None:
    """Return a time as fal reads it: `2026-01-31T08:00:00Z`, or `2026-01-31` for a date.

    Raises ConfigurationError for a time without a time zone, and for anything else that is not a `Moment`.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise ConfigurationError(
                f"{name} has no time zone: expected a datetime with tzinfo, such as datetime(..., tzinfo=UTC);"
                f" got {value.isoformat()}"
            )
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return _seconds_text(name, value)


def _seconds_text(name: str, value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        # A number that no datetime can have; which error it is differs from one system to another.
        with contextlib.suppress(OverflowError, ValueError, OSError):
            return datetime.fromtimestamp(value, UTC).isoformat().replace("+00:00", "Z")
    raise ConfigurationError(
        f"{name}={value!r}: expected a datetime with a time zone, a date, or Unix seconds"
    )


def instant(value: Moment) -> datetime:
    """Return a checked `Moment` as a datetime. A date is its midnight in UTC."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return datetime.fromtimestamp(value, UTC)


def check_slug(name: str, value: object) -> str:
    """Return `value` if it can be part of a path as it is: a str of letters, digits, `_` and `-`, 128 at most."""
    if not isinstance(value, str) or not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", value):
        raise ConfigurationError(f"{name}={value!r}: expected 1 to 128 letters, digits, '_' and '-'")
    return value


def path_part(name: str, value: object) -> str:
    """Return an id as one part of a path. Raises ConfigurationError if it is not a non-empty str."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{name}={value!r}: expected a str that is not empty")
    return quote(value, safe="")


def reading(
    hosts: Hosts,
    path: str,
    query: Sequence[tuple[str, str]] = (),
    *,
    cursor: str | None = None,
    needs: str = "",
    accept: str = JSON_TYPE,
    auth: bool = True,
    ref: RequestRef = NO_REF,
) -> HttpRequest:
    """Return the HTTP request that reads `path`, or its page at `cursor`. `needs`: which key a 403 asks for."""
    parameters = [*query, *([] if cursor is None else [("cursor", cursor)])]
    return HttpRequest(
        operation=Operation.READ,
        method="GET",
        url=f"{hosts.platform}/{path}" + (f"?{urlencode(parameters)}" if parameters else ""),
        headers={"Accept": accept},
        auth=auth,
        needs=needs,
        ref=ref,
    )


def posting(
    hosts: Hosts, path: str, document: Mapping[str, Any], operation: Operation, *, needs: str = ""
) -> HttpRequest:
    """Return the HTTP request that posts a JSON object."""
    return HttpRequest(
        operation=operation,
        method="POST",
        url=f"{hosts.platform}/{path}",
        headers=JSON_HEADERS,
        body=encode_json(document),
        needs=needs,
    )


def deleting(hosts: Hosts, path: str, idempotency_key: str, ref: RequestRef = NO_REF) -> HttpRequest:
    """Return the HTTP request that deletes something. fal does it once per `idempotency_key` (protocol 11.7)."""
    return HttpRequest(
        operation=Operation.WRITE,
        method="DELETE",
        url=f"{hosts.platform}/{path}",
        headers={"Accept": JSON_TYPE, "Idempotency-Key": idempotency_key},
        harmless=True,
        needs=ADMIN,
        ref=ref,
    )
