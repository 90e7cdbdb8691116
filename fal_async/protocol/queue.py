"""The queue: submit, status, status stream, result, cancel (protocol 4). Pure: values in, values out.

Everything but the request id is optional in what fal answers; unknown fields and status words are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import attrs

from fal_async.config import Hosts, Settings
from fal_async.errors import (
    ApiError,
    ConfigurationError,
    FalError,
    NotFoundError,
    RequestCancelledError,
    RequestFailedError,
    ResponseDecodeError,
    ResultExpiredError,
    safe_repr,
)
from fal_async.models import (
    CancelOutcome,
    Completed,
    InProgress,
    Queued,
    QueueStatus,
    RequestLog,
    UnknownStatus,
)
from fal_async.options import CallOptions
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import (
    HttpRequest,
    HttpResponse,
    Operation,
    check_from_fal,
    content_type,
    decode_json,
    is_at_home,
    is_gateways_page,
    is_json,
)
from fal_async.protocol.options import JSON_HEADERS, option_headers, submit_query

CANCELLED_STATUS = 499
"""What the result of a cancelled request answers (protocol 4.5)."""
_CANCELLED_TYPES = frozenset({"client_cancelled"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")
_ACCEPT = {"Accept": JSON_HEADERS["Accept"]}
_ACCEPT_EVENTS = {"Accept": "text/event-stream"}


@attrs.frozen(kw_only=True)
class Submission:
    """fal's answer to a submit (protocol 4.1). The URLs are None where the answer lacks them."""

    request_id: str
    response_url: str | None = attrs.field(default=None, repr=safe_repr)
    status_url: str | None = attrs.field(default=None, repr=safe_repr)
    cancel_url: str | None = attrs.field(default=None, repr=safe_repr)
    position: int | None = None
    gateway_request_id: str | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class RequestUrls:
    """Where one request is followed."""

    status: str = attrs.field(repr=safe_repr)
    response: str = attrs.field(repr=safe_repr)
    cancel: str = attrs.field(repr=safe_repr)


def check_request_id(request_id: str) -> str:
    """ConfigurationError for what can't be a request id."""
    if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
        raise ConfigurationError(
            f"request id {request_id!r}: expected the id that submit gave, such as a UUID"
        )
    return request_id


# Submit (4.1).


def submit_request(
    settings: Settings,
    endpoint: EndpointId,
    body: bytes,
    options: CallOptions,
    webhook_url: str | None = None,
) -> HttpRequest:
    return HttpRequest(
        operation=Operation.SUBMIT,
        method="POST",
        url=f"{settings.hosts.queue}/{endpoint.full}{submit_query(options, webhook_url)}",
        headers=option_headers(options, settings.tags, queue=True),
        body=body,
        endpoint_id=endpoint.full,
        refusal_is_final=options.max_queue_length is not None,
    )


def parse_submission(response: HttpResponse) -> Submission:
    """ResponseDecodeError where there is no request id in it, or none that a URL and a log line can carry."""
    document = response.json()
    request_id = document.get("request_id") if isinstance(document, dict) else None
    if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
        raise ResponseDecodeError(
            "the answer to the submit has no request id",
            paths=["required field missing @ $.request_id"],
            request_id=response.request_id,
        )
    return Submission(
        request_id=request_id,
        response_url=_text(document, "response_url"),
        status_url=_text(document, "status_url"),
        cancel_url=_text(document, "cancel_url"),
        position=_whole(document, "queue_position"),
        gateway_request_id=_text(document, "gateway_request_id"),
        raw=document,
    )


def rebuilt_urls(hosts: Hosts, endpoint: EndpointId, request_id: str) -> RequestUrls:
    """From the id alone: without the sub-path, and without `/response` (protocol 2; 14, no. 1)."""
    base = f"{hosts.queue}/{endpoint.app_id}/requests/{quote(request_id, safe='')}"
    return RequestUrls(status=f"{base}/status", response=base, cancel=f"{base}/cancel")


def urls_of(hosts: Hosts, endpoint: EndpointId, submission: Submission) -> RequestUrls:
    """The URLs that submit gave, as fal asks; one that leads elsewhere is rebuilt: the key goes with it."""
    status, response, cancel = submission.status_url, submission.response_url, submission.cancel_url
    if _leads_home(status, hosts) and _leads_home(response, hosts) and _leads_home(cancel, hosts):
        return RequestUrls(status=status or "", response=response or "", cancel=cancel or "")
    rebuilt = rebuilt_urls(hosts, endpoint, submission.request_id)
    return RequestUrls(
        status=status if status and _leads_home(status, hosts) else rebuilt.status,
        response=response if response and _leads_home(response, hosts) else rebuilt.response,
        cancel=cancel if cancel and _leads_home(cancel, hosts) else rebuilt.cancel,
    )


def _leads_home(url: str | None, hosts: Hosts) -> bool:
    return url is not None and is_at_home(url, hosts.queue)


# Status (4.2) and status stream (4.3).


def status_request(url: str, *, endpoint_id: str, request_id: str, logs: bool) -> HttpRequest:
    return _about(Operation.STATUS, "GET", _with_logs(url, logs), endpoint_id, request_id)


def status_stream_request(url: str, *, endpoint_id: str, request_id: str, logs: bool) -> HttpRequest:
    head, query = url.partition("?")[::2]
    stream = f"{head.rstrip('/')}/stream" + (f"?{query}" if query else "")
    url = _with_logs(stream, logs)
    return _about(Operation.STATUS, "GET", url, endpoint_id, request_id, headers=_ACCEPT_EVENTS)


def _with_logs(url: str, logs: bool) -> str:
    if not logs:
        return url
    return f"{url}{'&' if '?' in url else '?'}logs=1"


def _about(
    operation: Operation,
    method: str,
    url: str,
    endpoint_id: str,
    request_id: str,
    *,
    headers: Mapping[str, str] = _ACCEPT,
    persistent: bool = False,
) -> HttpRequest:
    return HttpRequest(
        operation=operation,
        method=method,
        url=url,
        headers=headers,
        endpoint_id=endpoint_id,
        request_id=request_id,
        persistent=persistent,
    )


def parse_status(document: Any, request_id: str, new_logs: NewLogs | None = None) -> QueueStatus:
    """ResponseDecodeError where it is no status at all; a word that nobody knows is an `UnknownStatus`."""
    word = document.get("status") if isinstance(document, dict) else None
    if not isinstance(word, str):
        raise ResponseDecodeError(
            "a status answer has no status",
            paths=["required field missing @ $.status"],
            request_id=request_id,
            retryable=True,
        )
    logs = parse_logs(document.get("logs"))
    news = logs if new_logs is None else new_logs.take(logs)
    if word == "IN_PROGRESS":
        return InProgress(request_id=request_id, logs=logs, new_logs=news, raw=document)
    if word == "IN_QUEUE":
        position = _whole(document, "queue_position")
        return Queued(request_id=request_id, logs=logs, new_logs=news, raw=document, position=position)
    if word != "COMPLETED":
        return UnknownStatus(request_id=request_id, logs=logs, new_logs=news, raw=document, status=word)
    metrics = document.get("metrics")
    return Completed(
        request_id=request_id,
        logs=logs,
        new_logs=news,
        raw=document,
        metrics=metrics if isinstance(metrics, dict) else {},
        error=_error_text(document.get("error")),
        error_type=_text(document, "error_type"),
    )


def unknown_word(status: UnknownStatus) -> ResponseDecodeError:
    """What following ends with where nothing else is answered for too long."""
    return ResponseDecodeError(
        f"the status is {status.headline!r}, which this version does not know",
        request_id=status.request_id,
        retryable=True,
    )


def parse_event(data: str, request_id: str, new_logs: NewLogs) -> QueueStatus:
    """One event of a status stream: the same object as a status answer. ResponseDecodeError as there."""
    try:
        document = decode_json(data)
    except ValueError as error:
        raise ResponseDecodeError(
            "a status event is no JSON", request_id=request_id, retryable=True
        ) from error
    return parse_status(document, request_id, new_logs)


def _error_text(error: Any) -> str | None:
    if error is None or error is False or error == "":
        return None
    return _as_text(error)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except RecursionError:
        return "..."


def parse_logs(entries: Any) -> tuple[RequestLog, ...]:
    """Flat entries, or `labels: {level, source}` as the Swift and Java clients expect (protocol 4.2)."""
    if not isinstance(entries, list) or not entries:
        return ()
    return tuple(_log(entry) for entry in entries if isinstance(entry, dict | str))


def _log(entry: Mapping[str, Any] | str) -> RequestLog:
    if isinstance(entry, str):
        return RequestLog(message=entry)
    labels = entry.get("labels")
    fields = {**labels, **entry} if isinstance(labels, dict) else entry

    def text(name: str) -> str:
        value = fields.get(name)
        return "" if value is None else _as_text(value)

    return RequestLog(
        message=text("message"), timestamp=text("timestamp"), level=text("level"), source=text("source")
    )


class NewLogs:
    """Tells the log entries that were not seen before: the server sends a moving window (protocol 4.2)."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()

    def take(self, logs: Iterable[RequestLog]) -> tuple[RequestLog, ...]:
        news = []
        for entry in logs:
            key = (entry.timestamp, entry.message)
            if key not in self._seen:
                self._seen.add(key)
                news.append(entry)
        return tuple(news)


# Result (4.4).


def result_request(url: str, *, endpoint_id: str, request_id: str, persistent: bool) -> HttpRequest:
    """`persistent`: fal said that it completed well, so that whatever fails now is passing."""
    return _about(Operation.RESULT, "GET", url, endpoint_id, request_id, persistent=persistent)


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


# Cancel (4.5).

CANCEL_STATUSES = frozenset({400, 404})
"""Two of the four outcomes come as HTTP errors."""


def cancel_request(url: str, *, endpoint_id: str, request_id: str) -> HttpRequest:
    return _about(Operation.CANCEL, "PUT", url, endpoint_id, request_id)


def parse_cancel(response: HttpResponse) -> CancelOutcome | None:
    """None: the answer is no outcome but an error."""
    try:
        document = response.json()
    except ResponseDecodeError:
        document = None
    document = document if isinstance(document, dict) else {}
    if response.status == 404:
        return CancelOutcome.NOT_FOUND
    if response.status == 400:
        return CancelOutcome.ALREADY_COMPLETED if document.get("status") == "ALREADY_COMPLETED" else None
    # The per-endpoint specification has `{"success": bool}` (protocol 14, no. 2).
    if isinstance(document.get("success"), bool):
        return (
            CancelOutcome.CANCELLATION_REQUESTED if document["success"] else CancelOutcome.ALREADY_COMPLETED
        )
    if response.status == 202 or document.get("status") == "CANCELLATION_REQUESTED":
        return CancelOutcome.CANCELLATION_REQUESTED
    return CancelOutcome.CANCELLED


def _text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) and value else None


def _whole(document: Mapping[str, Any], name: str) -> int | None:
    value = document.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
