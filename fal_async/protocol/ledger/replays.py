"""Build the result or the error of a stored entry. Each caller gets its own objects."""

from __future__ import annotations

from typing import Any

import attrs

from fal_async.errors import FalError, RequestRef
from fal_async.models import Files, Result
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.ledger.entry import Record
from fal_async.protocol.ledger.refusals import expired
from fal_async.protocol.ledger.stored_errors import parse_error
from fal_async.protocol.results import parse_result


def replayed(record: Record, output_type: Any = None, *, files: Files | None = None) -> Result[Any, str]:
    """Return the result of an entry with an outcome, as `output_type` if one is given.

    Raises the stored error; ResultExpiredError if the outcome was deleted after `keep` seconds; ResponseDecodeError
    if the output does not fit `output_type`.
    """
    error = replayed_error(record)
    if error is not None:
        raise error
    attempt = record.attempt_of(record.request_id or "")
    result = parse_result(
        stored_answer(record),
        output_type,
        ref_of(record),
        attempts={},
        files=files,
        cost=None if attempt is None else attempt.cost,
    )
    return attrs.evolve(result, from_ledger=True)


def replayed_error(record: Record) -> FalError | None:
    """Return a new copy of the stored error of an entry with an outcome; None if it has a result."""
    if record.expired or record.end is None:
        return expired(record)
    return None if record.state == "done" else parse_error(record.end.body).about(ref_of(record))


def stored_answer(record: Record) -> HttpResponse:
    """Return the response that fal sent with the result of a "done" entry."""
    assert record.end is not None
    headers = {**record.headers, "content-type": record.end.content_type}
    return HttpResponse(status=200, headers=headers, body=record.end.body)


def ref_of(record: Record) -> RequestRef:
    """Return the request to which the stored outcome belongs."""
    return RequestRef(endpoint_id=record.endpoint_id, request_id=record.request_id)
