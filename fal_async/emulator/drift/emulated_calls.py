"""The emulator's answer to a recorded call, by plain HTTP on its own socket."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs

from fal_async.emulator.cassettes.canonical_input import FILE
from fal_async.emulator.cassettes.cassette import Cassette
from fal_async.emulator.jobs.job import COMPLETED, Job
from fal_async.emulator.operations import fallback_chain
from fal_async.emulator.server import Emulator
from fal_async.emulator.wire.answers import Answer
from fal_async.emulator.wire.sse import EVENTS
from fal_async.emulator.workflows.workflow_endpoint import NAMESPACE

_LIKE_FILE = re.compile(r"\$+file")
_LIMIT = 60.0
"""Real seconds for one call; time is virtual, so only an endpoint of the user can take long."""
REQUEST_ID = "x-fal-request-id"


@attrs.frozen(kw_only=True)
class Emulated:
    """What the emulator answers to a call.

    Attributes:
        submit: the answer to the submit; None for direct calls and streams.
        answer: the result, or the whole stream.
        job: the emulator's request; None if it refused the call, and for a fallback chain.
    """

    submit: Answer | None = None
    answer: Answer
    job: Job | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether the emulator has no such endpoint, or not one that a workflow calls."""
        is_refused = self.job is None or self.job.endpoint_id.startswith(NAMESPACE)
        return self.answer.status == 404 and is_refused

    @property
    def output_schema(self) -> Mapping[str, Any] | None:
        """The schema of the endpoint's results; None without one."""
        return None if self.job is None else getattr(self.job.served, "output_schema", None)


class EmulatedCalls:
    """Makes calls of one emulator."""

    def __init__(self, emulator: Emulator, http: aiohttp.ClientSession) -> None:
        self.emulator: Emulator = emulator
        self._http = http

    async def answer_to(self, cassette: Cassette) -> Emulated:
        """Make a recorded call again, and return the answers. Raise TimeoutError if it takes too long."""
        input = sendable(cassette.input)
        if cassette.via == "queue":
            return await self._queued(cassette, input)
        kind = EVENTS if cassette.via == "stream" else "*/*"
        answer = await self._ask(cassette.method, f"fal.run/{cassette.path}", input, kind)
        # The answer to a chain has more in it than the result of its last request.
        job = None if cassette.path == fallback_chain.PATH else self._job(answer)
        return Emulated(answer=answer, job=job)

    async def _queued(self, cassette: Cassette, input: Any) -> Emulated:
        submit = await self._ask(cassette.method, f"queue.fal.run/{cassette.path}", input)
        job = self._job(submit)
        if job is None:
            return Emulated(submit=submit, answer=submit)
        await job.wait_for(COMPLETED, timeout=_LIMIT)
        path = f"queue.fal.run/{job.served.app_id}/requests/{job.request_id}"
        return Emulated(submit=submit, answer=await self._ask("GET", path), job=job)

    async def submitted(self, endpoint_id: str, input: Any) -> Job:
        """Submit an input to an endpoint of the emulator, and return its request."""
        job = self._job(await self._ask("POST", f"queue.fal.run/{endpoint_id}", input))
        if job is None:
            raise RuntimeError(f"the emulator has refused a submit to {endpoint_id}")
        return job

    async def status(self, job: Job) -> dict[str, Any]:
        """Return the document of a request's status, with its logs."""
        path = f"queue.fal.run/{job.served.app_id}/requests/{job.request_id}/status"
        document: dict[str, Any] = (await self._ask("GET", path, {"logs": "1"})).document()
        return document

    async def _ask(self, method: str, path: str, input: Any = None, kind: str = "*/*") -> Answer:
        place = {"params": input} if method == "GET" else {"json": input}
        headers = {"Authorization": f"Key {self.emulator.key}", "Accept": kind}
        async with self._http.request(
            method, f"{self.emulator.url}/{path}", headers=headers, **place
        ) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    def _job(self, answer: Answer) -> Job | None:
        names = {name.lower(): value for name, value in answer.headers.items()}
        return self.emulator.jobs.get(names.get(REQUEST_ID, ""))


@asynccontextmanager
async def calls_of_new_emulator(
    prepare: Callable[[Emulator], None], *, builtins: bool
) -> AsyncIterator[EmulatedCalls]:
    """Run an emulator with virtual time in this event loop, and make calls of it.

    Args:
        prepare: adds endpoints to it before it starts.
        builtins: whether it serves the built-in models.
    """
    emulator = Emulator(clock="auto", plain_pictures=True, builtins=builtins)
    prepare(emulator)
    limit = aiohttp.ClientTimeout(total=_LIMIT)
    async with emulator, aiohttp.ClientSession(timeout=limit) as http:
        yield EmulatedCalls(emulator, http)


def sendable(input: Any) -> Any:
    """Return a canonical input with a URL for each file, of a host from which the emulator reads nothing."""
    if isinstance(input, list):
        return [sendable(item) for item in input]
    if not isinstance(input, Mapping):
        return input
    if FILE in input:
        suffix = mimetypes.guess_extension(str(input.get("content_type"))) or ".bin"
        return f"https://example.com/{input[FILE]}{suffix}"
    # A name such as "$$file" stands for the caller's own name "$file".
    return {
        name[1:] if _LIKE_FILE.fullmatch(name) else name: sendable(value) for name, value in input.items()
    }
