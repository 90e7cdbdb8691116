"""Calls that are sent to fal and recorded: a script of each is what fal does, while it does it."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, cast

import attrs

from fal_async.emulator.cassettes.cassette import Moment, RecordedAnswer, RecordedFile, Via
from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from fal_async.emulator.cassettes.cassette_redaction import Redactor
from fal_async.emulator.core import Call, Core, Miss, Performance
from fal_async.emulator.jobs.job import JobContext
from fal_async.emulator.recordings.input_uploads import InputUploads
from fal_async.emulator.recordings.own_files import own_files
from fal_async.emulator.recordings.performance import RecordedEndpoints, Script, ScriptedCall
from fal_async.emulator.recordings.request_following import Follower
from fal_async.emulator.recordings.take import Take
from fal_async.emulator.recordings.upstream import StreamedReply, Upstream, check_key
from fal_async.emulator.recordings.upstream_connections import UpstreamError
from fal_async.emulator.wire.answers import Answer, ModelError, request_error
from fal_async.emulator.wire.sse import CHUNKS, EVENTS, by_event

logger: logging.Logger = logging.getLogger("fal_async.emulator")

_CANCEL_LIMIT = 2.0
"""Seconds for which the cancel of a request waits for fal's answer."""
_NEVER_AGAIN = {"X-Fal-Needs-Retry": "0", "X-Fal-Request-Timeout-Type": "user"}
"""Headers with which no client sends a request again that fal may have accepted (protocol 3.2, 3.4)."""


class CallRecorder:
    """Sends each call to fal, and records it.

    Args:
        folder: where the recordings are written.
        upstream: fal, or what plays it.
        redactor: removes the keys in use.
    """

    misses: Sequence[Miss] = ()

    def __init__(self, folder: CassetteFolder, upstream: Upstream, redactor: Redactor) -> None:
        self.folder: CassetteFolder = folder
        self._upstream, self._redactor = upstream, redactor
        self._uploads = InputUploads(upstream)
        self._endpoints = RecordedEndpoints()
        self._sheltered: set[asyncio.Task[Answer]] = set()

    async def halt(self) -> None:
        """End the submits that wait for fal's answer."""
        for task in self._sheltered:
            task.cancel()
        await asyncio.gather(*self._sheltered, return_exceptions=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._upstream.close()

    async def shelter(self, accepting: Coroutine[Any, Any, Answer]) -> Answer:
        task = asyncio.create_task(accepting)
        self._sheltered.add(task)
        task.add_done_callback(self._sheltered.discard)
        return await asyncio.shield(task)

    async def find(self, core: Core, call: Call, via: str, input: Any) -> Performance | Answer:
        """Return the performance of a call that is sent to fal; an answer if fal refuses a submit."""
        files = await own_files(core, call.origin, input)
        digests = {url: file.digest for url, file in files.items()}
        take = Take(
            folder=self.folder,
            upstream=self._upstream,
            redactor=self._redactor,
            via=cast(Via, via),
            endpoint_id=call.route.endpoint_id or call.route.rest,
            path=call.route.rest,
            method=call.request.method,
            input=self.folder.input(input, digests.get),
        )
        try:
            body = await self._uploads.sent(call.body, input, files)
        except UpstreamError as error:
            return _not_sent(error).answer()
        if via != "queue":
            return self._performance(core, take, _DirectScript(take, call, body))
        try:
            return await self._submitted(core, call, take, body)
        except UpstreamError as error:
            return _failure(error).answer()

    def session(self, call: Call) -> Answer | None:
        return not_recordable(call)

    async def _submitted(self, core: Core, call: Call, take: Take, body: bytes) -> Performance | Answer:
        reply = await self._upstream.submit(take.path, body, call.headers, call.query)
        check_key(reply)
        document = self._upstream.read(reply)
        take.submit = await take.noted(reply)
        if not reply.ok or not isinstance(document, dict) or "request_id" not in document:
            take.save()
            return Answer(reply.status, take.submit.headers, take.submit.body.data(self.folder.read_file))
        take.request_id = str(document["request_id"])
        position = document.get("queue_position")
        return self._performance(
            core, take, _QueueScript(take, core), position if isinstance(position, int) else None
        )

    def _performance(
        self, core: Core, take: Take, script: Script, position: int | None = None
    ) -> Performance:
        return ScriptedCall(
            core=core,
            folder=self.folder,
            served=self._endpoints[take.endpoint_id],
            script=script,
            request_id=take.request_id,
            position=position,
        )


def not_recordable(call: Call) -> Answer:
    """Return the refusal of a realtime session, or of HTTP over WebSocket (protocol 5.2, 6)."""
    detail = (
        f"{call.route.rest}: realtime sessions and HTTP over WebSocket can't be recorded: call an emulator without "
        "recordings, or one that replays with missing='emulate'"
    )
    return request_error(400, detail, "not_recordable")


@attrs.define(eq=False)
class _TakenScript(ABC):
    """What fal does with a call, recorded by a take."""

    take: Take
    head: RecordedAnswer | None = attrs.field(default=None, init=False)

    @property
    def files(self) -> dict[str, RecordedFile]:
        return self.take.files

    @property
    def recording(self) -> str | None:
        return self.take.recording

    async def moments(self, job: JobContext) -> AsyncGenerator[Moment | RecordedAnswer, None]:
        """Yield moments; virtual time moves on meanwhile, since fal's work is not the emulator's."""
        async with aclosing(self._moments(job)) as moments:
            while True:
                try:
                    moment = await job.wait_for(anext(moments))
                except StopAsyncIteration:
                    return
                yield moment

    @abstractmethod
    def _moments(self, job: JobContext) -> AsyncGenerator[Moment | RecordedAnswer, None]: ...


@attrs.define(eq=False)
class _QueueScript(_TakenScript):
    """A request in fal's queue. It is followed to its end, whether or not its client asks for it."""

    core: Core = attrs.field(repr=False)

    async def _moments(self, job: JobContext) -> AsyncGenerator[Moment | RecordedAnswer, None]:
        take, request_id = self.take, self.take.request_id or ""
        follower = Follower(take.upstream, take.endpoint_id, request_id, take.began)
        try:
            async for moment in follower.moments():
                take.moments.append(moment)
                yield moment
            take.answer = await take.noted(await follower.result())
        except UpstreamError as error:
            raise _failure(error) from None
        except (asyncio.CancelledError, GeneratorExit):
            if self.core.jobs.by_id[job.request_id].cancel_requests:
                await _cancelled(take, request_id)
            raise
        take.save()
        yield take.answer


@attrs.define(eq=False)
class _DirectScript(_TakenScript):
    """A direct call, or a stream. It ends when its caller leaves, and is then not recorded."""

    call: Call
    body: bytes

    async def _moments(self, job: JobContext) -> AsyncGenerator[Moment | RecordedAnswer, None]:
        take = self.take
        take.request_id = job.request_id
        try:
            async with take.upstream.run(
                take.method, take.path, self.body, self.call.headers, self.call.query
            ) as reply:
                if take.via == "stream" and _is_stream(reply):
                    async for moment in self._events(reply):
                        yield moment
                    take.answer = attrs.evolve(self._begun, after=take.after)
                else:
                    whole = await reply.whole()
                    check_key(whole)
                    take.answer = await take.noted(whole)
        except UpstreamError as error:
            raise _failure(error) from None
        take.save()
        yield take.answer

    async def _events(self, reply: StreamedReply) -> AsyncIterator[Moment]:
        self.head = RecordedAnswer(after=self.take.after, status=reply.status, headers=reply.headers)
        pieces = by_event(reply.pieces()) if _kind(reply).startswith(EVENTS) else reply.pieces()
        async for piece in pieces:
            yield await self.take.event(piece)

    @property
    def _begun(self) -> RecordedAnswer:
        if self.head is None:
            raise RuntimeError("the stream has not begun")
        return self.head


def _kind(reply: StreamedReply) -> str:
    return reply.headers.get("Content-Type", "").lower()


def _is_stream(reply: StreamedReply) -> bool:
    return 200 <= reply.status < 300 and _kind(reply).startswith((EVENTS, CHUNKS))


async def _cancelled(take: Take, request_id: str) -> None:
    """Cancel a request at fal, because its client has cancelled it here."""
    asking = asyncio.ensure_future(take.upstream.cancel(take.endpoint_id, request_id))
    try:
        async with asyncio.timeout(_CANCEL_LIMIT):
            await asking
    except (UpstreamError, TimeoutError) as error:
        logger.error("the cancel of request %s did not reach fal: %s", request_id, error)


def _failure(error: UpstreamError) -> ModelError:
    """Return the error for the caller of a request of which fal's answer is missing; nothing is recorded."""
    if error.status is not None or not error.sent:
        return _not_sent(error)
    logger.error("a call is not recorded: %s", error)
    return answer_lost(str(error))


def answer_lost(reason: str) -> ModelError:
    """Return the error for the caller of a request that fal has accepted, and whose answer never arrives."""
    detail = f"fal's answer was lost. The request may be billed, so it is not sent again: {reason}"
    return ModelError(504, detail, headers=_NEVER_AGAIN)


def _not_sent(error: UpstreamError) -> ModelError:
    logger.error("a call was not sent to fal: %s", error)
    return ModelError(error.status or 502, f"Not sent to fal: {error}")
