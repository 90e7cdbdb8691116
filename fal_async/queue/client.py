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
    """`session.queue`: the queue's operations one by one."""

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
        # One request for one key: with a ledger.
        key: str | None = None,
        run: str = "",
        uncertain: Uncertain = "lookup",
        **options: Unpack[QueueOptions],
    ) -> RequestHandle:
        """Put a request into the queue and give its handle; fal works on from there (protocol 4.1).

        Files in `input` are uploaded first (see `storage.transform_input`).

        Never sent twice: where fal may have taken it, SubmissionUncertainError (see `find_submission`). Other
        errors: ConfigurationError, ApiError and its kinds (fal refused it), TransportError (it surely did not
        arrive). Cancelled in its midst, it waits briefly for the id and cancels the request, which nobody
        would know of. `retry` is the policy for following the request through its handle, too.

        With `key`, it is the handle of the request that the ledger has under this key in `run`; submitted only if
        there is none. Also of one that ended: its `result()` is the stored one. Nothing is cancelled then where
        this is left. See `Session.subscribe`.
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
        """Where a request stands now (protocol 4.2). NotFoundError where fal does not know it (any more)."""
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
        """Each status as it comes, ending with `Completed` (well or badly: look at its `error`).

        Tolerates failing polls for `RetryPolicy.outage` seconds, with a warning after the third in a row.
        `poll_interval` in seconds fixes the pace. Leaving early cancels nothing: iterate it inside
        `contextlib.aclosing`. Raises NotFoundError for an id that fal does not know, ResultExpiredError for one
        that it knew before.
        """
        handle = self.handle(endpoint_id, request_id)
        return handle.updates(logs=logs, mode=mode, poll_interval=poll_interval, **unknown)

    async def result(
        self, endpoint_id: str, request_id: str, *, output_type: type[T] | None = None
    ) -> Result[T, str]:
        """Fetch the result of a completed request (protocol 4.4), as `output_type` if one is given.

        fal keeps it for 1 hour, or 6 minutes from 10 kB on. Then it is a NotFoundError, as for an endpoint or an id
        that is wrong; a ResultExpiredError only for a handle whose request is known to have been there. A request
        that failed raises the model's own error (ApiError and its kinds) or RequestFailedError; a cancelled one
        RequestCancelledError; ResponseDecodeError where the output is no `output_type`. Before it is complete, fal
        answers with an ApiError.
        """
        return await self.handle(endpoint_id, request_id).result(output_type=output_type)

    async def cancel(self, endpoint_id: str, request_id: str) -> CancelOutcome:
        """Ask fal to cancel a request (protocol 4.5)."""
        return await self.handle(endpoint_id, request_id).cancel()

    def handle(self, endpoint_id: str, request_id: str) -> RequestHandle:
        """A handle from an id that is known; no request is made. ConfigurationError for what is no id."""
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
        """The handle of a submit that may have been taken; None where fal's history shows no such request.

        By the error of the submit, or, where its process died, by what was sent: the endpoint id, the input and the
        time. Asks the platform API for the endpoint's requests around that time, and compares their inputs. Of
        several with the same input it is the one sent closest to the attempt; within the attempt's own time
        the newest; without `until` the first one after `since`. Name the ids of equal requests that you know of in
        `exclude`.

        It looks close to the attempt first, then 2 minutes around it, by fal's clock, then at what ended later: 1
        HTTP request where it is found at once, 2 to 8 where it is not there, at most 10, which show 1,000 requests
        of the endpoint.

        None is no proof: the history may lag behind by moments, and shows no input that fal does not store
        (`store_io=False`). The key needs the permission to read requests. Cancelling it is safe.

        Args:
            error: a SubmissionUncertainError, or an error that one is the cause of (ClientTimeoutError). Or the
                endpoint id, such as `"fal-ai/flux/dev"`; `path` is added to it.
            input: with an endpoint id: the input as it was sent. Files in it can't be compared.
            since: with an endpoint id: the submit did not begin before, in Unix seconds of this machine's clock.
            until: it had ended by then; default: not known.
            exclude: request ids that are not meant.

        Raises:
            ConfigurationError: the error is not about a submit; files in the input; an argument is wrong.
            SubmissionUncertainError: the endpoint has more requests around that time than are looked at.
            ApiError, TransportError: as any read raises them.
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
    """Of its session: for a submit or a cancel that is made in another way, such as the proxy's."""
    return queue._operations.waits
