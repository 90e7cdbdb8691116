"""Verified webhook deliveries, and the outcome that each reports (protocol 8.1).

Citations such as (protocol 8.1) are sections of `fal_async/protocol/README.md`.
"""

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
from fal_async.models import Completed, Out, OutOr, Result
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.endpoint import Endpoint
from fal_async.protocol.fields import text_in
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation
from fal_async.protocol.results import build_result, result_error
from fal_async.protocol.structure import check_output_type
from fal_async.protocol.webhooks import SignedHeaders

_CODE = re.compile(r"(?i)\W*(?:(?:invalid|unexpected) )?status(?: code)?:? ([345]\d\d)\W*")
"""The form of fal's own errors, which have only the status code.

A number in any other text is from the model, and may be a size in pixels."""


@attrs.frozen(kw_only=True)
class WebhookEvent:
    """One verified delivery: a request has succeeded or failed (protocol 8.1).

    Attributes:
        request_id: the id that submit returned. fal may deliver an event twice: ignore a second one with this id.
        gateway_request_id: the id of the platform's last attempt, which differs from `request_id` after a retry;
            None if fal did not send it.
        status: "OK" or "ERROR".
        payload: the model's output, or its error body if `status` is "ERROR"; None if fal did not include it.
        error: fal's description of the failure; None if `status` is "OK".
        payload_error: the reason why fal did not include the payload, or None. Fetch it with
            `fal.queue.result(...)`.
        user_id: the id of fal's user, from the signed headers.
        timestamp: when the delivery was signed, in Unix seconds, from the signed headers.
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
        """The status that a poll would return, but without logs and metrics, which a delivery does not have."""
        error = None if self.ok else self.error or f"completed with status {self.status}"
        return Completed(request_id=self.request_id, error=error, raw=self.raw)

    @property
    def is_incomplete(self) -> bool:
        """Whether the request succeeded but the delivery has no output. Fetch it with `fal.queue.result(...)`."""
        return self.ok and self.payload is None and self.payload_error is not None

    @property
    def lacks_headers(self) -> bool:
        """Whether the failure is a 429 or a 5xx, so that `fal.queue.result(...)` raises a more precise error.

        Its response has headers that say whether a retry may help, and whether the caller's own start timeout
        passed (protocol 3.2).
        """
        code = None if self.ok else _code_of(self.error, self.payload)
        return code is not None and (code == 429 or code >= 500)

    def result(
        self,
        endpoint_id: str | Endpoint[Any, Out] | None = None,
        *,
        output_type: type[OutOr] | None = None,
    ) -> Result[OutOr, str]:
        """Return the same `Result` as `fal.queue.result`, or raise the same error.

        A delivery has no response headers (so `billable_units` is None), no logs and no metrics. If `lacks_headers`
        is True, the error may be less precise than that of `fal.queue.result`: a StartTimeoutError is a ServerError
        here. Errors have `retryable=False`, because the delivery does not change.

        Args:
            endpoint_id: the endpoint, which only errors have; or an `Endpoint`, whose output type is built as well.
                None (default): errors have none.
            output_type: the type to build from the output; see `Session.run`. None (default): that of the
                `Endpoint`, else decoded JSON.

        Returns:
            The result, without logs and headers.

        Raises:
            RequestFailedError: the request failed, and the delivery does not show an HTTP status.
            ApiError: the request failed with an HTTP status; the subclass depends on it (protocol 9).
            RequestCancelledError: the request was cancelled.
            ResponseDecodeError: the delivery has no output (see `payload_error`), or it does not fit `output_type`.
            ConfigurationError: `output_type` can't be built from JSON.
        """
        into: Any = output_type
        if isinstance(endpoint_id, Endpoint):
            into, endpoint_id = endpoint_id.output if output_type is None else output_type, endpoint_id.id
        check_output_type(into)
        if not self.ok:
            raise self._failure(endpoint_id)
        if self.is_incomplete:
            raise ResponseDecodeError(
                "the webhook has no payload: fetch the result with fal.queue.result(...)",
                request_id=self.request_id,
                endpoint_id=endpoint_id,
            )
        ref = RequestRef(endpoint_id=endpoint_id, request_id=self.request_id)
        return build_result(self.payload, into, ref, attempts={"webhook": 1}, status=self.completed)

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
        # The header marks the error as fal's, and not a gateway's. The signature has proved that.
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
