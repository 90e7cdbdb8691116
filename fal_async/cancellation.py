"""Waiting for a paid request without losing it: the caller's time limit, cancellation, and the remote cancel.

However the wait ends before its result is there, the remote request is cancelled once, within a few seconds,
and the caller gets the id and is told what became of it. A web
response whose browser leaves cancels in `integrations/sse.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import attrs

from fal_async.callbacks import call_back
from fal_async.checks import check_seconds
from fal_async.errors import ClientTimeoutError, FalError, SubmissionUncertainError
from fal_async.models import CancelOutcome, QueueStatus
from fal_async.transport.progress import Progress

logger: logging.Logger = logging.getLogger("fal_async")
T = TypeVar("T")

SUBMIT_GRACE = 3.0
"""Seconds that a submit which is under way gets to give its id, so that the job can be cancelled."""
CANCEL_LIMIT = 3.0
"""Seconds that the cancel of an abandoned request may take."""
_BECAME = {
    CancelOutcome.CANCELLED: "fal took it out of the queue",
    CancelOutcome.CANCELLATION_REQUESTED: "fal was asked to cancel it, but it may still complete",
    CancelOutcome.ALREADY_COMPLETED: "it completed meanwhile: its result can be fetched by the id",
    CancelOutcome.NOT_FOUND: "fal does not know it any more",
}
FAILED = "FAILED"


class Cancellable(Protocol):
    @property
    def request_id(self) -> str: ...

    @property
    def last_status(self) -> QueueStatus | None: ...

    async def cancel(self) -> CancelOutcome: ...


H = TypeVar("H", bound=Cancellable)


class CallbackFailed(Exception):
    """Carries an exception of the caller's callback up to `supervise`: one of ours in it is not fal's answer."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


async def notify(function: Callable[[Any], Any] | None, value: Any) -> None:
    """Call a user's callback, async or not. CallbackFailed, for `supervise` to unwrap, where it raises."""
    try:
        await call_back(function, value)
    except Exception as error:
        raise CallbackFailed(error) from error


@attrs.define(kw_only=True, eq=False, repr=False)
class Wait:
    """What is known of a request while somebody waits for it."""

    endpoint_id: str
    handle: Cancellable | None = None
    uncertain: SubmissionUncertainError | None = None
    """The submit was given up while it was under way, and no id came."""
    direct: Progress | None = None
    """Of a direct run, which has no id: closing its connection is the only way to stop it (protocol 13)."""


_ENDINGS = (Exception, asyncio.CancelledError, KeyboardInterrupt, SystemExit)


async def supervise(
    wait: Wait, work: Callable[[], Awaitable[T]], *, timeout: float | None, cancel_on_exit: bool
) -> T:
    """`work`, bounded by `timeout` seconds. ClientTimeoutError when it passes."""
    check_seconds("timeout", timeout, or_none=True)
    scope = None if timeout is None else asyncio.timeout(timeout)
    try:
        if scope is None:
            return await work()
        async with scope:
            return await work()
    except _ENDINGS as error:
        timed_out = scope is not None and scope.expired() and isinstance(error, TimeoutError)
        # An error of ours is fal's answer, or leaves the request to be picked up by its id.
        if isinstance(error, FalError) and not timed_out:
            raise
        outcome = await _abandon(wait) if cancel_on_exit else None
        if timed_out and timeout is not None:
            raise _timeout_error(wait, timeout, outcome) from wait.uncertain
        if not isinstance(error, CallbackFailed):
            raise
        theirs = error.error
    raise theirs


async def submit_under(wait: Wait, progress: Progress, submit: Coroutine[Any, Any, H]) -> H:
    """Run the submit so that a cancellation in its midst doesn't lose the id of a job that fal has taken."""
    task = asyncio.create_task(submit)
    try:
        handle = await asyncio.shield(task)
    except asyncio.CancelledError:
        await _late_id(wait, progress, task)
        raise
    wait.handle, progress.request = handle, None  # a large input is not kept through the wait
    return handle


async def _late_id(wait: Wait, progress: Progress, task: asyncio.Task[H]) -> None:
    progress.given_up = True
    await _settle(task, SUBMIT_GRACE if progress.sent else 0.0)
    if not task.cancelled() and task.exception() is None:
        wait.handle = task.result()
    elif progress.sent:
        failure = None if task.cancelled() else task.exception()
        wait.uncertain = _given_up(progress, failure)


def _given_up(progress: Progress, failure: BaseException | None) -> SubmissionUncertainError | None:
    if isinstance(failure, SubmissionUncertainError):
        return failure
    if failure is not None or progress.request is None:
        return None  # refused, or surely not taken
    uncertain = progress.may_be_taken(progress.request, "the wait for its answer was given up")
    logger.warning("%s", uncertain)
    return uncertain


async def _settle(task: asyncio.Task[Any], limit: float) -> bool:
    """Let `task` end, within `limit` seconds or by its cancellation.

    Shielded: a cancellation that comes meanwhile shortens nothing. True if there was one: it is still due then.
    """
    loop = asyncio.get_running_loop()
    give_up_at: float | None = loop.time() + limit
    interrupted = False
    while not task.done():
        if give_up_at is not None and loop.time() >= give_up_at:
            give_up_at = None
            task.cancel()
        try:
            await asyncio.wait({task}, timeout=None if give_up_at is None else give_up_at - loop.time())
        except asyncio.CancelledError:
            interrupted = True
    return interrupted


async def _abandon(wait: Wait) -> str | None:
    """One cancel of the remote request, shielded and bounded. What became of it, for ClientTimeoutError."""
    handle = wait.handle
    if handle is None:
        return None
    task = asyncio.create_task(handle.cancel())
    interrupted = await _settle(task, CANCEL_LIMIT)
    failure = None if task.cancelled() else task.exception()
    if task.cancelled() or failure is not None:
        reason = "no answer in time" if failure is None else failure
        logger.warning(
            "the cancel did not go through (%s): request %s may still run", reason, handle.request_id
        )
    if interrupted:
        raise asyncio.CancelledError
    return FAILED if task.cancelled() or failure is not None else task.result().value


def _timeout_error(wait: Wait, timeout: float, outcome: str | None) -> ClientTimeoutError:
    handle = wait.handle
    last = handle.last_status if handle is not None else None
    seen = f", last seen {last.headline}" if last is not None else ""
    return ClientTimeoutError(
        f"no result within {timeout:g} s{seen}; {_what_became(wait, outcome)}",
        timeout=timeout,
        last_status=None if last is None else last.headline,
        cancel_outcome=outcome,
        request_id=None if handle is None else handle.request_id,
        endpoint_id=wait.endpoint_id,
    )


def _what_became(wait: Wait, outcome: str | None) -> str:
    if wait.direct is not None:
        return "its connection was closed" if wait.direct.sent else "it was not sent"
    if wait.handle is None:
        return "it was not submitted" if wait.uncertain is None else "its submit was not answered"
    if outcome is None:
        return "it was left to run"
    if outcome == FAILED:
        return "its cancel did not go through: it may still run and be billed"
    return _BECAME[CancelOutcome(outcome)]
