"""Error responses as exceptions, for every form of the body in (protocol 9)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

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
from fal_async.protocol.fields import http_seconds
from fal_async.protocol.http import (
    PAID,
    REQUEST_ID,
    HttpRequest,
    HttpResponse,
    Operation,
    content_type,
    decode_json,
)
from fal_async.protocol.origins import host_of, joined

_BALANCE = r"(?i)exhausted balance|\btop[ _-]?up\b|insufficient (balance|credits)"
_LOCKED = r"(?i)\blocked\b"
_POLICY = "content_policy_violation"
_KEYS = "https://fal.ai/dashboard/keys"
_BILLING = "top up at https://fal.ai/dashboard/billing"
_TRUE, _FALSE = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})
_TEMPORARY = frozenset({408, 429, 502, 503, 504})
_NOT_ACCEPTED = frozenset({429, 503})
"""Temporary statuses after which a paid request was certainly not accepted."""
_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    422: ValidationError,
    429: RateLimitError,
}


def error_of(request: HttpRequest, response: HttpResponse, now: float = 0.0) -> ApiError:
    """Return the exception for an error response with a body of any form (protocol 9.5). `now`: Unix seconds."""
    body = _lenient_body(response)
    details = _details(body)
    message = _message(request, response, body, details)
    error_type = _error_type(response, body, details)
    kind = _class_of(response, message, error_type, details)
    return kind(
        _with_advice(kind, message, request, response),
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
    """Return fal's advice whether to retry; None if the response has none.

    It is in `X-Fal-Needs-Retry` or the older `X-Fal-Retryable` (protocol 14, no. 5): 1/0, true/false or yes/no.
    """
    for name in ("x-fal-needs-retry", "x-fal-retryable"):
        said = headers.get(name, "").strip().lower()
        if said in _TRUE or said in _FALSE:
            return said in _TRUE
    return None


def is_gateways_page(status: int, headers: Mapping[str, str]) -> bool:
    """Return whether the response is a gateway's HTML page, which says nothing about the request (protocol 9.3).

    A 401 never counts as such a page, because the key was refused, by fal or by the gateway.
    """
    return status != 401 and REQUEST_ID not in headers and content_type(headers) == "text/html"


def check_from_fal(response: HttpResponse) -> None:
    """Raise ResponseDecodeError if the response is a gateway's HTML page."""
    if is_gateways_page(response.status, response.headers):
        raise ResponseDecodeError(
            f"the response ({response.status}) is a gateway's HTML page, not fal's", retryable=True
        )


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds of `Retry-After` (RFC 9110, 10.2.3: a number or a date); None if it can't be read.

    A date in the past gives 0.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return float(text)
    moment = http_seconds(text)
    return None if moment is None else max(0.0, moment - now)


def _lenient_body(response: HttpResponse) -> Any:
    try:
        return decode_json(response.body)
    except ValueError:
        return response.body.decode("utf-8", "replace")


def _details(body: Any) -> list[ErrorDetail]:
    """Return the entries of a model error (protocol 9.1)."""
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
    return words_of(body) or _phrase(request, response)


def words_of(body: Any) -> str | None:
    """Return the body's message for people, from any of the forms of (protocol 9.2) to 9.5; None without one."""
    if isinstance(body, str):
        return None if body.lstrip().startswith("<") else _first_text(body)  # "<": a gateway's HTML page
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
    # The header marks fal's responses (protocol 3.2), except those for files and handshakes.
    of_a_file = request.operation in (Operation.DOWNLOAD, Operation.UPLOAD)
    if of_a_file or request.url.startswith("ws") or REQUEST_ID in response.headers:
        return phrase
    return f"{phrase} (from a gateway in front of fal)"


def _class_of(
    response: HttpResponse, message: str, error_type: str | None, details: list[ErrorDetail]
) -> type[ApiError]:
    status = response.status
    # The header marks a 504 because of the caller's start timeout (protocol 3.2).
    if status == 504 and response.headers.get("x-fal-request-timeout-type", "").strip().lower() == "user":
        return StartTimeoutError
    if status == 403 and (re.search(_BALANCE, message) or re.search(_LOCKED, message)):
        return BalanceExhaustedError
    if status == 422 and _POLICY in (error_type, *(entry.type for entry in details)):
        return ContentPolicyError
    return class_by_status(status)


def class_by_status(status: int) -> type[ApiError]:
    """Return the error class that the status alone implies."""
    return _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)


def _with_advice(kind: type[ApiError], message: str, request: HttpRequest, response: HttpResponse) -> str:
    if kind is AuthenticationError:
        return f"{message} - check FAL_KEY or credentials= (keys: {_KEYS})"
    if kind is PermissionDeniedError and request.needs:
        return f"this call needs {request.needs} ({_KEYS}, scope ADMIN): {message}"
    if kind is BalanceExhaustedError and "billing" not in message:
        return f"{message} - {_BILLING}"
    if 300 <= response.status < 400 and "location" in response.headers:
        target = joined(request.url, response.headers["location"])
        return f"redirected to {host_of(target)}, which is not followed"
    return message


def _error_type(response: HttpResponse, body: Any, details: list[ErrorDetail]) -> str | None:
    """Return the error type. The body takes precedence over the header (protocol 9.2)."""
    body = body if isinstance(body, dict) else {}
    platform = body["error"].get("type") if isinstance(body.get("error"), dict) else None
    of_model = details[0].type if details else None
    return _first_text(body.get("error_type"), platform, of_model, response.headers.get("x-fal-error-type"))


def _retryable(kind: type[ApiError], response: HttpResponse, paid: bool) -> bool:
    if kind in (StartTimeoutError, BalanceExhaustedError):
        return False
    said = needs_retry(response.headers)
    # fal may have accepted a paid request before it, or a gateway, responded with 408, 502 or 504.
    temporary = _NOT_ACCEPTED if paid else _TEMPORARY
    return response.status in temporary if said is None else said
