"""The operations on requests in the queue. `fal.queue` and handles delegate to them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from fal_async.callbacks import call_back
from fal_async.cancellation import OpenWaits
from fal_async.config import RetryPolicy, Settings
from fal_async.errors import (
    ApiError,
    CancelOutcome,
    NotFoundError,
    RequestFailedError,
    RequestRef,
    ResponseDecodeError,
    naming,
)
from fal_async.models import Files, QueueStatus, Result
from fal_async.options import CallOptions
from fal_async.protocol.amounts import billable_units
from fal_async.protocol.api_errors import check_from_fal, error_of
from fal_async.protocol.endpoint import Endpoint, EndpointId
from fal_async.protocol.following import Following
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.protocol.json_input import encode_json
from fal_async.protocol.polling import RunTimesByEndpoint
from fal_async.protocol.queue import (
    CANCEL_STATUSES,
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
from fal_async.protocol.queue_status import failed_status, parse_status
from fal_async.protocol.results import check_result, parse_result, result_error, vanished
from fal_async.queue.kept_requests import KeptRequest, KeptRequests, check_keyed
from fal_async.queue.limits import Limits
from fal_async.queue.state import NewRequest, RequestState
from fal_async.queue.updates import Follower
from fal_async.transport import Transport
from fal_async.transport.progress import Progress

if TYPE_CHECKING:
    from fal_async.protocol.platform.price_cache import PriceCache
    from fal_async.protocol.request_history import LostSubmit

logger: logging.Logger = logging.getLogger("fal_async")

UpdateCallback = Callable[[QueueStatus], Awaitable[None] | None]
CheckInput = Callable[[EndpointId, Any, CallOptions], Awaitable[None]]
EnqueueCallback = Callable[[str], Awaitable[None] | None]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class QueueOperations:
    """The queue's operations for one set of settings and credentials.

    Attributes:
        run_times: how long each endpoint's requests took so far, for pacing the polls.
        limits: the limits of concurrent polls and status streams, shared by all views of a session.
        waits: the open waits of all views of a session.
        files: uploads the files of inputs, and downloads those of results.
        prices: the prices that the session has fetched, for the costs of results.
        check_input: compares an input with the endpoint's schema, if the call or the session asks for that.
        kept: a function that returns the ledger's requests; None without a ledger.
        no_retry: the session's retry policy with a single attempt.
    """

    transport: Transport
    settings: Settings
    run_times: RunTimesByEndpoint
    limits: Limits
    waits: OpenWaits
    files: Files
    prices: PriceCache
    check_input: CheckInput
    kept: Callable[[], KeptRequests] | None = None
    no_retry: RetryPolicy = attrs.field(init=False)

    @no_retry.default
    def _one_attempt(self) -> RetryPolicy:
        return attrs.evolve(self.settings.retry, max_attempts=1)

    def state_by_id(self, endpoint_id: str | Endpoint[Any, Any], request_id: str) -> RequestState:
        """Return the state of a request by its id. ConfigurationError for a malformed id."""
        endpoint = EndpointId.parse(endpoint_id)
        urls = rebuilt_urls(self.settings.hosts, endpoint, check_request_id(request_id))
        return RequestState(ref=RequestRef(endpoint_id=endpoint.full, request_id=request_id), urls=urls)

    def state_of(self, endpoint: EndpointId, submission: Submission) -> RequestState:
        """Return the state of a submitted request. URLs in fal's response are used only if they lead to fal."""
        ref = RequestRef(endpoint_id=endpoint.full, request_id=submission.request_id)
        return RequestState(ref=ref, urls=urls_of(self.settings.hosts, endpoint, submission), existed=True)

    async def submit(self, new: NewRequest, progress: Progress) -> RequestState:
        """Check the input, upload its files, then submit (4.1). `progress` records what may have been sent."""
        await self.check_input(new.endpoint, new.input, new.options)
        inline_below = new.options.inline_below
        value = await self.files.with_urls(new.input, inline_below=inline_below, sha256s=new.sha256s)
        request = submit_request(
            self.settings, new.endpoint, encode_json(value), new.options, new.webhook_url
        )
        response = await self.transport.send(request, retry=new.options.retry, progress=progress)
        state = self.state_of(new.endpoint, _submission_of(request, response, progress))
        new.input = None  # release a large input before the long wait
        state.attempts["submit"], state.retry = response.attempts, new.options.retry
        state.submitted_at, state.taken_at = asyncio.get_running_loop().time(), time.time()
        logger.debug("submitted to %s (request %s)", state.endpoint_id, state.request_id)
        return state

    async def status(self, state: RequestState, *, logs: bool) -> QueueStatus:
        """Return the current status (protocol 4.2)."""
        request = status_request(state.urls.status, state.ref, logs=logs)
        try:
            response = await self.transport.send(request, retry=state.retry, check=HttpResponse.json)
        except NotFoundError as error:
            known = vanished(error, existed=state.existed)
            if known is error or error.from_caller:
                raise
            raise known from error
        state.attempts["status"] += response.attempts
        with naming(state.ref):
            state.last_status = parse_status(response.json(), state.request_id)
        state.existed = True
        return state.last_status

    def requests_of(self, key: str | None) -> KeptRequests:
        """Return the ledger's requests. ConfigurationError if `key` is None, or if there is no ledger."""
        check_keyed(key, has_ledger=self.kept is not None)
        assert self.kept is not None
        return self.kept()

    async def kept_request(self, state: RequestState) -> KeptRequest | None:
        """Return the ledger's entry of the request; None without a ledger, or if the ledger does not have it."""
        return None if self.kept is None else await self.kept().find(state)

    def updates(self, state: RequestState, following: Following) -> AsyncGenerator[QueueStatus, None]:
        """Follow the request and yield each status. The last one is `Completed`."""
        times = self.run_times.of(state.endpoint_id)
        follower = Follower(
            transport=self.transport,
            settings=self.settings,
            limits=self.limits,
            state=state,
            times=times,
            following=following,
            no_retry=self.no_retry,
        )
        return follower.updates()

    async def result(self, state: RequestState, output_type: Any) -> Result[Any, str]:
        """Fetch the result and return it as the caller's type, without waiting (protocol 4.4)."""
        response = await self.fetch(state)
        return parse_result(
            response,
            output_type,
            state.ref,
            attempts=state.attempts,
            status=state.completed,
            logs=state.logs,
            files=self.files,
            cost=self.cost(state.endpoint_id, billable_units(response.headers)),
        )

    def cost(self, endpoint_id: str, units: Decimal | None) -> Decimal | None:
        """Return the cost of billable units by list price; None if it is not known. Nothing is fetched."""
        return self.prices.cost(endpoint_id, units, time.time())

    async def fetch(self, state: RequestState) -> HttpResponse:
        """Fetch the result and return it as an unparsed response. If it is an error, raise that."""
        completed = state.completed
        persistent = completed is not None and completed.error is None
        request = result_request(state.urls.response, state.ref, persistent=persistent)
        try:
            check = partial(check_result, request_id=state.request_id)
            response = await self.transport.send(request, retry=state.retry, check=check)
        except ResponseDecodeError as error:
            error.request_id = state.request_id  # not the one in the response's headers
            raise
        except ApiError as error:
            if error.from_caller:  # raised by `on_retry`
                raise
            failure = result_error(error, completed, existed=state.existed)
            if failure is error:
                raise
            raise failure from error
        state.attempts["result"] += response.attempts
        if completed is not None and failed_status(completed.raw, state.request_id) is not None:
            # A failed request has no output, even if this response looks like one.
            raise RequestFailedError(completed.error).about(state.ref)
        return response

    async def cancel(self, state: RequestState) -> CancelOutcome:
        """Ask fal to cancel the request (protocol 4.5)."""
        request = cancel_request(state.urls.cancel, state.ref)
        with self.waits.cancelling():
            response = await self.transport.send(
                request, retry=state.retry, accept=CANCEL_STATUSES, check=check_from_fal
            )
        state.attempts["cancel"] += response.attempts
        outcome = parse_cancel(response)
        if outcome is None:
            raise error_of(request, response)
        return outcome

    async def wait(
        self,
        state: RequestState,
        following: Following,
        *,
        on_queue_update: UpdateCallback | None,
        output_type: Any,
    ) -> Result[Any, str]:
        """Follow the request until it is completed, then fetch its result at once, since fal may delete it soon."""
        await self.follow(state, following, on_queue_update)
        return await self.result(state, output_type)

    async def follow(
        self, state: RequestState, following: Following, on_queue_update: UpdateCallback | None
    ) -> None:
        """Follow the request until it is completed, whether it succeeded or failed."""
        async with aclosing(self.updates(state, following)) as updates:
            async for status in updates:
                if on_queue_update is not None:
                    await call_back(on_queue_update, status)

    async def find_submission(self, lost: LostSubmit, exclude: Collection[str]) -> RequestState | None:
        """Find the request of a submit whose response never arrived, in fal's history."""
        from fal_async.queue.recovery import find

        found = await find(self.transport, self.settings.hosts, lost, exclude)
        if found is None:
            return None
        state = self.state_by_id(lost.endpoint_id, found.request_id)
        state.existed = True
        return state


def _submission_of(request: HttpRequest, response: HttpResponse, progress: Progress) -> Submission:
    try:
        return parse_submission(response)
    except ResponseDecodeError as error:
        # fal has most likely accepted the request, so it must not be sent again. It can't be followed without its
        # id.
        raise progress.uncertain(
            request,
            f"fal accepted the request, but its response can't be read: {error.message}",
            error.request_id,
        ) from error
