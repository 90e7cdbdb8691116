"""What the runners of an endpoint know about one of its jobs."""

from __future__ import annotations

import asyncio

import attrs

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.jobs.job import Job, Work
from fal_async.emulator.jobs.pace import Pace
from fal_async.emulator.jobs.waiting_line import WaitingLine
from fal_async.emulator.timing.clock import Timer
from fal_async.emulator.wire.answers import Answer


@attrs.define(eq=False)
class Slot:
    """The state of a job from its entry to its completion."""

    work: Work
    line: WaitingLine[Account, Job] | None = None
    """The line in which the job waits; None while it runs, and during a pause."""
    ticket: int = 0
    task: asyncio.Task[Answer] | None = None
    stop_reason: str | None = None
    start_limit: Timer | None = None
    pause: Timer | None = None
    """Ends the pause before a retry, or a cold start."""
    pace: Pace | None = None
    """Its states by number of looks; such a job neither waits for a runner nor takes one."""

    def settle(self) -> None:
        """Cancel the timers of the job."""
        for timer in (self.start_limit, self.pause):
            if timer is not None:
                timer.cancel()
        self.start_limit = self.pause = None

    def leave_queue(self, job: Job) -> None:
        if self.line is not None:
            self.line.remove(self.ticket, job.account)
            self.line = None
