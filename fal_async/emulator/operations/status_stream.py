"""The status stream, `GET {status_url}/stream`: server-sent events on every change (protocol 4.3)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.faults.delivery import send, stall
from fal_async.emulator.faults.effect import Piece
from fal_async.emulator.jobs.job import COMPLETED, IN_QUEUE, Job, log_entries
from fal_async.emulator.operations.queued_request import status_document, wants_logs
from fal_async.emulator.wire.answers import Answer, no_request
from fal_async.emulator.wire.sse import EVENTS

KEEP_ALIVE = b": keep-alive\n\n"


async def status_stream(core: Core, call: Call) -> Reply:
    if call.job is None:
        return no_request()
    await stall(call.effect)
    response = await _open(call, call.job)
    changed = asyncio.Event()
    position_watchers = core.runners.of(call.job.served).position_watchers
    call.job.watch(changed)
    try:
        await _follow(core, _Sender(core, call, call.job, response), call.job, changed)
    finally:
        call.job.unwatch(changed)
        position_watchers.discard(changed)
    return response


async def _open(call: Call, job: Job) -> web.StreamResponse:
    headers = {"Content-Type": EVENTS, "Cache-Control": "no-cache", "x-fal-request-id": job.request_id}
    response = web.StreamResponse(headers=call.effect.spoil(Answer(200, headers)).headers)
    await response.prepare(call.request)
    return response


async def _follow(core: Core, sender: _Sender, job: Job, changed: asyncio.Event) -> None:
    """Send events until COMPLETED. The server closes after it, without a further sign of the end (4.3)."""
    while True:
        changed.clear()
        _watch_the_queue(core, job, changed)
        await sender.send_changes()
        if job.state == COMPLETED or sender.broken_off:
            return
        if not await _changed_within(changed, core.keep_alive):
            await sender.write(KEEP_ALIVE)


def _watch_the_queue(core: Core, job: Job, changed: asyncio.Event) -> None:
    """Watch the position in the queue, but only while the job waits."""
    position_watchers = core.runners.of(job.served).position_watchers
    (position_watchers.add if job.state == IN_QUEUE else position_watchers.discard)(changed)


async def _changed_within(changed: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        return False
    return True


class _Sender:
    """Sends an event on each change and each log entry once, so it stores what it has sent."""

    def __init__(self, core: Core, call: Call, job: Job, response: web.StreamResponse) -> None:
        self._core, self._call, self._job, self._response = core, call, job, response
        self._last: dict[str, Any] | None = None
        self._logs_sent = 0
        self._events = 0
        self._logs = wants_logs(call)
        self.broken_off = False

    async def send_changes(self) -> None:
        document = status_document(self._core, self._call, self._job)
        news = self._new_logs()
        if document == self._last and not news:
            return
        self._last = document
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
