"""Faults that answer something else, or spoil the real answer: pure, from values to values."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.wire.answers import (
    Answer,
    balance_exhausted,
    json_answer,
    nginx_page,
    no_request,
    request_error,
    unauthorized,
)
from fal_async.emulator.wire.routing import FAL_HOSTS

DOCUMENT_KINDS = frozenset({"missing", "replace", "word", "back", "duplicate", "foreign_urls"})
_URL_NAMES = ("status_url", "response_url", "cancel_url")
_TYPES = {
    400: "bad_request",
    408: "request_timeout",
    429: "concurrent_requests_limit",
    499: "client_cancelled",
    500: "internal_error",
    502: "runner_incomplete_response",
    503: "runner_connection_error",
    504: "request_timeout",
}


def replacement(fault: Fault, request_id: str | None) -> Answer | None:
    """What is answered in place of the truth; None where this fault does something else."""
    if fault.kind == "answer":
        return _scripted(fault, request_id)
    if fault.kind == "html":
        return _page(fault.status or 502)
    if fault.kind == "redirect":
        return Answer(fault.status or 307, {"Location": fault.url or ""})
    if fault.kind == "balance":
        return balance_exhausted()
    return no_request() if fault.kind == "vanish" else None


def _page(status: int) -> Answer:
    return nginx_page(status, _phrase(status))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _scripted(fault: Fault, request_id: str | None) -> Answer:
    status = fault.status or 500
    answer = _in_fals_shape(fault, status) if fault.fal_headers else _page(status)
    headers = dict(fault.headers)
    if fault.fal_headers:
        headers.setdefault("x-fal-request-id", request_id or str(uuid.uuid4()))
    if fault.retry_after is not None:
        headers["Retry-After"] = fault.retry_after
    if fault.needs_retry is not None:
        headers["X-Fal-Needs-Retry"] = "1" if fault.needs_retry else "0"
    answer = answer.with_headers(headers)
    return answer if fault.body is None else Answer(status, answer.headers, fault.body)


def _in_fals_shape(fault: Fault, status: int) -> Answer:
    """Bodies as protocol 9 lists them; `detail` and `error_type` can be given."""
    if fault.detail is not None:
        return request_error(status, fault.detail, fault.error_type)
    if status < 300:
        return json_answer({}, status)
    if status == 401:
        return unauthorized("No user found for Key ID and Secret")
    if status == 422:
        entry = {"loc": ["body", "prompt"], "msg": "Field required", "type": "missing", "input": {}}
        return json_answer({"detail": [entry]}, 422)
    return request_error(status, _phrase(status), fault.error_type or _TYPES.get(status))


def spoil(fault: Fault, answer: Answer) -> Answer:
    """The real answer with its content spoilt; unchanged where the fault is about something else."""
    if fault.kind == "wrong_json":
        body = broken(answer.body) if fault.body is None else fault.body
        return Answer(answer.status, answer.headers, body)
    if fault.kind == "content_type":
        return answer.with_headers({"Content-Type": fault.body or "text/plain"})
    if fault.kind not in DOCUMENT_KINDS:
        return answer
    return _with_document(fault, answer)


def _with_document(fault: Fault, answer: Answer) -> Answer:
    try:
        document = answer.document()
    except ValueError:
        return answer
    if not isinstance(document, dict):
        return answer
    return json_answer(spoil_document(fault, document), answer.status, answer.headers)


def broken(body: bytes) -> bytes:
    """JSON that breaks off in the middle, in a body that is complete as far as HTTP knows."""
    return body[: max(len(body) // 2, 1)]


def spoil_document(fault: Fault, document: dict[str, Any]) -> dict[str, Any]:
    if fault.kind == "missing":
        return {name: value for name, value in document.items() if name not in fault.names}
    if fault.kind == "replace":
        return {**document, **fault.fields}
    if fault.kind == "word":
        return {**document, "status": fault.body}
    if fault.kind == "back":
        kept = {name: value for name, value in document.items() if name not in ("logs", "metrics")}
        return {**kept, "status": "IN_QUEUE", "queue_position": fault.position}
    if fault.kind == "duplicate" and isinstance(document.get("logs"), list):
        return {**document, "logs": [entry for entry in document["logs"] for _ in range(2)]}
    return _elsewhere(fault, document) if fault.kind == "foreign_urls" else document


def _elsewhere(fault: Fault, document: dict[str, Any]) -> dict[str, Any]:
    """The base URL stands for `https://queue.fal.run`: what follows the host segment is kept."""
    changed = dict(document)
    for name in _URL_NAMES:
        if isinstance(changed.get(name), str):
            changed[name] = f"{fault.url}/{_below_the_host(changed[name])}"
    return changed


def _below_the_host(url: str) -> str:
    parts = urlsplit(url)
    path = parts.path.lstrip("/")
    return path if parts.hostname in FAL_HOSTS else path.partition("/")[2]


def spoil_event(fault: Fault | None, document: dict[str, Any]) -> list[dict[str, Any]]:
    """The events that a status stream sends for this one. The last one, COMPLETED, stays true."""
    if fault is not None and fault.kind == "duplicate":
        return [document, document]
    if fault is None or fault.kind not in DOCUMENT_KINDS or document["status"] == "COMPLETED":
        return [document]
    return [spoil_document(fault, document)]
