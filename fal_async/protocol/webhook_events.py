"""What a verified delivery says, and the outcome that it stands for (protocol 8.1)."""

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
"""A text that is nothing but this is fal's, and names "the invalid status code". A number within other words is the
model's: it may be one of pixels."""


@attrs.frozen(kw_only=True)
class WebhookEvent:
    """One delivery: a request is complete, well or badly.

    Attributes:
        request_id: the id that submit gave. It is also the key by which deliveries are de-duplicated.
        gateway_request_id: id of the platform's last attempt; differs from `request_id` after a retry.
        status: "OK" or "ERROR".
        payload: the model's output; on ERROR its error body; None where fal left it out.
        error: on ERROR, what went wrong.
        payload_error: why the payload was left out: fetch it with `fal.queue.result(...)`.
        user_id, timestamp: from the signed headers; Unix seconds.
        raw: the whole body.
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
        return self.status == "OK"

    @property
    def completed(self) -> Completed:
        """The status that a poll would show, as far as a delivery tells."""
        error = None if self.ok else self.error or f"completed with status {self.status}"
        return Completed(request_id=self.request_id, error=error, raw=self.raw)

    @property
    def is_incomplete(self) -> bool:
        """It went well, but the output is not in here: fetch it."""
        return self.ok and self.payload is None and self.payload_error is not None

    @property
    def lacks_headers(self) -> bool:
        """A failure that the answer's headers tell more about, and a delivery has none: a 429 or a 5xx.

        Whether asking again is of use, and whether it was the caller's own start timeout (protocol 3.2).
        """
        code = None if self.ok else _code_of(self.error, self.payload)
        return code is not None and (code == 429 or code >= 500)

    def result(self, endpoint_id: str | None = None, *, output_type: type[T] | None = None) -> Result[T, str]:
        """The same `Result` as `fal.queue.result` gives, or the same error raised.

        What a delivery does not carry is missing: response headers (so `billable_units`), logs and metrics.
        Of a failure with `lacks_headers`, `fal.queue.result` may tell more: a StartTimeoutError is a
        ServerError here. `retryable` is always False: the delivery stays what it is.
        `endpoint_id` is only put into errors.

        ResponseDecodeError where fal left the payload of a success out (`payload_error`).
        """
        check_output_type(output_type)
        if not self.ok:
            raise self._failure(endpoint_id)
        if self.is_incomplete:
            raise ResponseDecodeError(
                "fal left the payload out of the webhook: fetch it with fal.queue.result(...)",
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
        # That it came by fal, not from a gateway, is certain: it is signed.
        headers = {"content-type": "application/json", "x-fal-request-id": self.request_id}
        error = error_of(request, HttpResponse(status=code, headers=headers, body=body))
        error.retryable = False
        return result_error(error, self.completed)


def _code_of(error: str | None, payload: Any) -> int | None:
    if found := _CODE.fullmatch(error or ""):
        return int(found[1])
    # A list of model errors is a 422 wherever nothing else is said (protocol 9.1).
    is_list = isinstance(payload, dict) and isinstance(payload.get("detail"), list)
    return 422 if is_list else None


def parse_event(body: bytes, signed: SignedHeaders) -> WebhookEvent:
    """A body whose signature holds. WebhookVerificationError where it is not about the signed request id."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WebhookVerificationError("the signed body is no JSON") from error
    if not isinstance(document, dict) or not isinstance(document.get("status"), str):
        raise WebhookVerificationError("the signed body is no webhook event")
    if document.get("request_id") != signed.request_id:
        raise WebhookVerificationError("the body's request_id is not the signed one")
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
