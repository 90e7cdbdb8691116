"""The calls of a session: `run`, `subscribe`, `stream`, `websocket`, `verify_credentials`.

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

from fal_async.auth.credentials import NoKey
from fal_async.cancellation import Wait, supervise
from fal_async.checks import check_flag, check_function
from fal_async.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    short_tracebacks,
)
from fal_async.models import In, Out, OutOr, Result
from fal_async.options import CallOptions, QueueOptions, RunOptions, clean_headers, documented
from fal_async.protocol.endpoint import Endpoint, EndpointId, run_id
from fal_async.protocol.following import Following, SubscribeMode
from fal_async.protocol.structure import check_output_type
from fal_async.session.direct_run import DirectRun
from fal_async.session.view import View

if TYPE_CHECKING:
    from fal_async.http_over_websocket import HttpOverWebSocket
    from fal_async.protocol.ledger.decisions import Uncertain
    from fal_async.queue import EnqueueCallback, UpdateCallback
    from fal_async.streaming import EventStream

_PROBE_APP = "fal-ai/flux"


@short_tracebacks
class Calls:
    """The methods of `Session` that make or check a single request, or open one WebSocket."""

    _view: View

    def websocket(
        self,
        endpoint_id: str | Endpoint[In, Out],
        *,
        path: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> HttpOverWebSocket[In, Out]:
        """Make several direct calls over one WebSocket (protocol 5.2). fal calls this interface experimental.

        The responses arrive in the order of the inputs. The connection is opened by
        `async with fal.websocket(...) as calls:`, and nothing is sent before. Files in the inputs are uploaded
        first, as in every call.

        Args:
            endpoint_id: such as `"fal-ai/any-llm"`, or an `Endpoint`.
            path: added to the endpoint id, unless the id ends with it; default "".
            headers: further headers of the handshake. None (default): no further headers.

        Returns:
            The calls over one connection, as an async context manager.

        Raises:
            ConfigurationError: an invalid argument. Other errors are raised when it is used: see
                `HttpOverWebSocket`.
        """
        from fal_async.http_over_websocket import HttpOverWebSocket

        view = self._view
        return HttpOverWebSocket(
            view.transport,
            view.settings,
            endpoint=EndpointId.parse(endpoint_id, path),
            headers=clean_headers(headers),
            connections=view.shared.open_parts,
            files=view.files,
        )

    @documented(RunOptions)
    def stream(
        self,
        endpoint_id: str | Endpoint[In, Out],
        input: In | None = None,
        *,
        path: str = "/stream",
        idle_timeout: float | None = None,
        output_type: type[OutOr] | None = None,
        **options: Unpack[RunOptions],
    ) -> EventStream[OutOr]:
        """Stream the values that a model sends while it works (protocol 5.1).

        There is no queue, and fal does not retry the call.

        Nothing is sent before the stream is used, by `async for`, `async with` or `await stream.last()`. If you
        leave the loop or the block, or cancel the task, the connection is closed at once.

        Args:
            endpoint_id: such as `"fal-ai/any-llm"`, or an `Endpoint`.
            input: a mapping, an attrs instance, a dataclass, a pydantic model or a msgspec Struct. Files in it are
                uploaded first. None (default): an empty input.
            path: added to the endpoint id, unless the id ends with it; default `"/stream"`.
            idle_timeout: seconds without a byte (a keep-alive comment has bytes) after which a running stream
                raises StreamError. None (default): 300. `math.inf`: no limit.
            output_type: the type that each value is built as, of a workflow the type of its output: an attrs class,
                dataclass, TypedDict, pydantic model, msgspec Struct, or a type of these, such as `list[Image]`.
                None (default): that of the `Endpoint`, else decoded JSON.
            **options: see `CallOptions`.

        Returns:
            The stream, which can be read once, by one task.

        Raises:
            ConfigurationError: an invalid argument. Other errors are raised while it is read: see `EventStream`.
            TypeError: an unknown argument; the message suggests the one that was probably meant.
        """
        from fal_async.protocol.streaming import check_idle_timeout, stream_request
        from fal_async.streaming import Beginning, EventStream

        endpoint = EndpointId.parse(endpoint_id, path)
        built = _checked(endpoint, input, output_type)
        call_options = CallOptions.of("stream", options, RunOptions)
        idle_timeout = check_idle_timeout(idle_timeout)

        async def begin() -> Beginning:
            await self._view.check_input(endpoint, input, call_options)
            value = await self._view.files.with_urls(input, inline_below=call_options.inline_below)
            return Beginning(
                transport=self._view.transport,
                settings=self._view.settings,
                request=stream_request(self._view.settings, endpoint, value, call_options),
                output_type=built,
                idle_timeout=idle_timeout,
                retry=call_options.retry,
            )

        return EventStream(begin)

    @documented(RunOptions)
    async def run(
        self,
        endpoint_id: str | Endpoint[In, Out],
        input: In | None = None,
        *,
        path: str = "",
        method: str = "POST",
        output_type: type[OutOr] | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> Result[OutOr]:
        """Call a model directly and wait for its response (protocol 3).

        There is no queue, and fal does not retry the call.

        Use it for fast models. If the connection breaks, the response is lost, although it may be billed;
        `subscribe` does not have this problem. Cancelling closes the connection, which is the only way to stop a
        direct call (protocol 13), and fal may still bill it.

        Experimental: the endpoint id `"execute"` sends the fallback chain in `input` as it is (protocol 3.5). Each
        of its models that ran may be billed, and there is no `key=` for it. It is never sent again after a byte of
        it has left, not even after a 429.

        Args:
            endpoint_id: such as `"fal-ai/flux/schnell"`, or an `Endpoint`.
            input: a mapping, an attrs instance, a dataclass, a pydantic model or a msgspec Struct. With GET it is
                sent as the query. Files in it are uploaded first (see `storage.transform_input`). None (default):
                an empty input.
            path: added to the endpoint id, unless the id ends with it; default "".
            method: the HTTP method; default "POST".
            output_type: the type that `result.data` is built as: an attrs class, dataclass, TypedDict, pydantic
                model, msgspec Struct, or a type of these, such as `list[Image]`. None (default): that of the
                `Endpoint`, else decoded JSON.
            timeout: seconds for the whole call, uploads and retries included. None (default): only the limits of
                each attempt apply (see `Timeouts.run`).
            **options: see `CallOptions`.

        Returns:
            The result of the model.

        Raises:
            ConfigurationError: an invalid argument, or no API key. Nothing was sent.
            TypeError: an unknown argument; the message suggests the one that was probably meant.
            ApiError: fal or the model refused the request or failed; see its subclasses.
            SubmissionUncertainError: the connection broke after fal may have accepted the request. It is not sent
                again.
            ClientTimeoutError: `timeout` passed; the connection was closed.
            TransportError: fal was not reached.
            ResponseDecodeError: the response does not have the promised shape.
            UploadError: a file in the input could not be uploaded.
            SessionStateError: the session is closed, or was closed during the call.
        """
        endpoint = run_id(endpoint_id, path, method)
        call_options = CallOptions.of("run", options, RunOptions)
        asked = DirectRun(
            view=self._view,
            endpoint=endpoint,
            input=input,
            options=call_options,
            method=method,
            output_type=_checked(endpoint, input, output_type),
        )
        wait = Wait(endpoint_id=asked.endpoint.full, among=self._view.shared.waits, direct=asked.progress)
        return await supervise(wait, asked.result, timeout=timeout)

    @documented(QueueOptions)
    async def subscribe(
        self,
        endpoint_id: str | Endpoint[In, Out],
        input: In | None = None,
        *,
        path: str = "",
        # Reports while the request runs.
        logs: bool = False,
        on_enqueue: EnqueueCallback | None = None,
        on_queue_update: UpdateCallback | None = None,
        # How the request is followed, and for how long.
        mode: SubscribeMode = "polling",
        poll_interval: float | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool | None = None,
        webhook_url: str | None = None,
        output_type: type[OutOr] | None = None,
        # For calls with a ledger: one request for one key.
        key: str | None = None,
        run: str = "",
        uncertain: Uncertain = "lookup",
        **options: Unpack[QueueOptions],
    ) -> Result[OutOr, str]:
        """Submit a request to the queue, follow it until it is completed, and return its result (protocol 4).

        Every error after the submit has the `request_id`. Cancelling the task is safe: the request is cancelled on
        fal, once and within a few seconds (see `cancel_on_exit`).

        Args:
            endpoint_id: such as `"fal-ai/flux/dev"`, or an `Endpoint`.
            input: a mapping, an attrs instance, a dataclass, a pydantic model or a msgspec Struct. Files in it are
                uploaded first, within `timeout` (see `storage.transform_input`). None (default): an empty input.
            path: added to the endpoint id, unless the id ends with it; default "".
            logs: whether to request log entries, which are in the updates and in `result.logs`; default False.
            on_enqueue: a function, async or not, that is called once with the request id. Store the id there if a
                later process must be able to continue with the request. An exception in it is raised by the call,
                and the request is cancelled on fal as after a cancellation. None (default): no function.
            on_queue_update: a function, async or not, that is called with each status. Its exceptions
                have the same effect as those of `on_enqueue`. None (default): no function.
            mode: how the request is followed: "polling" (default), "streaming", "auto" or "webhook"; see
                `SubscribeMode`. "webhook" needs an attached receiver. With a `key`, the delivery may arrive at any
                process that uses the ledger.
            poll_interval: seconds between polls. None (default): depends on the run times that the endpoint had
                before; 30 in mode "webhook".
            timeout: seconds for the whole call: uploads, submit, waiting, retries and fetching the result. None
                (default): no limit.
            cancel_on_exit: whether to cancel the request on fal, once, if the call stops without its result: after
                `timeout`, a cancelled task, a closed session or an exception in a callback. None (default): True,
                but False with a `key`.
            webhook_url: a URL that fal also calls when the request is completed. None (default): no URL.
            output_type: the type that `result.data` is built as: an attrs class, dataclass, TypedDict, pydantic
                model, msgspec Struct, or a type of these, such as `list[Image]`. None (default): that of the
                `Endpoint`, else decoded JSON.
            key: an idempotency key, a `str` of 1-255 characters; requires `Session(ledger=...)`. All calls with the
                same key, in this process and in others, share one request. The first call submits it. While
                it runs, other calls wait for it; afterwards they get the result from the ledger
                (`result.from_ledger`). An error of the model is stored as well; if it may be temporary, the next
                call submits again. Cancelling stops only this call: the request keeps running, and the next call
                with the key continues to follow it. Only the endpoint and the input are compared with those of the
                first call. None (default): no key.
            run: the namespace of the key; default "".
            uncertain: what to do if it is unknown whether fal accepted the request of an earlier call with this
                key. "lookup" (default): look it up in fal's request history. "report": raise
                SubmissionUncertainError. "resubmit": look it up, and submit again if the history certainly does not
                have it.
            **options: see `CallOptions`.

        Returns:
            The result, with the request id and the final status.

        Raises:
            ConfigurationError: an invalid argument, a `key` without a ledger, `run` or `uncertain` without a `key`,
                or no API key. Nothing was sent.
            TypeError: an unknown argument; the message suggests the one that was probably meant.
            ApiError: fal or the model refused the request or failed; see its subclasses.
            RequestFailedError: the request failed, and the model sent no error body that explains why.
            RequestCancelledError: the request was cancelled on fal.
            ClientTimeoutError: `timeout` passed. `error.cancel_outcome` is the outcome of the cancel.
            SessionStateError: the session is closed, or was closed during the call. `error.cancel_outcome` is the
                outcome of the cancel.
            SubmissionUncertainError: fal may have accepted the request, but did not confirm it. It is not sent
                again.
            TransportError: fal was not reached, or following the request failed for longer than
                `RetryPolicy.outage`.
            ResponseDecodeError: a response does not have the promised shape.
            UploadError: a file in the input could not be uploaded.
            KeyConflictError: the key belongs to another endpoint or input. Nothing was sent.
            LedgerError: the ledger can't be read or written. Nothing was sent.
        """
        from fal_async.queue.state import NewRequest
        from fal_async.queue.subscription import Subscription

        endpoint = EndpointId.parse(endpoint_id, path)
        receiver = self._view.webhooks.receiver_for(webhook_url) if mode == "webhook" else None
        followed = "polling" if mode == "webhook" else mode
        following = Following(logs=logs, mode=followed, poll_interval=poll_interval)
        check_function("on_queue_update", on_queue_update, takes=("status",))
        check_function("on_enqueue", on_enqueue, takes=("request_id",))
        check_flag("cancel_on_exit", cancel_on_exit, or_none=True)
        asked = Subscription(
            operations=self._view.operations,
            new=NewRequest(
                endpoint=endpoint,
                input=input,
                options=CallOptions.of("subscribe", options, QueueOptions),
                webhook_url=webhook_url if receiver is None else receiver.url,
            ),
            following=following,
            on_enqueue=on_enqueue,
            on_queue_update=on_queue_update,
            output_type=_checked(endpoint, input, output_type),
            wait=Wait(
                endpoint_id=endpoint.full,
                among=self._view.shared.waits,
                cancel_on_exit=key is None if cancel_on_exit is None else cancel_on_exit,
            ),
        )
        if key is not None or run or uncertain != "lookup":
            caller = self._view.keyed(key).caller(
                asked, key=key, run=run, uncertain=uncertain, by_webhook=receiver is not None
            )
            return await caller.result(timeout)
        work = asked.result
        if receiver is not None:
            from fal_async.queue.webhook_subscription import WebhookSubscription

            work = WebhookSubscription(asked=asked, receiver=receiver).result
        return await asked.supervised(work, timeout)

    async def verify_credentials(self) -> bool:
        """Check whether fal accepts the API key. This costs nothing (protocol 1.2), and is safe to cancel.

        Returns:
            True if fal knows the key; False if the key is unknown or revoked.

        Raises:
            ConfigurationError: there is no fal key.
            BalanceExhaustedError: the account has no balance.
            ApiError: another error response, such as PermissionDeniedError.
            TransportError: fal was not reached.
            SessionStateError: the session is closed.
        """
        view = self._view
        if isinstance(view.keys, NoKey) and view.settings.proxy_url is None:
            raise ConfigurationError("credentials=ANONYMOUS: there is no key to verify")
        # The status of a request that does not exist: 404 means that the key is valid, 401 that it is not.
        try:
            await view.queue.status(_PROBE_APP, str(uuid.uuid4()))
        except NotFoundError:
            return True
        except AuthenticationError:
            return False
        return True


def _checked(endpoint: EndpointId, input: Any, explicit: Any) -> Any:
    """Return the type to build from the output. Raise ConfigurationError for an input or a type that can't be used.

    `explicit`: the `output_type` of the call, which takes precedence over that of the endpoint.
    """
    endpoint.check_input(input)
    output_type = endpoint.output_type(explicit)
    check_output_type(output_type)
    return output_type
