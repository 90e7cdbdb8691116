"""fal's queue: submit, follow, fetch and cancel requests (protocol 4).

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from typing import TYPE_CHECKING, Any, Never, Unpack, overload

from fal_async.cancellation import OpenWaits, Wait, submit_under, supervise
from fal_async.errors import (
    CancelOutcome,
    short_tracebacks,
)
from fal_async.models import In, Out, OutOr, QueueStatus, Result
from fal_async.options import CallOptions, QueueOptions, documented
from fal_async.protocol.endpoint import Endpoint, EndpointId
from fal_async.protocol.following import Mode
from fal_async.protocol.structure import check_output_type
from fal_async.queue.handle import RequestHandle
from fal_async.queue.operations import QueueOperations
from fal_async.queue.state import NewRequest
from fal_async.transport.progress import Progress

if TYPE_CHECKING:
    from fal_async.protocol.ledger.decisions import Uncertain


@short_tracebacks
class Queue:
    """The queue's operations one by one: `fal.queue`."""

    __slots__ = ("_operations",)

    def __init__(self, operations: QueueOperations) -> None:
        self._operations = operations

    @documented(QueueOptions)
    async def submit(
        self,
        endpoint_id: str | Endpoint[In, Out],
        input: In | None = None,
        *,
        path: str = "",
        webhook_url: str | None = None,
        # Keyed calls
        key: str | None = None,
        run: str = "",
        uncertain: Uncertain = "lookup",
        **options: Unpack[QueueOptions],
    ) -> RequestHandle[Out]:
        """Submit a request to the queue and return its handle, without waiting for the result (protocol 4.1).

        Files in `input` are uploaded first (see `storage.transform_input`). If fal may have accepted the request,
        it is never sent again. With `key`, a request is submitted only if the ledger has none with this key in the
        namespace `run`. Otherwise the handle of the ledger's request is returned, even if that request is already
        completed: then its `result()` returns the stored result. See `Session.subscribe`.

        If this call is cancelled while the submit is being sent, it waits up to 3 seconds for the request id and
        cancels the request on fal, because no caller would know the id. With `key`, the request is not cancelled on
        fal.

        Args:
            endpoint_id: such as `"fal-ai/flux/dev"`, or an `Endpoint`.
            input: the model's input: a mapping, an attrs instance, a dataclass, a pydantic model or a msgspec
                Struct. None (default): an empty object.
            path: added to the endpoint id, unless the id ends with it; default "".
            webhook_url: a URL that fal calls when the request is completed (protocol 8). None (default): no URL.
            key: the idempotency key, a `str` of 1 to 255 characters; requires `Session(ledger=...)`. None
                (default): no key.
            run: the namespace of the key; default "".
            uncertain: what to do if it is unknown whether fal accepted the request of an earlier call with this
                key. "lookup" (default): look it up in fal's request history. "report": raise
                SubmissionUncertainError. "resubmit": look it up, and submit again if the history certainly does not
                have it.
            **options: see `CallOptions`. The handle uses `retry` as the policy for following the request, too.

        Returns:
            The handle of the request.

        Raises:
            ConfigurationError: an argument is wrong, no API key was found, or `key` is given without a ledger.
            UploadError: a file of the input could not be uploaded.
            ApiError: fal refused the request; its subclasses say why.
            TransportError: fal certainly did not accept the request.
            SubmissionUncertainError: fal may have accepted the request. `find_submission` can look for it.
            SessionStateError: the session is closed, or belongs to another event loop.
            KeyConflictError: the key belongs to another input or endpoint. Nothing was sent.
            LedgerError: the ledger can't be read or written.
        """
        call_options = CallOptions.of("submit", options, QueueOptions)
        endpoint = EndpointId.parse(endpoint_id, path)
        endpoint.check_input(input)
        output_type = endpoint.output_type(None)
        check_output_type(output_type)
        new = NewRequest(endpoint=endpoint, input=input, options=call_options, webhook_url=webhook_url)
        if key is not None or run or uncertain != "lookup":
            kept = self._operations.requests_of(key)
            state = await kept.submit(new, key=key or "", run=run, uncertain=uncertain)
            return RequestHandle(self._operations, state, output_type)
        wait, progress = Wait(endpoint_id=endpoint.full, among=self._operations.waits), Progress()

        async def submit() -> RequestHandle[Out]:
            state = await self._operations.submit(new, progress)
            return RequestHandle(self._operations, state, output_type)

        async def work() -> RequestHandle[Out]:
            return await submit_under(wait, progress, submit())

        return await supervise(wait, work, timeout=None)

    async def status(
        self,
        endpoint_id: str | Endpoint[Any, Any],
        request_id: str,
        *,
        logs: bool = False,
        **unknown: Never,
    ) -> QueueStatus:
        """Return the current status of a request (protocol 4.2).

        Cancelling this call is safe: it does not cancel the request on fal.

        Args:
            endpoint_id: the endpoint that the request was submitted to, a `str` or an `Endpoint`.
            request_id: fal's id of the request.
            logs: whether to request log entries; default False.
            **unknown: other keywords raise TypeError, which suggests the one that was probably meant.

        Returns:
            A `Queued`, `InProgress`, `Completed` or `UnknownStatus`.

        Raises:
            ConfigurationError: an id is malformed.
            NotFoundError: fal does not know the request, or has deleted it.
            ResponseDecodeError: the response is not a status.
            ApiError, TransportError: fal refused, or could not be reached, after the usual retries.
        """
        return await self.handle(endpoint_id, request_id).status(logs=logs, **unknown)

    def updates(
        self,
        endpoint_id: str | Endpoint[Any, Any],
        request_id: str,
        *,
        logs: bool = False,
        mode: Mode = "polling",
        poll_interval: float | None = None,
        **unknown: Never,
    ) -> AsyncGenerator[QueueStatus, None]:
        """Follow a request and yield each status. The last one is `Completed`.

        The last status of a failed request is `Completed` too, and its `error` is set. Failed polls are tolerated
        for `RetryPolicy.outage` seconds. The third failure in a row logs a warning. Leaving the iteration early, or
        cancelling it, does not cancel the request on fal. If you may leave early, iterate inside
        `contextlib.aclosing`, which closes a status stream at once.

        Args:
            endpoint_id: the endpoint that the request was submitted to, a `str` or an `Endpoint`.
            request_id: fal's id of the request.
            logs: whether to request log entries; default False.
            mode: "polling" (default), "streaming" or "auto": see `Mode`.
            poll_interval: seconds between polls. None (default): depends on the run times that the endpoint had
                before.
            **unknown: other keywords raise TypeError, which suggests the one that was probably meant.

        Yields:
            A `Queued`, `InProgress`, `Completed` or `UnknownStatus` for each poll or event.

        Raises:
            ConfigurationError: an argument is wrong.
            NotFoundError: fal answered three times in a row that it does not know the request.
            ResultExpiredError: the same, for a request that fal knew before.
            ApiError, TransportError, ResponseDecodeError: fal responded with an error, or polls failed for longer
                than `RetryPolicy.outage` (10 minutes).
            SessionStateError: the session was closed.
        """
        handle = self.handle(endpoint_id, request_id)
        return handle.updates(logs=logs, mode=mode, poll_interval=poll_interval, **unknown)

    async def result(
        self,
        endpoint_id: str | Endpoint[Any, Out],
        request_id: str,
        *,
        output_type: type[OutOr] | None = None,
    ) -> Result[OutOr, str]:
        """Fetch the result of a completed request (protocol 4.4).

        fal keeps a result for 1 hour, or for 6 minutes if it has 10 kB or more. Cancelling this call is safe: the
        result can be fetched again.

        Args:
            endpoint_id: the endpoint that the request was submitted to, a `str` or an `Endpoint`.
            request_id: fal's id of the request.
            output_type: the type that `data` is built as: an attrs class, dataclass, TypedDict, pydantic model or
                msgspec Struct. None (default): that of the `Endpoint`, else decoded JSON.

        Returns:
            The result.

        Raises:
            ConfigurationError: an id is malformed, or `output_type` can't be built.
            NotFoundError: fal does not know the request, or has deleted its result.
            ResultExpiredError: fal has deleted the result, and the ledger has the request, so that it is known to
                have existed. (The handle that `submit` returned raises this even without a ledger.)
            RequestFailedError: the request failed, and the model sent no error body that explains why.
            RequestCancelledError: the request was cancelled on fal.
            ResponseDecodeError: the output does not match `output_type`, or can't be decoded.
            ApiError: the model failed with this error, or the request is not completed yet.
            TransportError: fal could not be reached, after the usual retries.
        """
        handle: RequestHandle[Any] = self.handle(endpoint_id, request_id)
        return await handle.result(output_type=output_type)

    async def cancel(self, endpoint_id: str | Endpoint[Any, Any], request_id: str) -> CancelOutcome:
        """Ask fal to cancel a request (protocol 4.5).

        If this call is cancelled, fal may or may not have received the cancel request.

        Args:
            endpoint_id: the endpoint that the request was submitted to, a `str` or an `Endpoint`.
            request_id: fal's id of the request.

        Returns:
            CANCELLED, CANCELLATION_REQUESTED, ALREADY_COMPLETED, NOT_FOUND or REFUSED. No outcome raises an
            error.

        Raises:
            ConfigurationError: an id is malformed.
            ApiError, TransportError: fal refused, or could not be reached, after the usual retries. The request may
                still be running.
        """
        return await self.handle(endpoint_id, request_id).cancel()

    def handle(self, endpoint_id: str | Endpoint[Any, Out], request_id: str) -> RequestHandle[Out]:
        """Return a handle for a known request id. No HTTP request is made.

        Args:
            endpoint_id: the endpoint that the request was submitted to, a `str` or an `Endpoint`.
            request_id: fal's id of the request.

        Returns:
            A handle whose URLs are built from the ids. Whether the request exists is not checked.

        Raises:
            ConfigurationError: an id is malformed.
        """
        state = self._operations.state_by_id(endpoint_id, request_id)
        output_type = endpoint_id.output if isinstance(endpoint_id, Endpoint) else None
        return RequestHandle(self._operations, state, output_type)

    @overload
    async def find_submission(
        self, error: BaseException, *, exclude: Collection[str] = ()
    ) -> RequestHandle[Any] | None: ...

    @overload
    async def find_submission(
        self,
        endpoint_id: str | Endpoint[In, Out],
        /,
        input: In | None = None,
        *,
        since: float,
        until: float | None = None,
        path: str = "",
        exclude: Collection[str] = (),
    ) -> RequestHandle[Out] | None: ...

    async def find_submission(
        self,
        error: BaseException | str | Endpoint[Any, Any],
        input: Any = None,
        *,
        since: float | None = None,
        until: float | None = None,
        path: str = "",
        exclude: Collection[str] = (),
    ) -> RequestHandle[Any] | None:
        """Find the request of a submit whose outcome is unknown, in fal's request history.

        Pass the error that the submit raised. If there is no error, because the process died, pass the endpoint id,
        the input and the time of the submit. The platform API lists the endpoint's requests around that time, and
        their inputs are compared with the submit's. If several are equal, the one that was sent closest to the
        submit is returned: the newest within the time of the submit or, without `until`, the first one after
        `since`. Pass ids of equal requests that you know as `exclude`.

        The search begins with requests sent close to the submit. It continues with 2 minutes around the submit by
        fal's clock, then with requests that were completed later. It takes 1 HTTP request if the request is found
        at once, 2 to 8 if it does not exist, and at most 10, which return 1,000 requests of the endpoint.

        If None is returned, fal may still have accepted the submit: the history may be some moments old, and it has
        no inputs that fal does not store (`store_io=False`). The API key needs the permission to read requests.
        Cancelling this call is safe: nothing is changed on fal.

        Args:
            error: a SubmissionUncertainError, or an error that was caused by one (such as a ClientTimeoutError). Or
                the endpoint id, such as `"fal-ai/flux/dev"`; `path` is added to it.
            input: only with an endpoint id: the input as it was sent. It must not contain files, because they can't
                be compared.
            since: only with an endpoint id, and required then: a time before the submit, in Unix seconds of this
                machine's clock.
            until: only with an endpoint id: a time after the submit, in Unix seconds. None (default): not known.
            path: only with an endpoint id: the `path` of the submit; default "".
            exclude: ids of requests that are not returned; default: none.

        Returns:
            The handle of the request, or None if the history does not have it.

        Raises:
            ConfigurationError: the error is not about a submit, the input has files, or an argument is wrong.
            SubmissionUncertainError: the endpoint had more requests around that time than are searched.
            ApiError, TransportError: the history could not be read, after the usual retries.
        """
        from fal_async.protocol import lost_submit

        lost_submit.check_exclude(exclude)
        output_type = None
        if isinstance(error, str | Endpoint):
            endpoint = EndpointId.parse(error, path)
            output_type = endpoint.output_type(None)
            lost = lost_submit.lost_since(endpoint, input, since, until)
        else:
            lost = lost_submit.lost_of(error, input=input, since=since, until=until, path=path or None)
        found = await self._operations.find_submission(lost, exclude)
        return None if found is None else RequestHandle(self._operations, found, output_type)


def open_waits(queue: Queue) -> OpenWaits:
    """Return the open waits of the queue's session, for submits and cancels of other parts, such as the proxy."""
    return queue._operations.waits
