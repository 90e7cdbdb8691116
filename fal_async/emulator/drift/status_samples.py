"""The emulator's answers about requests in each state, by which recorded ones are judged.

They don't depend on the endpoint, but only an endpoint that waits shows all states.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import attrs

from fal_async.emulator.drift.emulated_calls import EmulatedCalls
from fal_async.emulator.jobs.job import COMPLETED, IN_PROGRESS, IN_QUEUE, JobContext
from fal_async.emulator.wire.answers import ModelError

_FLAT, _LABELLED = "emulator/drift", "emulator/drift/labels"
FAILED = "failed"
"""Stands for COMPLETED with an error."""


@attrs.frozen
class StatusSamples:
    """Answers of the emulator.

    Attributes:
        documents: the document of a status by its state, or by `FAILED`, without its logs.
        logs: log entries, one of each form that the emulator has (protocol 4.2).
    """

    documents: Mapping[str, Mapping[str, Any]]
    logs: tuple[Mapping[str, Any], ...]

    @property
    def states(self) -> list[str]:
        """The states of a request."""
        return [name for name in self.documents if name != FAILED]

    def document_like(self, recorded: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the document of the recorded one's state; None if the emulator has no such state."""
        state = str(recorded.get("status"))
        return self.documents.get(FAILED if state == COMPLETED and "error" in recorded else state)


async def status_samples(calls: EmulatedCalls) -> StatusSamples:
    """Bring requests into each state, and return what the emulator answers about them."""
    gate = asyncio.Event()

    async def waiting(input: dict[str, Any], job: JobContext) -> dict[str, Any]:
        job.log("a line")
        await job.wait_for(gate.wait())
        if input.get("fails"):
            raise ModelError(500, "failed", "runner_server_error")
        return {}

    for endpoint_id in (_FLAT, _LABELLED):
        calls.emulator.endpoint(endpoint_id, runners=1, log_labels=endpoint_id == _LABELLED)(waiting)
    first = await calls.submitted(_FLAT, {})
    second = await calls.submitted(_FLAT, {"fails": True})
    labelled = await calls.submitted(_LABELLED, {})
    for job in (first, labelled):
        await job.wait_for(IN_PROGRESS)
    begun = [await calls.status(job) for job in (first, labelled)]
    documents = {IN_QUEUE: await calls.status(second), IN_PROGRESS: begun[0]}
    gate.set()
    for job, name in ((first, COMPLETED), (second, FAILED), (labelled, COMPLETED)):
        await job.wait_for(COMPLETED)
        documents[name] = await calls.status(job)
    logs = tuple(document["logs"][0] for document in begun)
    return StatusSamples({name: _without_logs(document) for name, document in documents.items()}, logs)


def _without_logs(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "logs"}
