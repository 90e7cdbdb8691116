"""All accepted requests: what the server knows about them, and what tests count."""

from __future__ import annotations

import random
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.accounts.prices import PriceList
from fal_async.emulator.event_loop import EmulatorLoop
from fal_async.emulator.jobs.books import Books
from fal_async.emulator.jobs.job import COMPLETED, Job
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.jobs.shared_headers import SharedHeaders
from fal_async.emulator.timing.clock import Clock
from fal_async.emulator.wire.answers import Answer

BIG_RESULT = 10 * 1024
KEPT_SECONDS, KEPT_SECONDS_BIG = 3600.0, 360.0
"""Seconds: 1 h after completion, 6 min if the result has 10 KB or more (protocol 4.4)."""
_BOOKED = frozenset({"queue", "run", "stream"})


class JobStore:
    """The jobs, by request id.

    `retention` in seconds replaces fal's own rule. Above `limit` entries, the jobs that completed first are
    deleted. A job that completed more than `forget_after` seconds ago is not found any more, and the next submit
    deletes it.
    `books` still counts deleted jobs.
    """

    def __init__(
        self,
        loop: EmulatorLoop,
        clock: Clock,
        prices: PriceList,
        *,
        retention: float | None,
        limit: int,
        forget_after: float | None,
    ) -> None:
        self._retention, self._limit, self._forget_after = retention, limit, forget_after
        self._prices, self._loop, self._clock = prices, loop, clock
        self._jobs: dict[str, Job] = {}
        self._ended: deque[Job] = deque()
        self._headers = SharedHeaders()
        self._random = random.Random()  # much faster than the system's random numbers
        self.by_id: Mapping[str, Job] = MappingProxyType(self._jobs)
        self.books: Books = Books()
        self.books_of_scopes: dict[Account, Books] = {}
        """Further books, each with the requests of one account only."""
        self.accepted: int = 0
        self.ended_count: int = 0
        self.failed_count: int = 0
        """How many jobs were accepted, have ended, and have failed so far, deleted ones included."""

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def open(
        self,
        served: Served,
        endpoint_id: str,
        input: Any,
        *,
        via: str,
        headers: Mapping[str, str],
        request_id: str | None = None,
        **details: Any,
    ) -> Job:
        """Add a job. Two equal submits are two jobs, as on fal (protocol 12).

        `request_id` is that of a recording; a new one is made if it is None or belongs to another job.
        """
        job = Job(
            request_id=self.new_id() if request_id is None or request_id in self._jobs else request_id,
            endpoint_id=endpoint_id,
            served=served,
            input=input,
            via=via,
            headers=self._headers.shared(headers),
            submitted_at=self._clock.now(),
            loop=self._loop,
            clock=self._clock,
            **details,
        )
        job.gateway_request_id = job.request_id
        self._jobs[job.request_id] = job
        self.accepted += 1
        if via in _BOOKED:
            self.books.enter(endpoint_id, input, job.request_id)
            if job.account.is_scope and (own := self.books_of_scopes.get(job.account)) is not None:
                own.enter(endpoint_id, input, job.request_id)
        self._drop_old_jobs()
        return job

    def restore(self, job: Job) -> None:
        """Add a job of a saved state, which is neither billed nor counted again."""
        self._jobs[job.request_id] = job

    def restore_ends(self, jobs: Iterable[Job]) -> None:
        """Note that jobs of a saved state may be deleted, those that completed first at the beginning."""
        self._ended.extend(jobs)
        self._drop_old_jobs()

    def new_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def ended(self, job: Job) -> None:
        """Charge the account of a job that is completed, and note that the job may be deleted."""
        job.price = self._prices.find(job.served.endpoint_id)
        job.account.charge(job.cost)
        self._ended.append(job)
        self.ended_count += 1
        self.failed_count += job.failed

    def find(self, request_id: str | None) -> Job | None:
        """Return a job, or None if it is unknown, expired, or forgotten by a restart without memory."""
        job = self._jobs.get(request_id or "")
        if job is None or job.forgotten or self._expired(job) or self._is_forgotten(job):
            return None
        return job

    def of(self, account: Account | None) -> dict[str, Job]:
        """Return the jobs of one account, or for None all jobs, by request id, in order of arrival."""
        # A copy, since a test may ask in another thread than that of the emulator.
        jobs = self._jobs.copy()
        return (
            jobs if account is None else {name: job for name, job in jobs.items() if job.account is account}
        )

    def forget(self) -> None:
        """Make all jobs unknown to clients, as a restart without memory does; tests still see them."""
        for job in self:
            job.forgotten = True

    def kept_seconds(self, answer: Answer) -> float:
        """Return the seconds for which a result is kept after completion."""
        if self._retention is not None:
            return self._retention
        return KEPT_SECONDS_BIG if len(answer.body) >= BIG_RESULT else KEPT_SECONDS

    def _expired(self, job: Job) -> bool:
        if job.state != COMPLETED or job.completed_at is None or job.answer is None:
            return False
        kept, began = self.kept_seconds(job.answer), job.completed_at
        if job.fetched_at is not None and job.fetched_at > began + kept:
            began = job.fetched_at  # virtual time has moved on before the client's turn
        return self._is_over(job, began, kept)

    def fetched(self, job: Job) -> None:
        """Note that a client has fetched the result of a job."""
        if job.fetched_at is None:
            job.fetched_at = self._clock.now()

    def _drop_old_jobs(self) -> None:
        while self._ended and (len(self._jobs) > self._limit or self._is_forgotten(self._ended[0])):
            del self._jobs[self._ended.popleft().request_id]

    def _is_forgotten(self, job: Job) -> bool:
        if self._forget_after is None or job.completed_at is None:
            return False
        return self._is_over(job, job.completed_at, self._forget_after)

    def _is_over(self, job: Job, began: float, lifetime: float) -> bool:
        is_over = self._clock.is_over_unnoticed if job.fetched_at is None else self._clock.is_over
        return is_over(began, lifetime)
