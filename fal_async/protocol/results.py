"""A model's answer: an output, of which a `Result` is built; an error; a status in place of them (protocol 4.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from fal_async.errors import (
    ApiError,
    FalError,
    NotFoundError,
    RequestCancelledError,
    RequestFailedError,
    RequestRef,
    ResponseDecodeError,
    ResultExpiredError,
    naming,
)
from fal_async.models import Completed, Files, RequestLog, Result
from fal_async.protocol.api_errors import check_from_fal, is_gateways_page
from fal_async.protocol.http import (
    BEFORE_JSON,
    REQUEST_ID,
    HttpResponse,
    content_type,
    decode_body,
    is_json,
)
from fal_async.protocol.queue_status import UNFINISHED, failed_status
from fal_async.protocol.structure import structure

CANCELLED_STATUS = 499
"""What the result of a cancelled request answers (protocol 4.5)."""
CANCELLED_TYPES = frozenset({"client_cancelled"})
_URLS = frozenset({"response_url", "status_url", "cancel_url"})
_LONGEST_STATUS = 1024 * 1024
_OF_A_STATUS = _URLS | {
    *("status", "request_id", "gateway_request_id", "queue_position", "logs", "metrics"),
    *("error", "error_type", "detail", "message"),
}
"""What is in a status answer, and in no output that has anything beside it."""
_NOT_YET = (
    r"(?i)\bstill (in progress|in queue|running|processing|pending)\b"
    r"|\bin progress\W*$|\bnot (yet )?(ready|complete)"
)
_KEPT = "results are kept for 1 hour, those of 10 kB and more for 6 minutes"


def parse_result(
    response: HttpResponse,
    output_type: Any,
    ref: RequestRef,
    *,
    attempts: Mapping[str, int],
    status: Completed | None = None,
    logs: Sequence[RequestLog] = (),
    files: Files | None = None,
) -> Result[Any, Any]:
    """The result that an answer carries. ResponseDecodeError where it is not what it says, or no `output_type`."""
    with naming(ref):
        data = decode_body(response)
    return build_result(
        data,
        output_type,
        ref,
        attempts=attempts,
        status=status,
        logs=logs,
        headers=response.headers,
        files=files,
    )


def build_result(
    data: Any,
    output_type: Any,
    ref: RequestRef,
    *,
    attempts: Mapping[str, int],
    status: Completed | None = None,
    logs: Sequence[RequestLog] = (),
    headers: Mapping[str, str] | None = None,
    files: Files | None = None,
    from_ledger: bool = False,
    cost: Decimal | None = None,
) -> Result[Any, Any]:
    """A result of decoded `data`, as `output_type` where one is given. ResponseDecodeError where it is none."""
    if output_type is not None:
        with naming(ref):
            data = structure(data, output_type)
    return Result(
        data=data,
        request_id=ref.request_id,
        attempts=dict(attempts),
        status=status,
        logs=tuple(logs),
        headers={} if headers is None else headers,
        from_ledger=from_ledger,
        cost=cost,
        files=files,
    )


# What the result URL answers.


def check_result(response: HttpResponse, request_id: str) -> None:
    """A FalError for what is no model's answer: cut JSON, a gateway's page, a status in place of the result."""
    check_from_fal(response)
    decoded = _document_of(response)
    word = _status_in_place_of_result(response, decoded, request_id)
    if word is not None:
        raise ApiError(
            f"a status in place of the result: {word}",
            status=response.status,
            headers=response.headers,
            body=decoded,
            retryable=failed_status(decoded, request_id) is None,
            request_id=request_id,
        )


def _document_of(response: HttpResponse) -> Any:
    """What may be a status. ResponseDecodeError where a body that calls itself JSON is none."""
    if response.status == 202 and not response.body.strip():
        return None
    if is_json(content_type(response.headers)):
        return response.json()
    # A gateway's status may come as text, or without any type.
    if len(response.body) > _LONGEST_STATUS or not response.body.lstrip(BEFORE_JSON).startswith(b"{"):
        return None
    try:
        return response.json()
    except ResponseDecodeError:
        return None


def _status_in_place_of_result(response: HttpResponse, document: Any, request_id: str) -> str | None:
    """The status word of an answer that is a status, not an output that looks like one; None for all others."""
    accepted = response.status == 202
    if accepted and not response.body.strip():
        return "202, and nothing else"
    if not isinstance(document, dict) or not document.keys() <= _OF_A_STATUS:
        return None
    word = document.get("status")
    if accepted:  # the model's own 202 has an output in it
        return word if isinstance(word, str) else "202, and no output"
    # A model may well give a status of its own, or that of a job elsewhere: this must be about this request.
    if not isinstance(word, str) or not _is_about(document, request_id):
        return None
    known = word in UNFINISHED or failed_status(document, request_id) is not None
    return word if known or not document.keys().isdisjoint(_URLS) else None


def _is_about(document: Mapping[str, Any], request_id: str) -> bool:
    named = document.get("request_id")
    return named == request_id or (
        named is None and any(f"/{request_id}" in str(document.get(url)) for url in _URLS)
    )


def is_not_yet(error: ApiError) -> bool:
    """Whether the result is only late: asked of a request that is known to be complete, and well."""
    if error.status < 300 or error.status == 425:
        return error.status == 425 or error.retryable
    if error.status not in (400, 409) or not isinstance(error.body, dict):
        return False
    words = error.body.get("detail") or error.body.get("message")
    return error.body.get("status") in UNFINISHED or (
        isinstance(words, str) and bool(re.search(_NOT_YET, words))
    )


def result_error(error: ApiError, completed: Completed | None, *, existed: bool = True) -> FalError:
    """What an error answer of the result URL means: it is the model's own, or the request is gone or cancelled.

    `existed`: that fal took the request is known, so that a 404 is no wrong id.
    """
    if error.status < 300 and (completed is None or completed.error is None):
        # A status came in place of the result, and says more than what was known.
        completed = failed_status(error.body, error.request_id or "") or completed
    kind = error.error_type or (completed.error_type if completed else None)
    # Without the header it is of something in front of fal, which calls a connection that it gave up the same.
    of_fal = kind is None and REQUEST_ID in error.headers
    was_cancelled = error.status == CANCELLED_STATUS and (of_fal or kind in CANCELLED_TYPES)
    if was_cancelled or (completed is not None and completed.error_type in CANCELLED_TYPES):
        return RequestCancelledError(
            "the request was cancelled on the server",
            request_id=error.request_id,
            endpoint_id=error.endpoint_id,
        )
    if completed is not None and completed.error is not None and not _says_something(error):
        return RequestFailedError(
            completed.error,
            error_type=kind,
            request_id=error.request_id,
            endpoint_id=error.endpoint_id,
        )
    if isinstance(error, NotFoundError) and _is_gone(error, completed):
        return _unknown(error, existed=existed or completed is not None)
    if error.error_type is None:
        error.error_type = kind
    return error


def _is_gone(error: NotFoundError, completed: Completed | None) -> bool:
    # A 404 with other words is the app's own, if the request failed (protocol 9.3: unknown path).
    if completed is None or completed.error is not None or completed.error_type is not None:
        return is_unknown_request(error.body)
    return not is_gateways_page(error.status, error.headers)


def vanished(error: NotFoundError, *, existed: bool) -> NotFoundError:
    """A request that the queue does not know: no longer, or not under this endpoint and id."""
    return _unknown(error, existed=existed) if is_unknown_request(error.body) else error


def _unknown(error: NotFoundError, *, existed: bool) -> NotFoundError:
    kind = ResultExpiredError if existed else NotFoundError
    message = (
        f"fal no longer knows this request: {_KEPT}"
        if existed
        else f"fal does not know this request: are endpoint and id right? (If so, it is gone: {_KEPT})"
    )
    return kind(
        message,
        status=error.status,
        error_type=error.error_type,
        headers=error.headers,
        body=error.body,
        request_id=error.request_id,
        endpoint_id=error.endpoint_id,
    )


def is_unknown_request(body: Any) -> bool:
    """Whether this is the queue's own answer about a request that it does not know (protocol 9.3)."""
    return isinstance(body, dict) and body.get("status") == "NOT_FOUND"


def _says_something(error: ApiError) -> bool:
    """Whether the body is the model's own word on what went wrong."""
    if error.status < 300:  # a status in place of the result
        return False
    return isinstance(error.body, dict) and not is_unknown_request(error.body) and bool(error.body)
