"""The part of fal in the state machine: the requests that it has accepted, and their outcomes."""

from __future__ import annotations

import json
from typing import Literal

import attrs

from fal_async.errors import (
    CancelOutcome,
    FalError,
    RequestCancelledError,
    ResultExpiredError,
    ServerError,
    TransportError,
    ValidationError,
)
from fal_async.models import Completed
from fal_async.protocol.http import HttpResponse

Answer = Literal["ok", "open", "final", "cancelled", "gone"]


@attrs.define(kw_only=True)
class Job:
    """A paid request. `place`: the key for which it was submitted. `token`: that in its webhook URL."""

    id: str
    place: str
    token: str
    answer: Answer | None = None
    runs: bool = False

    def outcome(self) -> tuple[HttpResponse | FalError, Completed | None]:
        """Return what following the request encounters, and its last status."""
        if self.answer is None:
            return TransportError("nothing is known yet"), None
        if self.answer == "ok":
            body = json.dumps({"of": self.id}).encode()
            headers = {"content-type": "application/json", "x-fal-request-id": self.id}
            return HttpResponse(status=200, headers=headers, body=body), Completed(request_id=self.id)
        failed = Completed(request_id=self.id, error="it failed")
        return {
            "open": ServerError("broken", status=500),
            "final": ValidationError("no", status=422),
            "cancelled": RequestCancelledError("cancelled"),
            "gone": ResultExpiredError("gone", status=404),
        }[self.answer], failed


@attrs.define
class Books:
    jobs: dict[str, Job] = attrs.field(factory=dict)

    def take(self, place: str, token: str) -> Job:
        job = Job(id=f"id-{len(self.jobs) + 1}", place=place, token=token)
        self.jobs[job.id] = job
        return job

    def of(self, place: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.place == place]

    def cancel(self, request_id: str) -> CancelOutcome:
        job = self.jobs[request_id]
        if job.answer == "gone":
            return CancelOutcome.NOT_FOUND
        if job.answer is not None:
            return CancelOutcome.ALREADY_COMPLETED
        if job.runs:
            return CancelOutcome.CANCELLATION_REQUESTED
        job.answer = "cancelled"
        return CancelOutcome.CANCELLED
