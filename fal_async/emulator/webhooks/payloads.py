"""What a delivery carries (protocol 8.1)."""

from __future__ import annotations

import json
from typing import Any

from fal_async.emulator.jobs.job import Job
from fal_async.emulator.wire.answers import Answer


def delivery_body(job: Job) -> bytes:
    """The JSON of 8.1. ValueError where the job is not complete."""
    if job.answer is None:
        raise ValueError(f"request {job.request_id} is not complete: there is nothing to deliver yet")
    document: dict[str, Any] = {
        "request_id": job.request_id,
        # The last attempt's id, which differs after a retry by the platform (4.7, 8.1).
        "gateway_request_id": job.gateway_request_id,
        "status": "ERROR" if job.failed else "OK",
        **_payload(job.answer),
    }
    if job.failed:
        document["error"] = f"Invalid status code: {job.answer.status}"
    return json.dumps(document, separators=(",", ":")).encode()


def _payload(answer: Answer) -> dict[str, Any]:
    """On ERROR the error body. What is no JSON is left out, and the receiver fetches the result (8.1)."""
    try:
        return {"payload": answer.document()}
    except ValueError:
        return {"payload": None, "payload_error": "The payload is no JSON and is not included"}
