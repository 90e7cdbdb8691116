"""What the runners of an endpoint know about one of its jobs."""

from __future__ import annotations

import asyncio

import attrs

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.jobs.job import Job, Work
from fal_async.emulator.jobs.pace import Pace
from fal_async.emulator.jobs.waiting_line import WaitingLine
from fal_async.emulator.timing.clock import Timer
from fal_async.emulator.wire.answers import CANCELLED, Answer, request_error

_CLOSE_LIMIT = 5.0
"""Seconds within which a cancelled endpoint function must return when the emulator stops."""


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


async def all_returned(running: list[asyncio.Task[Answer]], endpoint_id: str) -> None:
    """Wait for cancelled calls of an endpoint. Raise RuntimeError if one takes too long."""
    _, pending = await asyncio.wait(running, timeout=_CLOSE_LIMIT)
    if pending:
        raise RuntimeError(
            f"{len(pending)} call(s) of {endpoint_id} did not return within "
            f"{_CLOSE_LIMIT} s of being cancelled: does the endpoint function swallow CancelledError?"
        )


def stopped(reason: str) -> Answer:
    """Return the answer of a request that was stopped."""
    if reason == "runner_disconnected":
        return request_error(503, "The runner stopped", reason)
    return request_error(CANCELLED, "Request was cancelled", reason)
