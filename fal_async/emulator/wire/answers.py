"""HTTP answers as values, and the bodies of fal's errors (protocol 9).

Citations such as (protocol 9.1) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import attrs
from multidict import CIMultiDict

JSON = "application/json"
_JSON_HEADERS: Mapping[str, str] = MappingProxyType({"Content-Type": JSON})
"""One value for the results of all jobs."""


def _as_number(value: Any) -> float:
    """Return a decimal as a number of JSON, whose text has the same value if it has up to 15 digits."""
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is not JSON")
    return int(value) if value == value.to_integral_value() else float(value)


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_as_number).encode
_OF_REQUEST_ERRORS = frozenset({"content-type", "x-fal-error-type"})
CANCELLED = 499
"""nginx's status for "client closed request", with which fal answers for cancelled requests (protocol 9.2)."""


def _to_bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body


@attrs.frozen
class Answer:
    """One HTTP answer. An endpoint returns it to choose status and headers.

    Attributes:
        status: HTTP status; default 200.
        headers: header names and values; default none.
        body: the body; a `str` is encoded as UTF-8. Default empty.
    """

    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = attrs.field(default=b"", converter=_to_bytes)

    def with_headers(self, headers: Mapping[str, str]) -> Answer:
        """Return a copy with these headers, which replace headers of the same name, whatever its case.

        Args:
            headers: names and values; a multi-dict may have several values for one name.
        """
        merged = CIMultiDict(self.headers)
        merged.update(headers)
        return Answer(self.status, merged, self.body)

    def document(self) -> Any:
        """Return the body, decoded as JSON.

        Raises:
            ValueError: If the body is not JSON.
        """
        return json.loads(self.body)


class ModelError(Exception):
    """Raised by an endpoint to fail as a model on fal does (protocol 9.1, 9.2).

    Args:
        status: HTTP status of the answer, such as 422.
        detail: a list of `{loc, msg, type, ...}` for a model error (9.1), or a str for a request error (9.2).
        error_type: the error type, sent in the body and in the header `X-Fal-Error-Type`. None (default): it is not
            sent.
        headers: more headers of the answer. None (default): none.
    """

    def __init__(
        self,
        status: int,
        detail: Sequence[Mapping[str, Any]] | str,
        error_type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {error_type or ''} {detail if isinstance(detail, str) else ''}".strip())
        self.status: int = status
        self.detail: Sequence[Mapping[str, Any]] | str = detail
        self.error_type: str | None = error_type
        self.headers: Mapping[str, str] = headers or {}

    def answer(self) -> Answer:
        """Return the HTTP answer that callers get."""
        detail = self.detail if isinstance(self.detail, str) else list(self.detail)
        return request_error(self.status, detail, self.error_type).with_headers(self.headers)


def value_of(answer: Answer) -> Any:
    """Return the body of an answer as JSON values; of one that is not JSON its text."""
    try:
        return answer.document()
    except ValueError:
        return answer.body.decode(errors="replace")


def json_answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    body = _encode(document).encode()
    return Answer(status, _JSON_HEADERS if headers is None else {**_JSON_HEADERS, **headers}, body)


def request_error(status: int, detail: Any, error_type: str | None = None) -> Answer:
    """Return `{"detail", "error_type"}`, with the error type in a header, too (protocol 9.2)."""
    if error_type is None:
        return json_answer({"detail": detail}, status)
    return json_answer({"detail": detail, "error_type": error_type}, status, {"X-Fal-Error-Type": error_type})


def detail_entry(
    loc: Sequence[str | int], msg: str, kind: str, value: Any, ctx: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return one entry of a model error's list (protocol 9.1)."""
    entry: dict[str, Any] = {"loc": list(loc), "msg": msg, "type": kind, "input": value}
    if ctx is not None:
        entry["ctx"] = dict(ctx)
    return {**entry, "url": f"https://docs.fal.ai/errors#{kind}"}


def bad_request(detail: str) -> Answer:
    return request_error(400, detail, "bad_request")


def bad_json(error: ValueError) -> Answer:
    """Return the 422 for a body that is not JSON, in the web framework's form (protocol 9.3)."""
    position = getattr(error, "pos", 0)
    entry = {"loc": ["body", position], "msg": "JSON decode error", "type": "json_invalid", "input": {}}
    answer = json_answer({"detail": [{**entry, "ctx": {"error": getattr(error, "msg", str(error))}}]}, 422)
    return answer.with_headers({"x-fal-billable-units": "0"})


def unauthorized(detail: str) -> Answer:
    return request_error(401, detail)


def balance_exhausted() -> Answer:
    """Return the 403 of an account with an exhausted balance (protocol 9.4)."""
    return request_error(
        403, "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."
    )


def too_many_running() -> Answer:
    """Return the 429 for a direct call above the account's limit (protocol 9.4)."""
    answer = request_error(429, "Too many requests run at the same time", "concurrent_requests_limit")
    return answer.with_headers({"X-Fal-Needs-Retry": "1"})


def no_application(name: str) -> Answer:
    answer = request_error(404, f"Application '{name}' not found")
    return answer.with_headers({"x-fal-billable-units": "0"})


def no_path(path: str) -> Answer:
    answer = request_error(404, f"Path /{path} not found")
    return answer.with_headers({"x-fal-billable-units": "0"})


def no_request() -> Answer:
    """Return the queue's own 404, which has no `detail` (protocol 9.3)."""
    return json_answer({"status": "NOT_FOUND"}, 404)


def method_not_allowed() -> Answer:
    return request_error(405, "Method Not Allowed")


def platform_error(status: int, kind: str, message: str) -> Answer:
    """Return an error of api.fal.ai, wrapped in `error` (protocol 9.4)."""
    error = {"type": kind, "message": message, "request_id": str(uuid.uuid4())}
    return json_answer({"error": error}, status)


_PLATFORM_TYPES = {400: "validation_error", 401: "authorization_error", 403: "authorization_error"} | {
    404: "not_found",
    429: "rate_limited",
}


def as_platform_error(refused: Answer) -> Answer:
    """Return one of fal's other errors in the form of api.fal.ai (protocol 11.7), with its own headers.

    An answer that is not an error of fal, such as a gateway's page, is returned as it is.
    """
    try:
        document = refused.document()
    except ValueError:
        document = None
    if refused.status < 400 or not isinstance(document, dict):
        return refused
    usual = "server_error" if refused.status >= 500 else "validation_error"
    message = document.get("detail", document.get("status"))
    answer = platform_error(refused.status, _PLATFORM_TYPES.get(refused.status, usual), str(message))
    own = {name: value for name, value in refused.headers.items() if name.lower() not in _OF_REQUEST_ERRORS}
    return answer.with_headers(own)


def nginx_page(status: int, reason: str) -> Answer:
    """Return the HTML page of nginx, the gateway in front of fal, without fal's headers (protocol 9.3)."""
    title = f"{status} {reason}"
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    return Answer(
        status, {"Content-Type": "text/html"}, page + "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
