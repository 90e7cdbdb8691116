"""What the result of a queued request is where it is no output: failed, cancelled, expired (protocol 4.4, 4.5)."""

from __future__ import annotations

from typing import Any

from fal_async.errors import (
    ApiError,
    FalError,
    NotFoundError,
    RequestCancelledError,
    RequestFailedError,
    ResultExpiredError,
)
from fal_async.models import Completed
from fal_async.protocol.api_errors import check_from_fal, is_gateways_page
from fal_async.protocol.http import HttpResponse, content_type, is_json

CANCELLED_STATUS = 499
"""What the result of a cancelled request answers (protocol 4.5)."""
_CANCELLED_TYPES = frozenset({"client_cancelled"})


def check_result(response: HttpResponse) -> None:
    """ResponseDecodeError, worth another try, for what is no model's answer: cut JSON, or a gateway's page."""
    check_from_fal(response)
    if is_json(content_type(response.headers)):
        response.json()


def result_error(error: ApiError, completed: Completed | None) -> FalError:
    """What an error answer of the result URL means: it is the model's own, or the request is gone or cancelled."""
    kind = error.error_type or (completed.error_type if completed else None)
    if error.status == CANCELLED_STATUS and (kind is None or kind in _CANCELLED_TYPES):
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
        return _expired(error)
    if error.error_type is None:
        error.error_type = kind
    return error


def _is_gone(error: NotFoundError, completed: Completed | None) -> bool:
    # A 404 with other words is the app's own, if the request failed (protocol 9.3: unknown path).
    if completed is None or completed.error is not None or completed.error_type is not None:
        return _is_not_found(error.body)
    return not is_gateways_page(error.status, error.headers)


def _expired(error: ApiError) -> ResultExpiredError:
    return ResultExpiredError(
        "fal does not know this request (any more): results are kept for 1 hour, those of 10 kB and more "
        "for 6 minutes",
        status=error.status,
        error_type=error.error_type,
        headers=error.headers,
        body=error.body,
        request_id=error.request_id,
        endpoint_id=error.endpoint_id,
    )


def vanished(error: NotFoundError) -> NotFoundError:
    """A request that was followed already, and that fal no longer knows."""
    return _expired(error) if _is_not_found(error.body) else error


def _is_not_found(body: Any) -> bool:
    return isinstance(body, dict) and body.get("status") == "NOT_FOUND"


def _says_something(error: ApiError) -> bool:
    """Whether the body is the model's own word on what went wrong."""
    return isinstance(error.body, dict) and not _is_not_found(error.body) and bool(error.body)
