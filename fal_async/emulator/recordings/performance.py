"""Lets a job do what a recording says, or what fal does while it is recorded, moment by moment."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import attrs

from fal_async.emulator.apps.mounted_request import billed_units
from fal_async.emulator.cassettes.cassette import Moment, RecordedAnswer, RecordedFile
from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from fal_async.emulator.cassettes.content import Content
from fal_async.emulator.core import Core, EventSender
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.jobs.job import IN_PROGRESS, IN_QUEUE, Job, JobContext
from fal_async.emulator.jobs.served import NO_LIMIT
from fal_async.emulator.wire.answers import JSON, Answer
from fal_async.emulator.wire.sse import EVENTS

FILE_HOSTS = ("v3.fal.media", "v3b.fal.media", "fal.media")


class Script(Protocol):
    """What happens to one call."""

    @property
    def head(self) -> RecordedAnswer | None:
        """Status and headers of a stream, which are known when its first event is; None for other calls."""
        ...

    @property
    def files(self) -> Mapping[str, RecordedFile]:
        """The files to which URLs in the moments lead, by the URL that fal gave; all that are known by now."""
        ...

    @property
    def recording(self) -> str | None:
        """The path of the cassette in its folder; None before it is written."""
        ...

    def moments(self, job: JobContext) -> AsyncGenerator[Moment | RecordedAnswer, None]:
        """Yield each moment when it happens, and the answer last. It is closed early if the job is cancelled.

        With virtual time, it waits with `job.sleep`, or within `job.wait_for`.
        """
        ...


class RecordedEndpoints(dict[str, Endpoint]):
    """The endpoints that take recorded calls, made when an id is first asked for; an id's has its runners."""

    def __missing__(self, endpoint_id: str) -> Endpoint:
        made = self[endpoint_id] = endpoint_of_recordings(endpoint_id)
        return made


def endpoint_of_recordings(endpoint_id: str) -> Endpoint:
    """Return an endpoint that takes the recorded calls of an id."""
    return Endpoint(endpoint_id=endpoint_id, runners=NO_LIMIT, function=_never_called, takes_job=False)


async def _never_called(_: Any) -> None:
    raise RuntimeError("recorded calls are performed, not called")


@attrs.frozen(kw_only=True)
class ScriptedCall:
    """The performance of a script."""

    core: Core
    folder: CassetteFolder
    served: Endpoint
    script: Script
    request_id: str | None = None
    position: int | None = None

    @property
    def recording(self) -> str | None:
        return self.script.recording

    async def perform(self, _: Any, job: JobContext) -> Answer:
        async with aclosing(self.script.moments(job)) as moments:
            async for moment in moments:
                self._job(job).recording = self.script.recording
                if isinstance(moment, RecordedAnswer):
                    return self._answer(self._job(job), moment)
                apply(self._job(job), moment)
        raise RuntimeError(f"the recording of {job.endpoint_id} ends without an answer")

    async def stream(self, sender: EventSender, _: Any, job: JobContext) -> Answer | None:
        has_begun = False
        async with aclosing(self.script.moments(job)) as moments:
            async for moment in moments:
                self._job(job).recording = self.script.recording
                if isinstance(moment, RecordedAnswer):
                    sender.finished = True
                    return None if has_begun else self._answer(self._job(job), moment)
                apply(self._job(job), moment)
                if moment.event is None:
                    continue
                if not has_begun:
                    await self._begin(sender)
                    has_begun = True
                if not await sender.pass_on(self._bytes(self._job(job), moment.event)):
                    break
        return None

    async def _begin(self, sender: EventSender) -> None:
        head = self.script.head
        status, headers = (200, {}) if head is None else (head.status, head.headers)
        headers = {"content-type": EVENTS, **headers, "cache-control": "no-cache"}
        await sender.begin(status, headers, binary=not headers["content-type"].lower().startswith(EVENTS))

    def _job(self, context: JobContext) -> Job:
        return self.core.jobs.by_id[context.request_id]

    def _answer(self, job: Job, recorded: RecordedAnswer) -> Answer:
        if "x-fal-billable-units" in recorded.headers:
            job.billable_units = billed_units(recorded.headers)
        usual = {"content-type": JSON} if recorded.body.kind == "json" else {}
        return Answer(recorded.status, {**usual, **recorded.headers}, self._bytes(job, recorded.body))

    def _bytes(self, job: Job, content: Content) -> bytes:
        data = content.data(self.folder.read_file)
        if content.kind == "file" or not self.script.files:
            return data
        places = {url: _place(url, file) for url, file in self.script.files.items()}
        for url, (_, path) in places.items():
            file = self.script.files[url]
            self.core.files.lend(path, self.folder.file(file.file), file.content_type, job.account.nickname)
        longest_first = sorted(places, key=len, reverse=True)
        pattern = re.compile(b"|".join(re.escape(url.encode()) for url in longest_first))
        return pattern.sub(lambda found: f"{job.origin}/{places[found[0].decode()][0]}".encode(), data)


def apply(job: Job, moment: Moment) -> None:
    """Let a moment happen to a job."""
    metrics = (moment.document or {}).get("metrics")
    if isinstance(metrics, Mapping) and isinstance(seconds := metrics.get("inference_time"), int | float):
        job.release()  # a quick request may never have been seen while it ran
        job.inference_time = seconds
    if moment.status == IN_PROGRESS:
        job.release()
    elif moment.status == IN_QUEUE or moment.queue_position is not None:
        job.hold(moment.queue_position or 0)
    if moment.log is not None:
        job.add_entry(moment.log)


def _place(url: str, file: RecordedFile) -> tuple[str, str]:
    """Return where a file is served: its URL after the emulator's address, and its path in the store."""
    parts = urlsplit(url)
    if parts.hostname in FILE_HOSTS:
        query = f"?{parts.query}" if parts.query else ""
        return f"{parts.hostname}{parts.path}{query}", unquote(parts.path).lstrip("/")
    path = f"files/recorded/{file.file}"
    return f"{FILE_HOSTS[0]}/{path}", path
