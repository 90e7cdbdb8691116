"""fal's queue: submit, follow, fetch and cancel requests (protocol 4)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from typing import TYPE_CHECKING, Any, Never, Unpack, overload

from fal_async.cancellation import OpenWaits, Wait, submit_under, supervise
from fal_async.errors import (
    CancelOutcome,
    short_tracebacks,
)
from fal_async.models import QueueStatus, Result, T
from fal_async.options import CallOptions, QueueOptions, documented
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.following import Mode
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
        endpoint_id: str,
        input: Any = None,
        *,
        path: str = "",
        webhook_url: str | None = None,
        # With a ledger: one request for one key.
        key: str | None = None,
        run: str = "",
        uncertain: Uncertain = "lookup",
        **options: Unpack[QueueOptions],
    ) -> RequestHandle:
        """Submit a request to the queue and return its handle, without waiting for its end (protocol 4.1).

        Files in `input` are uploaded first (see `storage.transform_input`). A request that fal may have taken is
        never sent again. With `key`, the handle is that of the request that the ledger has under this key in `run`;
        a request is submitted only if there is none. A request that has ended counts too: its `result()` returns
        the stored result. See `Session.subscribe`.

        If this is cancelled while the submit is on its way, it waits up to 3 seconds for the request id and cancels
        the request, since no caller would know of it. With `key`, nothing is cancelled: the request goes on.

        Args:
            endpoint_id: the endpoint, such as `"fal-ai/flux/dev"`.
            input: the model's input: a mapping, an attrs instance, a dataclass, a pydantic model or a msgspec
                Struct. None (default): an empty object.
            path: added to the endpoint id, unless the id ends with it; default "".
            webhook_url: a URL that fal calls when the request has ended (protocol 8). None (default): none.
            key: the idempotency key, a `str` of 1 to 255 characters; requires `Session(ledger=...)`. None
                (default): no key.
            run: the namespace of the key; default "".
            uncertain: what to do if it is not known whether fal took the request of an earlier call with this key:
                "lookup" (default) looks it up in fal's history, "report" raises, "resubmit" submits again if the
                history certainly does not have it.
            **options: see `CallOptions`. `retry` is also the policy for following the request through its handle.

        Returns:
            The handle of the request.

        Raises:
            ConfigurationError: an argument is wrong, no key for fal was found, or `key` is given without a ledger.
            UploadError: a file of the input could not be uploaded.
            ApiError: fal refused the request; its subclasses say why.
            TransportError: fal certainly did not take the request.
            SubmissionUncertainError: fal may have taken the request. `find_submission` can look for it.
            SessionStateError: the session is closed, or belongs to another event loop.
            KeyConflictError: the key belongs to another input or endpoint. Nothing was sent.
            LedgerError: the ledger can't be read or written.
        """
        call_options = CallOptions.of("submit", options, QueueOptions)
        endpoint = EndpointId.parse(endpoint_id, path)
        new = NewRequest(endpoint=endpoint, input=input, options=call_options, webhook_url=webhook_url)
        if key is not None or run or uncertain != "lookup":
            kept = self._operations.requests_of(key)
            state = await kept.submit(new, key=key or "", run=run, uncertain=uncertain)
            return RequestHandle(self._operations, state)
        wait, progress = Wait(endpoint_id=endpoint.full, among=self._operations.waits), Progress()

        async def submit() -> RequestHandle:
            return RequestHandle(self._operations, await self._operations.submit(new, progress))

        async def work() -> RequestHandle:
            return await submit_under(wait, progress, submit())

        return await supervise(wait, work, timeout=None)

    async def status(
        self, endpoint_id: str, request_id: str, *, logs: bool = False, **unknown: Never
    ) -> QueueStatus:
        """Return the current status of a request (protocol 4.2).

        Cancelling it is safe: the request goes on.

        Args:
            endpoint_id: the endpoint that the request was submitted to.
            request_id: fal's id of the request.
            logs: whether to ask for log entries too; default False.
            **unknown: other keywords raise TypeError, which suggests the one that was probably meant.

        Returns:
            A `Queued`, `InProgress`, `Completed` or `UnknownStatus`.

        Raises:
            ConfigurationError: an id is malformed.
            NotFoundError: fal does not know the request, or no longer.
            ResponseDecodeError: the response is not a status.
            ApiError, TransportError: fal refused, or could not be reached, after the usual retries.
        """
        return await self.handle(endpoint_id, request_id).status(logs=logs, **unknown)

    def updates(
        self,
        endpoint_id: str,
        request_id: str,
        *,
        logs: bool = False,
        mode: Mode = "polling",
        poll_interval: float | None = None,
        **unknown: Never,
    ) -> AsyncGenerator[QueueStatus, None]:
        """Follow a request and yield each status, ending with `Completed`.

        A failed request ends with `Completed` too: look at its `error`. Failed polls are tolerated for
        `RetryPolicy.outage` seconds, with a warning in the log after the third in a row. Leaving the iteration
        early, or cancelling it, does not cancel the request. If you may leave early, iterate inside
        `contextlib.aclosing`.

        Args:
            endpoint_id: the endpoint that the request was submitted to.
            request_id: fal's id of the request.
            logs: whether to ask for log entries too; default False.
            mode: "polling" (default), "streaming" or "auto": see `Mode`.
            poll_interval: seconds between polls. None (default): adapts to the endpoint.
            **unknown: other keywords raise TypeError, which suggests the one that was probably meant.

        Yields:
            A `Queued`, `InProgress`, `Completed` or `UnknownStatus` for each poll or event.

        Raises:
            ConfigurationError: an argument is wrong.
            NotFoundError: fal said three times in a row that it does not know the request.
            ResultExpiredError: the same, of a request that fal knew before.
            ApiError, TransportError, ResponseDecodeError: fal refused, or polls failed for longer than tolerated.
            SessionStateError: the session was closed.
        """
        handle = self.handle(endpoint_id, request_id)
        return handle.updates(logs=logs, mode=mode, poll_interval=poll_interval, **unknown)

    async def result(
        self, endpoint_id: str, request_id: str, *, output_type: type[T] | None = None
    ) -> Result[T, str]:
        """Fetch the result of a completed request (protocol 4.4).

        fal keeps a result for 1 hour, or for 6 minutes if it has 10 kB or more. Cancelling it is safe: the result
        can be fetched again.

        Args:
            endpoint_id: the endpoint that the request was submitted to.
            request_id: fal's id of the request.
            output_type: the type that `data` is built as: an attrs class, dataclass, TypedDict, pydantic model or
                msgspec Struct. None (default): decoded JSON.

        Returns:
            The result.

        Raises:
            ConfigurationError: an id is malformed, or `output_type` can't be built.
            NotFoundError: fal does not know the request, or has already deleted the result.
            ResultExpiredError: the result is deleted, and the ledger knows that the request existed. (The handle
                that `submit` returned knows it without a ledger.)
            RequestFailedError: the request failed, and its result has no error that says more.
            RequestCancelledError: the request was cancelled.
            ResponseDecodeError: the output does not match `output_type`, or can't be decoded.
            ApiError: the request failed with this error of the model, or it is not complete yet.
            TransportError: fal could not be reached, after the usual retries.
        """
        return await self.handle(endpoint_id, request_id).result(output_type=output_type)

    async def cancel(self, endpoint_id: str, request_id: str) -> CancelOutcome:
        """Ask fal to cancel a request (protocol 4.5).

        If this is cancelled, fal may or may not have got the cancel.

        Args:
            endpoint_id: the endpoint that the request was submitted to.
            request_id: fal's id of the request.

        Returns:
            CANCELLED, CANCELLATION_REQUESTED, ALREADY_COMPLETED or NOT_FOUND. None of them is raised as an error.

        Raises:
            ConfigurationError: an id is malformed.
            ApiError, TransportError: fal refused, or could not be reached, after the usual retries: the request
                may still run.
        """
        return await self.handle(endpoint_id, request_id).cancel()

    def handle(self, endpoint_id: str, request_id: str) -> RequestHandle:
        """Return a handle for a known request id. No HTTP request is made.

        Args:
            endpoint_id: the endpoint that the request was submitted to.
            request_id: fal's id of the request.

        Returns:
            A handle with URLs that are built from the ids.

        Raises:
            ConfigurationError: an id is malformed.
        """
        return RequestHandle(self._operations, self._operations.state_by_id(endpoint_id, request_id))

    @overload
    async def find_submission(
        self, error: BaseException, *, exclude: Collection[str] = ()
    ) -> RequestHandle | None: ...

    @overload
    async def find_submission(
        self,
        endpoint_id: str,
        /,
        input: Any = None,
        *,
        since: float,
        until: float | None = None,
        path: str = "",
        exclude: Collection[str] = (),
    ) -> RequestHandle | None: ...

    async def find_submission(
        self,
        error: BaseException | str,
        input: Any = None,
        *,
        since: float | None = None,
        until: float | None = None,
        path: str = "",
        exclude: Collection[str] = (),
    ) -> RequestHandle | None:
        """Find the request of a submit whose outcome is unknown, in fal's request history.

        Pass the error of the submit or, if its process died, what was sent: the endpoint id, the input and the
        time. The platform API lists the endpoint's requests around that time, and their inputs are compared. If
        several have the same input, the one sent closest to the attempt is returned: within the attempt's own time
        the newest; without `until` the first one after `since`. Exclude equal requests that you know of by
        `exclude`.

        The search begins close to the attempt, then covers 2 minutes around it by fal's clock, then requests that
        ended later. It takes 1 HTTP request if the submit is found at once, 2 to 8 if it is not there, and at most
        10, which show 1,000 requests of the endpoint.

        None does not prove that fal did not take the submit: the history may lag behind by moments, and shows no
        input that fal does not store (`store_io=False`). The key needs the permission to read requests. Cancelling
        it is safe.

        Args:
            error: a SubmissionUncertainError, or an error that was caused by one (such as a ClientTimeoutError). Or
                the endpoint id, such as `"fal-ai/flux/dev"`; `path` is added to it.
            input: with an endpoint id: the input as it was sent, without files (they can't be compared).
            since: with an endpoint id, required: the submit did not begin before this time, in Unix seconds of this
                machine's clock.
            until: with an endpoint id: the submit had ended by then, in Unix seconds. None (default): not known.
            path: with an endpoint id: the path that the submit was made with; default "".
            exclude: ids of requests that are not meant; default: none.

        Returns:
            The handle of the request, or None if the history does not have it.

        Raises:
            ConfigurationError: the error is not about a submit, the input has files, or an argument is wrong.
            SubmissionUncertainError: the endpoint has more requests around that time than are looked at.
            ApiError, TransportError: the history could not be read, after the usual retries.
        """
        from fal_async.protocol import lost_submit

        lost_submit.check_exclude(exclude)
        if isinstance(error, str):
            lost = lost_submit.lost_since(EndpointId.parse(error, path), input, since, until)
        else:
            lost = lost_submit.lost_of(error, input=input, since=since, until=until, path=path or None)
        found = await self._operations.find_submission(lost, exclude)
        return None if found is None else RequestHandle(self._operations, found)


def open_waits(queue: Queue) -> OpenWaits:
    """Return the open waits of the queue's session, for submits and cancels made elsewhere, as by the proxy."""
    return queue._operations.waits
