"""Following one request until it is completed: by polls, or by status streams with polls as the fallback."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator

from fal_async.config import RetryPolicy, Settings
from fal_async.errors import (
    ApiError,
    ConfigurationError,
    FalError,
    NotFoundError,
    SessionStateError,
    StreamError,
    shortened,
)
from fal_async.models import Completed, QueueStatus, UnknownStatus
from fal_async.protocol.following import Following
from fal_async.protocol.http import content_type
from fal_async.protocol.poll_failures import WARN_AFTER, PollFailures, StuckDetector
from fal_async.protocol.polling import Pacer, RunTimes, Turn
from fal_async.protocol.queue import status_request, status_stream_request
from fal_async.protocol.queue_status import NewLogs, parse_event, parse_status, unknown_word
from fal_async.protocol.results import vanished
from fal_async.queue.limits import Limits
from fal_async.queue.state import RequestState
from fal_async.transport import Transport
from fal_async.transport.retry_hook import announce_retry

logger: logging.Logger = logging.getLogger("fal_async")

_QUICK = 0.05
"""Seconds. In mode "auto", an endpoint whose requests take less than this on average is followed by polls."""
_STREAM_FAILURES, _STREAM_LIVES = 3, 5.0
"""After so many failed streams in a row, polls are used. A stream failed if it yielded no status, or if it broke
within so many seconds."""


class Follower:
    """Follows one request once, and records each status and log entry in the request's state."""

    def __init__(
        self,
        *,
        transport: Transport,
        settings: Settings,
        limits: Limits,
        state: RequestState,
        times: RunTimes,
        following: Following,
        no_retry: RetryPolicy,
    ) -> None:
        self._transport, self._settings, self._limits = transport, settings, limits
        self._state, self._following = state, following
        self._loop = asyncio.get_running_loop()
        started = self._loop.time() if state.submitted_at is None else state.submitted_at
        self._times = times
        self._pacer = Pacer(started, times, following.poll_interval)
        self._policy = state.retry or settings.retry
        self._no_retry = no_retry
        self._failures = PollFailures(self._policy)
        self._stuck = StuckDetector(self._policy.stuck_after)
        self._new_logs = NewLogs(state.log_history)

    def updates(self) -> AsyncGenerator[QueueStatus, None]:
        """Follow the request and yield each status. The last one is `Completed`."""
        mode = self._following.mode
        quick = mode == "auto" and self._times.known and self._times.mean < _QUICK
        if mode == "polling" or quick:
            return self.by_polls()
        return self.by_stream(loud=mode == "streaming")

    async def by_polls(self) -> AsyncGenerator[QueueStatus, None]:
        turn = self._pacer.first(random.random())
        asked_at = self._loop.time()
        while True:
            if turn.delay > 0:
                await asyncio.sleep(asked_at + turn.delay - self._loop.time())
            with shortened():
                status, turn = await self._poll(turn)
            asked_at = self._loop.time()
            if status is not None:
                yield status
                if isinstance(status, Completed):
                    return

    async def by_stream(self, *, loud: bool) -> AsyncGenerator[QueueStatus, None]:
        """Follow by streams while they work. After each broken stream, poll once, so that no status is missed.

        `loud`: whether to log a warning, and not only a debug line, when polls replace the streams.
        """
        streams, failures = self._limits.streams, 0
        reason: object = "all connections for streams are in use"
        while failures < _STREAM_FAILURES and streams.take():
            news, opened = False, self._loop.time()
            try:
                async with contextlib.aclosing(self._one_stream()) as events:
                    async for status in events:
                        news = True
                        yield status
                        if isinstance(status, Completed):
                            return
                problem: FalError = StreamError("the status stream ended before the request was completed")
            except (ConfigurationError, SessionStateError):
                raise
            except FalError as error:
                problem = error
            finally:
                streams.give_back()
            reason = problem
            logger.debug("status stream: %s (request %s)", problem, self._state.request_id)
            if isinstance(problem, ApiError) and not problem.retryable:
                break
            lived = self._loop.time() - opened
            failures = 0 if news and lived > _STREAM_LIVES else failures + 1
            with shortened():
                looked, _ = await self._poll(Turn(0.0, False))
            if looked is not None:
                yield looked
                if isinstance(looked, Completed):
                    return
            await asyncio.sleep(self._pause_before_retry(problem, failures) if failures else 0)
        level = logging.WARNING if loud else logging.DEBUG
        words = "the request is followed by polls, not by a status stream (%s) (request %s)"
        logger.log(level, words, reason, self._state.request_id)
        async with contextlib.aclosing(self.by_polls()) as polls:
            async for status in polls:
                yield status

    async def _poll(self, turn: Turn) -> tuple[QueueStatus | None, Turn]:
        """Poll once. Return the status (None after a tolerated failure), and when the next poll is due."""
        polls = self._limits.polls
        await polls.enter(likely=turn.likely)
        try:
            status = await self._ask()
        except FalError as error:
            self._tolerate(error)
            return None, Turn(self._pause_before_retry(error, self._failures.in_a_row), turn.likely)
        finally:
            polls.leave()
        now = self._loop.time()
        self._saw(status, now)
        if isinstance(status, Completed):
            return status, turn  # the turn is not used: no poll follows
        return status, self._pacer.next(now, status, random.random())

    async def _ask(self) -> QueueStatus:
        state = self._state
        request = status_request(state.urls.status, state.ref, logs=self._following.logs)
        state.attempts["status"] += 1
        # The next poll is the retry of this one.
        response = await self._transport.send(request, retry=self._no_retry)
        return parse_status(response.json(), state.request_id, self._new_logs.take)

    def _tolerate(self, error: FalError) -> None:
        """Raise `error` unless following should continue."""
        error.about(self._state.ref)
        if not self._failures.tolerates(error, self._loop.time()):
            existed = self._state.existed
            raise vanished(error, existed=existed) if isinstance(error, NotFoundError) else error
        if self._failures.in_a_row == WARN_AFTER:
            logger.warning(
                "%d polls in a row failed, the last one with: %s; following continues (request %s)",
                WARN_AFTER,
                error,
                self._state.request_id,
            )

    def _pause_before_retry(self, error: FalError, attempt: int) -> float:
        """Return the pause in seconds, and announce the retry."""
        pause = self._failures.pause(error, random.random())
        announce_retry(self._policy, "status", attempt, error, pause)
        return pause

    def _saw(self, status: QueueStatus, now: float) -> None:
        state = self._state
        state.last_status, state.existed = status, True
        if not isinstance(status, UnknownStatus):
            self._failures.restored()
        self._look_at(status, now)
        if isinstance(status, Completed) and state.submitted_at is not None:
            self._pacer.learn(now, status)

    def _look_at(self, status: QueueStatus, now: float) -> None:
        """Warn of a status that is unknown, or of a queue position that has not changed for long."""
        if isinstance(status, UnknownStatus):
            # The request may be running, or may never run: tolerate the status for a limited time, with a warning.
            self._tolerate(unknown_word(status))
        if (stuck := self._stuck.seconds_stuck(status, now)) is not None:
            logger.warning(
                "%s: no change for %.0f s (request %s)", status.headline, stuck, self._state.request_id
            )

    async def _one_stream(self) -> AsyncGenerator[QueueStatus, None]:
        """Yield the statuses of one stream. Each stream repeats all logs, so that old entries are filtered out."""
        state = self._state
        request = status_stream_request(state.urls.status, state.ref, logs=self._following.logs)
        state.attempts["status"] += 1
        silence = self._settings.timeouts.stream
        async with self._transport.open(request, retry=self._no_retry, silence=silence) as response:
            if content_type(response.headers) != "text/event-stream":
                raise StreamError("the status stream is not an event stream", request_id=state.request_id)
            from fal_async.protocol.sse import SSEDecoder

            decoder, line_at = SSEDecoder(), self._loop.time()
            self._new_logs.begin_stream()
            async with contextlib.aclosing(response.chunks()) as chunks:
                async for chunk in chunks:
                    # Only a whole line, such as a keep-alive, counts as activity: single bytes could come forever.
                    now = self._loop.time()
                    if b"\n" in chunk:
                        line_at = now
                    elif silence is not None and now - line_at > silence:
                        raise StreamError(
                            f"the status stream sent no whole line for {silence:g} s",
                            request_id=state.request_id,
                        )
                    events = decoder.feed(chunk)
                    if not events and state.last_status is not None:
                        self._look_at(state.last_status, now)  # a keep-alive: the status has not changed
                    for event in events:
                        status = parse_event(event.data, state.request_id, self._new_logs)
                        self._saw(status, now)
                        self._pacer.next(now, status, 0.5)  # so that later polls are paced by this status
                        yield status
