"""Waiting for a paid request without losing it: the caller's time limit, cancellation, and the remote cancel.

If the wait ends before the result arrives, for whatever reason, the remote request is cancelled once, within a few
seconds, and the caller's error has the request id and says what became of it. Closing a session ends its waits.
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
"""Seconds that a cancelled call waits for the id of a submit that is on its way, to cancel the request by it."""
CANCEL_LIMIT = 3.0
"""Seconds that the cancel of an abandoned request may take, while there are fewer than `_TOGETHER` cancels."""
_TOGETHER = 500
"""For each further 500 cancels, which share the connections, the limit grows by `CANCEL_LIMIT`."""
BECAME: dict[CancelOutcome | None, str] = {
    CancelOutcome.CANCELLED: "fal took it out of the queue",
    CancelOutcome.CANCELLATION_REQUESTED: "fal was asked to cancel it, but it may still complete",
    CancelOutcome.ALREADY_COMPLETED: "it has completed in the meantime: its result can be fetched by the id",
    CancelOutcome.NOT_FOUND: "fal does not know it any more",
    CancelOutcome.FAILED: "its cancel did not go through: it may still run and be billed",
    None: "it was left to run",
}
"""What an error says became of the remote request."""


class Cancellable(Protocol):
    """A request that can be cancelled: a handle."""

    @property
    def request_id(self) -> str: ...

    @property
    def last_status(self) -> QueueStatus | None: ...

    async def cancel(self) -> CancelOutcome: ...


H = TypeVar("H", bound=Cancellable | None)


class OpenWaits:
    """The open waits of one session, and its running cancels."""

    def __init__(self) -> None:
        self._waits: set[Wait] = set()
        self._under_way: set[asyncio.Future[None]] = set()
        self._cancels: dict[str, ShelteredTask[CancelOutcome]] = {}
        self._ended = False

    def add(self, wait: Wait) -> None:
        """Register a wait. SessionStateError once the session is being closed."""
        if self._ended:
            raise SessionStateError(SESSION_CLOSED, endpoint_id=wait.endpoint_id)
        self._waits.add(wait)

    def discard(self, wait: Wait) -> None:
        """Forget a wait that is over."""
        self._waits.discard(wait)

    @contextlib.contextmanager
    def cancelling(self) -> Iterator[None]:
        """Enclose a cancel: a session that is being closed waits for it."""
        done = asyncio.get_running_loop().create_future()
        self._under_way.add(done)
        try:
            yield
        finally:
            self._under_way.discard(done)
            if not done.get_loop().is_closed():
                done.set_result(None)

    def cancel(self, handle: Cancellable) -> ShelteredTask[CancelOutcome]:
        """Return the one cancel of a request, which all its waits share; start it if there is none."""
        request_id = handle.request_id
        task = self._cancels.get(request_id)
        if task is None:
            task = self._cancels[request_id] = ShelteredTask(cancelled(handle.cancel, handle.request_id))
            task.add_done_callback(lambda _: self._cancels.pop(request_id))
        return task

    @property
    def cancel_limit(self) -> float:
        """Seconds that one cancel may take now. Of thousands at once, the last ones wait for a connection."""
        return CANCEL_LIMIT * (1 + len(self._cancels) // _TOGETHER)

    async def end(self) -> bool:
        """End all waits concurrently, and wait for all cancels, for a limited time.

        A cancellation of the calling task does not shorten it. Return whether there was one: the caller raises it.
        """
        self._ended = True
        loop = asyncio.get_running_loop()
        ends: list[asyncio.Future[Any]] = [done for done in self._under_way if done.get_loop() is loop]
        for wait in tuple(self._waits):
            if wait.loop is loop:
                ends += wait.end()
        # A wait may need both limits, one after the other.
        return await wait_for_all(ends, SUBMIT_GRACE + self.cancel_limit + 1.0)


@attrs.define(kw_only=True, eq=False, repr=False)
class Wait:
    """One task's wait for a request, and what is known of the request."""

    endpoint_id: str
    among: OpenWaits
    handle: Cancellable | None = None
    uncertain: SubmissionUncertainError | None = None
    """Set if the submit was given up on its way, before its id arrived."""
    direct: Progress | None = None
    """The progress of a direct run. It has no id: only closing its connection stops it (protocol 13)."""
    cancel_on_exit: bool = True
    limit: float | None = None  # of `scope`, in seconds
    closing: bool = attrs.field(default=False, init=False)
    """Whether the session is being closed, which ends the wait."""
    loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop, init=False)
    scope: asyncio.Timeout = attrs.field(init=False)
    _task: asyncio.Task[Any] | None = attrs.field(factory=asyncio.current_task, init=False)
    _over: asyncio.Future[None] | None = attrs.field(default=None, init=False)
    _cancel: ShelteredTask[CancelOutcome] | None = attrs.field(default=None, init=False)

    def is_here(self) -> bool:
        """Return whether its own task runs now. If not, its coroutine is being discarded, and can't await."""
        with contextlib.suppress(RuntimeError):  # no loop runs
            return asyncio.current_task() is self._task
        return False

    def end(self) -> list[asyncio.Future[Any]]:
        """End the wait, as its session is being closed. Return the futures that the session waits for."""
        self.closing = True
        ends: list[asyncio.Future[Any]] = []
        if self._over is None:
            self._over = self.loop.create_future()
        if not self.is_here():  # else its own callback closes the session, and would wait for itself
            ends.append(self._over)
            with contextlib.suppress(RuntimeError):  # the scope has ended: the wait is cancelling its request
                self.scope.reschedule(self.loop.time())
        if self.cancel_on_exit and (cancel := self.start_cancel()) is not None:
            ends.append(cancel)
        return ends

    def over(self) -> None:
        """Note that the wait and its cancel have ended."""
        self.among.discard(self)
        if self._over is not None and not self.loop.is_closed():
            self._over.set_result(None)

    def hurry(self) -> None:
        """Give up a running cancel of the remote request, as the program has to end at once."""
        if self._cancel is not None:
            self._cancel.give_up()

    def start_cancel(self) -> ShelteredTask[CancelOutcome] | None:
        """Return the one cancel of the remote request, started if needed; None without an id."""
        if self._cancel is None and self.handle is not None:
            self._cancel = self.among.cancel(self.handle)
        return self._cancel


async def supervise(wait: Wait, work: Work[T], *, timeout: float | None, began: float | None = None) -> T:
    """Await `work` for at most `timeout` seconds (see `within`), and cancel the remote request if it is abandoned.

    Raises ClientTimeoutError when `timeout` has passed, and SessionStateError when the session was closed.
    """
    check_seconds("timeout", timeout, or_none=True)
    wait.among.add(wait)
    wait.limit, wait.scope = timeout, within(timeout, began)
    try:
        async with wait.scope:
            return await work()
    except BaseException as error:
        ended = wait.scope.expired() and isinstance(error, TimeoutError)
        closed = wait.closing and (ended or isinstance(error, SessionStateError))
        # A FalError is fal's answer, or leaves the request to be continued by its id: nothing is cancelled.
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
    """Run a submit so that a cancellation does not lose the id of a request that fal has taken.

    `submit` returns the handle; None if there is nothing to cancel.
    """
    task = ShelteredTask(submit)
    try:
        handle = await asyncio.shield(task)
    except asyncio.CancelledError:
        await _late_id(wait, progress, task)
        raise
    wait.handle, progress.request = handle, None  # a large input is not kept in memory through the wait
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
        return None  # refused, or certainly not taken
    return progress.may_be_taken(progress.request, "the wait for its answer was given up")


async def _abandon(wait: Wait) -> CancelOutcome | None:
    """Cancel the remote request, sheltered from cancellation and bounded in time.

    Return the outcome; None if no cancel was sent.
    """
    handle = wait.handle
    if handle is None:
        return None
    if not wait.cancel_on_exit:
        if wait.closing:
            logger.warning("the session was closed: request %s was left to run", handle.request_id)
        return None
    if not wait.is_here():
        logger.warning(
            "the call was discarded without being cancelled: request %s may still run", handle.request_id
        )
        return None
    cancel = wait.start_cancel()
    assert cancel is not None
    if await settle(cancel, wait.among.cancel_limit):
        raise asyncio.CancelledError
    return cancel.result_or(CancelOutcome.FAILED)


async def cancelled(cancel: Callable[[], Awaitable[C]], request_id: str | None) -> C | CancelOutcome:
    """Return the outcome of a cancel; FAILED, with a warning, if it raises anything."""
    try:
        return await cancel()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # also what `on_retry` raises
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
        f"the session was closed before the result arrived; {_what_became(wait, outcome)}",
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
