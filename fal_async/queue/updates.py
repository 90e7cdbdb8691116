"""Following one request to its end: by polls, or by a status stream that polls stand in for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Literal

from fal_async.checks import check_function, is_seconds
from fal_async.errors import ApiError, ConfigurationError, FalError, NotFoundError, StreamError, name_request
from fal_async.models import Completed, QueueStatus, UnknownStatus
from fal_async.protocol.http import content_type
from fal_async.protocol.poll_failures import WARN_AFTER, Patience, StuckWatch
from fal_async.protocol.polling import Pacer, RunTimes, Turn
from fal_async.protocol.queue import status_request, status_stream_request
from fal_async.protocol.queue_status import NewLogs, parse_event, parse_status, unknown_word, vanished
from fal_async.transport.retry_hook import announce_retry

if TYPE_CHECKING:
    from fal_async.queue.client import RequestHandle
    from fal_async.transport import Transport

logger = logging.getLogger("fal_async")

Mode = Literal["polling", "streaming", "auto"]
"""How a request is followed. "polling": status requests, paced by what the session knows of the endpoint.
"streaming": one connection on which fal tells the news at once; it counts against the session's connections,
and where none is left, or fal refuses, polls stand in. "auto": the same, without a warning then, and with
polls where they do as well: for an endpoint that is known to be done almost at once."""
_QUICK = 0.05
SubscribeMode = Literal["polling", "streaming", "auto", "webhook"]
"""Also "webhook": fal calls the receiver that is attached to the session (`fal.webhooks.attach`), and slow
polls stand in for a delivery that is lost."""
MODES = ("polling", "streaming", "auto")
_STREAM_FAILURES, _STREAM_LIVES = 3, 5.0
"""Streams in a row that break without any news, or within so many seconds, before polls take over for good."""


def check_following(mode: str, poll_interval: float | None, on_queue_update: object = None) -> None:
    """ConfigurationError for what can't be followed so."""
    check_function("on_queue_update", on_queue_update)
    if mode not in MODES:
        raise ConfigurationError(
            f"mode={mode!r}: expected one of {', '.join(MODES)}, or of subscribe webhook"
        )
    if poll_interval is not None and not is_seconds(poll_interval):
        raise ConfigurationError(f"poll_interval={poll_interval!r}: expected a positive number of seconds")


class Follower:
    """One go at following one request; what was seen is left in the handle."""

    def __init__(
        self,
        transport: Transport,
        handle: RequestHandle,
        times: RunTimes,
        *,
        logs: bool,
        poll_interval: float | None,
    ) -> None:
        self._transport, self._handle, self._logs = transport, handle, logs
        self._loop = asyncio.get_running_loop()
        started = self._loop.time() if handle.submitted_at is None else handle.submitted_at
        self._pacer = Pacer(started, times, poll_interval)
        self._policy = handle.retry or transport.settings.retry
        self._patience = Patience(self._policy)
        self._stuck = StuckWatch(self._policy.stuck_after)
        self._new_logs = NewLogs()

    async def by_polls(self) -> AsyncGenerator[QueueStatus, None]:
        turn = self._pacer.first(random.random())
        asked_at = self._loop.time()
        while True:
            if turn.delay > 0:
                await asyncio.sleep(asked_at + turn.delay - self._loop.time())
            status, turn = await self._poll(turn)
            asked_at = self._loop.time()
            if status is not None:
                yield status
                if isinstance(status, Completed):
                    return

    async def by_stream(self, *, loud: bool) -> AsyncGenerator[QueueStatus, None]:
        """Streams while they work; after each that broke, one poll, so that nothing is missed.

        `loud`: say in a warning that polls take over for good.
        """
        pool, failures = self._transport.pool, 0
        reason: object = "no connection is left for one"
        while failures < _STREAM_FAILURES and pool.take_stream():
            news, opened = False, self._loop.time()
            try:
                async with contextlib.aclosing(self._one_stream()) as events:
                    async for status in events:
                        news = True
                        yield status
                        if isinstance(status, Completed):
                            return
                problem: FalError = StreamError("the status stream ended before the request did")
            except FalError as error:
                problem = error
            finally:
                pool.give_stream_back()
            reason = problem
            logger.debug("status stream: %s (request %s)", problem, self._handle.request_id)
            if isinstance(problem, ApiError) and not problem.retryable:
                break
            lived = self._loop.time() - opened
            failures = 0 if news and lived > _STREAM_LIVES else failures + 1
            looked, _ = await self._poll(Turn(0.0, False))
            if looked is not None:
                yield looked
                if isinstance(looked, Completed):
                    return
            await asyncio.sleep(self._pause_before_retry(problem, failures) if failures else 0)
        level = logging.WARNING if loud else logging.DEBUG
        logger.log(
            level, "no status stream (%s): polls instead (request %s)", reason, self._handle.request_id
        )
        async with contextlib.aclosing(self.by_polls()) as polls:
            async for status in polls:
                yield status

    async def _poll(self, turn: Turn) -> tuple[QueueStatus | None, Turn]:
        """One poll, and when the next one is due; no status where it failed in a way that is borne."""
        gate = self._transport.pool.gate
        await gate.enter(likely=turn.likely)
        try:
            status = await self._ask()
        except FalError as error:
            self._bear(error)
            return None, Turn(self._pause_before_retry(error, self._patience.failures), turn.likely)
        finally:
            gate.leave()
        now = self._loop.time()
        self._saw(status, now)
        if isinstance(status, Completed):
            return status, turn  # it has no next one
        return status, self._pacer.next(now, status, random.random())

    async def _ask(self) -> QueueStatus:
        handle = self._handle
        request = status_request(
            handle.status_url,
            endpoint_id=handle.endpoint_id,
            request_id=handle.request_id,
            logs=self._logs,
        )
        handle.attempts["status"] += 1
        # The next poll is the retry of this one.
        response = await self._transport.send(request, retry=self._transport.no_retry)
        return parse_status(response.json(), handle.request_id, self._new_logs)

    def _bear(self, error: FalError) -> None:
        """Raises what is not to be borne."""
        name_request(error, self._handle.request_id, self._handle.endpoint_id)
        if not self._patience.bears(error, self._loop.time()):
            raise vanished(error) if isinstance(error, NotFoundError) else error
        if self._patience.failures == WARN_AFTER:
            logger.warning(
                "%d polls in a row failed, the last one with: %s; following goes on (request %s)",
                WARN_AFTER,
                error,
                self._handle.request_id,
            )

    def _pause_before_retry(self, error: FalError, attempt: int) -> float:
        """Seconds."""
        pause = self._patience.pause(error, random.random())
        announce_retry(self._policy, "status", attempt, error, pause)
        return pause

    def _saw(self, status: QueueStatus, now: float) -> None:
        handle = self._handle
        handle.last_status = status
        if not isinstance(status, UnknownStatus):
            self._patience.restored()
        self._look_at(status, now)
        if status.new_logs:
            # `new_logs` is about this generator; what an earlier one saw is in the handle already.
            handle.logs.extend(handle.seen_logs.take(status.new_logs))
        if isinstance(status, Completed) and handle.submitted_at is not None:
            self._pacer.learn(now, status)

    def _look_at(self, status: QueueStatus, now: float) -> None:
        """What a person should know of where it stands, or still stands."""
        if isinstance(status, UnknownStatus):
            # It may mean that the request runs, or that it never will: not for ever, and not in silence.
            self._bear(unknown_word(status))
        if (stuck := self._stuck.seconds_stuck(status, now)) is not None:
            logger.warning(
                "%s for %.0f s without a move (request %s)", status.headline, stuck, self._handle.request_id
            )

    async def _one_stream(self) -> AsyncGenerator[QueueStatus, None]:
        """The events of one status stream. A new one repeats the logs: those are told apart as in polls."""
        handle = self._handle
        request = status_stream_request(
            handle.status_url,
            endpoint_id=handle.endpoint_id,
            request_id=handle.request_id,
            logs=self._logs,
        )
        handle.attempts["status"] += 1
        silence = self._transport.settings.timeouts.stream
        async with self._transport.open(request, retry=self._transport.no_retry, silence=silence) as response:
            if content_type(response.headers) != "text/event-stream":
                raise StreamError("the status stream is no event stream", request_id=handle.request_id)
            from fal_async.protocol.sse import SSEDecoder

            decoder, line_at = SSEDecoder(), self._loop.time()
            async with contextlib.aclosing(response.chunks()) as chunks:
                async for chunk in chunks:
                    # Bytes that drip are no news: a keep-alive is a line, too.
                    now = self._loop.time()
                    if b"\n" in chunk:
                        line_at = now
                    elif silence is not None and now - line_at > silence:
                        raise StreamError("the status stream drips", request_id=handle.request_id)
                    events = decoder.feed(chunk)
                    if not events and handle.last_status is not None:
                        self._look_at(handle.last_status, now)  # a keep-alive: all is as it was
                    for event in events:
                        status = parse_event(event.data, handle.request_id, self._new_logs)
                        self._saw(status, now)
                        self._pacer.next(now, status, 0.5)  # so that polls know where it stands
                        yield status


def follow(
    transport: Transport,
    handle: RequestHandle,
    times: RunTimes,
    *,
    logs: bool,
    mode: Mode,
    poll_interval: float | None,
) -> AsyncGenerator[QueueStatus, None]:
    """ConfigurationError at once where mode or interval are wrong."""
    check_following(mode, poll_interval)
    follower = Follower(transport, handle, times, logs=logs, poll_interval=poll_interval)
    quick = mode == "auto" and times.known and times.mean < _QUICK
    if mode == "polling" or quick:
        return follower.by_polls()
    return follower.by_stream(loud=mode == "streaming")
