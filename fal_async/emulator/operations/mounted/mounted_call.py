"""One request to a mounted application, as a runner makes it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import quote

import attrs
from multidict import CIMultiDict

from fal_async.emulator.apps.application import Response
from fal_async.emulator.apps.mounted_request import KEPT_BACK, Ask, billed_units, end_to_end
from fal_async.emulator.apps.mounts import Mount
from fal_async.emulator.core import Call, Core
from fal_async.emulator.faults.effect import NO_EFFECT
from fal_async.emulator.jobs.job import Job, JobContext
from fal_async.emulator.operations.stream import Sender
from fal_async.emulator.operations.submit import runner_of
from fal_async.emulator.webhooks.signing import USER_ID
from fal_async.emulator.wire.answers import JSON, Answer
from fal_async.emulator.wire.sse import EVENTS, by_event

_QUERIES_KEPT_BACK = frozenset({"fal_jwt_token", "fal_webhook", "fal_max_queue_length"})
"""Query parameters for the gateway (protocol 4.1, 6.1)."""
_CANCEL_LIMIT = 5.0
"""Time limit of an application's answer to a cancel, in seconds."""
_GRACE = 5.0
"""Seconds that a call has to return after an accepted cancel, before it is aborted."""


def ask_of(call: Call, mount: Mount, job: Job, body: bytes = b"") -> Ask:
    """Return the caller's request as the gateway passes it on.

    It lacks the headers and query parameters for the gateway, and has the gateway's own headers: x-fal-endpoint,
    x-fal-request-id and x-fal-caller-user-id (protocol 13), which a caller cannot set.
    """
    path = path_below(call, mount.app_id)
    headers = _passed_on(call.headers, job, path)
    if body or "Content-Length" in call.headers:
        headers["Content-Length"] = str(len(body))
    if in_frames := call.route.kind == "websocket":
        headers["Content-Type"] = JSON  # each payload is a separate request (5.2)
    return Ask(
        method="POST" if in_frames else call.request.method,
        path=path,
        query=_query(call.request.rel_url.raw_query_string),
        headers=headers,
        body=body,
        log=job.log,
    )


def ask_again(job: Job, body: bytes) -> Ask:
    """Return the request of a queued job whose call is over: it lacks the query, which is not kept."""
    path = quote(job.endpoint_id.removeprefix(job.served.app_id)) or "/"
    headers = _passed_on(job.headers, job, path)
    headers["Content-Length"] = str(len(body))
    return Ask(path=path, headers=headers, body=body, log=job.log)


def _passed_on(given: Mapping[str, str], job: Job, path: str) -> CIMultiDict[str]:
    headers = end_to_end(given, but=KEPT_BACK)
    headers["x-fal-request-id"] = job.request_id
    headers["x-fal-endpoint"] = job.served.app_id + path
    headers["x-fal-caller-user-id"] = USER_ID
    return headers


def path_below(call: Call, app: str) -> str:
    """Return the path below the app's id as it was sent, with percent signs and a slash at the end."""
    names = "/+".join(map(re.escape, app.split("/")))
    match = re.fullmatch(rf"(?:/+[^/]*\.[^/]*)?/+{names}(?P<below>/.*)?", call.request.rel_url.raw_path, re.S)
    if match is not None:
        return match["below"] or "/"
    # The legacy form of an id, or an id with percent signs.
    return "/" + quote("/".join(call.route.rest.split("/")[app.count("/") + 1 :]))


def _query(text: str) -> str:
    return "&".join(pair for pair in text.split("&") if pair.partition("=")[0] not in _QUERIES_KEPT_BACK)


def cancel_of(ask: Ask) -> Ask:
    """Return the request that notifies a running application of a cancel.

    Its path is that of the request with `/cancel` appended, its `x-fal-request-id` the same, its method POST, the
    only one of a `fal.endpoint`.
    """
    headers = end_to_end(ask.headers, but=frozenset({"content-type"}))
    headers["Content-Length"] = "0"
    path = f"{ask.path.rstrip('/')}/cancel"
    return attrs.evolve(ask, method="POST", path=path, query="", headers=headers, body=b"")


class MountedCall:
    """A call of an application, whose `work` a runner executes. With a `sender`, the answer may be streamed."""

    def __init__(
        self,
        core: Core,
        call: Call | None,
        mount: Mount,
        job: Job,
        *,
        ask: Ask,
        sender: Sender | None = None,
    ) -> None:
        """Store the parts; `call` is None for a queued request of a saved state."""
        self._core, self._call, self._mount, self._job = core, call, mount, job
        self._ask, self._sender = ask, sender

    async def work(self, _: Any, job: JobContext) -> Answer:
        await self._core.mounts.ready(self._mount.application)
        # A separate task, because the call continues while the application is notified of a cancel.
        asking = asyncio.get_running_loop().create_task(self._answer(job))
        try:
            await asyncio.wait({asking})
            return asking.result()
        except asyncio.CancelledError:
            if not self._core.runners.of(self._mount, self._job.account).is_stopping(self._job):
                raise
            return await self._cancelled(asking)
        finally:
            asking.cancel()
            while not asking.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({asking})

    async def _cancelled(self, asking: asyncio.Task[Answer]) -> Answer:
        """Return the answer of an application that returns in time after a cancel; otherwise abort the call."""
        accepted = await self._send_cancel()
        if accepted or self._mount.runs_on:
            await asyncio.wait({asking}, timeout=None if self._mount.runs_on else _GRACE)
        if asking.done() and asking.exception() is None:
            return asking.result()
        raise asyncio.CancelledError

    async def _send_cancel(self) -> bool:
        try:
            async with (
                asyncio.timeout(_CANCEL_LIMIT),
                self._mount.application.ask(cancel_of(self._ask)) as response,
            ):
                await _whole(response)
                return response.status < 300
        except Exception:
            return False  # the application has not accepted the cancel, for whatever reason

    async def _answer(self, job: JobContext) -> Answer:
        async with self._mount.application.ask(self._ask) as response:
            if (units := billed_units(response.headers)) is not None:
                job.bill(units)
            if self._sender is None or self._is_whole(response):
                return Answer(response.status, response.headers, await _whole(response))
            await self._pass_on(response, self._sender)
            return Answer(response.status, response.headers)

    @property
    def _has_fault(self) -> bool:
        return self._call is not None and self._call.effect is not NO_EFFECT

    def _is_whole(self, response: Response) -> bool:
        """Return whether to read the answer as a whole: its length is known, or a fault of `run` needs it."""
        return response.sized or (self._has_fault and self._job.via == "run")

    async def _pass_on(self, response: Response, sender: Sender) -> None:
        response.headers["X-Fal-Served-From"] = runner_of(self._job)
        await sender.begin(response.status, response.headers, binary=True)
        pieces = response.pieces()
        if self._has_fault and response.headers.get("Content-Type", "").startswith(EVENTS):
            pieces = by_event(pieces)  # because faults count events
        async with aclosing(pieces):  # type: ignore[type-var]
            async for piece in pieces:
                if not await sender.pass_on(piece):
                    break
        sender.finished = True


async def _whole(response: Response) -> bytes:
    return b"".join([piece async for piece in response.pieces()])
