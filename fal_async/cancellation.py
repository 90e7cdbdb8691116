"""Waiting for a paid request without losing it: the caller's time limit, cancellation, and the remote cancel.

However the wait ends before its result is there, the remote request is cancelled once, within a few seconds,
and the caller gets the id and is told what became of it. A session that is closed ends the waits that are open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Protocol, TypeVar

import attrs

from fal_async.checks import check_seconds
from fal_async.closeable import SESSION_CLOSED
from fal_async.errors import (
    CancelOutcome,
    ClientTimeoutError,
    FalError,
    SessionStateError,
    SubmissionUncertainError,
)
from fal_async.models import QueueStatus
from fal_async.sheltered import ShelteredTask, settle, wait_for_all, within
from fal_async.transport.progress import Progress

logger: logging.Logger = logging.getLogger("fal_async")
T = TypeVar("T")
Work = Callable[[], Awaitable[T]]
C = TypeVar("C", bound=CancelOutcome | None)

SUBMIT_GRACE = 3.0
"""Seconds that a submit which is under way gets to give its id, so that the job can be cancelled."""
CANCEL_LIMIT = 3.0
"""Seconds that the cancel of an abandoned request may take, where fewer than `_TOGETHER` are under way."""
_TOGETHER = 500
"""So many cancels more share the connections for so many seconds more."""
BECAME: dict[CancelOutcome | None, str] = {
    CancelOutcome.CANCELLED: "fal took it out of the queue",
    CancelOutcome.CANCELLATION_REQUESTED: "fal was asked to cancel it, but it may still complete",
    CancelOutcome.ALREADY_COMPLETED: "it completed meanwhile: its result can be fetched by the id",
    CancelOutcome.NOT_FOUND: "fal does not know it any more",
    CancelOutcome.FAILED: "its cancel did not go through: it may still run and be billed",
    None: "it was left to run",
}


class Cancellable(Protocol):
    @property
    def request_id(self) -> str: ...

    @property
    def last_status(self) -> QueueStatus | None: ...

    async def cancel(self) -> CancelOutcome: ...


H = TypeVar("H", bound=Cancellable | None)


class OpenWaits:
    """The requests of one session that somebody waits for, each until its cancel is over."""

    def __init__(self) -> None:
        self._waits: set[Wait] = set()
        self._under_way: set[asyncio.Future[None]] = set()
        self._cancels: dict[str, ShelteredTask[CancelOutcome]] = {}
        self._ended = False

    def add(self, wait: Wait) -> None:
        """SessionStateError once the session is being closed."""
        if self._ended:
            raise SessionStateError(SESSION_CLOSED, endpoint_id=wait.endpoint_id)
        self._waits.add(wait)

    def discard(self, wait: Wait) -> None:
        """It is over, with whatever outcome."""
        self._waits.discard(wait)

    @contextlib.contextmanager
    def cancelling(self) -> Iterator[None]:
        """While a request is cancelled: a session that is closed lets it be done."""
        done = asyncio.get_running_loop().create_future()
        self._under_way.add(done)
        try:
            yield
        finally:
            self._under_way.discard(done)
            if not done.get_loop().is_closed():
                done.set_result(None)

    def cancel(self, handle: Cancellable) -> ShelteredTask[CancelOutcome]:
        """The cancel of a request: one, however many wait for it."""
        request_id = handle.request_id
        task = self._cancels.get(request_id)
        if task is None:
            task = self._cancels[request_id] = ShelteredTask(cancelled(handle.cancel, handle.request_id))
            task.add_done_callback(lambda _: self._cancels.pop(request_id))
        return task

    @property
    def cancel_limit(self) -> float:
        """Seconds that one cancel may take now: of thousands at once, the last ones wait for a connection."""
        return CANCEL_LIMIT * (1 + len(self._cancels) // _TOGETHER)

    async def end(self) -> bool:
        """End each, side by side, and wait for their cancels, also for those that are under way. Bounded.

        A cancellation that comes meanwhile shortens nothing. True if there was one: it is still due then.
        """
        self._ended = True
        loop = asyncio.get_running_loop()
        ends: list[asyncio.Future[Any]] = [done for done in self._under_way if done.get_loop() is loop]
        for wait in tuple(self._waits):
            if wait.loop is loop:
                ends += wait.end()
        # One wait can take both, one after the other.
        return await wait_for_all(ends, SUBMIT_GRACE + self.cancel_limit + 1.0)


@attrs.define(kw_only=True, eq=False, repr=False)
class Wait:
    """What is known of a request while somebody waits for it."""

    endpoint_id: str
    among: OpenWaits
    handle: Cancellable | None = None
    uncertain: SubmissionUncertainError | None = None
    """The submit was given up while it was under way, and no id came."""
    direct: Progress | None = None
    """Of a direct run, which has no id: closing its connection is the only way to stop it (protocol 13)."""
    cancel_on_exit: bool = True
    limit: float | None = None  # seconds that `scope` allows, where it has an end
    closing: bool = attrs.field(default=False, init=False)
    """Whether the session is being closed, which ends the wait."""
    loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop, init=False)
    scope: asyncio.Timeout = attrs.field(init=False)
    _task: asyncio.Task[Any] | None = attrs.field(factory=asyncio.current_task, init=False)
    _over: asyncio.Future[None] | None = attrs.field(default=None, init=False)
    _cancel: ShelteredTask[CancelOutcome] | None = attrs.field(default=None, init=False)

    def is_here(self) -> bool:
        """Whether its own task runs now. If not, its coroutine is thrown away, and can't await anything."""
        with contextlib.suppress(RuntimeError):  # no loop runs
            return asyncio.current_task() is self._task
        return False

    def end(self) -> list[asyncio.Future[Any]]:
        """End it, for its session is being closed. What is to be waited for then."""
        self.closing = True
        ends: list[asyncio.Future[Any]] = []
        if self._over is None:
            self._over = self.loop.create_future()
        if not self.is_here():  # closed in a callback of its own: to wait for that would be for ever
            ends.append(self._over)
            with contextlib.suppress(RuntimeError):  # it has ended, and cancels its request
                self.scope.reschedule(self.loop.time())
        if self.cancel_on_exit and (cancel := self.start_cancel()) is not None:
            ends.append(cancel)
        return ends

    def over(self) -> None:
        """Nobody waits any more, and nothing is under way."""
        self.among.discard(self)
        if self._over is not None and not self.loop.is_closed():
            self._over.set_result(None)

    def hurry(self) -> None:
        """Give up the cancel of the remote request, if one is under way: the program is to end at once."""
        if self._cancel is not None:
            self._cancel.give_up()

    def start_cancel(self) -> ShelteredTask[CancelOutcome] | None:
        """The one cancel of the remote request; None without an id."""
        if self._cancel is None and self.handle is not None:
            self._cancel = self.among.cancel(self.handle)
        return self._cancel


async def supervise(wait: Wait, work: Work[T], *, timeout: float | None, began: float | None = None) -> T:
    """`work`, bounded by `timeout` seconds, see `within`. ClientTimeoutError when it passes."""
    check_seconds("timeout", timeout, or_none=True)
    wait.among.add(wait)
    wait.limit, wait.scope = timeout, within(timeout, began)
    try:
        async with wait.scope:
            return await work()
    except BaseException as error:
        ended = wait.scope.expired() and isinstance(error, TimeoutError)
        closed = wait.closing and (ended or isinstance(error, SessionStateError))
        # An error of ours is fal's answer, or leaves the request to be picked up by its id.
        if isinstance(error, FalError) and not (ended or closed or error.from_caller):
            raise
        outcome = await _abandon(wait)
        if closed:
            raise _closed_error(wait, outcome) from wait.uncertain
        if ended and wait.limit is not None:
            raise _timeout_error(wait, wait.limit, outcome) from wait.uncertain
        raise
    finally:
        wait.over()


async def submit_under(wait: Wait, progress: Progress, submit: Coroutine[Any, Any, H]) -> H:
    """Run the submit so that a cancellation in its midst doesn't lose the id of a job that fal has taken.

    `submit` gives its handle; None where there is nothing to be cancelled.
    """
    task = ShelteredTask(submit)
    try:
        handle = await asyncio.shield(task)
    except asyncio.CancelledError:
        await _late_id(wait, progress, task)
        raise
    wait.handle, progress.request = handle, None  # a large input is not kept through the wait
    return handle


async def _late_id(wait: Wait, progress: Progress, task: ShelteredTask[H]) -> None:
    progress.given_up = True
    await settle(task, SUBMIT_GRACE if progress.sent else 0.0)
    if not task.cancelled() and task.exception() is None:
        wait.handle = task.result()
    elif progress.sent:
        failure = None if task.cancelled() else task.exception()
        wait.uncertain = _given_up(progress, failure)
        if wait.uncertain is not None:
            logger.warning("%s", wait.uncertain)


def _given_up(progress: Progress, failure: BaseException | None) -> SubmissionUncertainError | None:
    if isinstance(failure, SubmissionUncertainError):
        return failure
    if failure is not None or progress.request is None:
        return None  # refused, or surely not taken
    return progress.may_be_taken(progress.request, "the wait for its answer was given up")


async def _abandon(wait: Wait) -> CancelOutcome | None:
    """One cancel of the remote request, sheltered and bounded. What became of it; None where none was sent."""
    handle = wait.handle
    if handle is None:
        return None
    if not wait.cancel_on_exit:
        if wait.closing:
            logger.warning("the session was closed: request %s was left to run", handle.request_id)
        return None
    if not wait.is_here():
        logger.warning("the wait was thrown away: request %s may still run", handle.request_id)
        return None
    cancel = wait.start_cancel()
    assert cancel is not None
    if await settle(cancel, wait.among.cancel_limit):
        raise asyncio.CancelledError
    return cancel.result_or(CancelOutcome.FAILED)


async def cancelled(cancel: Callable[[], Awaitable[C]], request_id: str | None) -> C | CancelOutcome:
    """What a cancel came to; FAILED, and a warning, whatever kept it from being answered."""
    try:
        return await cancel()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # whatever `on_retry` raises, too
        reason = "no answer in time" if isinstance(error, asyncio.CancelledError) else error
        logger.warning("the cancel did not go through (%s): request %s may still run", reason, request_id)
        return CancelOutcome.FAILED


def _timeout_error(wait: Wait, timeout: float, outcome: CancelOutcome | None) -> ClientTimeoutError:
    last = None if wait.handle is None else wait.handle.last_status
    seen = f", last seen {last.headline}" if last is not None else ""
    return ClientTimeoutError(
        f"no result within {timeout:g} s{seen}; {_what_became(wait, outcome)}",
        timeout=timeout,
        last_status=None if last is None else last.headline,
        cancel_outcome=outcome,
        request_id=None if wait.handle is None else wait.handle.request_id,
        endpoint_id=wait.endpoint_id,
    )


def _closed_error(wait: Wait, outcome: CancelOutcome | None) -> SessionStateError:
    return SessionStateError(
        f"the session was closed before the result was there; {_what_became(wait, outcome)}",
        cancel_outcome=outcome,
        request_id=None if wait.handle is None else wait.handle.request_id,
        endpoint_id=wait.endpoint_id,
    )


def _what_became(wait: Wait, outcome: CancelOutcome | None) -> str:
    if wait.direct is not None:
        return "its connection was closed" if wait.direct.sent else "it was not sent"
    if wait.handle is None:
        return "it was not submitted" if wait.uncertain is None else "its submit was not answered"
    return BECAME[outcome]
