"""Every request that was taken: the server's memory of it, and the account that a test balances."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from fal_async.emulator.jobs.job import COMPLETED, Job
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.wire.answers import Answer

BIG_RESULT = 10 * 1024
KEPT_SECONDS, KEPT_SECONDS_BIG = 3600.0, 360.0
"""1 h after completion, 6 min when the result is 10 KB or larger (protocol 4.4)."""


class JobStore:
    """`retention` in seconds replaces fal's own rule. Beyond `limit` entries the oldest go."""

    def __init__(self, *, retention: float | None, limit: int) -> None:
        self._retention, self._limit = retention, limit
        self._jobs: dict[str, Job] = {}
        self.by_id: Mapping[str, Job] = MappingProxyType(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def open(self, served: Served, endpoint_id: str, input: Any, **details: Any) -> Job:
        """No idempotency, as on fal: two submits are two jobs (protocol 12)."""
        job = Job(
            request_id=str(uuid.uuid4()),
            endpoint_id=endpoint_id,
            served=served,
            input=input,
            submitted_at=time.time(),
            **details,
        )
        job.gateway_request_id = job.request_id
        self._jobs[job.request_id] = job
        if len(self._jobs) > self._limit:
            self._drop_the_oldest()
        return job

    def find(self, request_id: str | None) -> Job | None:
        """What the server still knows: not what has expired, not what a restart without memory lost."""
        job = self._jobs.get(request_id or "")
        if job is None or job.forgotten or self._expired(job):
            return None
        return job

    def forget(self) -> None:
        """The server loses its memory; the account stays."""
        for job in self:
            job.forgotten = True

    def kept_seconds(self, answer: Answer) -> float:
        """How long a result stays after completion."""
        if self._retention is not None:
            return self._retention
        return KEPT_SECONDS_BIG if len(answer.body) >= BIG_RESULT else KEPT_SECONDS

    def _expired(self, job: Job) -> bool:
        if job.state != COMPLETED or job.completed_at is None or job.answer is None:
            return False
        return time.time() >= job.completed_at + self.kept_seconds(job.answer)

    def _drop_the_oldest(self) -> None:
        oldest = next(iter(self._jobs.values()))
        if oldest.state == COMPLETED:
            del self._jobs[oldest.request_id]
