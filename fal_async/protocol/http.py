"""Requests and answers as values, whom the key is for, and errors out of every body shape of protocol 9."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import AsyncIterable, Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

import attrs

from fal_async.config import Hosts
from fal_async.errors import (
    ApiError,
    AuthenticationError,
    BalanceExhaustedError,
    ContentPolicyError,
    ErrorDetail,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ResponseDecodeError,
    ServerError,
    StartTimeoutError,
    ValidationError,
)

REQUEST_ID = "x-fal-request-id"
"""On every answer of fal's; its absence on a 5xx tells a bare ingress error (protocol 3.2)."""
JSON_TYPE = "application/json"


class Operation(enum.StrEnum):
    """What a request is for: retries, time limits and priorities go by it."""

    RUN = "run"
    SUBMIT = "submit"
    STREAM = "stream"
    STATUS = "status"
    RESULT = "result"
    CANCEL = "cancel"
    TOKEN = "token"
    UPLOAD = "upload"
    DOWNLOAD = "download"
    READ = "read"
    WRITE = "write"


PAID = frozenset({Operation.RUN, Operation.SUBMIT, Operation.STREAM})
"""A second one may be a second bill: there is no idempotency key (protocol 12)."""
BodyFactory = Callable[[], AsyncIterable[bytes]]


@attrs.frozen(kw_only=True)
class HttpRequest:
    """One request to be sent.

    Attributes:
        body: bytes, or a function that gives the pieces anew for each attempt.
        auth: whether the session's key goes with it (to trusted origins only).
        persistent: a result that is known to be there: every failure is passing, and it is tried longest.
        refusal_is_final: a 429 is what the caller asked for (`max_queue_length`), so it isn't retried.
    """

    operation: Operation
    method: str
    url: str
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    body: bytes | BodyFactory | None = attrs.field(default=None, repr=False)
    auth: bool = True
    endpoint_id: str | None = None
    request_id: str | None = None
    persistent: bool = False
    refusal_is_final: bool = False


@attrs.frozen(kw_only=True)
class HttpResponse:
    """A whole answer. Header names are in lower case; `attempts` counts the requests it took."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    attempts: int = 1

    @property
    def request_id(self) -> str | None:
        return self.headers.get(REQUEST_ID)

    def json(self) -> Any:
        """ResponseDecodeError where the body is no JSON."""
        try:
            return decode_json(self.body)
        except (ValueError, RecursionError) as error:
            kind = self.headers.get("content-type", "no content type")
            raise ResponseDecodeError(
                f"the answer ({self.status}, {kind}, {len(self.body)} bytes) is no JSON",
                request_id=self.request_id,
                retryable=True,
            ) from error


def decode_json(body: bytes) -> Any:
    """ValueError where it is none."""
    return json.loads(body)


def content_type(headers: Mapping[str, str]) -> str:
    """The media type alone, in lower case; empty where there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(media_type: str) -> bool:
    return media_type == JSON_TYPE or media_type.endswith("+json")


def decode_body(response: HttpResponse) -> Any:
    """The answer by its content type: JSON decoded, text as `str`, everything else as bytes (protocol 3.3).

    ResponseDecodeError where a body that calls itself JSON is none.
    """
    kind = content_type(response.headers)
    if is_json(kind):
        return response.json()
    if kind.startswith("text/"):
        return response.body.decode(_charset(response.headers), "replace")
    if not kind and response.body[:1] in b"{[":
        return response.json()
    return response.body


def _charset(headers: Mapping[str, str]) -> str:
    found = re.search(r"charset=\"?([\w-]+)", headers.get("content-type", ""))
    try:
        return "".encode(found[1]).decode() or found[1] if found else "utf-8"
    except LookupError:
        return "utf-8"


# Origins: who gets the key (protocol 1.1; design "answers are not trusted with the key").

_FAL_DOMAINS = ("fal.run", "fal.ai", "falrun.com")
_BACKUP = {"https://fal.run": "https://falrun.com", "https://queue.fal.run": "https://queue.falrun.com"}
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_WEB_SCHEMES = {"ws": "http", "wss": "https"}


def origin_of(url: str) -> str | None:
    """Scheme, host and port, as in `https://queue.fal.run`; ws counts as http. None for what is no such URL."""
    # The cache is by prefix: a request id in the path would make every URL a new one.
    end = url.find("/", url.find("://") + 3)
    return _origin(url if end < 0 else url[:end])


@lru_cache(maxsize=256)
def _origin(prefix: str) -> str | None:
    try:
        parts = urlsplit(prefix)
        port = parts.port
    except ValueError:
        return None
    # What a browser reads as a path separator must not hide a host.
    odd = "@" in parts.netloc or "\\" in prefix or any(c.isspace() for c in prefix)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or odd:
        return None
    scheme = _WEB_SCHEMES.get(parts.scheme, parts.scheme)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname.rstrip(".")
    default = port is None or port == _DEFAULT_PORTS[parts.scheme]
    return f"{scheme}://{host}" if default else f"{scheme}://{host}:{port}"


def is_fals_own(origin: str | None) -> bool:
    """https, default port, one of fal's domains or a true sub-domain of it."""
    if origin is None or not origin.startswith("https://"):
        return False
    host = origin.removeprefix("https://")
    return any(host == domain or host.endswith("." + domain) for domain in _FAL_DOMAINS)


@lru_cache(maxsize=256)
def _origins_of(hosts: Hosts) -> frozenset[str | None]:
    # The CDN takes tokens of its own, never the key (protocol 7.1).
    urls = (hosts.run, hosts.queue, hosts.rest, hosts.platform, hosts.realtime, hosts.ws)
    return frozenset(origin_of(url) for url in urls)


def may_have_key(url: str, hosts: Hosts) -> bool:
    """Whether the session's key may go to this URL."""
    origin = origin_of(url)
    return origin is not None and (origin in _origins_of(hosts) or is_fals_own(origin))


def is_at_home(url: str, base: str) -> bool:
    """Whether a URL in an answer leads where `base` does, so that it is followed with the key.

    Someone who goes through a gateway of their own must not be led around it to fal itself.
    """
    origin, home = origin_of(url), origin_of(base)
    return origin is not None and (origin == home or (is_fals_own(home) and is_fals_own(origin)))


def backup_url(url: str) -> str | None:
    """The same URL on the backup domain; None where it is not on one of the two mapped hosts (protocol 1.1)."""
    for primary, backup in _BACKUP.items():
        if url.startswith(primary + "/"):
            return backup + url[len(primary) :]
    return None


def redirect_target(request: HttpRequest, url: str, status: int, location: str | None) -> str | None:
    """Where to go on with a read that was redirected; None: nowhere, and the answer stands as it is.

    With a key on it only within its own origin: no credential crosses to another one.
    """
    if status not in (301, 302, 303, 307, 308) or request.method not in ("GET", "HEAD") or not location:
        return None
    target = urljoin(url, location)
    origin = origin_of(target)
    if origin is None or (request.auth and origin != origin_of(url)):
        return None
    return target


def without_query(url: str) -> str:
    """For logs and messages: queries carry webhook secrets and signed tokens."""
    return url.partition("?")[0]


def host_of(url: str) -> str:
    return (origin_of(url) or "an unreadable URL").partition("://")[2]


# Errors (protocol 9).

_BALANCE = re.compile(r"exhausted balance|top.?up|insufficient (balance|credits)", re.IGNORECASE)
_LOCKED = re.compile(r"\blocked\b", re.IGNORECASE)
_BILLING = "top up at https://fal.ai/dashboard/billing"
_TRUE, _FALSE = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})
_PASSING = frozenset({408, 429, 502, 503, 504})
_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    422: ValidationError,
    429: RateLimitError,
}


def error_of(request: HttpRequest, response: HttpResponse, now: float = 0.0) -> ApiError:
    """The error that an answer means, whatever its body's shape (protocol 9.5). `now`: Unix seconds."""
    body = _lenient_body(response)
    message, details = _message(response, body)
    kind = _class_of(response, body, message, details)
    return kind(
        _with_way_out(kind, message, response),
        status=response.status,
        error_type=_error_type(response, body, details),
        errors=details,
        headers=response.headers,
        body=body,
        retry_after=retry_after(response.headers, now),
        retryable=_retryable(kind, response),
        request_id=request.request_id or response.request_id,
        endpoint_id=request.endpoint_id,
    )


def needs_retry(headers: Mapping[str, str]) -> bool | None:
    """What fal says: `X-Fal-Needs-Retry` 1/0/true/false, or the older `X-Fal-Retryable` (protocol 14, no. 5)."""
    for name in ("x-fal-needs-retry", "x-fal-retryable"):
        said = headers.get(name, "").strip().lower()
        if said in _TRUE or said in _FALSE:
            return said in _TRUE
    return None


def is_gateways_page(status: int, headers: Mapping[str, str]) -> bool:
    """An HTML page of something in front of fal (protocol 9.3): it says nothing about the request itself.

    Not for 401: whoever is in front, the key was refused.
    """
    return status != 401 and content_type(headers) == "text/html" and REQUEST_ID not in headers


def check_from_fal(response: HttpResponse) -> None:
    """ResponseDecodeError for the page of something in front of fal: what it says is not about the request."""
    if is_gateways_page(response.status, response.headers):
        raise ResponseDecodeError(
            f"the answer ({response.status}) is a gateway's HTML page, not fal's", retryable=True
        )


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait (RFC 9110, 10.2.3: a number or a date), 0 for a date that has passed; None for nonsense."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now)


def _lenient_body(response: HttpResponse) -> Any:
    try:
        return decode_json(response.body)
    except (ValueError, RecursionError):
        return response.body.decode("utf-8", "replace")


def _message(response: HttpResponse, body: Any) -> tuple[str, list[ErrorDetail]]:
    details: list[ErrorDetail] = []
    text: Any = None
    if isinstance(body, dict):
        error = body.get("error")
        detail = body.get("detail")
        if isinstance(error, dict):  # the platform API (protocol 9.4)
            text = error.get("message") or error.get("type")
        elif isinstance(detail, list):  # the model (protocol 9.1)
            details = [_detail(entry) for entry in detail if isinstance(entry, dict)]
            text = _headline(details) if details else None
        elif isinstance(detail, str):  # the platform, or a model that was not migrated (protocol 9.2)
            text = detail
        else:  # the queue (protocol 9.3), a gateway
            text = body.get("message") or error or body.get("status")
    elif isinstance(body, str) and body.strip() and not body.lstrip().startswith("<"):
        text = body
    return (text if isinstance(text, str) and text.strip() else _phrase(response)), details


def _headline(details: list[ErrorDetail]) -> str:
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return f"{details[0]}{more}"


def _detail(entry: Mapping[str, Any]) -> ErrorDetail:
    loc = entry.get("loc")
    ctx, url = entry.get("ctx"), entry.get("url")
    return ErrorDetail(
        msg=str(entry.get("msg") or ""),
        type=str(entry.get("type") or ""),
        loc=tuple(p for p in loc if isinstance(p, str | int)) if isinstance(loc, list) else (),
        ctx=ctx if isinstance(ctx, dict) else None,
        url=url if isinstance(url, str) else None,
        input=entry.get("input"),
    )


def _phrase(response: HttpResponse) -> str:
    try:
        phrase = HTTPStatus(response.status).phrase
    except ValueError:
        phrase = "Unknown status"
    return phrase if REQUEST_ID in response.headers else f"{phrase} (from a gateway before fal)"


def _class_of(response: HttpResponse, body: Any, message: str, details: list[ErrorDetail]) -> type[ApiError]:
    status = response.status
    # "504 caused by the caller's start timeout" (protocol 3.2)
    if status == 504 and response.headers.get("x-fal-request-timeout-type", "").lower() == "user":
        return StartTimeoutError
    if status == 403 and (_BALANCE.search(message) or (_LOCKED.search(message) and isinstance(body, dict))):
        return BalanceExhaustedError
    if status == 422 and any(entry.type == "content_policy_violation" for entry in details):
        return ContentPolicyError
    return _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)


def _with_way_out(kind: type[ApiError], message: str, response: HttpResponse) -> str:
    if kind is AuthenticationError:
        return f"{message} - check FAL_KEY or credentials= (keys: https://fal.ai/dashboard/keys)"
    if kind is BalanceExhaustedError and "billing" not in message:
        return f"{message} - {_BILLING}"
    if 300 <= response.status < 400:
        return f"redirected to {host_of(response.headers.get('location', ''))}, which is not followed"
    return message


def _error_type(response: HttpResponse, body: Any, details: list[ErrorDetail]) -> str | None:
    """The body wins over the header (protocol 9.2)."""
    if isinstance(body, dict):
        if isinstance(body.get("error_type"), str):
            return str(body["error_type"])
        error = body.get("error")
        if isinstance(error, dict) and isinstance(error.get("type"), str):
            return str(error["type"])
    if details and details[0].type:
        return details[0].type
    return response.headers.get("x-fal-error-type")


def _retryable(kind: type[ApiError], response: HttpResponse) -> bool:
    if kind in (StartTimeoutError, BalanceExhaustedError):
        return False
    said = needs_retry(response.headers)
    return response.status in _PASSING if said is None else said
