"""The outcome of a request, as a webhook delivery reports it (protocol 8.1).

Citations such as (protocol 8.1) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import json

from fal_async.errors import FalError
from fal_async.protocol.http import JSON_TYPE, REQUEST_ID, HttpResponse
from fal_async.protocol.ledger import ends
from fal_async.protocol.ledger.entry import End
from fal_async.protocol.webhook_events import WebhookEvent


def end_of_event(event: WebhookEvent, at: float) -> End | None:
    """Return the outcome that is stored for a delivery; None if fal has left out the payload.

    The result is the payload as JSON. It has no billable units, because a delivery has none. `at`: when it was
    delivered, in Unix seconds.
    """
    if event.payload is None and event.payload_error is not None:
        return None
    if event.ok:
        body = json.dumps(event.payload, separators=(",", ":")).encode()
        headers = {"content-type": JSON_TYPE, REQUEST_ID: event.request_id}
        return ends.done(HttpResponse(status=200, headers=headers, body=body), at)
    try:
        event.result()
    except FalError as error:
        end = ends.end_of(error, completed=event.completed, at=at, is_delivered=True)
        return end if isinstance(end, End) else None
    raise AssertionError("the event of a failed request raises its error")


def is_better_fetched(event: WebhookEvent, *, fetch_units: bool) -> bool:
    """Return whether the response of the result URL says more than the delivery, because of its headers.

    For a 429 or a 5xx they say whether the caller's start timeout passed, for a result how many units were billed.
    """
    return event.lacks_headers or (fetch_units and event.ok)
