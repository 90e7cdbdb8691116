"""Requests and answers as values, whom the key is for, and errors out of every body shape of protocol 9."""

from __future__ import annotations

import contextlib
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
    safe_repr,
)

try:
    import orjson
except ImportError:
    _orjson: Any = None
else:
    _orjson = orjson

REQUEST_ID = "x-fal-request-id"
"""On every answer of fal's; its absence on a 5xx tells a bare ingress error (protocol 3.2)."""
JSON_TYPE = "application/json"
_CHARSET = r"(?ai)charset=\"?([\w-]+)"  # patterns are compiled on first use: few calls need one
_CHARSETS = frozenset(
    {"utf-8", "utf-16", "us-ascii", "ascii", "latin-1", "windows-1252", "shift_jis", "gb18030"}
)


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


# Not frozen: attrs takes twice as long to fill a frozen value, and each call makes several of these two.
@attrs.define(kw_only=True, eq=False)
class HttpRequest:
    """One request to be sent. Nobody changes it.

    Attributes:
        body: bytes, or a function that gives the pieces anew for each attempt.
        auth: whether the session's key goes with it (to trusted origins only).
        persistent: a result that is known to be there: every failure is passing, and it is tried longest.
        harmless: a second one costs "at worst an orphan file" (protocol 12): every 5xx is worth another try.
        refusal_is_final: a 429 is what the caller asked for (`max_queue_length`), so it isn't retried.
    """

    operation: Operation
    method: str
    url: str = attrs.field(repr=safe_repr)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    body: bytes | BodyFactory | None = attrs.field(default=None, repr=False)
    auth: bool = True
    endpoint_id: str | None = None
    request_id: str | None = None
    persistent: bool = False
    harmless: bool = False
    refusal_is_final: bool = False


@attrs.define(kw_only=True, eq=False)
class HttpResponse:
    """A whole answer. Header names are in lower case; `attempts` counts the requests it took."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    attempts: int = 1
    _decoded: list[Any] = attrs.field(factory=list, init=False, repr=False, eq=False)

    @property
    def request_id(self) -> str | None:
        return self.headers.get(REQUEST_ID)

    def json(self) -> Any:
        """The body's value, decoded once. ResponseDecodeError where it is no JSON."""
        if not self._decoded:
            self._decoded.append(self._decode())
        return self._decoded[0]

    def _decode(self) -> Any:
        try:
            return decode_json(self.body)
        except (ValueError, RecursionError) as error:
            kind = self.headers.get("content-type", "no content type")
            raise ResponseDecodeError(
                f"the answer ({self.status}, {kind}, {len(self.body)} bytes) is no JSON",
                body=self.body,
                request_id=self.request_id,
                retryable=True,
            ) from error


def decode_json(body: bytes | str) -> Any:
    """ValueError where it is none. By orjson where that is installed (the extra `speed`)."""
    if _orjson is not None:
        # What it refuses (such as NaN) may still be JSON enough for the standard library.
        with contextlib.suppress(ValueError):
            return _orjson.loads(body)
    try:
        # Decoded here: the json module would first look at length which encoding it is.
        return json.loads(body if isinstance(body, str) else body.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


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
        return _decode_text(response)
    if not kind and response.body.startswith((b"{", b"[")):
        return response.json()
    return response.body


def _decode_text(response: HttpResponse) -> str:
    found = re.search(_CHARSET, response.headers.get("content-type", ""))
    charset = found[1].lower() if found else "utf-8"
    # Only these: Python knows "charsets" that are no such thing, or that raise whatever they are told.
    known = charset if charset in _CHARSETS or charset.startswith("iso-8859-") else "utf-8"
    try:
        return response.body.decode(known, "replace")
    except LookupError:
        return response.body.decode("utf-8", "replace")


# Origins: who gets the key (protocol 1.1; design "answers are not trusted with the key").

_FAL_DOMAINS = ("fal.run", "fal.ai", "falrun.com")
_HOST_NAME = r"[a-z0-9-]+(?:\.[a-z0-9-]+)*"
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
    odd = "@" in parts.netloc or "\\" in prefix or any(c.isspace() or not c.isprintable() for c in prefix)
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
    # A plain name only: `evil.com%2f.fal.run` ends as it should, and is read in more than one way.
    if not re.fullmatch(_HOST_NAME, host):
        return False
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
    if not _is_plain(url):
        return False
    if url.startswith(f"{base}/"):
        return True
    origin, home = origin_of(url), origin_of(base)
    return origin is not None and (origin == home or (is_fals_own(home) and is_fals_own(origin)))


def _is_plain(url: str) -> bool:
    """ASCII without spaces and control characters: a line end in a URL would become one of the request's."""
    return url.isascii() and url.isprintable() and " " not in url and "\\" not in url


def backup_url(url: str) -> str | None:
    """The same URL on the backup domain; None where it is not on one of the two mapped hosts (protocol 1.1)."""
    for primary, backup in _BACKUP.items():
        if url.startswith(primary + "/"):
            return backup + url[len(primary) :]
    return None


def redirect_target(request: HttpRequest, url: str, status: int, location: str | None) -> str | None:
    """Where to go on with a read that was redirected; None: nowhere, and the answer stands as it is.

    With a key or token on it only within its own origin: no credential crosses to another one.
    """
    if status not in (301, 302, 303, 307, 308) or request.method not in ("GET", "HEAD") or not location:
        return None
    target = _joined(url, location)
    origin = origin_of(target)
    secret = request.auth or "Authorization" in request.headers
    if not _is_plain(target) or origin is None or (secret and origin != origin_of(url)):
        return None
    return target


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:  # a host in brackets that is no address
        return ""


def without_query(url: str) -> str:
    """For logs and messages: queries carry webhook secrets and signed tokens."""
    return url.partition("?")[0].partition("#")[0]


def host_of(url: str) -> str:
    origin = origin_of(url)
    return origin.partition("://")[2] if origin else "an unreadable URL"


# Errors (protocol 9).

_BALANCE = r"(?i)exhausted balance|\btop[ _-]?up\b|insufficient (balance|credits)"
_LOCKED = r"(?i)\blocked\b"
_POLICY = "content_policy_violation"
_BILLING = "top up at https://fal.ai/dashboard/billing"
_TRUE, _FALSE = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})
_PASSING = frozenset({408, 429, 502, 503, 504})
_REFUSED = frozenset({429, 503})
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
    details = _details(body)
    message = _message(request, response, body, details)
    error_type = _error_type(response, body, details)
    kind = _class_of(response, message, error_type, details)
    return kind(
        _with_way_out(kind, message, request, response),
        status=response.status,
        error_type=error_type,
        errors=details,
        headers=response.headers,
        body=body,
        retry_after=retry_after(response.headers, now),
        retryable=_retryable(kind, response, request.operation in PAID),
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
    except ValueError:
        return response.body.decode("utf-8", "replace")


def _details(body: Any) -> list[ErrorDetail]:
    """The entries of a model error (protocol 9.1)."""
    detail = body.get("detail") if isinstance(body, dict) else None
    return [_detail(entry) for entry in detail if isinstance(entry, dict)] if isinstance(detail, list) else []


def _detail(entry: Mapping[str, Any]) -> ErrorDetail:
    loc, ctx = entry.get("loc"), entry.get("ctx")
    return ErrorDetail(
        msg=_first_text(entry.get("msg")) or "",
        type=_first_text(entry.get("type")) or "",
        loc=tuple(p for p in loc if isinstance(p, str | int)) if isinstance(loc, list) else (),
        ctx=ctx if isinstance(ctx, dict) else None,
        url=_first_text(entry.get("url")),
        input=entry.get("input"),
    )


def _message(request: HttpRequest, response: HttpResponse, body: Any, details: list[ErrorDetail]) -> str:
    if details and str(details[0]):
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        return f"{details[0]}{more}"
    return _words(body) or _phrase(request, response)


def _words(body: Any) -> str | None:
    """What the body says to a person, in any of the shapes of protocol 9.2 to 9.5."""
    if isinstance(body, str):
        return None if body.lstrip().startswith("<") else _first_text(body)  # an ingress's HTML page
    if not isinstance(body, dict):
        return None
    error, detail = body.get("error"), body.get("detail")
    if isinstance(error, dict):  # the platform API (9.4)
        error = _first_text(error.get("message"), error.get("type"))
    if isinstance(detail, dict):  # gateways
        detail = _first_text(detail.get("message"), detail.get("msg"), detail.get("error"))
    if isinstance(detail, list):
        detail = _first_text(*detail)
    # The platform's own (9.2), a gateway's, the queue's (9.3).
    return _first_text(detail, body.get("message"), error, body.get("status"))


def _first_text(*candidates: Any) -> str | None:
    return next((text for text in candidates if isinstance(text, str) and text.strip()), None)


def _phrase(request: HttpRequest, response: HttpResponse) -> str:
    try:
        phrase = HTTPStatus(response.status).phrase
    except ValueError:
        phrase = "Unknown status"
    # "Its presence tells a fal answer from a bare ingress error" (protocol 3.2); not so with files and handshakes.
    of_a_file = request.operation in (Operation.DOWNLOAD, Operation.UPLOAD)
    if of_a_file or request.url.startswith("ws") or REQUEST_ID in response.headers:
        return phrase
    return f"{phrase} (from a gateway before fal)"


def _class_of(
    response: HttpResponse, message: str, error_type: str | None, details: list[ErrorDetail]
) -> type[ApiError]:
    status = response.status
    # "504 caused by the caller's start timeout" (protocol 3.2)
    if status == 504 and response.headers.get("x-fal-request-timeout-type", "").strip().lower() == "user":
        return StartTimeoutError
    if status == 403 and (re.search(_BALANCE, message) or re.search(_LOCKED, message)):
        return BalanceExhaustedError
    if status == 422 and _POLICY in (error_type, *(entry.type for entry in details)):
        return ContentPolicyError
    return _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)


def _with_way_out(kind: type[ApiError], message: str, request: HttpRequest, response: HttpResponse) -> str:
    if kind is AuthenticationError:
        return f"{message} - check FAL_KEY or credentials= (keys: https://fal.ai/dashboard/keys)"
    if kind is BalanceExhaustedError and "billing" not in message:
        return f"{message} - {_BILLING}"
    if 300 <= response.status < 400 and "location" in response.headers:
        target = _joined(request.url, response.headers["location"])
        return f"redirected to {host_of(target)}, which is not followed"
    return message


def _error_type(response: HttpResponse, body: Any, details: list[ErrorDetail]) -> str | None:
    """The body wins over the header (protocol 9.2)."""
    body = body if isinstance(body, dict) else {}
    platform = body["error"].get("type") if isinstance(body.get("error"), dict) else None
    of_model = details[0].type if details else None
    return _first_text(body.get("error_type"), platform, of_model, response.headers.get("x-fal-error-type"))


def _retryable(kind: type[ApiError], response: HttpResponse, paid: bool) -> bool:
    if kind in (StartTimeoutError, BalanceExhaustedError):
        return False
    said = needs_retry(response.headers)
    # A paid request may have been taken before a 408, 502 or 504 was answered.
    passing = _REFUSED if paid else _PASSING
    return response.status in passing if said is None else said
