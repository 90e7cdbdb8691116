"""One request in fal's queue, as the caller holds it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Never, Protocol

import attrs

from fal_async.cancellation import Wait, supervise
from fal_async.checks import check_flag, check_function, check_kind
from fal_async.config import RetryPolicy
from fal_async.errors import (
    CancelOutcome,
    ConfigurationError,
    short_tracebacks,
)
from fal_async.models import QueueStatus, RequestLog, Result, T
from fal_async.options import refuse_unknown
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.following import Following, Mode
from fal_async.protocol.queue import Submission, check_request_id
from fal_async.protocol.structure import check_output_type
from fal_async.queue.kept_requests import KeptRequest
from fal_async.queue.operations import QueueOperations, UpdateCallback
from fal_async.queue.state import RequestState


@short_tracebacks
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

    def __init__(self, operations: QueueOperations, state: RequestState) -> None:
        self._operations, self._state = operations, state

    @property
    def request_id(self) -> str:
        """fal's id of the request."""
        return self._state.request_id

    @property
    def endpoint_id(self) -> str:
        """The endpoint, with its path."""
        return self._state.endpoint_id

    @property
    def status_url(self) -> str:
        """Where its status is asked for."""
        return self._state.urls.status

    @property
    def response_url(self) -> str:
        """Where its result is fetched."""
        return self._state.urls.response

    @property
    def cancel_url(self) -> str:
        """Where it is cancelled."""
        return self._state.urls.cancel

    @property
    def last_status(self) -> QueueStatus | None:
        """The newest status seen through this handle, or None."""
        return self._state.last_status

    @property
    def attempts(self) -> Counter[str]:
        """HTTP requests made through it, by kind."""
        return self._state.attempts

    @property
    def logs(self) -> list[RequestLog]:
        """The log entries seen through it."""
        return self._state.logs

    @property
    def submitted_at(self) -> float | None:
        """On the event loop's clock, if it was submitted through this handle."""
        return self._state.submitted_at

    @property
    def retry(self) -> RetryPolicy | None:
        """The policy it was submitted with, for following it too; None for the session's."""
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
        """For storing: `RequestHandle.from_json(text, fal)` picks the request up again, in any process."""
        urls = attrs.asdict(self._state.urls)
        return json.dumps({"endpoint_id": self.endpoint_id, "request_id": self.request_id, "urls": urls})

    @classmethod
    def from_json(cls, text: str | bytes, fal: _HasQueue) -> RequestHandle:
        """`fal`: the session to go on with. ConfigurationError where the text is no stored handle."""
        try:
            endpoint_id, submission = _stored(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError("this text is no stored handle: expected what to_json() gave") from error
        operations = fal.queue.handle(endpoint_id, submission.request_id)._operations
        return cls(operations, operations.state_of(EndpointId.parse(endpoint_id), submission))

    async def status(self, *, logs: bool = False, **unknown: Never) -> QueueStatus:
        """Where it stands now. NotFoundError where fal does not know it (any more)."""
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
        """Each status as it comes, ending with `Completed`. Iterate it inside `contextlib.aclosing`
        where you may leave early. See `Queue.updates`."""
        refuse_unknown("updates", unknown, RequestHandle.updates.__annotations__)
        following = Following(logs=logs, mode=mode, poll_interval=poll_interval)
        return self._operations.updates(self._state, following)

    async def result(self, *, output_type: type[T] | None = None) -> Result[T, str]:
        """Fetch the result, once. See `Queue.result`."""
        check_output_type(output_type)
        kept = await self._operations.kept_request(self._state)
        if kept is not None:
            return await kept.result(output_type)
        return await self._operations.result(self._state, output_type)

    async def wait(
        self,
        *,
        logs: bool = False,
        on_queue_update: UpdateCallback | None = None,
        mode: Mode = "polling",
        poll_interval: float | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool | None = None,
        output_type: type[T] | None = None,
        **unknown: Never,
    ) -> Result[T, str]:
        """Follow it to its end and give the result, as `Session.subscribe` does after its submit.

        `cancel_on_exit`: by default True, but False for a request with a key.
        """
        refuse_unknown("wait", unknown, RequestHandle.wait.__annotations__)
        following = Following(logs=logs, mode=mode, poll_interval=poll_interval)
        check_function("on_queue_update", on_queue_update, takes=("status",))
        check_output_type(output_type)
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

        async def work() -> Result[T, str]:
            return await self._operations.wait(
                self._state, following, on_queue_update=on_queue_update, output_type=output_type
            )

        wait = self._waited_for(cancel_on_exit is not False)
        return await supervise(wait, work, timeout=timeout, began=began)

    async def _kept_within(self, timeout: float | None, cancel_on_exit: bool) -> KeptRequest | None:
        """A ledger that does not answer takes no longer than the caller has."""
        if self._operations.kept is None:
            return None
        wait = self._waited_for(cancel_on_exit)
        return await supervise(wait, lambda: self._operations.kept_request(self._state), timeout=timeout)

    def _waited_for(self, cancel_on_exit: bool) -> Wait:
        among = self._operations.waits
        return Wait(endpoint_id=self.endpoint_id, among=among, handle=self, cancel_on_exit=cancel_on_exit)

    async def cancel(self) -> CancelOutcome:
        """Ask fal to cancel it. All four outcomes are answers, none an error (protocol 4.5)."""
        kept = await self._operations.kept_request(self._state)
        if kept is not None:
            return await kept.cancel()
        return await self._operations.cancel(self._state)


async def kept_request(handle: RequestHandle) -> KeptRequest | None:
    """What the session's ledger has of it; None for a request without a key. LedgerError where it can't be read."""
    return await handle._operations.kept_request(handle._state)


async def while_waited_for(handle: RequestHandle, work: Callable[[], Awaitable[T]]) -> T:
    """`work`, which waits for the request in its own way. Where it raises what is no FalError, or the session is
    closed meanwhile, the request is cancelled once; the latter is a SessionStateError here, as in `wait`.
    """
    return await supervise(handle._waited_for(True), work, timeout=None)


class _Handles(Protocol):
    def handle(self, endpoint_id: str, request_id: str) -> RequestHandle: ...


class _HasQueue(Protocol):
    @property
    def queue(self) -> _Handles: ...


def _stored(document: Any) -> tuple[str, Submission]:
    """What `to_json` wrote. Raises whatever a text of another shape leads to."""
    endpoint_id, request_id = document["endpoint_id"], document["request_id"]
    urls = {name: str(url) for name, url in (document.get("urls") or {}).items()}
    submission = Submission(
        request_id=check_request_id(request_id),
        status_url=urls.get("status"),
        response_url=urls.get("response"),
        cancel_url=urls.get("cancel"),
    )
    return endpoint_id, submission
