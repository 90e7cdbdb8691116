"""The status stream, `GET {status_url}/stream`: server-sent events on every change (protocol 4.3)."""

from __future__ import annotations

import json
from typing import Any

import attrs
from aiohttp import web

from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.faults.delivery import send, stall
from fal_async.emulator.faults.effect import Piece
from fal_async.emulator.jobs.changes import Changes
from fal_async.emulator.jobs.job import COMPLETED, IN_QUEUE, Job, log_entries
from fal_async.emulator.operations.queued_request import status_document, wants_logs
from fal_async.emulator.wire.answers import Answer, no_request
from fal_async.emulator.wire.sse import EVENTS

KEEP_ALIVE = b": keep-alive\n\n"


async def status_stream(core: Core, call: Call) -> Reply:
    """Send events until COMPLETED. The server closes after it, without a further sign of the end (4.3)."""
    job, changed = call.job, Changes()
    if job is None:
        return no_request()
    await stall(call.effect)
    response = await _open(call, job)
    sender = _Sender(core, call, job, response)
    job.watch(changed)
    try:
        while True:
            changed.clear()
            is_counted = await core.runners.of(job.served, job.account).look_at(job)
            _watch_the_queue(core, job, changed)
            await sender.send_changes(repeat=is_counted)
            if job.state == COMPLETED or sender.broken_off:
                return response
            if not is_counted and not await changed.within(core.keep_alive):
                await sender.write(KEEP_ALIVE)
    finally:
        job.unwatch(changed)
        core.runners.of(job.served, job.account).position_watchers.discard(changed)


async def _open(call: Call, job: Job) -> web.StreamResponse:
    headers = {"Content-Type": EVENTS, "Cache-Control": "no-cache", "x-fal-request-id": job.request_id}
    response = web.StreamResponse(headers=call.effect.spoil(Answer(200, headers)).headers)
    await response.prepare(call.request)
    return response


def _watch_the_queue(core: Core, job: Job, changed: Changes) -> None:
    """Watch the position in the queue, but only while the job waits."""
    position_watchers = core.runners.of(job.served, job.account).position_watchers
    (position_watchers.add if job.state == IN_QUEUE else position_watchers.discard)(changed)


@attrs.define(eq=False)
class _Sender:
    """Sends an event on each change and each log entry once, so it stores what it has sent."""

    _core: Core
    _call: Call
    _job: Job
    _response: web.StreamResponse
    broken_off: bool = attrs.field(default=False, init=False)
    _last: tuple[str, int | None] | None = attrs.field(default=None, init=False)
    """State and position of the last event. The event itself would take 700 bytes of each open stream."""
    _logs_sent: int = attrs.field(default=0, init=False)
    _events: int = attrs.field(default=0, init=False)
    _logs: bool = attrs.field(init=False)

    @_logs.default
    def _wants_logs(self) -> bool:
        return wants_logs(self._call)

    async def send_changes(self, *, repeat: bool) -> None:
        """Send an event if something is new; with `repeat` also if nothing is."""
        document = status_document(self._core, self._call, self._job)
        news, now = self._new_logs(), (self._job.state, document.get("queue_position"))
        if now == self._last and not news and not repeat:
            return
        self._last = now
        if self._job.state != IN_QUEUE:
            document = {**document, "logs": news if self._logs else None}
        if self._job.state != COMPLETED:
            document = self._call.effect.document(document)
        for event in [document] * self._call.effect.copies:
            await self._send(f"data: {json.dumps(event, separators=(',', ':'))}\n\n".encode())

    def _new_logs(self) -> list[dict[str, Any]]:
        """Return the log entries that were not sent yet, because each event has only new ones (4.3)."""
        if not self._logs or self._job.state == IN_QUEUE:
            return []
        news = self._job.logs[self._logs_sent :]
        self._logs_sent = len(self._job.logs)
        return log_entries(news, labels=self._job.served.log_labels)

    async def _send(self, event: bytes) -> None:
        """Send an event; a fault changes only the first one."""
        if self.broken_off:
            return
        self._events += 1
        effect = self._call.effect
        is_changed = self._events == 1 and effect.knows("status_stream")
        pieces = effect.in_stream(event) if is_changed else [Piece(event)]
        self.broken_off |= not await send(pieces, self.write, self._call.request)

    async def write(self, data: bytes) -> None:
        try:
            await self._response.write(data)
        except ConnectionError:
            self.broken_off = True  # the client has left
