"""The queue of one endpoint: its runners, waiting requests, and fal's own retries."""

from __future__ import annotations

import asyncio
import logging
import math
import operator
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import islice

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.event_loop import explanation
from fal_async.emulator.jobs.changes import Watcher
from fal_async.emulator.jobs.endpoints import to_answer
from fal_async.emulator.jobs.job import COMPLETED, IN_PROGRESS, IN_QUEUE, FileKeeper, Job, JobContext, Work
from fal_async.emulator.jobs.pace import Pace, polls_of
from fal_async.emulator.jobs.retries import to_be_retried
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.jobs.slot import Slot, all_returned, stopped
from fal_async.emulator.jobs.waiting_line import WaitingLine
from fal_async.emulator.timing.clock import Clock
from fal_async.emulator.wire.answers import Answer, ModelError, request_error

logger: logging.Logger = logging.getLogger("fal_async.emulator")

_SESSIONS = frozenset({"realtime", "websocket"})
"""These wait for their client most of the time, which does not keep virtual time still."""
_HAS_PLACE = operator.attrgetter("has_place")


class Runners:
    """The runners of one endpoint, with its running and waiting jobs."""

    def __init__(
        self,
        endpoint: Served,
        *,
        clock: Clock,
        retry_pause: float,
        files: FileKeeper,
        completed: Callable[[Job], None],
        new_id: Callable[[], str],
        place_free: Callable[[Account], None],
    ) -> None:
        self.endpoint: Served = endpoint
        self._files, self._completed = files, completed
        self._new_id, self._place_free = new_id, place_free
        self._clock, self._retry_pause = clock, retry_pause
        self._free = endpoint.runners
        self._running = 0
        self._places = 0 if endpoint.is_workflow else 1
        """How many places of its account's concurrency a running job takes."""
        self._direct, self._normal, self._low = (WaitingLine[Account, Job]() for _ in range(3))
        self._slots: dict[Job, Slot] = {}
        self._closed = False
        self.position_watchers: set[Watcher] = set()
        """Events that are set when positions have changed; one time for many changes."""
        self._notify_timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return len(self._normal) + len(self._low)

    @property
    def has_waiting(self) -> bool:
        return bool(self._direct) or bool(self._normal) or bool(self._low)

    @property
    def running(self) -> list[Job]:
        """The jobs that run, those that arrived first at the beginning."""
        running = (job for job, slot in self._slots.items() if slot.task is not None)
        return list(islice(running, self._running))

    @property
    def unfinished(self) -> int:
        """How many jobs run, wait, or pause before a retry."""
        return len(self._slots)

    def first_waiting(self, count: int) -> list[Job]:
        """Return the jobs that are started next, at most `count`."""
        lines = (self._direct, self._normal, self._low)
        if self.endpoint.polls is not None:
            return list(islice((job for job in self._slots if job.state == IN_QUEUE), count))
        return [job for line in lines for job in line.first(count)][:count]

    @property
    def in_order(self) -> list[Job]:
        """All jobs that have not ended: the running ones, those that wait, and those that pause before a retry."""
        return list(dict.fromkeys([*self.running, *self.first_waiting(self.unfinished), *self._slots]))

    def release(self) -> list[Job]:
        """Remove the waiting jobs, so that other runners can take them. Return them in order."""
        jobs = self.first_waiting(self.unfinished)
        for job in jobs:
            slot = self._slots.pop(job)
            slot.settle()
            slot.leave_queue(job)
        return jobs

    def enter(self, job: Job, work: Work) -> int:
        """Accept a job, and return its position in the queue; 0 also if it is started at once."""
        if job.choice is not None:
            work = partial(job.choice.perform, work)
        slot = self._slots[job] = Slot(work)
        self._limit_the_start(job, slot)
        if (polls := polls_of(job)) is not None:
            slot.pace = Pace(polls)
            return slot.pace.position
        if job.choice is not None and job.choice.cold_start:
            slot.pause = self._clock.after_work(job.choice.cold_start, self._go_on, job, slot)
            return 0
        if self._is_idle and job.account.has_place:
            # A place in the line that is left at once would cost 6 of the 115 us of a submit.
            self._start(job, slot)
            return self.position(job)
        self._enqueue(job, slot)
        position = self.position(job)
        self.dispatch()
        return position if job.state == IN_QUEUE else 0

    @property
    def _is_idle(self) -> bool:
        """Whether a runner is free and no job waits for one."""
        return bool(self._free) and not self._closed and not (self.waiting or len(self._direct))

    def position(self, job: Job) -> int:
        """Return how many jobs are ahead, 0 for the next one and for a job that does not wait.

        Direct calls are started first, then jobs of normal priority, then those of low priority (protocol 3.1).
        """
        slot = self._slots.get(job)
        if slot is not None and slot.pace is not None:
            return slot.pace.position
        if slot is None or slot.line is None:
            return job.held_at or 0
        ahead = 0
        for line in (self._direct, self._normal, self._low):
            if line is slot.line:
                break
            ahead += len(line)
        return ahead + slot.line.position(slot.ticket)

    async def look_at(self, job: Job) -> bool:
        """Count a look of a client at the state of a job, and move the job on if its states depend on looks.

        Return whether the look belongs to the sequence of states.
        """
        slot = self._slots.get(job)
        if slot is None or (pace := slot.pace) is None:
            return False
        is_one = not pace.is_over
        pace.look()
        if job.state == IN_QUEUE and pace.is_due_to_run and not self._closed:
            self._start(job, slot)
        if job.state == IN_PROGRESS:
            await pace.settle(job)
            if job.state == IN_QUEUE:  # retried: the same look is the first one of the next attempt
                return await self.look_at(job)
        return is_one

    def cancel(self, job: Job) -> tuple[int, str]:
        """Cancel a job. Return the HTTP status and the word of the answer (protocol 4.5)."""
        job.cancel_requests += 1
        if job.state == COMPLETED:
            return 400, "ALREADY_COMPLETED"
        waits = job.state == IN_QUEUE
        self.stop(job, "client_cancelled")
        return (200, "OK") if waits else (202, "CANCELLATION_REQUESTED")

    def stop(self, job: Job, reason: str) -> None:
        """Stop a job that was cancelled, or whose direct caller has left. A running endpoint may ignore this."""
        slot = self._slots.get(job)
        if slot is None:
            return
        if slot.task is None:
            self._withdraw(job, slot, stopped(reason))
        elif not self.endpoint.ignores_cancel and slot.stop_reason is None:
            slot.stop_reason = reason
            slot.task.cancel()

    def is_stopping(self, job: Job) -> bool:
        """Return whether `stop`, and not `close`, cancelled the job's work."""
        slot = self._slots.get(job)
        return slot is not None and slot.stop_reason is not None

    async def close(self) -> None:
        """Start no more jobs, withdraw the waiting ones, cancel the running ones, and wait for their end."""
        self._closed = True
        for job, slot in tuple(self._slots.items()):
            if slot.task is None:
                self._withdraw(job, slot, stopped("runner_disconnected"))
        if self._notify_timer is not None:
            self._notify_timer.cancel()
        if running := [slot.task for slot in self._slots.values() if slot.task is not None]:
            for task in running:
                task.cancel()
            await all_returned(running, self.endpoint.endpoint_id)

    def _enqueue(self, job: Job, slot: Slot) -> None:
        slot.line = (
            self._direct if job.via != "queue" else self._low if job.options.low_priority else self._normal
        )
        slot.ticket = slot.line.push(job, job.account)

    def waits_since(self, account: Account) -> float:
        """Return when the account's longest waiting request arrived (epoch seconds), or infinity if none waits."""
        firsts = (line.first_of(account) for line in (self._direct, self._normal, self._low))
        return min((job.submitted_at for job in firsts if job is not None), default=math.inf)

    def dispatch(self) -> None:
        """Start waiting jobs in sequence, skipping those whose account is at its limit."""
        for line in (self._direct, self._normal, self._low):
            while self._free and len(line) and not self._closed and (job := line.pop(_HAS_PLACE)):
                self._start(job, self._slots[job])

    def _start(self, job: Job, slot: Slot) -> None:
        self._running += 1
        if slot.pace is None:
            self._free -= 1
            job.account.running += self._places
        slot.settle()
        slot.line = None
        job.attempts += 1
        # Each attempt has its own gateway id; the first attempt's is the request id (protocol 4.1, 4.7).
        job.gateway_request_id = job.request_id if job.attempts == 1 else self._new_id()
        slot.task = asyncio.get_running_loop().create_task(self._perform(job, slot))
        # A callback, not a `finally`, since the body of a task that is cancelled before its first step never runs.
        slot.task.add_done_callback(partial(self._ended, job, slot))
        if job.held_at is None:
            job.begin()
        self._notify_watchers_later()

    async def _perform(self, job: Job, slot: Slot) -> Answer:
        work, activity = slot.work, self._clock.activity(job.endpoint_id)
        if (pace := slot.pace) is not None:
            work, activity = partial(pace.work, work), pace.activity(self._clock, job.endpoint_id)
        context = JobContext(job, activity=activity, files=self._files)
        try:
            with nullcontext() if job.via in _SESSIONS else activity:
                return to_answer(await work(job.input, context))
        except ModelError as error:
            return error.answer()
        except Exception as error:
            job.exception = error
            if (explained := explanation(error)) is not None:
                error.add_note(explained)
            logger.exception("endpoint %s failed on request %s", job.endpoint_id, job.request_id)
            return request_error(500, explained or "Internal Server Error")

    def _ended(self, job: Job, slot: Slot, task: asyncio.Task[Answer]) -> None:
        self._running -= 1
        if slot.pace is None:
            self._free += 1
            job.account.running -= self._places
        slot.task = None
        if job.exception is not None:
            # The lines of the traceback stay readable; the values in its frames may be large inputs and results.
            traceback.clear_frames(job.exception.__traceback__)
        answer = stopped(slot.stop_reason or "runner_disconnected") if task.cancelled() else task.result()
        if not self._closed and slot.stop_reason is None and to_be_retried(job, answer):
            self._retry(job, slot)
        else:
            self._complete(job, answer)
        self._place_free(job.account)
        self.dispatch()

    def _complete(self, job: Job, answer: Answer) -> None:
        del self._slots[job]
        now = self._clock.now()
        if job.started_at is not None and job.inference_time is None:
            job.inference_time = (now - job.started_at) * self._clock.speed
        if not 200 <= answer.status < 400:
            job.billable_units = 0
        elif job.billable_units is None:
            job.billable_units = self.endpoint.billable_units
        job.complete(answer, now)
        self._completed(job)

    def _retry(self, job: Job, slot: Slot) -> None:
        """Queue the job again (protocol 4.2). The caller's start timeout is not restarted (4.6)."""
        if slot.pace is None:
            slot.pause = self._clock.after_work(self._retry_pause, self._go_on, job, slot)
        else:
            slot.pace.begin()
        self._limit_the_start(job, slot)
        job.move(IN_QUEUE)

    def _go_on(self, job: Job, slot: Slot) -> None:
        slot.pause = None
        self._enqueue(job, slot)
        self.dispatch()

    def _limit_the_start(self, job: Job, slot: Slot) -> None:
        if job.options.start_timeout is not None:
            left = max(job.submitted_at + job.options.start_timeout - self._clock.now(), 0)
            slot.start_limit = self._clock.at_end(left, self._not_started_in_time, job, slot)

    def _not_started_in_time(self, job: Job, slot: Slot) -> None:
        answer = request_error(504, "Request timed out before a runner started", "request_timeout")
        self._withdraw(job, slot, answer.with_headers({"X-Fal-Request-Timeout-Type": "user"}))

    def _withdraw(self, job: Job, slot: Slot, answer: Answer) -> None:
        slot.settle()
        slot.leave_queue(job)
        self._complete(job, answer)
        self._notify_watchers_later()

    def _notify_watchers_later(self) -> None:
        """Wake the watchers of positions, once for many changes.

        Otherwise each start of a job would set ten thousand events if there are ten thousand watchers.
        """
        if self.position_watchers and self._notify_timer is None:
            is_real = self._clock.kind == "real"  # a virtual time would move on meanwhile
            delay = max(0.02, len(self.position_watchers) * 0.0005) if is_real else 0
            self._notify_timer = asyncio.get_running_loop().call_later(delay, self._notify_watchers)

    def _notify_watchers(self) -> None:
        self._notify_timer = None
        for watcher in self.position_watchers:
            watcher.set()
