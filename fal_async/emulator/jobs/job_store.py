"""Every request that was taken: the server's memory of it, and the account that a test balances."""

from __future__ import annotations

import random
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from fal_async.emulator.jobs.books import Books
from fal_async.emulator.jobs.job import COMPLETED, Job
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.wire.answers import Answer

BIG_RESULT = 10 * 1024
KEPT_SECONDS, KEPT_SECONDS_BIG = 3600.0, 360.0
"""1 h after completion, 6 min when the result is 10 KB or larger (protocol 4.4)."""
_BOOKED = frozenset({"queue", "run", "stream"})


class JobStore:
    """`retention` in seconds replaces fal's own rule. Beyond `limit` entries those that ended first go. One that
    ended `forget_after` seconds ago is found no longer; its memory is free with the next submit. `books` keeps what
    was taken all the same."""

    def __init__(self, *, retention: float | None, limit: int, forget_after: float | None) -> None:
        self._retention, self._limit, self._forget_after = retention, limit, forget_after
        # An ordinary dict looks for its first entry among all places that were freed before it.
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._ended: deque[Job] = deque()
        self._dice = random.Random()  # the system's own random numbers cost more
        self.by_id: Mapping[str, Job] = MappingProxyType(self._jobs)
        self.books: Books = Books()

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def open(self, served: Served, endpoint_id: str, input: Any, *, via: str, **details: Any) -> Job:
        """No idempotency, as on fal: two submits are two jobs (protocol 12)."""
        job = Job(
            request_id=self.new_id(),
            endpoint_id=endpoint_id,
            served=served,
            input=input,
            via=via,
            submitted_at=time.time(),
            **details,
        )
        job.gateway_request_id = job.request_id
        self._jobs[job.request_id] = job
        if via in _BOOKED:
            self.books.enter(endpoint_id, input, job.request_id)
        self._drop_the_old()
        return job

    def new_id(self) -> str:
        return str(uuid.UUID(int=self._dice.getrandbits(128), version=4))

    def ended(self, job: Job) -> None:
        """It may be dropped from now on."""
        self._ended.append(job)

    def find(self, request_id: str | None) -> Job | None:
        """What the server still knows: not what has expired, not what a restart without memory lost."""
        job = self._jobs.get(request_id or "")
        if job is None or job.forgotten or self._expired(job) or self._is_old(job):
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

    def _drop_the_old(self) -> None:
        while self._ended and (len(self._jobs) > self._limit or self._is_old(self._ended[0])):
            del self._jobs[self._ended.popleft().request_id]

    def _is_old(self, job: Job) -> bool:
        if self._forget_after is None or job.completed_at is None:
            return False
        return time.time() >= job.completed_at + self._forget_after
