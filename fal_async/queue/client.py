"""fal's queue: submit, follow, fetch and cancel requests (protocol 4)."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from fal_async.callbacks import call_back as call_plainly
from fal_async.cancellation import CallbackFailed, Progress, Wait, submit_under, supervise
from fal_async.config import RetryPolicy, check_retry
from fal_async.errors import (
    ApiError,
    ConfigurationError,
    ResponseDecodeError,
    SubmissionUncertainError,
    about,
)
from fal_async.models import CancelOutcome, Completed, FetchFiles, QueueStatus, RequestLog, Result, T
from fal_async.options import CallOptions, Priority, StorageSettings, bundle
from fal_async.protocol.api_errors import check_from_fal, error_of
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import HttpResponse, decode_body
from fal_async.protocol.json_input import digest_of, encode_json, input_value
from fal_async.protocol.polling import RunTimesByEndpoint
from fal_async.protocol.queue import (
    CANCEL_STATUSES,
    RequestUrls,
    Submission,
    cancel_request,
    check_request_id,
    parse_cancel,
    parse_submission,
    rebuilt_urls,
    result_request,
    status_request,
    submit_request,
    urls_of,
)
from fal_async.protocol.queue_status import NewLogs, check_result, parse_status, result_error
from fal_async.protocol.structure import check_output_type, structure
from fal_async.queue.updates import Mode, check_following, follow

if TYPE_CHECKING:
    from fal_async.transport import Transport

logger = logging.getLogger("fal_async")

UpdateCallback = Callable[[QueueStatus], Awaitable[None] | None]
EnqueueCallback = Callable[[str], Awaitable[None] | None]
Prepare = Callable[[Any, CallOptions], Awaitable[Any]]
"""Replaces the files in an input by their URLs."""


async def call_back(function: Callable[[Any], Any] | None, value: Any) -> None:
    """A user's callback, async or not. CallbackFailed, for `supervise` to unwrap, where it raises."""
    if function is not None:
        try:
            await call_plainly(function, value)
        except Exception as error:
            raise CallbackFailed(error) from error


@attrs.define(eq=False)
class Known:
    """What a session has learnt, for one set of credentials."""

    run_times: RunTimesByEndpoint = attrs.field(factory=RunTimesByEndpoint)


class RequestHandle:
    """One request in fal's queue. It belongs to its session; to keep it across processes, store `to_json()`.

    Attributes:
        request_id, endpoint_id: what identifies it.
        status_url, response_url, cancel_url: where it is followed.
        last_status: the newest status seen through this handle, or None.
        attempts: HTTP requests made through it, by kind.
        logs: the log entries seen through it.
        submitted_at: on the event loop's clock, if it was submitted through this handle.
        retry: the policy it was submitted with, for following it too; None for the session's.
    """

    def __init__(self, queue: Queue, endpoint: EndpointId, request_id: str, urls: RequestUrls) -> None:
        self._queue, self._endpoint, self._urls = queue, endpoint, urls
        self.request_id = request_id
        self.endpoint_id = endpoint.full
        self.last_status: QueueStatus | None = None
        # What following it left behind.
        self.attempts: Counter[str] = Counter()
        self.logs: list[RequestLog] = []
        self.seen_logs = NewLogs()
        self.submitted_at: float | None = None
        self.retry: RetryPolicy | None = None

    @property
    def status_url(self) -> str:
        """Where its status is asked for."""
        return self._urls.status

    @property
    def response_url(self) -> str:
        """Where its result is fetched."""
        return self._urls.response

    @property
    def cancel_url(self) -> str:
        """Where it is cancelled."""
        return self._urls.cancel

    def __repr__(self) -> str:
        return f"RequestHandle(endpoint_id={self.endpoint_id!r}, request_id={self.request_id!r})"

    def __reduce__(self) -> Any:
        raise TypeError("a RequestHandle belongs to its session: store handle.to_json() instead")

    def to_json(self) -> str:
        """For storing: `RequestHandle.from_json(text, fal)` picks the request up again, in any process."""
        urls = attrs.asdict(self._urls)
        return json.dumps({"endpoint_id": self.endpoint_id, "request_id": self.request_id, "urls": urls})

    @classmethod
    def from_json(cls, text: str | bytes, fal: HasQueue) -> RequestHandle:
        """`fal`: the session to go on with. ConfigurationError where the text is no stored handle."""
        try:
            document = json.loads(text)
            endpoint_id, request_id = document["endpoint_id"], document["request_id"]
            urls = {name: str(url) for name, url in (document.get("urls") or {}).items()}
            submission = Submission(
                request_id=check_request_id(request_id),
                status_url=urls.get("status"),
                response_url=urls.get("response"),
                cancel_url=urls.get("cancel"),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError("this text is no stored handle: expected what to_json() gave") from error
        return fal.queue.adopt(EndpointId.parse(endpoint_id), submission)

    async def status(self, *, logs: bool = False) -> QueueStatus:
        """Where it stands now. NotFoundError where fal does not know it (any more)."""
        return await self._queue.ask(self, logs=logs)

    def updates(
        self, *, logs: bool = False, mode: Mode = "polling", poll_interval: float | None = None
    ) -> AsyncGenerator[QueueStatus, None]:
        """Each status as it comes, ending with `Completed`. Iterate it inside `contextlib.aclosing`
        where you may leave early. See `Queue.updates`."""
        return self._queue.follow(self, logs, mode, poll_interval)

    async def result(self, *, output_type: type[T] | None = None) -> Result[T]:
        """Fetch the result, once. See `Queue.result`."""
        check_output_type(output_type)
        return await self._queue.fetch(self, output_type)

    async def wait(
        self,
        *,
        logs: bool = False,
        on_queue_update: UpdateCallback | None = None,
        mode: Mode = "polling",
        poll_interval: float | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool = True,
        output_type: type[T] | None = None,
    ) -> Result[T]:
        """Follow it to its end and give the result, as `Session.subscribe` does after its submit."""
        check_following(mode, poll_interval, on_queue_update)
        check_output_type(output_type)

        async def work() -> Result[T]:
            return await self._queue.see_through(
                self, logs, on_queue_update, mode, poll_interval, output_type
            )

        wait = Wait(endpoint_id=self.endpoint_id, handle=self)
        return await supervise(wait, work, timeout=timeout, cancel_on_exit=cancel_on_exit)

    async def cancel(self) -> CancelOutcome:
        """Ask fal to cancel it. All four outcomes are answers, none an error (protocol 4.5)."""
        return await self._queue.withdraw(self)


class HasQueue(Protocol):
    @property
    def queue(self) -> Queue: ...


class Queue:
    """`session.queue`: the queue's operations one by one."""

    def __init__(
        self,
        transport: Transport,
        known: Known,
        prepare: Prepare | None = None,
        fetch_files: FetchFiles | None = None,
    ) -> None:
        self._transport, self._known, self._prepare = transport, known, prepare
        self._fetch_files = fetch_files

    async def submit(
        self,
        endpoint_id: str,
        input: Any = None,
        *,
        path: str = "",
        webhook_url: str | None = None,
        # Options of the request (see `CallOptions`).
        hint: str | None = None,
        priority: Priority | None = None,
        start_timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        storage: StorageSettings | None = None,
        store_io: bool | None = None,
        no_retry: bool | None = None,
        disable_fallback: bool | None = None,
        max_queue_length: int | None = None,
        inline_below: int | None = None,
        retry: RetryPolicy | None = None,
    ) -> RequestHandle:
        """Put a request into the queue and give its handle; fal works on from there (protocol 4.1).

        Files in `input` are uploaded first (see `storage.transform_input`).

        Never sent twice: where fal may have taken it, SubmissionUncertainError (see `find_submission`). Other
        errors: ConfigurationError, ApiError and its kinds (fal refused it), TransportError (it surely did not
        arrive). Cancelled in its midst, it waits briefly for the id and cancels the request, which nobody
        would know of. `retry` is the policy for following the request through its handle, too.
        """
        options = bundle(
            hint=hint,
            priority=priority,
            start_timeout=start_timeout,
            headers=headers,
            tags=tags,
            storage=storage,
            store_io=store_io,
            no_retry=no_retry,
            disable_fallback=disable_fallback,
            max_queue_length=max_queue_length,
            inline_below=inline_below,
        )
        check_retry(retry)
        endpoint = EndpointId.parse(endpoint_id, path)
        wait, progress = Wait(endpoint_id=endpoint.full), Progress()

        async def work() -> RequestHandle:
            put = self.put(endpoint, input, options, webhook_url, retry, progress)
            return await submit_under(wait, progress, put)

        return await supervise(wait, work, timeout=None, cancel_on_exit=True)

    async def status(self, endpoint_id: str, request_id: str, *, logs: bool = False) -> QueueStatus:
        """Where a request stands now (protocol 4.2). NotFoundError where fal does not know it (any more)."""
        return await self.handle(endpoint_id, request_id).status(logs=logs)

    def updates(
        self,
        endpoint_id: str,
        request_id: str,
        *,
        logs: bool = False,
        mode: Mode = "polling",
        poll_interval: float | None = None,
    ) -> AsyncGenerator[QueueStatus, None]:
        """Each status as it comes, ending with `Completed` (well or badly: look at its `error`).

        Failing polls are borne for `RetryPolicy.outage` seconds, with a warning after the third in a row.
        `poll_interval` in seconds fixes the pace. Leaving early cancels nothing: iterate it inside
        `contextlib.aclosing`. Raises ResultExpiredError for an id that fal no longer knows.
        """
        return self.handle(endpoint_id, request_id).updates(logs=logs, mode=mode, poll_interval=poll_interval)

    async def result(
        self, endpoint_id: str, request_id: str, *, output_type: type[T] | None = None
    ) -> Result[T]:
        """Fetch the result of a completed request (protocol 4.4), as `output_type` if one is given.

        fal keeps it for 1 hour, or 6 minutes from 10 kB on: then ResultExpiredError. A request that failed
        raises the model's own error (ApiError and its kinds) or RequestFailedError; a cancelled one
        RequestCancelledError; ResponseDecodeError where the output is no `output_type`.
        """
        return await self.handle(endpoint_id, request_id).result(output_type=output_type)

    async def cancel(self, endpoint_id: str, request_id: str) -> CancelOutcome:
        """Ask fal to cancel a request (protocol 4.5)."""
        return await self.handle(endpoint_id, request_id).cancel()

    def handle(self, endpoint_id: str, request_id: str) -> RequestHandle:
        """A handle from an id that is known; no request is made. ConfigurationError for what is no id."""
        endpoint = EndpointId.parse(endpoint_id)
        urls = rebuilt_urls(self._transport.settings.hosts, endpoint, check_request_id(request_id))
        return RequestHandle(self, endpoint, request_id, urls)

    async def find_submission(
        self, error: BaseException, *, exclude: Collection[str] = ()
    ) -> RequestHandle | None:
        """The handle of a submit that may have been taken; None where fal's history shows no such request.

        Asks the platform API for the endpoint's requests around that time, and compares their inputs. Of
        several with the same input it is the one sent closest to the attempt; within the attempt's own time
        the newest. Name the ids of equal requests that you know of in `exclude`.

        None is no proof: the history may lag behind by moments, and shows no input that fal does not store
        (`store_io=False`). The key needs the permission to read requests.

        Args:
            error: a SubmissionUncertainError, or an error that one is the cause of (ClientTimeoutError).

        Raises:
            ConfigurationError: the error is not about a submit. What any read raises: ApiError, TransportError.
        """
        from fal_async.protocol.request_history import lost_submit
        from fal_async.queue.recovery import find

        lost = lost_submit(error)
        found = await find(self._transport, lost, exclude)
        return None if found is None else self.handle(lost.endpoint_id, found.request_id)

    # What the handle's methods do.

    def adopt(self, endpoint: EndpointId, submission: Submission) -> RequestHandle:
        urls = urls_of(self._transport.settings.hosts, endpoint, submission)
        return RequestHandle(self, endpoint, submission.request_id, urls)

    async def put(
        self,
        endpoint: EndpointId,
        input: Any,
        options: CallOptions,
        webhook_url: str | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> RequestHandle:
        value = input_value(input)
        if self._prepare is not None:
            value = await self._prepare(value, options)
        body = encode_json(value)
        request = submit_request(self._transport.settings, endpoint, body, options, webhook_url)
        began_at = time.time()
        response = await self._transport.send(request, retry=retry, progress=progress)
        handle = self.adopt(endpoint, _submission_of(response, endpoint, body, began_at))
        handle.attempts["submit"], handle.retry = response.attempts, retry
        handle.submitted_at = asyncio.get_running_loop().time()
        logger.debug("submitted to %s (request %s)", handle.endpoint_id, handle.request_id)
        return handle

    def follow(
        self, handle: RequestHandle, logs: bool, mode: Mode, poll_interval: float | None
    ) -> AsyncGenerator[QueueStatus, None]:
        times = self._known.run_times.of(handle.endpoint_id)
        return follow(self._transport, handle, times, logs=logs, mode=mode, poll_interval=poll_interval)

    async def ask(self, handle: RequestHandle, *, logs: bool) -> QueueStatus:
        request = status_request(
            handle.status_url, endpoint_id=handle.endpoint_id, request_id=handle.request_id, logs=logs
        )
        response = await self._transport.send(request, retry=handle.retry, check=HttpResponse.json)
        handle.attempts["status"] += response.attempts
        with about(handle.request_id, handle.endpoint_id):
            handle.last_status = parse_status(response.json(), handle.request_id)
        return handle.last_status

    async def fetch(self, handle: RequestHandle, output_type: type[T] | None) -> Result[T]:
        completed = handle.last_status if isinstance(handle.last_status, Completed) else None
        request = result_request(
            handle.response_url,
            endpoint_id=handle.endpoint_id,
            request_id=handle.request_id,
            persistent=completed is not None and completed.error is None,
        )
        try:
            response = await self._transport.send(request, retry=handle.retry, check=check_result)
        except ResponseDecodeError as error:
            error.request_id, error.endpoint_id = handle.request_id, handle.endpoint_id
            raise
        except ApiError as error:
            failure = result_error(error, completed)
            if failure is error:
                raise
            raise failure from error
        handle.attempts["result"] += response.attempts
        return _result_of(handle, response, completed, output_type, self._fetch_files)

    async def withdraw(self, handle: RequestHandle) -> CancelOutcome:
        request = cancel_request(
            handle.cancel_url, endpoint_id=handle.endpoint_id, request_id=handle.request_id
        )
        response = await self._transport.send(
            request, retry=handle.retry, accept=CANCEL_STATUSES, check=check_from_fal
        )
        handle.attempts["cancel"] += response.attempts
        outcome = parse_cancel(response)
        if outcome is None:
            raise error_of(request, response)
        return outcome

    async def see_through(
        self,
        handle: RequestHandle,
        logs: bool,
        on_queue_update: UpdateCallback | None,
        mode: Mode,
        poll_interval: float | None,
        output_type: type[T] | None,
    ) -> Result[T]:
        """Follow it to its end, then fetch the result at once: fal keeps it for minutes only."""
        async with aclosing(self.follow(handle, logs, mode, poll_interval)) as updates:
            async for status in updates:
                if on_queue_update is not None:
                    await call_back(on_queue_update, status)
        return await self.fetch(handle, output_type)


def _submission_of(response: HttpResponse, endpoint: EndpointId, body: bytes, began_at: float) -> Submission:
    try:
        return parse_submission(response)
    except ResponseDecodeError as error:
        # Taken, most likely: but without its id it can't be followed, and it must not be sent again.
        raise SubmissionUncertainError(
            f"fal took the request, but its answer can't be read: {error.message}",
            started_at=began_at,
            ended_at=time.time(),
            input_digest=digest_of(body),
            request_id=error.request_id,
            endpoint_id=endpoint.full,
        ) from error


def _result_of(
    handle: RequestHandle,
    response: HttpResponse,
    completed: Completed | None,
    output_type: Any,
    fetch_files: FetchFiles | None,
) -> Result[Any]:
    with about(handle.request_id, handle.endpoint_id):
        data = decode_body(response)
        if output_type is not None:
            data = structure(data, output_type)
    return Result(
        data=data,
        request_id=handle.request_id,
        attempts=dict(handle.attempts),
        status=completed,
        logs=tuple(handle.logs),
        headers=response.headers,
        fetch=fetch_files,
    )
