"""Verified webhook deliveries, and the outcome that each reports (protocol 8.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import attrs

from fal_async.errors import (
    FalError,
    RequestFailedError,
    RequestRef,
    ResponseDecodeError,
    WebhookVerificationError,
)
from fal_async.models import Completed, Result, T
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.fields import text_in
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation
from fal_async.protocol.results import build_result, result_error
from fal_async.protocol.structure import check_output_type
from fal_async.protocol.webhooks import SignedHeaders

_CODE = re.compile(r"(?i)\W*(?:(?:invalid|unexpected) )?status(?: code)?:? ([345]\d\d)\W*")
"""An error of only these words is fal's, and names "the invalid status code". A number within other words is from
the model, and may be a size in pixels."""


@attrs.frozen(kw_only=True)
class WebhookEvent:
    """One verified delivery: a request has succeeded or failed (protocol 8.1).

    Attributes:
        request_id: the id that submit returned. Deliveries are also deduplicated by it.
        gateway_request_id: id of the platform's last attempt, which differs from `request_id` after a retry; None
            if fal did not send it.
        status: "OK" or "ERROR".
        payload: the model's output; for "ERROR" its error body; None if fal left it out.
        error: what went wrong, for "ERROR"; else None.
        payload_error: why fal left the payload out; None if it did not. Fetch it with `fal.queue.result(...)`.
        user_id: the user, from the signed headers.
        timestamp: when the delivery was signed, from the signed headers, in Unix seconds.
        raw: the whole decoded body.
    """

    request_id: str
    gateway_request_id: str | None = None
    status: str
    payload: Any = attrs.field(default=None, repr=False)
    error: str | None = None
    payload_error: str | None = None
    user_id: str = ""
    timestamp: int = 0
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return self.status == "OK"

    @property
    def completed(self) -> Completed:
        """The status that a poll would return, without the fields that a delivery lacks (logs and metrics)."""
        error = None if self.ok else self.error or f"completed with status {self.status}"
        return Completed(request_id=self.request_id, error=error, raw=self.raw)

    @property
    def is_incomplete(self) -> bool:
        """Whether the request succeeded but fal left its output out. Fetch it with `fal.queue.result(...)`."""
        return self.ok and self.payload is None and self.payload_error is not None

    @property
    def lacks_headers(self) -> bool:
        """Whether the headers of the result's response would say more about this failure: for a 429 or a 5xx.

        They say whether a retry may help, and whether the caller's own start timeout passed (protocol 3.2).
        """
        code = None if self.ok else _code_of(self.error, self.payload)
        return code is not None and (code == 429 or code >= 500)

    def result(self, endpoint_id: str | None = None, *, output_type: type[T] | None = None) -> Result[T, str]:
        """Return the same `Result` as `fal.queue.result`, or raise the same error.

        The result lacks what a delivery does not carry: response headers (so `billable_units`), logs and metrics.
        For a failure with `lacks_headers`, `fal.queue.result` may say more: here, a StartTimeoutError is a
        ServerError. Errors have `retryable=False`, because the delivery does not change.

        Args:
            endpoint_id: put into errors only; None (the default) leaves it out.
            output_type: the type to build from the output; None (the default) keeps plain JSON values.

        Returns:
            The result, without logs and headers.

        Raises:
            RequestFailedError: the request failed, and the delivery does not show an HTTP status.
            ApiError: the request failed with an HTTP status; the subclass depends on it (protocol 9).
            RequestCancelledError: the request was cancelled.
            ResponseDecodeError: fal left the output out (`payload_error`), or it does not fit `output_type`.
            ConfigurationError: `output_type` can't be built from JSON.
        """
        check_output_type(output_type)
        if not self.ok:
            raise self._failure(endpoint_id)
        if self.is_incomplete:
            raise ResponseDecodeError(
                "fal left the payload out of the webhook: fetch the result with fal.queue.result(...)",
                request_id=self.request_id,
                endpoint_id=endpoint_id,
            )
        ref = RequestRef(endpoint_id=endpoint_id, request_id=self.request_id)
        return build_result(self.payload, output_type, ref, attempts={"webhook": 1}, status=self.completed)

    def _failure(self, endpoint_id: str | None) -> FalError:
        code = _code_of(self.error, self.payload)
        if code is None:
            return RequestFailedError(
                self.completed.error, request_id=self.request_id, endpoint_id=endpoint_id
            )
        request = HttpRequest(
            operation=Operation.RESULT,
            method="GET",
            url="",
            ref=RequestRef(endpoint_id=endpoint_id, request_id=self.request_id),
        )
        body = b"" if self.payload is None else json.dumps(self.payload).encode()
        # The header marks the error as fal's, not a gateway's, which the signature proves.
        headers = {"content-type": "application/json", "x-fal-request-id": self.request_id}
        error = error_of(request, HttpResponse(status=code, headers=headers, body=body))
        error.retryable = False
        return result_error(error, self.completed)


def _code_of(error: str | None, payload: Any) -> int | None:
    if found := _CODE.fullmatch(error or ""):
        return int(found[1])
    # A list of model errors is a 422 unless another status is given (protocol 9.1).
    is_list = isinstance(payload, dict) and isinstance(payload.get("detail"), list)
    return 422 if is_list else None


def parse_event(body: bytes, signed: SignedHeaders) -> WebhookEvent:
    """Parse a body with a valid signature. Raise WebhookVerificationError unless it has the signed request id."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WebhookVerificationError("the signed body is not JSON") from error
    if not isinstance(document, dict) or not isinstance(document.get("status"), str):
        raise WebhookVerificationError("the signed body is not a webhook event: expected a str as its status")
    if document.get("request_id") != signed.request_id:
        raise WebhookVerificationError("the request_id in the body is not the signed one")
    return WebhookEvent(
        request_id=signed.request_id,
        gateway_request_id=text_in(document, "gateway_request_id"),
        status=document["status"],
        payload=document.get("payload"),
        error=text_in(document, "error"),
        payload_error=text_in(document, "payload_error"),
        user_id=signed.user_id,
        timestamp=signed.timestamp,
        raw=document,
    )
