"""fal's queue: a bounded number of runners per endpoint, those who wait, and the platform's own retries."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from functools import partial

from fal_async.emulator.jobs.endpoints import Served, to_answer
from fal_async.emulator.jobs.job import COMPLETED, IN_PROGRESS, IN_QUEUE, Job, JobContext
from fal_async.emulator.jobs.waiting_line import Lane
from fal_async.emulator.wire.answers import CANCELLED, Answer, ModelError, request_error

logger = logging.getLogger("fal_async.emulator")

_TRUE, _FALSE = frozenset({"1", "true"}), frozenset({"0", "false"})
_CLOSE_LIMIT = 5.0
"""Seconds that a cancelled endpoint function gets to end when the emulator stops."""


class EndpointQueue:
    """All that waits for, and runs on, one endpoint's runners."""

    def __init__(
        self,
        endpoint: Served,
        *,
        speed: float,
        retry_pause: float,
        context: Callable[[Job], JobContext],
        completed: Callable[[Job], None],
    ) -> None:
        self.endpoint, self._completed = endpoint, completed
        self._speed, self._retry_pause, self._context = speed, retry_pause, context
        self._free = endpoint.runners
        self._direct, self._normal, self._low = Lane[Job](), Lane[Job](), Lane[Job]()
        self._running: set[asyncio.Task[Answer]] = set()
        self._between_attempts: set[Job] = set()
        self._closed = False
        self.bystanders: set[asyncio.Event] = set()
        """Set, from time to time, when positions have moved."""
        self._bell: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return len(self._normal) + len(self._low)

    def enter(self, job: Job) -> int:
        """Take the job in; its position at that moment."""
        job.queue = self
        if job.options.start_timeout is not None:
            loop = asyncio.get_running_loop()
            job.start_limit = loop.call_later(job.options.start_timeout, self._not_started_in_time, job)
        self._line_up(job)
        position = self.position(job)
        self._dispatch()
        return position if job.state == IN_QUEUE else 0

    def position(self, job: Job) -> int:
        """0 for the next one. Direct runs and, for low priority, all normal ones go ahead (protocol 3.1)."""
        if job.lane is None:
            return 0
        ahead = 0
        for lane in (self._direct, self._normal, self._low):
            if lane is job.lane:
                break
            ahead += len(lane)
        return ahead + job.lane.position(job.ticket)

    def cancel(self, job: Job) -> tuple[int, str]:
        """HTTP status and word: the four outcomes of protocol 4.5, less the unknown id."""
        job.cancel_requests += 1
        if job.state == COMPLETED:
            return 400, "ALREADY_COMPLETED"
        if job.state == IN_QUEUE:
            self._withdraw(job, _stopped("client_cancelled"))
            return 200, "OK"
        self.stop(job, "client_cancelled")
        return 202, "CANCELLATION_REQUESTED"

    def stop(self, job: Job, reason: str) -> None:
        """The caller of a direct run left, or a running request is cancelled. The app may ignore it."""
        if job.state == IN_QUEUE:
            self._withdraw(job, _stopped(reason))
        elif job.task is not None and not self.endpoint.ignores_cancel and job.stop_reason is None:
            job.stop_reason = reason
            job.task.cancel()

    async def close(self) -> None:
        """Nothing starts any more; what runs is cancelled and waited for."""
        self._closed = True
        if self._bell is not None:
            self._bell.cancel()
        for lane in (self._direct, self._normal, self._low):
            while len(lane):
                self._abandon(lane.pop())
        for job in tuple(self._between_attempts):
            self._abandon(job)
        for task in self._running:
            task.cancel()
        if self._running:
            await self._wait_for_the_running()

    def _abandon(self, job: Job) -> None:
        job.lane = None
        self._settle(job)
        self._complete(job, _stopped("runner_disconnected"))

    async def _wait_for_the_running(self) -> None:
        _, pending = await asyncio.wait(self._running, timeout=_CLOSE_LIMIT)
        if pending:
            raise RuntimeError(
                f"{len(pending)} call(s) of {self.endpoint.endpoint_id} did not end within "
                f"{_CLOSE_LIMIT} s of being cancelled: does the endpoint function swallow CancelledError?"
            )

    def _line_up(self, job: Job) -> None:
        job.lane = (
            self._direct if job.via != "queue" else self._low if job.options.low_priority else self._normal
        )
        job.ticket = job.lane.push(job)

    def _dispatch(self) -> None:
        for lane in (self._direct, self._normal, self._low):
            while self._free and len(lane) and not self._closed:
                self._start(lane.pop())

    def _start(self, job: Job) -> None:
        self._free -= 1
        self._settle(job)
        job.lane = None
        job.attempts += 1
        # Each attempt has its own gateway id; the first one's is the request id (protocol 4.1, 4.7).
        job.gateway_request_id = job.request_id if job.attempts == 1 else str(uuid.uuid4())
        job.started_at = time.time()
        job.task = asyncio.get_running_loop().create_task(self._perform(job))
        self._running.add(job.task)
        # A callback, not a `finally`: a task cancelled before its first step never enters its own body.
        job.task.add_done_callback(partial(self._ended, job))
        job.move(IN_PROGRESS)
        self._ring()

    async def _perform(self, job: Job) -> Answer:
        try:
            if job.work is None:
                raise RuntimeError(f"request {job.request_id} has nothing to do")
            return to_answer(await job.work(job.input, self._context(job)))
        except ModelError as error:
            return error.answer()
        except Exception as error:
            job.exception = error
            logger.exception("endpoint %s failed on request %s", job.endpoint_id, job.request_id)
            return request_error(500, "Internal Server Error")

    def _ended(self, job: Job, task: asyncio.Task[Answer]) -> None:
        self._running.discard(task)
        self._free += 1
        job.task = None
        answer = _stopped(job.stop_reason or "runner_disconnected") if task.cancelled() else task.result()
        if not self._closed and _to_be_retried(job, answer):
            self._retry(job)
        else:
            self._complete(job, answer)
        self._dispatch()

    def _complete(self, job: Job, answer: Answer) -> None:
        now = time.time()
        if job.started_at is not None:
            job.inference_time = (now - job.started_at) * self._speed
        if not 200 <= answer.status < 400:
            job.billable_units = 0
        elif job.billable_units is None:
            job.billable_units = self.endpoint.billable_units
        job.complete(answer, now)
        self._completed(job)

    def _retry(self, job: Job) -> None:
        """IN_PROGRESS goes back to IN_QUEUE (protocol 4.2); the caller's start limit goes on (4.6)."""
        loop = asyncio.get_running_loop()
        job.retry_pause = loop.call_later(self._retry_pause / self._speed, self._try_again, job)
        if job.options.start_timeout is not None:
            left = job.submitted_at + job.options.start_timeout - time.time()
            job.start_limit = loop.call_later(max(left, 0), self._not_started_in_time, job)
        self._between_attempts.add(job)
        job.move(IN_QUEUE)

    def _try_again(self, job: Job) -> None:
        self._between_attempts.discard(job)
        job.retry_pause = None
        self._line_up(job)
        self._dispatch()

    def _not_started_in_time(self, job: Job) -> None:
        answer = request_error(504, "Request timed out before a runner started", "request_timeout")
        self._withdraw(job, answer.with_headers({"X-Fal-Request-Timeout-Type": "user"}))

    def _withdraw(self, job: Job, answer: Answer) -> None:
        self._settle(job)
        if job.lane is not None:
            job.lane.remove(job.ticket)
            job.lane = None
        self._complete(job, answer)
        self._ring()

    def _settle(self, job: Job) -> None:
        """No clock runs on it any more."""
        self._between_attempts.discard(job)
        for timer in (job.start_limit, job.retry_pause):
            if timer is not None:
                timer.cancel()
        job.start_limit = job.retry_pause = None

    def _ring(self) -> None:
        """Tell those who watch their position, but in groups: with ten thousand watchers each start would
        otherwise cost ten thousand events."""
        if self.bystanders and self._bell is None:
            delay = max(0.02, len(self.bystanders) * 0.0005)
            self._bell = asyncio.get_running_loop().call_later(delay, self._rung)

    def _rung(self) -> None:
        self._bell = None
        for bystander in self.bystanders:
            bystander.set()


class Dispatcher:
    """The queues of all endpoints, each made when it is first used."""

    def __init__(
        self,
        *,
        speed: float,
        retry_pause: float,
        context: Callable[[Job], JobContext],
        completed: Callable[[Job], None],
    ) -> None:
        self._make = partial(
            EndpointQueue, speed=speed, retry_pause=retry_pause, context=context, completed=completed
        )
        self._queues: dict[Served, EndpointQueue] = {}

    def of(self, endpoint: Served) -> EndpointQueue:
        # Keyed by the value, not by its id: a new deployment under the same id gets runners of its own,
        # while what the old one has taken is finished by the old one.
        queue = self._queues.get(endpoint)
        if queue is None:
            queue = self._queues[endpoint] = self._make(endpoint)
        return queue

    async def close(self) -> None:
        """All queues at once; they are made anew when used again."""
        queues = list(self._queues.values())
        self._queues.clear()
        await asyncio.gather(*(queue.close() for queue in queues))


def _stopped(reason: str) -> Answer:
    if reason == "runner_disconnected":
        return request_error(503, "The runner stopped", reason)
    return request_error(CANCELLED, "Request was cancelled", reason)


def _to_be_retried(job: Job, answer: Answer) -> bool:
    """503 and 504 by default; an app can force or forbid on 5xx and 429; no direct run (protocol 4.7)."""
    if job.via != "queue" or job.stop_reason is not None or job.attempts > job.options.extra_attempts:
        return False
    said = {name.lower(): value for name, value in answer.headers.items()}.get(
        "x-fal-needs-retry", ""
    ).lower()
    if answer.status >= 500 or answer.status == 429:
        return said in _TRUE or (answer.status in (503, 504) and said not in _FALSE)
    return False
