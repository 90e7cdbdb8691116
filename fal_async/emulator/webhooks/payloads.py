"""The body of a webhook delivery (protocol 8.1)."""

from __future__ import annotations

import json
from typing import Any

from fal_async.emulator.jobs.job import Job
from fal_async.emulator.wire.answers import Answer


def delivery_body(job: Job) -> bytes:
    """Return the JSON body of a delivery (8.1). Raise ValueError if the job is not completed."""
    if job.answer is None:
        raise ValueError(f"request {job.request_id} is not complete: wait until it has a result to deliver")
    document: dict[str, Any] = {
        "request_id": job.request_id,
        # The id of the last attempt, which is another one if fal retried the request (4.7, 8.1).
        "gateway_request_id": job.gateway_request_id,
        "status": "ERROR" if job.failed else "OK",
        **_payload(job.answer),
    }
    if job.failed:
        document["error"] = f"Invalid status code: {job.answer.status}"
    return json.dumps(document, separators=(",", ":")).encode()


def _payload(answer: Answer) -> dict[str, Any]:
    """Return the result or the error's body. The receiver must fetch a body that is not JSON itself (8.1)."""
    try:
        return {"payload": answer.document()}
    except ValueError:
        return {"payload": None, "payload_error": "The payload is not JSON, so it is not included"}
