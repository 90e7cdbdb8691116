"""The one place where a `Result` is built out of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fal_async.errors import RequestRef, naming
from fal_async.models import Completed, Files, RequestLog, Result
from fal_async.protocol.http import HttpResponse, decode_body
from fal_async.protocol.structure import structure


def parse_result(
    response: HttpResponse,
    output_type: Any,
    ref: RequestRef,
    *,
    attempts: Mapping[str, int],
    status: Completed | None = None,
    logs: Sequence[RequestLog] = (),
    files: Files | None = None,
) -> Result[Any]:
    """The result that an answer carries. ResponseDecodeError where it is not what it says, or no `output_type`."""
    with naming(ref):
        data = decode_body(response)
    return build_result(
        data,
        output_type,
        ref,
        attempts=attempts,
        status=status,
        logs=logs,
        headers=response.headers,
        files=files,
    )


def build_result(
    data: Any,
    output_type: Any,
    ref: RequestRef,
    *,
    attempts: Mapping[str, int],
    status: Completed | None = None,
    logs: Sequence[RequestLog] = (),
    headers: Mapping[str, str] | None = None,
    files: Files | None = None,
) -> Result[Any]:
    """A result of decoded `data`, as `output_type` where one is given. ResponseDecodeError where it is none."""
    if output_type is not None:
        with naming(ref):
            data = structure(data, output_type)
    return Result(
        data=data,
        request_id=ref.request_id,
        attempts=dict(attempts),
        status=status,
        logs=tuple(logs),
        headers={} if headers is None else headers,
        files=files,
    )
