"""The response of the result URL: an output, an error, or a status instead of both (protocol 4.4)."""

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
"""HTTP status of the result of a cancelled request (protocol 4.5)."""
CANCELLED_TYPES = frozenset({"client_cancelled"})
_URLS = frozenset({"response_url", "status_url", "cancel_url"})
_LONGEST_STATUS = 1024 * 1024
_OF_A_STATUS = _URLS | {
    *("status", "request_id", "gateway_request_id", "queue_position", "logs", "metrics"),
    *("error", "error_type", "detail", "message"),
}
"""Fields of a status. A body with any other field is an output."""
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
    cost: Decimal | None = None,
) -> Result[Any, Any]:
    """Return the result in a response.

    Raises ResponseDecodeError if the body is not of its declared type, or does not fit `output_type`.
    """
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
        cost=cost,
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
    """Return a result with decoded `data`, or with an `output_type` built from it.

    Raises ResponseDecodeError if the data does not fit `output_type`.
    """
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


# Responses of the result URL.


def check_result(response: HttpResponse, request_id: str) -> None:
    """Raise a FalError if the response is not the model's: incomplete JSON, a gateway's page, or a status."""
    check_from_fal(response)
    decoded = _document_of(response)
    word = _status_in_place_of_result(response, decoded, request_id)
    if word is not None:
        raise ApiError(
            f"fal sent a status instead of the result: {word}",
            status=response.status,
            headers=response.headers,
            body=decoded,
            retryable=failed_status(decoded, request_id) is None,
            request_id=request_id,
        )


def _document_of(response: HttpResponse) -> Any:
    """Return the decoded body if it may be a status, else None.

    Raises ResponseDecodeError if a body that is declared as JSON is not JSON.
    """
    if response.status == 202 and not response.body.strip():
        return None
    if is_json(content_type(response.headers)):
        return response.json()
    # A gateway may send a status as text, or without a content type.
    if len(response.body) > _LONGEST_STATUS or not response.body.lstrip(BEFORE_JSON).startswith(b"{"):
        return None
    try:
        return response.json()
    except ResponseDecodeError:
        return None


def _status_in_place_of_result(response: HttpResponse, document: Any, request_id: str) -> str | None:
    """Return the status word if the body is a status; None for an output, even one that looks like a status."""
    accepted = response.status == 202
    if accepted and not response.body.strip():
        return "202 with an empty body"
    if not isinstance(document, dict) or not document.keys() <= _OF_A_STATUS:
        return None
    word = document.get("status")
    if accepted:  # if the model itself responds with 202, the body is an output with other fields
        return word if isinstance(word, str) else "202 without output"
    # The output of a model may be a status of something else, so the status must be about this request.
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
    """Return whether the result of a completed, successful request is only not available yet."""
    if error.status < 300 or error.status == 425:
        return error.status == 425 or error.retryable
    if error.status not in (400, 409) or not isinstance(error.body, dict):
        return False
    words = error.body.get("detail") or error.body.get("message")
    return error.body.get("status") in UNFINISHED or (
        isinstance(words, str) and bool(re.search(_NOT_YET, words))
    )


def result_error(error: ApiError, completed: Completed | None, *, existed: bool = True) -> FalError:
    """Return the exception for an error response of the result URL: failed, cancelled or expired.

    `completed`: the final status, if it is known. `existed`: whether fal is known to have accepted the request, so
    that a 404 does not mean a wrong id.
    """
    if error.status < 300 and (completed is None or completed.error is None):
        # fal sent a status instead of the result, which may have an error that the known status lacks.
        completed = failed_status(error.body, error.request_id or "") or completed
    kind = error.error_type or (completed.error_type if completed else None)
    # Without the header, the 499 is from a gateway, which uses it for a connection that its client closed.
    of_fal = kind is None and REQUEST_ID in error.headers
    was_cancelled = error.status == CANCELLED_STATUS and (of_fal or kind in CANCELLED_TYPES)
    if was_cancelled or (completed is not None and completed.error_type in CANCELLED_TYPES):
        return RequestCancelledError(
            "the request was cancelled on fal",
            request_id=error.request_id,
            endpoint_id=error.endpoint_id,
        )
    if completed is not None and completed.error is not None and not _is_models_error(error):
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
    # If the request failed, a 404 with another message is the app's own (protocol 9.3: unknown path).
    if completed is None or completed.error is not None or completed.error_type is not None:
        return is_unknown_request(error.body)
    return not is_gateways_page(error.status, error.headers)


def vanished(error: NotFoundError, *, existed: bool) -> NotFoundError:
    """Return the error for a 404 of the queue. `existed`: whether fal is known to have accepted the request."""
    return _unknown(error, existed=existed) if is_unknown_request(error.body) else error


def _unknown(error: NotFoundError, *, existed: bool) -> NotFoundError:
    kind = ResultExpiredError if existed else NotFoundError
    message = (
        f"fal no longer knows this request: {_KEPT}"
        if existed
        else f"fal does not know this request: check the endpoint id and the request id (if both are right, "
        f"it has expired: {_KEPT})"
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
    """Return whether the body is the queue's own response for a request that it does not know (protocol 9.3)."""
    return isinstance(body, dict) and body.get("status") == "NOT_FOUND"


def _is_models_error(error: ApiError) -> bool:
    """Return whether the body is the model's own error."""
    if error.status < 300:  # a status in place of the result
        return False
    return isinstance(error.body, dict) and not is_unknown_request(error.body) and bool(error.body)
