"""Paid requests whose every response is kept, and which are never left running."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping

import attrs

from fal_async.cli.doctor.live.not_seen import NotSeenError
from fal_async.cli.doctor.wire import Wire
from fal_async.errors import FalError, RequestRef, ResponseDecodeError, SubmissionUncertainError
from fal_async.options import CallOptions
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation
from fal_async.protocol.queue import (
    RequestUrls,
    cancel_request,
    parse_submission,
    rebuilt_urls,
    result_request,
    status_request,
    submit_request,
    urls_of,
)
from fal_async.sheltered import ShelteredTask, settle
from fal_async.transport.progress import Progress

_SUBMIT_GRACE = 10.0
"""Seconds for which an interrupted submit waits for its response, because the cancel needs the request id."""
_END_LIMIT = 30.0
"""Seconds for cancelling, and following to their end, the requests that still run."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
"""Seconds between two polls."""
OVER = "COMPLETED"


@attrs.define(kw_only=True, eq=False)
class LiveRequest:
    """One submitted request, and fal's responses about it in order."""

    ref: RequestRef
    urls: RequestUrls
    submit: HttpResponse
    body: bytes
    sent_at: float
    polls: list[HttpResponse] = attrs.field(factory=list)
    ended_at: float | None = None
    """When a poll saw the end, in Unix seconds of this machine's clock."""

    @property
    def word(self) -> str:
        """The last known status word."""
        return word_in(self.polls[-1] if self.polls else self.submit)

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None


class LiveRequests:
    """Sends requests to one endpoint, one attempt each.

    Args:
        wire: sends the HTTP requests.
        endpoint: the endpoint of all requests.
        body: the JSON of the input.
        patience: seconds that a request may take, and that a record may be awaited.
        realtime: the endpoint, with its path, of realtime sessions. None: no session is opened.
    """

    def __init__(
        self,
        wire: Wire,
        endpoint: EndpointId,
        body: bytes,
        patience: float,
        realtime: EndpointId | None = None,
    ) -> None:
        self.wire: Wire = wire
        self.realtime: EndpointId | None = realtime
        self.endpoint: EndpointId = endpoint
        self.body: bytes = body
        self.patience: float = patience
        self.submitted: list[LiveRequest] = []
        self.uncertain: list[str] = []
        """What is known of submits that fal may have accepted, whose request ids are unknown."""
        self.responses: list[tuple[str, HttpResponse]] = []
        """Each response with the name of its operation."""

    async def submit(
        self, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[HttpResponse, LiveRequest | None]:
        """Submit a request. Return the response, and the request unless it was refused.

        If this call is cancelled, it waits for the response, so that the request can be ended.
        """
        progress = Progress()
        task = ShelteredTask(self._submit(body, headers or {}, progress))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            progress.given_up = True
            await settle(task, _SUBMIT_GRACE if progress.sent else 0.0)
            if progress.sent and task.cancelled():
                self.uncertain.append(f"no response to a submit within {_SUBMIT_GRACE:g} s")
            raise

    async def _submit(
        self, body: bytes | None, headers: Mapping[str, str], progress: Progress
    ) -> tuple[HttpResponse, LiveRequest | None]:
        sent = self.body if body is None else body
        request = submit_request(self.wire.settings, self.endpoint, sent, CallOptions())
        request.headers = {**request.headers, **headers}
        sent_at = time.time()
        try:
            response = await self.send(request, progress)
            if not 200 <= response.status < 300:
                if response.status >= 500 and response.request_id is None:
                    self.uncertain.append(f"a gateway answered {response.status} to a submit")
                return response, None
            submission = parse_submission(response)
        except (SubmissionUncertainError, ResponseDecodeError) as error:
            self.uncertain.append(error.message)
            raise
        ref = RequestRef(endpoint_id=self.endpoint.full, request_id=submission.request_id)
        urls = urls_of(self.wire.settings.hosts, self.endpoint, submission)
        made = LiveRequest(ref=ref, urls=urls, submit=response, body=sent, sent_at=sent_at)
        self.submitted.append(made)
        return response, made

    async def accepted(self, headers: Mapping[str, str] | None = None) -> LiveRequest:
        """Submit a request. Raise NotSeenError if fal refuses it."""
        response, made = await self.submit(headers=headers)
        if made is None:
            raise NotSeenError(f"fal refused the submit with {response.status}")
        return made

    async def send(self, request: HttpRequest, progress: Progress | None = None) -> HttpResponse:
        response = await self.wire.send(request, progress)
        self.responses.append((request.operation.value, response))
        return response

    async def poll(self, made: LiveRequest) -> HttpResponse:
        response = await self.send(status_request(made.urls.status, made.ref, logs=True))
        made.polls.append(response)
        if word_in(response) == OVER or response.status == 404:  # 404: fal has forgotten it
            made.ended_at = time.time()
        return response

    async def result(self, made: LiveRequest) -> HttpResponse:
        return await self.send(result_request(made.urls.response, made.ref, persistent=False))

    async def cancel(self, made: LiveRequest) -> HttpResponse:
        return await self.send(cancel_request(made.urls.cancel, made.ref))

    async def read(self, path: str) -> HttpResponse:
        """Read from the platform API."""
        url = f"{self.wire.settings.hosts.platform}{path}"
        return await self.send(HttpRequest(operation=Operation.READ, method="GET", url=url))

    def urls_of_unknown(self, request_id: str) -> RequestUrls:
        """Return the URLs of a request that does not exist."""
        return rebuilt_urls(self.wire.settings.hosts, self.endpoint, request_id)

    async def until(self, made: LiveRequest, words: Collection[str]) -> None:
        """Poll until the status is one of `words`, or the end. NotSeenError after `patience` seconds.

        A poll that fails is repeated.
        """
        try:
            async with asyncio.timeout(self.patience):
                await self._until(made, words)
        except TimeoutError:
            raise NotSeenError(f"the request was {made.word} for {self.patience:g} s") from None

    async def _until(self, made: LiveRequest, words: Collection[str]) -> None:
        pause = _FIRST_PAUSE
        while True:
            with contextlib.suppress(FalError):
                await self.poll(made)
            if made.is_over or made.word in words:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def end_all(self, limit: float = _END_LIMIT) -> list[str]:
        """Cancel each request that may still run, and follow it to its end. Return the ids of those that still run.

        A cancellation does not stop this call, which takes `limit` seconds at most.
        """
        running = [made for made in self.submitted if not made.is_over]
        task = ShelteredTask(self._end(running))
        await settle(task, limit)
        return [made.ref.request_id or "" for made in running if not made.is_over]

    async def _end(self, running: Collection[LiveRequest]) -> None:
        await asyncio.gather(*(self._end_one(made) for made in running))

    async def _end_one(self, made: LiveRequest) -> None:
        with contextlib.suppress(FalError):
            await self.cancel(made)
        await self._until(made, ())


def word_in(response: HttpResponse) -> str:
    """Return the status word of a response; "" if it has none."""
    return text_of(response, "status")


def text_of(response: HttpResponse, name: str) -> str:
    """Return a text in the JSON object of a response; "" if it is not there."""
    try:
        document = response.json()
    except ResponseDecodeError:
        return ""
    value = document.get(name) if isinstance(document, dict) else None
    return value if isinstance(value, str) else ""
