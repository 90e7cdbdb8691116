"""What happens to a request at upstream, as moments: its status is asked for until it is completed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

from fal_async.emulator.cassettes.cassette import STATES, Moment
from fal_async.emulator.recordings.upstream import Reply, Upstream
from fal_async.emulator.recordings.upstream_connections import UpstreamError

_FIRST_PAUSE, _PAUSE, _GROWTH = 0.1, 0.5, 1.5
"""Seconds between two polls: short at first, so that short requests get a line of time, too."""
_PAUSE_OF_ONE = 0.05
"""Seconds by which each request that is followed at the same time lengthens the pause: 20 polls a second in all."""
_PATIENCE = 120
"""Failures in sequence after which a request is given up, about a minute. A poll costs nothing."""
_UNKNOWN = {"status": "NOT_FOUND"}
"""The queue's own answer about a request that it does not have (protocol 9.3)."""
_REPEATED = frozenset({408, 429})
"""Statuses of a poll that may pass, beside 5xx. Others mean that the request or the key is unknown."""


class Follower:
    """Follows one request of upstream's queue.

    Args:
        upstream: where the request is.
        endpoint_id: its endpoint.
        request_id: its id.
        began: when it was submitted, by the clock of the event loop.
    """

    def __init__(self, upstream: Upstream, endpoint_id: str, request_id: str, began: float) -> None:
        self._upstream, self._endpoint_id, self._request_id = upstream, endpoint_id, request_id
        self._began = began
        self._state: str | None = None
        self._position: int | None = None
        self._logs = 0

    async def moments(self) -> AsyncIterator[Moment]:
        """Yield what happens until the request is completed. Raise `UpstreamError` if it can't be followed."""
        pause = _FIRST_PAUSE
        with self._upstream.following() as count:
            while True:
                document = await self._document()
                for moment in self._changes(document):
                    yield moment
                if self._state == STATES[-1]:
                    return
                await asyncio.sleep(max(pause, count() * _PAUSE_OF_ONE))
                pause = min(pause * _GROWTH, _PAUSE)

    async def result(self) -> Reply:
        """Return the result or error of the completed request. Raise `UpstreamError` if fal does not have it."""
        # A result may be an error of the model, which has the request id; an error of fal's gateway has not.
        reply = await self._repeated(self._upstream.result, lambda reply: "x-fal-request-id" in reply.headers)
        if self._upstream.read(reply) == _UNKNOWN:
            raise UpstreamError(f"the result of request {self._request_id} was answered {reply.status}")
        return reply

    async def _document(self) -> Mapping[str, Any]:
        reply = await self._repeated(self._upstream.status)
        document = self._upstream.read(reply)
        if not reply.ok or not isinstance(document, dict) or document.get("status") not in STATES:
            raise UpstreamError(f"the status of request {self._request_id} was answered {reply.status}")
        return document

    async def _repeated(
        self, ask: Callable[[str, str], Awaitable[Reply]], is_final: Callable[[Reply], bool] = lambda _: False
    ) -> Reply:
        """Ask until there is an answer that is not a passing failure. Raise `UpstreamError` for a lasting one."""
        for left in reversed(range(_PATIENCE)):
            try:
                reply = await ask(self._endpoint_id, self._request_id)
                if is_final(reply) or (reply.status < 500 and reply.status not in _REPEATED):
                    return reply
                reason = UpstreamError(f"request {self._request_id} can't be followed: {reply.status}")
            except UpstreamError as error:
                reason = error
            if not left:
                raise reason
            await asyncio.sleep(_PAUSE)
        raise AssertionError("unreachable")

    def _changes(self, document: Mapping[str, Any]) -> Iterator[Moment]:
        after = round(asyncio.get_running_loop().time() - self._began, 3)
        state, position = document["status"], document.get("queue_position")
        logs = (document.get("logs") or [])[self._logs :]
        self._logs += len(logs)
        lines = [Moment(after=after, log=entry) for entry in logs]
        changed = []
        if (state, position) != (self._state, self._position):
            new_state = None if state == self._state else state
            document = {name: value for name, value in document.items() if name != "logs"}
            changed = [Moment(after=after, status=new_state, queue_position=position, document=document)]
        self._state, self._position = state, position
        # A request logs after its start and before its end.
        yield from [*lines, *changed] if state == STATES[-1] else [*changed, *lines]
