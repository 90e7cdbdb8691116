"""Direct calls: `POST https://fal.run/{endpoint_id}` (protocol 3)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from fal_async.config import Settings
from fal_async.errors import ConfigurationError, RequestRef, ResponseDecodeError
from fal_async.models import Files, Result
from fal_async.options import CallOptions
from fal_async.protocol.api_errors import check_from_fal
from fal_async.protocol.endpoint import CHAIN, EndpointId
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation, decode_json
from fal_async.protocol.json_input import encode_json, input_value
from fal_async.protocol.options import option_headers
from fal_async.protocol.results import parse_result

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def run_request(
    settings: Settings, endpoint: EndpointId, input: Any, options: CallOptions, method: str = "POST"
) -> HttpRequest:
    """Return the request of a direct call.

    The body is the model's input itself. With GET and DELETE the input is sent as the query (protocol 3).
    """
    if method not in METHODS:
        raise ConfigurationError(f"method={method!r}: expected one of {', '.join(METHODS)}")
    value = input_value(input)
    in_query = method in ("GET", "DELETE")
    query = _query(value) if in_query else ""
    return HttpRequest(
        operation=Operation.RUN,
        method=method,
        url=f"{settings.hosts.run}/{endpoint.full}{query}",
        headers=option_headers(options, settings.tags, queue=False),
        body=None if in_query else encode_json(value),
        ref=endpoint.ref,
        once=endpoint == CHAIN,
    )


def _query(value: Any) -> str:
    plain = decode_json(encode_json(value))
    pairs = [
        (name, item if isinstance(item, str) else encode_json(item).decode()) for name, item in plain.items()
    ]
    return f"?{urlencode(pairs)}" if pairs else ""


def parse_run(
    response: HttpResponse,
    endpoint: EndpointId,
    output_type: Any,
    files: Files | None = None,
    cost: Decimal | None = None,
) -> Result[Any]:
    """Parse the response of a direct call. Raises the same errors as `parse_result`, with `retryable=False`."""
    ref = RequestRef(endpoint_id=endpoint.full, request_id=response.request_id)
    try:
        check_from_fal(response)
        attempts = {"run": response.attempts}
        return parse_result(response, output_type, ref, attempts=attempts, files=files, cost=cost)
    except ResponseDecodeError as error:
        error.about(ref).retryable = False  # the model probably ran, so a second call may be billed again
        raise
