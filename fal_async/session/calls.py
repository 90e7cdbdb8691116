"""The calls of a session: run, subscribe, stream, websocket."""

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
from fal_async.models import Result, T
from fal_async.options import CallOptions, QueueOptions, RunOptions, clean_headers, documented
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.following import MODES, Following, SubscribeMode
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
    """What `Session` does with one set of settings."""

    _view: View

    def websocket(
        self, endpoint_id: str, *, path: str = "", headers: Mapping[str, str] | None = None
    ) -> HttpOverWebSocket:
        """Experimental at fal: several direct calls over one WebSocket, answered in order (protocol 5.2).

        Files in the inputs are uploaded first, as everywhere.
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
        endpoint_id: str,
        input: Any = None,
        *,
        path: str = "/stream",
        idle_timeout: float | None = None,
        output_type: type[T] | None = None,
        **options: Unpack[RunOptions],
    ) -> EventStream[T]:
        """What a model sends while it works, as it comes (protocol 5.1): no queue, no retries by the platform.

        Nothing is sent before the stream is used: `async for`, `async with`, or `await stream.last()`.

        Args:
            endpoint_id: such as `"fal-ai/any-llm"`; `path` is added, unless the id ends with it.
            input: a mapping, an attrs instance, a dataclass, a pydantic model or a msgspec Struct; files in it are
                uploaded first.
            idle_timeout: seconds without a byte, once it has begun; default 300. Keep-alives count as bytes.
            output_type: attrs class, dataclass or TypedDict that each value is built as.

        Raises:
            ConfigurationError: a wrong argument. The rest is raised when it is used: see `EventStream`.
        """
        from fal_async.protocol.streaming import check_idle_timeout, stream_request
        from fal_async.streaming import Beginning, EventStream

        endpoint = EndpointId.parse(endpoint_id, path)
        check_output_type(output_type)
        call_options = CallOptions.of("stream", options, RunOptions)
        idle_timeout = check_idle_timeout(idle_timeout)

        async def begin() -> Beginning:
            value = await self._view.files.with_urls(input, inline_below=call_options.inline_below)
            return Beginning(
                transport=self._view.transport,
                settings=self._view.settings,
                request=stream_request(self._view.settings, endpoint, value, call_options),
                output_type=output_type,
                idle_timeout=idle_timeout,
                retry=call_options.retry,
            )

        return EventStream(begin)

    @documented(RunOptions)
    async def run(
        self,
        endpoint_id: str,
        input: Any = None,
        *,
        path: str = "",
        method: str = "POST",
        output_type: type[T] | None = None,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> Result[T]:
        """Call a model directly and wait for its answer (protocol 3): no queue, no retries by the platform.

        For quick models; a connection that breaks loses an answer that may be paid for. `subscribe` does not.

        Args:
            endpoint_id: such as `"fal-ai/flux/schnell"`; `path` is added to it.
            input: a mapping, an attrs instance, a dataclass, a pydantic model or a msgspec Struct; with GET it
                becomes the query. Files in it are uploaded first (see `storage.transform_input`).
            output_type: attrs class, dataclass or TypedDict that `data` is built as.
            timeout: seconds for the whole call; default none of its own (see `Timeouts.run`).

        Raises:
            ConfigurationError: no key where one is needed, or a wrong argument (before anything is sent).
            ApiError and its kinds: fal or the model refused or failed.
            SubmissionUncertainError: the connection broke after fal may have taken the request.
            ClientTimeoutError: `timeout` passed; the connection was closed.
            TransportError: fal was not reached. ResponseDecodeError: not the promised shape.
        """
        check_output_type(output_type)
        call_options = CallOptions.of("run", options, RunOptions)
        asked = DirectRun(
            view=self._view,
            endpoint=EndpointId.parse(endpoint_id, path),
            input=input,
            options=call_options,
            method=method,
            output_type=output_type,
        )
        wait = Wait(endpoint_id=asked.endpoint.full, among=self._view.shared.waits, direct=asked.progress)
        return await supervise(wait, asked.result, timeout=timeout)

    @documented(QueueOptions)
    async def subscribe(
        self,
        endpoint_id: str,
        input: Any = None,
        *,
        path: str = "",
        # What you are told meanwhile.
        logs: bool = False,
        on_enqueue: EnqueueCallback | None = None,
        on_queue_update: UpdateCallback | None = None,
        # How it is followed, and how long.
        mode: SubscribeMode = "polling",
        poll_interval: float | None = None,
        timeout: float | None = None,
        cancel_on_exit: bool | None = None,
        webhook_url: str | None = None,
        output_type: type[T] | None = None,
        # One request for one key: with a ledger.
        key: str | None = None,
        run: str = "",
        uncertain: Uncertain = "lookup",
        **options: Unpack[QueueOptions],
    ) -> Result[T, str]:
        """Submit a request to the queue, follow it to its end, and give its result (protocol 4).

        Args:
            endpoint_id: such as `"fal-ai/flux/dev"`; `path` is added to it.
            input: a mapping, an attrs instance, a dataclass, a pydantic model or a msgspec Struct. Files in it are
                uploaded first, within `timeout` (see `storage.transform_input`).
            logs: ask for log entries; they come in the updates and in `result.logs`.
            on_enqueue: called once with the request id; store it there to survive a crash.
            on_queue_update: called with each status. Both may be async; an exception in one ends the
                wait as a cancellation does.
            mode: "polling", "streaming", "auto" or "webhook": see `SubscribeMode`.
            poll_interval: seconds between polls, in place of the pace that adapts to the endpoint;
                default 30 in mode "webhook".
            timeout: seconds for everything: submit, wait, retries and fetch. Default none.
            cancel_on_exit: when the wait ends without the result (time-out, cancelled task, closed session,
                exception in a callback), cancel the remote request, once. Default True; False with a `key`.
            webhook_url: fal also calls this URL when the request is done.
            output_type: attrs class, dataclass or TypedDict that `data` is built as.
            key: with `Session(ledger=...)`: text of 1-255 characters. The same key is the same request, in this
                process, the next one, or another: the first call submits it, further ones wait for it, and once it
                is done they get what the ledger has (`result.from_ledger`). An error of the model's is stored as
                well; after one that may pass, the next call submits again. Leaving ends this wait only: the request
                goes on, and the next call takes it up. Of its arguments only endpoint and input are compared.
            run: a name space of keys.
            uncertain: where nobody knows whether fal took the request of an earlier call: "lookup": look into fal's
                history; "report": raise; "resubmit": submit again where the history surely knows nothing.

        Raises:
            ClientTimeoutError: `timeout` passed; says what became of the remote request.
            SessionStateError: the session was closed meanwhile; says the same.
            RequestFailedError, RequestCancelledError, and what `queue.submit`, `queue.updates` and
            `queue.result` raise. With `key`: KeyConflictError (it stands for another input or endpoint),
            SubmissionUncertainError, LedgerError; nothing was sent then. Every error after the submit has the
            `request_id`.
        """
        from fal_async.queue.state import NewRequest
        from fal_async.queue.subscription import Subscription

        endpoint = EndpointId.parse(endpoint_id, path)
        if mode == "webhook" and key is not None:
            raise ConfigurationError(f"mode='webhook' with key=: pass one of {', '.join(MODES)}")
        receiver = self._view.webhooks.receiver_for(webhook_url) if mode == "webhook" else None
        followed = "polling" if mode == "webhook" else mode
        following = Following(logs=logs, mode=followed, poll_interval=poll_interval)
        check_function("on_queue_update", on_queue_update, takes=("status",))
        check_function("on_enqueue", on_enqueue, takes=("request_id",))
        check_output_type(output_type)
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
            output_type=output_type,
            wait=Wait(
                endpoint_id=endpoint.full,
                among=self._view.shared.waits,
                cancel_on_exit=key is None if cancel_on_exit is None else cancel_on_exit,
            ),
        )
        if key is not None or run or uncertain != "lookup":
            caller = self._view.keyed(key).caller(asked, key=key, run=run, uncertain=uncertain)
            return await caller.result(timeout)
        work = asked.result
        if receiver is not None:
            from fal_async.queue.webhook_subscription import WebhookSubscription

            work = WebhookSubscription(asked=asked, arrivals=receiver.arrivals).result
        return await asked.supervised(work, timeout)

    async def verify_credentials(self) -> bool:
        """Whether fal knows the key: False for a wrong one. Costs nothing (protocol 1.2).

        ConfigurationError without any key; BalanceExhaustedError and other errors as everywhere.
        """
        view = self._view
        if isinstance(view.keys, NoKey) and view.settings.proxy_url is None:
            raise ConfigurationError("credentials=ANONYMOUS: there is no key to verify")
        # 404 for a request that never was: the key is good; 401: it is not.
        try:
            await view.queue.status(_PROBE_APP, str(uuid.uuid4()))
        except NotFoundError:
            return True
        except AuthenticationError:
            return False
        return True
