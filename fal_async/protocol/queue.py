"""The HTTP requests of the queue, and their responses (protocol 4): submit, status, status stream, result, cancel.

Pure. In fal's responses everything except the request id is optional; unknown fields and status words are kept.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import attrs

from fal_async.config import Hosts, Settings
from fal_async.errors import CancelOutcome, ConfigurationError, RequestRef, ResponseDecodeError, safe_repr
from fal_async.options import CallOptions
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.fields import text_in
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation
from fal_async.protocol.options import JSON_HEADERS, option_headers, submit_query
from fal_async.protocol.origins import is_at_home

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")
_ACCEPT = {"Accept": JSON_HEADERS["Accept"]}
_ACCEPT_EVENTS = {"Accept": "text/event-stream"}


@attrs.define(kw_only=True)
class Submission:
    """fal's response to a submit (protocol 4.1). A URL that the response does not have is None."""

    request_id: str
    response_url: str | None = attrs.field(default=None, repr=safe_repr)
    status_url: str | None = attrs.field(default=None, repr=safe_repr)
    cancel_url: str | None = attrs.field(default=None, repr=safe_repr)


@attrs.define(kw_only=True)
class RequestUrls:
    """The URLs of one request."""

    status: str = attrs.field(repr=safe_repr)
    response: str = attrs.field(repr=safe_repr)
    cancel: str = attrs.field(repr=safe_repr)


def check_request_id(request_id: str) -> str:
    """Return the id. Raise ConfigurationError if it can't be a request id."""
    if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
        raise ConfigurationError(
            f"request id {request_id!r}: expected an id returned by submit, such as a UUID"
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
        ref=endpoint.ref,
        refusal_is_final=options.max_queue_length is not None,
    )


def parse_submission(response: HttpResponse) -> Submission:
    """Parse the response to a submit.

    Raises ResponseDecodeError if its request id is missing, or has characters that are unsafe in a URL or a log
    line.
    """
    document = response.json()
    request_id = document.get("request_id") if isinstance(document, dict) else None
    if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
        raise ResponseDecodeError(
            "the response to the submit has no request id",
            paths=["required field missing @ $.request_id"],
            request_id=response.request_id,
        )
    return Submission(
        request_id=request_id,
        response_url=text_in(document, "response_url"),
        status_url=text_in(document, "status_url"),
        cancel_url=text_in(document, "cancel_url"),
    )


def rebuilt_urls(hosts: Hosts, endpoint: EndpointId, request_id: str) -> RequestUrls:
    """Return the URLs built from the id alone, without sub-path and `/response` (protocol 2; 14, no. 1)."""
    base = f"{hosts.queue}/{endpoint.app_id}/requests/{quote(request_id, safe='')}"
    return RequestUrls(status=f"{base}/status", response=base, cancel=f"{base}/cancel")


def urls_of(hosts: Hosts, endpoint: EndpointId, submission: Submission) -> RequestUrls:
    """Return the URLs in the response to a submit, which fal asks clients to use.

    A URL that is missing or leads to another service is built from the request id instead, because the fal key is
    sent to it.
    """
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


def status_request(url: str, ref: RequestRef, *, logs: bool) -> HttpRequest:
    return HttpRequest(
        operation=Operation.STATUS, method="GET", url=_with_logs(url, logs), headers=_ACCEPT, ref=ref
    )


def status_stream_request(url: str, ref: RequestRef, *, logs: bool) -> HttpRequest:
    head, query = url.partition("?")[::2]
    stream = f"{head.rstrip('/')}/stream" + (f"?{query}" if query else "")
    return HttpRequest(
        operation=Operation.STATUS,
        method="GET",
        url=_with_logs(stream, logs),
        headers=_ACCEPT_EVENTS,
        ref=ref,
    )


def _with_logs(url: str, logs: bool) -> str:
    if not logs:
        return url
    return f"{url}{'&' if '?' in url else '?'}logs=1"


# Result (4.4).


def result_request(url: str, ref: RequestRef, *, persistent: bool) -> HttpRequest:
    """Return the HTTP request for a result. `persistent`: whether fal said that the request succeeded."""
    return HttpRequest(
        operation=Operation.RESULT, method="GET", url=url, headers=_ACCEPT, ref=ref, persistent=persistent
    )


# Cancel (4.5).

_REFUSALS = frozenset({400, 409, 422})
"""HTTP errors with which fal may refuse a cancel: which of them it uses is not established (14, no. 35)."""
CANCEL_STATUSES = _REFUSALS | {404}
"""HTTP errors that are the response to a cancel in three of its outcomes."""


def cancel_request(url: str, ref: RequestRef) -> HttpRequest:
    return HttpRequest(operation=Operation.CANCEL, method="PUT", url=url, headers=_ACCEPT, ref=ref)


def parse_cancel(response: HttpResponse) -> CancelOutcome | None:
    """Return the outcome of a cancel; None if the response is an error."""
    try:
        document = response.json()
    except ResponseDecodeError:
        document = None
    document = document if isinstance(document, dict) else {}
    if response.status == 404:
        return CancelOutcome.NOT_FOUND
    if response.status in _REFUSALS:
        return _refused(document)
    # The per-endpoint specification has `{"success": bool}` (protocol 14, no. 2).
    if isinstance(document.get("success"), bool):
        return CancelOutcome.CANCELLATION_REQUESTED if document["success"] else CancelOutcome.REFUSED
    if response.status == 202 or document.get("status") == "CANCELLATION_REQUESTED":
        return CancelOutcome.CANCELLATION_REQUESTED
    return CancelOutcome.CANCELLED


def _refused(document: dict[str, Any]) -> CancelOutcome | None:
    if document.get("status") == "ALREADY_COMPLETED":
        return CancelOutcome.ALREADY_COMPLETED
    # fal was seen to answer so for running requests, too: it must not be taken for ALREADY_COMPLETED (4.5).
    return CancelOutcome.REFUSED if "detail" in document else None
