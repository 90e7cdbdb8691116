"""Run disk work in threads that can be abandoned on cancellation.

These are daemon threads. A thread that hangs, such as on a silent pipe or a network disk, delays neither the end of
the event loop nor the exit of the process. A thread of `asyncio.to_thread` would delay both.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from fal_async.sheltered import wait_for_all

T = TypeVar("T")
_THREADS = 32
"""Maximum number of threads per process, without abandoned ones."""
_IDLE = 0.5
"""Seconds after which an idle thread exits."""
PATIENCE = 0.5
"""Seconds for which the end of an upload waits for a thread that still reads the file."""


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work()` in a thread and return its result.

    If this task is cancelled, the cancellation is raised only after `work()` has returned: its file must stay open.
    """
    job = _begin(work)
    await settled(job.ended)
    return job.result()  # type: ignore[no-any-return]


async def abandonable(work: Callable[[], T], discard: Callable[[T], object] | None = None) -> T:
    """Run `work()` in a thread and return its result. If this task is cancelled, the thread is abandoned.

    The abandoned thread continues, so that the caller must not close a file that `work` uses before `work` returns.
    `discard` is then called with the result.
    """
    job = _begin(work)
    try:
        await job.ended
    except asyncio.CancelledError:
        job.discard = discard
        _workers().abandon(job)
        raise
    return job.result()  # type: ignore[no-any-return]


async def within_patience(work: Callable[[], object], then: Callable[[], object] | None = None) -> None:
    """Run `work()` in a thread, and wait for it at most `PATIENCE` seconds. It continues if it takes longer.

    `then()` is called in the event loop when `work` has finished. Exceptions of `work`, which only cleans up, are
    ignored.
    """
    job = _begin(work)
    if then is not None:
        job.ended.add_done_callback(lambda _: then())
    try:
        await asyncio.wait([job.ended], timeout=PATIENCE)
    finally:
        if not job.ended.done():
            _workers().stop_waiting_for(job)


async def settled(running: asyncio.Future[T]) -> T:
    """Wait for `running` and return its result. A cancellation is raised only after `running` is done."""
    if not await wait_for_all((running,), None):
        return running.result()
    if not running.cancelled():
        running.exception()  # marks the exception as retrieved; otherwise asyncio logs it
    raise asyncio.CancelledError


class _Job:
    """A call of `work()` in a thread. Its exception is stored here: a future can't carry every exception."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work, self._context = work, contextvars.copy_context()
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.outcome: tuple[Any, BaseException | None] | None = None
        """The result and None, or None and the exception. None until the work is done."""
        self.discard: Callable[[Any], object] | None = None
        self.is_wanted: bool = True
        """Whether a task waits for this job. If not, the job is not started any more."""
        self.is_abandoned: bool = False
        """Whether the thread of this job was abandoned. It no longer counts, and exits after this job."""

    def run(self) -> None:
        try:
            self.outcome = self._context.run(self._work), None
        except BaseException as error:
            self.outcome = None, error

    def notify(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be closed, and then no task waits for the job
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def result(self) -> Any:
        assert self.outcome is not None
        value, error = self.outcome
        if error is not None:
            raise error
        return value

    def discard_result(self) -> None:
        if self.outcome is not None and self.outcome[1] is None and self.discard is not None:
            self.discard(self.outcome[0])


class _Workers:
    """The threads. An idle thread is kept for 0.5 s, because reading a file takes many small jobs."""

    def __init__(self) -> None:
        self.process: int = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[queue.SimpleQueue[_Job]] = []
        self._waiting: deque[_Job] = deque()
        self._count = 0

    def begin(self, job: _Job) -> None:
        with self._lock:
            if self._idle:
                self._idle.pop().put(job)
                return
            if self._count >= _THREADS:
                self._waiting.append(job)
                return
            self._count += 1
        try:
            threading.Thread(target=self._serve, args=[job], name="fal_async-disk", daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._count -= 1
            raise

    def abandon(self, job: _Job) -> None:
        """Discard the outcome of `job`. A job that has not started is never run."""
        with self._lock:
            job.is_wanted = False
            if job.outcome is None:
                self._stop_counting(job)
                return
        job.discard_result()

    def stop_waiting_for(self, job: _Job) -> None:
        """Stop counting the thread of `job`, whose task no longer waits. The job still runs until it is done."""
        with self._lock:
            if job.outcome is None:
                self._stop_counting(job)

    def _stop_counting(self, job: _Job) -> None:
        if job not in self._waiting:
            job.is_abandoned = True
            self._count -= 1

    def _serve(self, job: _Job) -> None:
        inbox: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        following: _Job | None = job
        while following is not None:
            job = following
            if job.is_wanted:
                job.run()
            with self._lock:
                is_abandoned = job.is_abandoned
                following = self._waiting.popleft() if self._waiting and not is_abandoned else None
                if following is None and not is_abandoned:
                    self._idle.append(inbox)
            job.notify()
            if is_abandoned:
                job.discard_result()
                return
            del job  # otherwise its result would stay in memory while the thread waits
            following = following or self._next(inbox)

    def _next(self, inbox: queue.SimpleQueue[_Job]) -> _Job | None:
        """Return the next job. None if there was none for 0.5 s: then the thread must exit."""
        with contextlib.suppress(queue.Empty):
            return inbox.get(timeout=_IDLE)
        with self._lock:
            if inbox in self._idle:
                self._idle.remove(inbox)
                self._count -= 1
                return None
        return inbox.get()


_of_this_process = _Workers()


def _workers() -> _Workers:
    global _of_this_process
    if _of_this_process.process != os.getpid():
        _of_this_process = _Workers()  # threads do not survive a fork
    return _of_this_process


def _begin(work: Callable[[], Any]) -> _Job:
    job = _Job(work)
    _workers().begin(job)
    return job
