"""`RequestHandle`: the user's object for one request in fal's queue.

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, Never, Protocol, overload

import attrs

from fal_async.cancellation import Wait, supervise
from fal_async.checks import check_flag, check_function, check_kind
from fal_async.config import RetryPolicy
from fal_async.errors import (
    CancelOutcome,
    ConfigurationError,
    short_tracebacks,
)
from fal_async.models import QueueStatus, RequestLog, Result, T, T_co
from fal_async.options import refuse_unknown
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.following import Following, Mode
from fal_async.protocol.queue import Submission, check_request_id
from fal_async.protocol.structure import check_output_type
from fal_async.queue.kept_requests import KeptRequest
from fal_async.queue.operations import QueueOperations, UpdateCallback
from fal_async.queue.state import RequestState


@short_tracebacks
class RequestHandle(Generic[T_co]):
    """One request in fal's queue.

    `queue.submit` and `queue.handle` return it. A handle can't be pickled, because it belongs to a session. To
    continue with the request in another process, store `to_json()`.

    Attributes:
        request_id: fal's id of the request.
        endpoint_id: the endpoint, with its path.
        status_url: the URL of the request's status.
        response_url: the URL of the request's result.
        cancel_url: the URL that cancels the request.
        last_status: the newest status that this handle has received; None before the first.
        attempts: how many HTTP requests this handle has made, by operation.
        logs: the log entries that this handle has received.
        submitted_at: when the request was submitted, in seconds on the event loop's clock. None if this session did
            not submit it.
        retry: the policy for following the request; initially the one that the request was submitted with. None:
            the session's.
    """

    def __init__(self, operations: QueueOperations, state: RequestState, output_type: Any) -> None:
        # `output_type`: the type that outputs are built as, unless a call has another one.
        self._operations, self._state, self._output_type = operations, state, output_type

    @property
    def request_id(self) -> str:
        """The request id, given by fal."""
        return self._state.request_id

    @property
    def endpoint_id(self) -> str:
        """The endpoint, with its path."""
        return self._state.endpoint_id

    @property
    def status_url(self) -> str:
        """The URL of the request's status."""
        return self._state.urls.status

    @property
    def response_url(self) -> str:
        """The URL of the request's result."""
        return self._state.urls.response

    @property
    def cancel_url(self) -> str:
        """The URL that cancels the request."""
        return self._state.urls.cancel

    @property
    def last_status(self) -> QueueStatus | None:
        """The newest status that this handle has received; None before the first."""
        return self._state.last_status

    @property
    def attempts(self) -> Counter[str]:
        """How many HTTP requests this handle has made, by operation, such as `{"submit": 1, "status": 4}`."""
        return self._state.attempts

    @property
    def logs(self) -> list[RequestLog]:
        """The log entries that this handle has received."""
        return self._state.logs

    @property
    def submitted_at(self) -> float | None:
        """When this session submitted the request, in seconds on the event loop's clock; None if it did not."""
        return self._state.submitted_at

    @property
    def retry(self) -> RetryPolicy | None:
        """The policy for following the request; initially that of its submit. None: the session's."""
        return self._state.retry

    @retry.setter
    def retry(self, policy: RetryPolicy | None) -> None:
        check_kind("retry", policy, kind=RetryPolicy, or_none=True)
        self._state.retry = policy

    def __repr__(self) -> str:
        return f"RequestHandle(endpoint_id={self.endpoint_id!r}, request_id={self.request_id!r})"

    def __reduce__(self) -> Any:
        raise TypeError("a RequestHandle belongs to its session: store handle.to_json() instead")

    def to_json(self) -> str:
        """Return the endpoint id, the request id and the URLs as JSON, to be stored.

        `from_json` makes a handle of it, in any process. Logs and the retry policy are not stored.
        """
        urls = attrs.asdict(self._state.urls)
        return json.dumps({"endpoint_id": self.endpoint_id, "request_id": self.request_id, "urls": urls})

    @classmethod
    def from_json(cls, text: str | bytes, fal: _HasQueue) -> RequestHandle[Any]:
        """Make a handle from the JSON that `to_json` returned. No HTTP request is made.

        Args:
            text: the stored JSON.
            fal: the session that the handle will belong to.

        Returns:
            A handle of the same request.

        Raises:
            ConfigurationError: `text` is not a stored handle.
        """
        try:
            endpoint_id, submission = _stored(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError("not a stored handle: expected what to_json() returned") from error
        operations = fal.queue.handle(endpoint_id, submission.request_id)._operations
        return cls(operations, operations.state_of(EndpointId.parse(endpoint_id), submission), None)

    async def status(self, *, logs: bool = False, **unknown: Never) -> QueueStatus:
        """Return the current status of the request (protocol 4.2).

        Cancelling this call is safe: it does not cancel the request on fal.

        Args:
            logs: whether to request log entries; default False.
            **unknown: other keywords raise TypeError, which suggests the one that was probably meant.

        Returns:
            A `Queued`, `InProgress`, `Completed` or `UnknownStatus`.

        Raises:
            NotFoundError: fal does not know the request.
            ResultExpiredError: fal knew the request before, but has deleted it.
            ResponseDecodeError: the response is not a status.
            ApiError, TransportError: fal responded with an error, or could not be reached, even after the session's
                retries.
        """
        refuse_unknown("status", unknown, RequestHandle.status.__annotations__)
        return await self._operations.status(self._state, logs=logs)

    def updates(
        self,
        *,
        logs: bool = False,
        mode: Mode = "polling",
        poll_interval: float | None = None,
        **unknown: Never,
    ) -> AsyncGenerator[QueueStatus, None]:
        """Follow the request and yield each status. The last one is `Completed`. See `Queue.updates`.

        Leaving the iteration early, or cancelling it, does not cancel the request on fal. If you may leave early,
        iterate inside `contextlib.aclosing`: it closes the connection of a status stream at once.

        Args:
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
        refuse_unknown("updates", unknown, RequestHandle.updates.__annotations__)
        following = Following(logs=logs, mode=mode, poll_interval=poll_interval)
        return self._operations.updates(self._state, following)

    @overload
    async def result(self, *, output_type: None = None) -> Result[T_co, str]: ...

    @overload
    async def result(self, *, output_type: type[T]) -> Result[T, str]: ...

    async def result(self, *, output_type: type[Any] | None = None) -> Result[Any, str]:
        """Fetch the result of a completed request (protocol 4.4). Use `wait` for a request that may still run.

        If the request has a key and the ledger already has the result, the stored result is returned. Cancelling
        this call is safe: the result can be fetched again.

        Args:
            output_type: the type that `data` is built as: an attrs class, dataclass, TypedDict, pydantic model or
                msgspec Struct. None (default): that of the `Endpoint` of `submit` or `handle`, else decoded JSON.

        Returns:
            The result.

        Raises:
            ConfigurationError: `output_type` can't be built.
            NotFoundError: fal does not know the request.
            ResultExpiredError: fal has deleted the result. See `Queue.result` for how long fal keeps it.
            RequestFailedError: the request failed, and the model sent no error body that explains why.
            RequestCancelledError: the request was cancelled on fal.
            ResponseDecodeError: the output does not match `output_type`, or can't be decoded.
            ApiError: the model failed with this error, or the request is not completed yet.
            TransportError: fal could not be reached, after the usual retries.
        """
        output_type = self._built_as(output_type)
        kept = await self._operations.kept_request(self._state)
        if kept is not None:
            return await kept.result(output_type)
        return await self._operations.result(self._state, output_type)

    @overload
    async def wait(
        self,
        *,
        logs: bool = False,
        on_queue_update: UpdateCallback | None = None,
        mode: Mode = "polling",
        poll_interval: float | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool | None = None,
        output_type: None = None,
        **unknown: Never,
    ) -> Result[T_co, str]: ...

    @overload
    async def wait(
        self,
        *,
        logs: bool = False,
        on_queue_update: UpdateCallback | None = None,
        mode: Mode = "polling",
        poll_interval: float | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool | None = None,
        output_type: type[T],
        **unknown: Never,
    ) -> Result[T, str]: ...

    async def wait(
        self,
        *,
        logs: bool = False,
        on_queue_update: UpdateCallback | None = None,
        mode: Mode = "polling",
        poll_interval: float | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool | None = None,
        output_type: type[Any] | None = None,
        **unknown: Never,
    ) -> Result[Any, str]:
        """Follow the request until it is completed, and return its result, as `Session.subscribe` does.

        If this call is cancelled, the request is cancelled on fal too, once (see `cancel_on_exit`). That takes at
        most 3 seconds, or more if hundreds of requests are cancelled at the same time.

        Args:
            logs: whether to request log entries; default False.
            on_queue_update: a function, async or not, that is called with each status. An exception in it is raised
                by this call. None (default): no function.
            mode: "polling" (default), "streaming" or "auto": see `Mode`.
            poll_interval: seconds between polls. None (default): depends on the run times that the endpoint had
                before.
            timeout: seconds for the whole call: following, retries and fetching the result. None (default): no
                limit.
            cancel_on_exit: whether to cancel the request on fal, once, if the call stops without the result: after
                `timeout`, a cancelled task, a closed session or an exception in a callback. None (default): True,
                but False for a request with a key.
            output_type: the type that `data` is built as; see `result`. None (default): that of the `Endpoint` of
                `submit` or `handle`, else decoded JSON.
            **unknown: other keywords raise TypeError, which suggests the one that was probably meant.

        Returns:
            The result.

        Raises:
            ConfigurationError: an argument is wrong.
            ClientTimeoutError: `timeout` passed. `error.cancel_outcome` is the outcome of the cancel.
            SessionStateError: the session was closed. `error.cancel_outcome` is the outcome of the cancel.
            RequestFailedError, RequestCancelledError: the request failed, or was cancelled on fal.
            ApiError, TransportError, ResponseDecodeError: as from `updates` and `result`.
        """
        refuse_unknown("wait", unknown, RequestHandle.wait.__annotations__)
        following = Following(logs=logs, mode=mode, poll_interval=poll_interval)
        check_function("on_queue_update", on_queue_update, takes=("status",))
        output_type = self._built_as(output_type)
        check_flag("cancel_on_exit", cancel_on_exit, or_none=True)
        began = asyncio.get_running_loop().time()
        kept = await self._kept_within(timeout, cancel_on_exit is True)
        if kept is not None:
            return await kept.wait(
                following,
                on_queue_update=on_queue_update,
                output_type=output_type,
                timeout=timeout,
                began=began,
                cancel_on_exit=bool(cancel_on_exit),
            )

        async def work() -> Result[Any, str]:
            return await self._operations.wait(
                self._state, following, on_queue_update=on_queue_update, output_type=output_type
            )

        wait = self._waited_for(cancel_on_exit is not False)
        return await supervise(wait, work, timeout=timeout, began=began)

    def _built_as(self, explicit: Any) -> Any:
        """Return the type to build from the output. Raise ConfigurationError if it can't be built."""
        output_type = self._output_type if explicit is None else explicit
        check_output_type(output_type)
        return output_type

    async def _kept_within(self, timeout: float | None, cancel_on_exit: bool) -> KeptRequest | None:
        """Look the request up in the ledger. The caller's `timeout` applies, because the ledger may be blocked."""
        if self._operations.kept is None:
            return None
        wait = self._waited_for(cancel_on_exit)
        return await supervise(wait, lambda: self._operations.kept_request(self._state), timeout=timeout)

    def _waited_for(self, cancel_on_exit: bool) -> Wait:
        among = self._operations.waits
        return Wait(endpoint_id=self.endpoint_id, among=among, handle=self, cancel_on_exit=cancel_on_exit)

    async def cancel(self) -> CancelOutcome:
        """Ask fal to cancel the request (protocol 4.5).

        If this call is cancelled, fal may or may not have received the cancel request.

        Returns:
            CANCELLED, CANCELLATION_REQUESTED (the request may still complete, and be billed), ALREADY_COMPLETED,
            NOT_FOUND, or REFUSED (the request is running, or complete): see `CancelOutcome`. None of them raises an
            error.

        Raises:
            ApiError, TransportError: fal responded with an error, or could not be reached, even after the session's
                retries. The request may still be running.
        """
        kept = await self._operations.kept_request(self._state)
        if kept is not None:
            return await kept.cancel()
        return await self._operations.cancel(self._state)


async def kept_request(handle: RequestHandle[Any]) -> KeptRequest | None:
    """Return the request in the session's ledger; None if it has no key, or if the ledger can't be read."""
    return await handle._operations.kept_request(handle._state)


async def while_waited_for(handle: RequestHandle[Any], work: Callable[[], Awaitable[T]]) -> T:
    """Await `work`, which waits for the request in its own way, and return its result.

    If `work` raises an exception other than FalError, or the session is closed, the request is cancelled on fal,
    once. A closed session raises SessionStateError, as in `wait`.
    """
    return await supervise(handle._waited_for(True), work, timeout=None)


class _Handles(Protocol):
    def handle(self, endpoint_id: str, request_id: str) -> RequestHandle[Any]: ...


class _HasQueue(Protocol):
    @property
    def queue(self) -> _Handles: ...


def _stored(document: Any) -> tuple[str, Submission]:
    """Return the endpoint id and the ids and URLs in a document of `to_json`.

    The caller handles the errors that any other document causes.
    """
    endpoint_id, request_id = document["endpoint_id"], document["request_id"]
    urls = {name: str(url) for name, url in (document.get("urls") or {}).items()}
    submission = Submission(
        request_id=check_request_id(request_id),
        status_url=urls.get("status"),
        response_url=urls.get("response"),
        cancel_url=urls.get("cancel"),
    )
    return endpoint_id, submission
