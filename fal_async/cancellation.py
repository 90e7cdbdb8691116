"""Waiting for a paid request: the caller's time limit, cancellation of the task, and the cancel on fal.

If a call stops before the result arrives, for any reason, the request is cancelled on fal, once and within a few
seconds. The caller's error has the request id and the outcome of the cancel. Closing a session stops its waits.
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
"""Seconds for which a cancelled call waits for the response of its submit: the cancel needs the request id."""
CANCEL_LIMIT = 3.0
"""Seconds that the cancel of a request may take, if fewer than `_TOGETHER` cancels run."""
_TOGETHER = 500
"""For each 500 cancels, which share the connections, the limit grows by `CANCEL_LIMIT`."""
BECAME: dict[CancelOutcome | None, str] = {
    CancelOutcome.CANCELLED: "fal removed the request from the queue",
    CancelOutcome.CANCELLATION_REQUESTED: "fal was asked to cancel the request, but it may still complete",
    CancelOutcome.ALREADY_COMPLETED: "the request has completed in the meantime: fetch its result by the id",
    CancelOutcome.NOT_FOUND: "fal no longer knows the request",
    CancelOutcome.REFUSED: "fal refused the cancel: the request is running, or has completed",
    CancelOutcome.FAILED: "the cancel failed: the request may still run and be billed",
    None: "the request was not cancelled and may still run",
}
"""The end of an error's message for each outcome of the cancel. None: no cancel was sent."""


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
        self._cancelling: set[asyncio.Future[None]] = set()
        self._cancels: dict[str, ShelteredTask[CancelOutcome]] = {}
        self._ended = False

    def add(self, wait: Wait) -> None:
        """Register a wait. Raise SessionStateError once the session is being closed."""
        if self._ended:
            raise SessionStateError(SESSION_CLOSED, endpoint_id=wait.endpoint_id)
        self._waits.add(wait)

    def discard(self, wait: Wait) -> None:
        """Remove a wait that is over."""
        self._waits.discard(wait)

    @contextlib.contextmanager
    def cancelling(self) -> Iterator[None]:
        """Enclose a cancel, so that a session that is being closed waits for it."""
        done = asyncio.get_running_loop().create_future()
        self._cancelling.add(done)
        try:
            yield
        finally:
            self._cancelling.discard(done)
            if not done.get_loop().is_closed():
                done.set_result(None)

    def cancel(self, handle: Cancellable) -> ShelteredTask[CancelOutcome]:
        """Return the task that cancels a request. All waits for the request share it; the first call starts it."""
        request_id = handle.request_id
        task = self._cancels.get(request_id)
        if task is None:
            task = self._cancels[request_id] = ShelteredTask(cancelled(handle.cancel, handle.request_id))
            task.add_done_callback(lambda _: self._cancels.pop(request_id))
        return task

    @property
    def cancel_limit(self) -> float:
        """Seconds that one cancel may take now: if thousands run at once, the last ones wait for a connection."""
        return CANCEL_LIMIT * (1 + len(self._cancels) // _TOGETHER)

    async def end(self) -> bool:
        """Stop all waits concurrently, and wait for all cancels, for a limited time.

        A cancellation of the calling task does not shorten the time. Return whether there was one; the caller must
        raise it then.
        """
        self._ended = True
        loop = asyncio.get_running_loop()
        ends: list[asyncio.Future[Any]] = [done for done in self._cancelling if done.get_loop() is loop]
        for wait in tuple(self._waits):
            if wait.loop is loop:
                ends += wait.end()
        # A wait may need both limits, one after the other, and a moment to stop.
        return await wait_for_all(ends, SUBMIT_GRACE + self.cancel_limit + 1.0)


@attrs.define(kw_only=True, eq=False, repr=False)
class Wait:
    """One task's wait for a request, and the known facts about the request."""

    endpoint_id: str
    among: OpenWaits
    handle: Cancellable | None = None
    uncertain: SubmissionUncertainError | None = None
    """The error if the call stopped while the submit was on its way, and no request id arrived in time."""
    direct: Progress | None = None
    """The progress of a direct run. It has no id: only closing its connection stops it (protocol 13)."""
    cancel_on_exit: bool = True
    limit: float | None = None  # of `scope`, in seconds
    closing: bool = attrs.field(default=False, init=False)
    """Whether the session is being closed, which stops the wait."""
    loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop, init=False)
    scope: asyncio.Timeout = attrs.field(init=False)
    _task: asyncio.Task[Any] | None = attrs.field(factory=asyncio.current_task, init=False)
    _over: asyncio.Future[None] | None = attrs.field(default=None, init=False)
    _cancel: ShelteredTask[CancelOutcome] | None = attrs.field(default=None, init=False)

    def is_here(self) -> bool:
        """Return whether the task of the wait runs now. If not, its coroutine is discarded, and can't await."""
        with contextlib.suppress(RuntimeError):  # no loop runs
            return asyncio.current_task() is self._task
        return False

    def end(self) -> list[asyncio.Future[Any]]:
        """Stop the wait because its session is being closed. Return the futures that the session must wait for."""
        self.closing = True
        ends: list[asyncio.Future[Any]] = []
        if self._over is None:
            self._over = self.loop.create_future()
        # Otherwise a callback of this wait closes the session, and would wait for itself.
        if not self.is_here():
            ends.append(self._over)
            with contextlib.suppress(RuntimeError):  # the scope is over: the wait is cancelling its request
                self.scope.reschedule(self.loop.time())
        if self.cancel_on_exit and (cancel := self.start_cancel()) is not None:
            ends.append(cancel)
        return ends

    def over(self) -> None:
        """Note that the wait and its cancel are over."""
        self.among.discard(self)
        if self._over is not None and not self.loop.is_closed():
            self._over.set_result(None)

    def hurry(self) -> None:
        """Stop waiting for a running cancel of the request, because the program has to stop at once."""
        if self._cancel is not None:
            self._cancel.give_up()

    def start_cancel(self) -> ShelteredTask[CancelOutcome] | None:
        """Return the task that cancels the request on fal, started by the first call; None without a request id."""
        if self._cancel is None and self.handle is not None:
            self._cancel = self.among.cancel(self.handle)
        return self._cancel


async def supervise(wait: Wait, work: Work[T], *, timeout: float | None, began: float | None = None) -> T:
    """Await `work` for at most `timeout` seconds (see `within`), and cancel the request on fal if that fails.

    Raises ClientTimeoutError when `timeout` has passed, and SessionStateError when the session was closed. Other
    exceptions of `work` are raised unchanged; after a FalError that is fal's response, nothing is cancelled.
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
        # A FalError is fal's response, or the caller can continue with the request by its id: nothing is cancelled.
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
    """Await a submit so that the request id is known even after a cancellation, and the request can be cancelled.

    `submit` returns the handle, or None if the request must not be cancelled.
    """
    task = ShelteredTask(submit)
    try:
        handle = await asyncio.shield(task)
    except asyncio.CancelledError:
        await _late_id(wait, progress, task)
        raise
    wait.handle, progress.request = handle, None  # a large input must not stay in memory during the wait
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
        return None  # fal refused it, or certainly did not accept it
    return progress.may_be_taken(progress.request, "the call stopped before the response arrived")


async def _abandon(wait: Wait) -> CancelOutcome | None:
    """Cancel the request on fal, within a time limit, even if the task is cancelled again.

    Return the outcome; None if no cancel was sent.
    """
    handle = wait.handle
    if handle is None:
        return None
    if not wait.cancel_on_exit:
        if wait.closing:
            logger.warning("the session was closed: request %s was not cancelled", handle.request_id)
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
    """Return the outcome of a cancel. If it raises an exception, log a warning and return FAILED."""
    try:
        return await cancel()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # also an exception of `on_retry`
        reason = "no response in time" if isinstance(error, asyncio.CancelledError) else error
        logger.warning("the cancel failed (%s): request %s may still run", reason, request_id)
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
        return "its connection was closed" if wait.direct.sent else "the request was not sent"
    if wait.handle is None:
        return (
            "the request was not submitted" if wait.uncertain is None else "fal did not respond to the submit"
        )
    return BECAME[outcome]
