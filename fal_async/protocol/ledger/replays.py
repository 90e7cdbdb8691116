"""From what is stored back to what a call gives: a result, or its error. Each caller gets values of its own."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import attrs

from fal_async.errors import FalError, RequestRef
from fal_async.models import Files, Result
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.ledger.entry import Record
from fal_async.protocol.ledger.refusals import expired
from fal_async.protocol.ledger.stored_errors import parse_error
from fal_async.protocol.results import parse_result


def replayed(
    record: Record, output_type: Any = None, *, files: Files | None = None, cost: Decimal | None = None
) -> Result[Any, str]:
    """The result of an entry that ended, as `output_type` where one is given.

    Raises the stored error; ResultExpiredError where the ledger no longer keeps the end; ResponseDecodeError where
    the output is no `output_type`.
    """
    error = replayed_error(record)
    if error is not None:
        raise error
    result = parse_result(
        stored_answer(record),
        output_type,
        ref_of(record),
        attempts={},
        files=files,
    )
    return attrs.evolve(result, from_ledger=True, cost=cost)


def replayed_error(record: Record) -> FalError | None:
    """The error that an ended entry stands for, a new one each time; None for a result that is there."""
    if record.expired or record.end is None:
        return expired(record)
    return None if record.state == "done" else parse_error(record.end.body).about(ref_of(record))


def stored_answer(record: Record) -> HttpResponse:
    """What fal gave as the result of an entry that is done."""
    assert record.end is not None
    headers = {**record.headers, "content-type": record.end.content_type}
    return HttpResponse(status=200, headers=headers, body=record.end.body)


def ref_of(record: Record) -> RequestRef:
    """The request that the stored end is of."""
    return RequestRef(endpoint_id=record.endpoint_id, request_id=record.request_id)
