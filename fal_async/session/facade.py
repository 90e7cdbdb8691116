"""The session: what people call. What it is made of stands in `view` and `shared`."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from fal_async.cancellation import Wait, supervise
from fal_async.checks import check_function
from fal_async.config import (
    NO_KEY,
    Credentials,
    Hosts,
    PoolOptions,
    RetryPolicy,
    Settings,
    Timeouts,
)
from fal_async.environment import from_env
from fal_async.errors import AuthenticationError, ConfigurationError, NotFoundError
from fal_async.keyword_options import QueueOptions, RunOptions, documented, options_of
from fal_async.models import Result, T
from fal_async.options import clean_headers, clean_tags
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.following import Following, SubscribeMode
from fal_async.protocol.json_input import input_value
from fal_async.protocol.structure import check_output_type
from fal_async.session.direct_run import DirectRun
from fal_async.session.shared import Shared
from fal_async.session.view import View
from fal_async.transport import Transport

if TYPE_CHECKING:
    import ssl as ssl_module

    import aiohttp

    from fal_async.http_over_websocket import HttpOverWebSocket
    from fal_async.queue import EnqueueCallback, Queue, UpdateCallback
    from fal_async.realtime import Realtime
    from fal_async.storage import Storage
    from fal_async.streaming import EventStream
    from fal_async.webhooks import Webhooks

_PROBE_APP = "fal-ai/flux"


class Session:
    """fal, for one set of credentials, over one connection pool.

    `async with Session() as fal:`, or `await fal.open()` and `await fal.aclose()` for application singletons;
    it also opens by itself on first use. It belongs to the event loop in which it was opened.

    Args:
        credentials: `"key_id:key_secret"`, a function (async or not) that gives one and is asked for each
            request, or None: FAL_KEY, then FAL_KEY_ID and FAL_KEY_SECRET, then the fal command line's login.
            A function that fails is a TransportError: nothing was sent.
            No key is needed until a request needs one: public models take none.
        hosts: base URLs; default FAL_BASE_URL and the other variables, else fal's own.
        proxy_url: a server-side proxy that holds the key: requests go to it (fal docs "proxy").
            The environment's key stays here then; only `credentials` are sent to it.
        retry: what is tried again, and how long; see `RetryPolicy`.
        timeout: limits of one HTTP attempt: a `Timeouts`, or seconds for each of them.
        client_session: an aiohttp session to use in place of one of our own; it is never closed here. Its TLS,
            proxies, traces and idle connections are its own affair: those options can't be given beside it.
        max_connections: connections at most; default 1,000, or fewer if few files may be open.
        keepalive_timeout: seconds that an idle connection is kept; default 30.
        ssl: an `ssl.SSLContext`, such as one for a private CA.
        http_proxy: URL of an HTTP proxy, `http://user:password@host:port`.
        trust_env: take HTTP proxies from HTTP_PROXY and HTTPS_PROXY; default False, as in aiohttp.
        headers, tags: sent with every request.
        trace_configs: aiohttp's `TraceConfig`s.
        transport: what sends the requests in place of aiohttp: for tests without a socket, or another HTTP library.
            It is never closed here; the options of the connection pool are of no effect then.

    Raises:
        ConfigurationError: an option is wrong; nothing was opened then.
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        hosts: Hosts | None = None,
        proxy_url: str | None = None,
        # What happens to a request.
        retry: RetryPolicy | None = None,
        timeout: float | Timeouts | None = None,
        headers: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        # The connection pool.
        client_session: aiohttp.ClientSession | None = None,
        max_connections: int | None = None,
        keepalive_timeout: float = 30.0,
        ssl: ssl_module.SSLContext | None = None,
        http_proxy: str | None = None,
        trust_env: bool = False,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        transport: Transport | None = None,
    ) -> None:
        environment = from_env()
        settings = Settings(
            hosts=environment.hosts if hosts is None else hosts,
            credentials=credentials,
            proxy_url=proxy_url,
            retry=RetryPolicy() if retry is None else retry,
            timeouts=Timeouts.of(timeout),
            headers=clean_headers(headers),
            tags=clean_tags(tags),
        )
        pool = PoolOptions(
            client_session=client_session,
            max_connections=max_connections,
            keepalive_timeout=keepalive_timeout,
            ssl=ssl,
            http_proxy=http_proxy,
            trust_env=trust_env,
            trace_configs=trace_configs,
        )
        self._parent: Session | None = None  # of a view: the session whose pool it uses
        self._view = View.first(Shared(environment, pool, transport), settings)

    @classmethod
    def with_credentials(cls, key: Credentials) -> Session:
        """A session for this key."""
        return cls(key)

    @classmethod
    def with_proxy(cls, url: str) -> Session:
        """A session that sends its requests to a server-side proxy, which holds the key (protocol 10)."""
        return cls(proxy_url=url)

    def with_options(
        self,
        *,
        credentials: Credentials | None = None,
        retry: RetryPolicy | None = None,
        timeout: float | Timeouts | None = None,
        headers: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Session:
        """A light view of this session with other defaults, on the same pool: many tenants, one process.

        What is not given stays as it is; `headers` and `tags` are added to those that are there. Views with
        other credentials have nothing learnt or cached in common. A view lives as long as its session:
        closing it closes nothing.
        """
        view = object.__new__(type(self))
        view._parent = self._parent or self  # before anything fails: it must not pass for a session left open
        view._view = self._view.with_options(
            credentials=credentials, retry=retry, timeout=timeout, headers=headers, tags=tags
        )
        return view

    # Life: created, open, closed.

    async def open(self) -> Session:
        """Open the pool now. It opens by itself on first use, too. SessionStateError once it was closed."""
        self._view.shared.open()
        return self

    async def aclose(self) -> None:
        """Close every connection. Closing twice, or closing a view, is no error.

        SessionStateError in another event loop than its own, while that one lives.
        """
        if self._parent is None:
            await self._view.shared.aclose()

    async def __aenter__(self) -> Session:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self, _warn: Any = warnings.warn) -> None:
        view = self.__dict__.get("_view")
        if view is not None and self._parent is None and view.shared.leaks:
            _warn(
                f"unclosed {self!r}: use `async with`, or `await session.aclose()`",
                ResourceWarning,
                source=self,
            )

    def __repr__(self) -> str:
        return f"<Session {self._view.shared.state} queue={self.settings.hosts.queue}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Session holds connections and can't be pickled or copied: make one where it is used"
        )

    @property
    def closed(self) -> bool:
        """Whether it was closed: it can't be used any more."""
        return self._view.shared.closed

    @property
    def settings(self) -> Settings:
        """What this session or view was made with, frozen: for integrations."""
        return self._view.settings

    @property
    def transport(self) -> Transport:
        """What sends this session's requests: for integrations."""
        return self._view.transport

    # What there is to do.

    @property
    def queue(self) -> Queue:
        """The queue's operations one by one: submit, status, updates, result, cancel, handle."""
        return self._view.queue

    @property
    def realtime(self) -> Realtime:
        """Conversations over a WebSocket: `async with fal.realtime.connect("fal-ai/...") as connection:`."""
        return self._view.realtime

    @property
    def storage(self) -> Storage:
        """Files to fal and from fal: upload, download, and who may read them."""
        return self._view.storage

    @property
    def webhooks(self) -> Webhooks:
        """Deliveries from fal: verify them, or attach a receiver. One for the session and all of its views."""
        return self._view.webhooks

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
            input: a mapping, an attrs instance or a dataclass; files in it are uploaded first.
            idle_timeout: seconds without a byte, once it has begun; default 300. Keep-alives count as bytes.
            output_type: attrs class, dataclass or TypedDict that each value is built as.

        Raises:
            ConfigurationError: a wrong argument. The rest is raised when it is used: see `EventStream`.
        """
        from fal_async.protocol.streaming import check_idle_timeout, stream_request
        from fal_async.streaming import Beginning, EventStream

        endpoint = EndpointId.parse(endpoint_id, path)
        check_output_type(output_type)
        call_options, retry = options_of("stream", options, RunOptions)
        idle_timeout = check_idle_timeout(idle_timeout)

        async def begin() -> Beginning:
            inline_below = call_options.inline_below or 0
            value = await self._view.files.with_urls(input_value(input), inline_below=inline_below)
            return Beginning(
                transport=self.transport,
                timeouts=self.settings.timeouts,
                request=stream_request(self.settings, endpoint, value, call_options),
                output_type=output_type,
                idle_timeout=idle_timeout,
                retry=retry,
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
            input: a mapping, an attrs instance or a dataclass; with GET it becomes the query. Files in it are
                uploaded first (see `storage.transform_input`).
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
        call_options, retry = options_of("run", options, RunOptions)
        asked = DirectRun(
            view=self._view,
            endpoint=EndpointId.parse(endpoint_id, path),
            input=input,
            options=call_options,
            method=method,
            output_type=output_type,
            retry=retry,
        )
        if timeout is None:
            return await asked.result()
        wait = Wait(endpoint_id=asked.endpoint.full, direct=asked.progress)
        return await supervise(wait, asked.result, timeout=timeout, cancel_on_exit=False)

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
        cancel_on_exit: bool = True,
        webhook_url: str | None = None,
        output_type: type[T] | None = None,
        **options: Unpack[QueueOptions],
    ) -> Result[T]:
        """Submit a request to the queue, follow it to its end, and give its result (protocol 4).

        Args:
            endpoint_id: such as `"fal-ai/flux/dev"`; `path` is added to it.
            input: a mapping, an attrs instance or a dataclass. Files in it are uploaded first, within `timeout`
                (see `storage.transform_input`).
            logs: ask for log entries; they come in the updates and in `result.logs`.
            on_enqueue: called once with the request id; store it there to survive a crash.
            on_queue_update: called with each status. Both may be async; an exception in one ends the
                wait as a cancellation does.
            mode: "polling", "streaming", "auto" or "webhook": see `SubscribeMode`.
            poll_interval: seconds between polls, in place of the pace that adapts to the endpoint;
                default 30 in mode "webhook".
            timeout: seconds for everything: submit, wait, retries and fetch. Default none.
            cancel_on_exit: when the wait ends without the result (time-out, cancelled task, exception in a
                callback), cancel the remote request, once. Default True.
            webhook_url: fal also calls this URL when the request is done.
            output_type: attrs class, dataclass or TypedDict that `data` is built as.

        Raises:
            ClientTimeoutError: `timeout` passed; says what became of the remote request.
            RequestFailedError, RequestCancelledError, and what `queue.submit`, `queue.updates` and
            `queue.result` raise. Every error after the submit has the `request_id`.
        """
        from fal_async.queue.state import NewRequest
        from fal_async.queue.subscription import Subscription

        endpoint = EndpointId.parse(endpoint_id, path)
        receiver = self.webhooks.receiver_for(webhook_url) if mode == "webhook" else None
        following = Following(
            logs=logs, mode="polling" if mode == "webhook" else mode, poll_interval=poll_interval
        )
        check_function("on_queue_update", on_queue_update)
        check_function("on_enqueue", on_enqueue)
        check_output_type(output_type)
        call_options, retry = options_of("subscribe", options, QueueOptions)
        asked = Subscription(
            operations=self._view.operations,
            new=NewRequest(
                endpoint=endpoint,
                input=input,
                options=call_options,
                webhook_url=webhook_url if receiver is None else receiver.url,
                retry=retry,
            ),
            following=following,
            on_enqueue=on_enqueue,
            on_queue_update=on_queue_update,
            output_type=output_type,
            wait=Wait(endpoint_id=endpoint.full),
        )
        work = asked.result
        if receiver is not None:
            from fal_async.queue.webhook_subscription import WebhookSubscription

            work = WebhookSubscription(asked=asked, arrivals=receiver.arrivals).result
        return await supervise(asked.wait, work, timeout=timeout, cancel_on_exit=cancel_on_exit)

    async def verify_credentials(self) -> bool:
        """Whether fal knows the key: False for a wrong one. Costs nothing (protocol 1.2).

        ConfigurationError without any key; BalanceExhaustedError and other errors as everywhere.
        """
        view = self._view
        if await view.keys.header(view.transport.send) is None and self.settings.proxy_url is None:
            raise ConfigurationError(NO_KEY)
        # 404 for a request that never was: the key is good; 401: it is not.
        try:
            await self.queue.status(_PROBE_APP, str(uuid.uuid4()))
        except NotFoundError:
            return True
        except AuthenticationError:
            return False
        return True
