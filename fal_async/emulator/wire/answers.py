"""What the emulator answers: values, and fal's own body shapes for all that goes wrong (protocol 9)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from multidict import CIMultiDict

JSON = "application/json"
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
CANCELLED = 499
"""nginx's code for "client closed request": fal answers it for cancelled requests (protocol 9.2)."""


def _to_bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body


@attrs.frozen
class Answer:
    """One HTTP answer before it goes to the wire. An endpoint may return one, to choose status and type."""

    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = attrs.field(default=b"", converter=_to_bytes)

    def with_headers(self, headers: Mapping[str, str]) -> Answer:
        """In place of those of the same names, in any case; several of one name stay several."""
        merged = CIMultiDict(self.headers)
        merged.update(headers)
        return Answer(self.status, merged, self.body)

    def document(self) -> Any:
        """The body as JSON; ValueError where it is something else."""
        return json.loads(self.body)


class ModelError(Exception):
    """Raised by an endpoint to fail as a model on fal does (protocol 9.1, 9.2).

    `detail` is a list of `{loc, msg, type, ...}` for the model family, or a text for the request family;
    `error_type` goes into the body and into `X-Fal-Error-Type`.
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
        detail = self.detail if isinstance(self.detail, str) else list(self.detail)
        return request_error(self.status, detail, self.error_type).with_headers(self.headers)


def json_answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    body = _encode(document).encode()
    return Answer(status, {"Content-Type": JSON, **(headers or {})}, body)


def request_error(status: int, detail: Any, error_type: str | None = None) -> Answer:
    """`{"detail", "error_type"}` and the header with the same type (protocol 9.2)."""
    if error_type is None:
        return json_answer({"detail": detail}, status)
    return json_answer({"detail": detail, "error_type": error_type}, status, {"X-Fal-Error-Type": error_type})


def detail_entry(
    loc: Sequence[str | int], msg: str, kind: str, value: Any, ctx: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One entry of a model error's list (protocol 9.1)."""
    entry: dict[str, Any] = {"loc": list(loc), "msg": msg, "type": kind, "input": value}
    if ctx is not None:
        entry["ctx"] = dict(ctx)
    return {**entry, "url": f"https://docs.fal.ai/errors#{kind}"}


def bad_request(detail: str) -> Answer:
    return request_error(400, detail, "bad_request")


def bad_json(error: ValueError) -> Answer:
    """A body that is no JSON: 422 in the web framework's form, `loc` starting at `body` (protocol 9.3)."""
    position = getattr(error, "pos", 0)
    entry = {"loc": ["body", position], "msg": "JSON decode error", "type": "json_invalid", "input": {}}
    answer = json_answer({"detail": [{**entry, "ctx": {"error": getattr(error, "msg", str(error))}}]}, 422)
    return answer.with_headers({"x-fal-billable-units": "0"})


def unauthorized(detail: str) -> Answer:
    return request_error(401, detail)


def balance_exhausted() -> Answer:
    """Protocol 9.4: an account without money is a 403 whose detail says so."""
    return request_error(
        403, "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."
    )


def too_many_running() -> Answer:
    """Of a direct call, when the account's limit is reached (protocol 9.4)."""
    answer = request_error(429, "Too many requests run at the same time", "concurrent_requests_limit")
    return answer.with_headers({"X-Fal-Needs-Retry": "1"})


def no_application(name: str) -> Answer:
    answer = request_error(404, f"Application '{name}' not found")
    return answer.with_headers({"x-fal-billable-units": "0"})


def no_path(path: str) -> Answer:
    answer = request_error(404, f"Path /{path} not found")
    return answer.with_headers({"x-fal-billable-units": "0"})


def no_request() -> Answer:
    """The queue's own 404 has no `detail` (protocol 9.3)."""
    return json_answer({"status": "NOT_FOUND"}, 404)


def method_not_allowed() -> Answer:
    return request_error(405, "Method Not Allowed")


def platform_error(status: int, kind: str, message: str) -> Answer:
    """Errors of api.fal.ai are wrapped in `error` (protocol 9.4)."""
    return json_answer({"error": {"type": kind, "message": message}}, status)


def as_platform_error(refused: Answer) -> Answer:
    """The refusal of a key as api.fal.ai words it."""
    return platform_error(refused.status, "authorization_error", refused.document()["detail"])


def nginx_page(status: int, reason: str) -> Answer:
    """The ingress's own page: HTML, and none of fal's headers (protocol 9.3)."""
    title = f"{status} {reason}"
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    return Answer(
        status, {"Content-Type": "text/html"}, page + "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
