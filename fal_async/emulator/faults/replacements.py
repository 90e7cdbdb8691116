"""Kinds of fault that replace the real answer."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import attrs

from fal_async.emulator.faults.effect import Effect
from fal_async.emulator.faults.fault_fields import http_status, needed, redirect_status
from fal_async.emulator.wire.answers import (
    Answer,
    balance_exhausted,
    json_answer,
    nginx_page,
    no_request,
    request_error,
    unauthorized,
)

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


@attrs.frozen(kw_only=True)
class _Replacement(Effect):
    """`taken`: whether the request is executed before the replacement is sent."""

    read_share: ClassVar[float] = 1.0

    taken: bool

    def executes(self, *, piecemeal: bool) -> bool:
        return self.taken and not piecemeal


@attrs.frozen(kw_only=True)
class OtherAnswer(_Replacement):
    kind = "answer"

    status: int = attrs.field(validator=http_status)
    retry_after: str | None
    fal_headers: bool
    detail: Any
    error_type: str | None
    needs_retry: bool | None
    headers: Mapping[str, str]
    body: str | None

    def instead(self, request_id: str | None) -> Answer | None:
        answer = self._fal_answer() if self.fal_headers else _page(self.status)
        headers = dict(self.headers)
        if self.fal_headers:
            headers.setdefault("x-fal-request-id", request_id or str(uuid.uuid4()))
        if self.retry_after is not None:
            headers["Retry-After"] = self.retry_after
        if self.needs_retry is not None:
            headers["X-Fal-Needs-Retry"] = "1" if self.needs_retry else "0"
        answer = answer.with_headers(headers)
        return answer if self.body is None else Answer(self.status, answer.headers, self.body)

    @property
    def verbatim(self) -> bool:
        return self.body is not None

    def _fal_answer(self) -> Answer:
        """Return the status with the body of protocol 9, or with the given `detail` and `error_type`."""
        if self.detail is not None:
            return request_error(self.status, self.detail, self.error_type)
        if self.status < 300:
            return json_answer({}, self.status)
        if self.status == 401:
            return unauthorized("No user found for Key ID and Secret")
        if self.status == 422:
            entry = {"loc": ["body", "prompt"], "msg": "Field required", "type": "missing", "input": {}}
            return json_answer({"detail": [entry]}, 422)
        error_type = self.error_type or _TYPES.get(self.status)
        return request_error(self.status, _phrase(self.status), error_type)


@attrs.frozen(kw_only=True)
class Html(_Replacement):
    kind = "html"

    status: int = attrs.field(default=502, validator=http_status)

    def instead(self, request_id: str | None) -> Answer | None:
        return _page(self.status)


class Balance(_Replacement):
    kind = "balance"

    def instead(self, request_id: str | None) -> Answer | None:
        return balance_exhausted()


class Vanish(_Replacement):
    kind = "vanish"

    def instead(self, request_id: str | None) -> Answer | None:
        return no_request()


@attrs.frozen(kw_only=True)
class Redirect(_Replacement):
    kind = "redirect"

    url: str = attrs.field(validator=needed)
    status: int = attrs.field(default=307, validator=redirect_status)

    def instead(self, request_id: str | None) -> Answer | None:
        return Answer(self.status, {"Location": self.url})


def _page(status: int) -> Answer:
    return nginx_page(status, _phrase(status))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
