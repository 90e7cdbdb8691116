"""How a job moves on by the looks of its clients, as the `polls` of its endpoint say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from fal_async.emulator.jobs.job import Job, JobContext, Work
from fal_async.emulator.jobs.polls import Polls
from fal_async.emulator.timing.clock import Activity, Clock

_PATIENCE = 5.0
"""Real seconds for which a status request waits for the function."""


def polls_of(job: Job) -> Polls | None:
    """Return by which looks a job moves on; None if time moves it. The step of a workflow is not polled."""
    return job.served.polls if job.via == "queue" and job.workflow_request_id is None else None


class Pace:
    """How far a job is in the sequence of its endpoint."""

    def __init__(self, polls: Polls) -> None:
        self._polls = polls
        self.begin()

    def begin(self) -> None:
        """Begin the sequence, for the first attempt or for another one."""
        self._seen = 0
        self._is_done = False
        self._still, self._ended = asyncio.Event(), asyncio.Event()

    @property
    def position(self) -> int:
        """How many more looks than the next one see the job in the queue; before the first look, how many do."""
        return max(self._polls.queued - self._seen, 0)

    @property
    def is_due_to_run(self) -> bool:
        return self._seen > self._polls.queued

    @property
    def is_over(self) -> bool:
        """Whether each further look sees what the job is."""
        return self._ended.is_set()

    def look(self) -> None:
        """Count a look."""
        self._seen += 1
        if self._seen > self._polls.queued + self._polls.running:
            self._ended.set()

    async def settle(self, job: Job) -> None:
        """Wait until the function has returned or waits for a test, and then for the end if it is due."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._still.wait()
                if self._is_done and self.is_over:
                    await job.wait_for("IN_QUEUE")  # another attempt, or completed

    async def work(self, work: Work, input: Any, context: JobContext) -> Any:
        """Do the work of the job, and hold back its outcome until the end is due."""
        try:
            return await work(input, context)
        except asyncio.CancelledError:
            self._ended.set()
            raise
        finally:
            self._is_done = True
            await context.wait_for(self._ended.wait())

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let looks go on, while the function waits or has returned."""
        self._still.set()
        try:
            yield
        finally:
            if not self._is_done:
                self._still.clear()

    def activity(self, clock: Clock, name: str) -> Activity:
        """Return the work of the job, whose sleeps take no time."""
        return _PacedActivity(clock, name, self)


class _PacedActivity(Activity):
    def __init__(self, clock: Clock, name: str, pace: Pace) -> None:
        super().__init__(clock, name)
        self._pace, self._timed = pace, clock.activity(name)

    def __enter__(self) -> Activity:
        self._timed.__enter__()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._timed.__exit__(exc_type, exc, tb)

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002
        await asyncio.sleep(0)

    @contextmanager
    def pause(self) -> Iterator[None]:
        with self._timed.pause(), self._pace.waiting():
            yield
