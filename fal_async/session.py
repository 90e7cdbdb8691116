"""The session: one connection pool, one set of settings, and everything that is done with them."""

from __future__ import annotations

import asyncio
import os
import uuid
import warnings
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import attrs

from fal_async.auth.credentials import KeySource, NoKey, key_source
from fal_async.cancellation import Progress, Wait, supervise
from fal_async.config import (
    NO_KEY,
    Credentials,
    Environment,
    Hosts,
    PoolOptions,
    RetryPolicy,
    Settings,
    Timeouts,
    check_function,
    check_retry,
    from_env,
)
from fal_async.errors import AuthenticationError, ConfigurationError, NotFoundError
from fal_async.logs import turn_on_logs
from fal_async.models import OutputFile, Result, T
from fal_async.options import (
    NO_OPTIONS,
    CallOptions,
    Priority,
    StorageSettings,
    bundle,
    clean_headers,
    clean_tags,
)
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.run import parse_run, run_request
from fal_async.protocol.structure import check_output_type, input_value, is_flat

if TYPE_CHECKING:
    import ssl as ssl_module

    import aiohttp

    from fal_async.closeable import Closeable
    from fal_async.http_over_websocket import HttpOverWebSocket
    from fal_async.protocol.storage import CdnToken
    from fal_async.queue.client import EnqueueCallback, Known, Queue, UpdateCallback
    from fal_async.queue.updates import Mode, SubscribeMode
    from fal_async.realtime import Realtime, RealtimeTokens
    from fal_async.single_flight import SingleFlight
    from fal_async.storage.client import Storage
    from fal_async.streaming import EventStream
    from fal_async.transport import Pool, Transport
    from fal_async.webhooks.client import Webhooks

_PROBE_APP = "fal-ai/flux"


@attrs.define(eq=False)
class _Learnt:
    """What is known and kept for one set of credentials: shared by a session's views, unless they have others.

    The parts of the package that keep it are loaded when they are first used, as everywhere in this module.
    """

    known: Known | None = None
    cdn_tokens: SingleFlight[CdnToken] | None = None
    realtime_tokens: RealtimeTokens | None = None


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
    ) -> None:
        self._environment = from_env()
        self._settings = Settings(
            hosts=self._environment.hosts if hosts is None else hosts,
            credentials=credentials,
            proxy_url=proxy_url,
            retry=RetryPolicy() if retry is None else retry,
            timeouts=Timeouts.of(timeout),
            headers=clean_headers(headers),
            tags=clean_tags(tags),
        )
        self._pool_options = PoolOptions(
            client_session=client_session,
            max_connections=max_connections,
            keepalive_timeout=keepalive_timeout,
            ssl=ssl,
            http_proxy=http_proxy,
            trust_env=trust_env,
            trace_configs=trace_configs,
        )
        self._keys = _key_source(self._settings, self._environment)
        self._parent: Session | None = None  # of a view: the session whose pool it uses
        self._pool: Pool | None = None
        self._transport: Transport | None = None
        self._learnt = _Learnt()
        self._queue: Queue | None = None
        self._realtime: Realtime | None = None
        self._talking: weakref.WeakSet[Closeable] = weakref.WeakSet()
        self._storage: Storage | None = None
        self._webhooks: Webhooks | None = None

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
        view.__dict__.update(self.__dict__)
        view._parent = self._root  # before anything fails: what is no view yet must not pass for its session
        given = self._settings
        view._settings = attrs.evolve(
            given,
            credentials=given.credentials if credentials is None else credentials,
            retry=given.retry if retry is None else retry,
            timeouts=given.timeouts if timeout is None else Timeouts.of(timeout),
            headers={**given.headers, **clean_headers(headers)},
            tags=clean_tags({**given.tags, **(tags or {})}),
        )
        view._transport = view._queue = view._realtime = view._storage = None
        if credentials is not None:
            view._keys = _key_source(view._settings, self._environment)
            view._learnt = _Learnt()
        return view

    # Life: created, open, closed.

    async def open(self) -> Session:
        """Open the pool now. It opens by itself on first use, too. SessionStateError once it was closed."""
        self._the_pool().http()
        return self

    async def aclose(self) -> None:
        """Close every connection. Closing twice, or closing a view, is no error.

        SessionStateError in another event loop than its own, while that one lives.
        """
        if self._parent is not None:
            return
        self._the_pool().check_loop()
        try:
            # Side by side: a peer that does not answer a close frame costs seconds.
            await asyncio.gather(*(connection.aclose() for connection in tuple(self._talking)))
            if self._webhooks is not None:
                await self._webhooks.aclose()
        finally:
            await self._the_pool().aclose()

    async def __aenter__(self) -> Session:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self, _warn: Any = warnings.warn) -> None:
        pool = self.__dict__.get("_pool")
        if pool is not None and self.__dict__.get("_parent") is None and pool.is_open:
            _warn(
                f"unclosed {self!r}: use `async with`, or `await session.aclose()`",
                ResourceWarning,
                source=self,
            )

    def __repr__(self) -> str:
        state = "created" if self._root._pool is None else self._root._pool.state
        return f"<Session {state} queue={self._settings.hosts.queue}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Session holds connections and can't be pickled or copied: make one where it is used"
        )

    @property
    def _root(self) -> Session:
        return self if self._parent is None else self._parent

    @property
    def closed(self) -> bool:
        """Whether it was closed: it can't be used any more."""
        return self._root._pool is not None and self._root._pool.closed

    def _the_pool(self) -> Pool:
        root = self._root
        if root._pool is None:
            from fal_async.transport import Pool  # aiohttp is loaded when the first session opens

            turn_on_logs(root._environment.log)
            root._pool = Pool(self._pool_options)
        return root._pool

    def _sender(self) -> Transport:
        if self._transport is None:
            from fal_async.transport import Transport

            self._transport = Transport(self._the_pool(), self._settings, self._keys)
        return self._transport

    # What is there to do.

    @property
    def queue(self) -> Queue:
        """The queue's operations one by one: submit, status, updates, result, cancel, handle."""
        if self._queue is None:
            from fal_async.queue.client import Known, Queue

            known = self._learnt.known = self._learnt.known or Known()
            self._queue = Queue(self._sender(), known, self._with_urls, self._fetch_files)
        return self._queue

    @property
    def realtime(self) -> Realtime:
        """Conversations over a WebSocket: `async with fal.realtime.connect("fal-ai/...") as connection:`."""
        if self._realtime is None:
            from fal_async.realtime import Realtime, RealtimeTokens

            learnt = self._learnt
            tokens = learnt.realtime_tokens = learnt.realtime_tokens or RealtimeTokens()
            self._realtime = Realtime(self._sender(), tokens, self._talking)
        return self._realtime

    def websocket(
        self, endpoint_id: str, *, path: str = "", headers: Mapping[str, str] | None = None
    ) -> HttpOverWebSocket:
        """Experimental at fal: several direct calls over one WebSocket, answered in order (protocol 5.2).

        Files in the inputs are uploaded first, as everywhere.
        """
        from fal_async.http_over_websocket import HttpOverWebSocket

        return HttpOverWebSocket(
            self._sender(),
            EndpointId.parse(endpoint_id, path),
            clean_headers(headers),
            self._talking,
            prepare=lambda value: self._with_urls(value, NO_OPTIONS),
            fetch_files=self._fetch_files,
        )

    def stream(
        self,
        endpoint_id: str,
        input: Any = None,
        *,
        path: str = "/stream",
        idle_timeout: float | None = None,
        output_type: type[T] | None = None,
        # Options of the request (see `CallOptions`).
        hint: str | None = None,
        start_timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        storage: StorageSettings | None = None,
        store_io: bool | None = None,
        disable_fallback: bool | None = None,
        inline_below: int | None = None,
        retry: RetryPolicy | None = None,
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
        check_retry(retry)
        check_output_type(output_type)
        options = bundle(
            hint=hint,
            start_timeout=start_timeout,
            headers=headers,
            tags=tags,
            storage=storage,
            store_io=store_io,
            disable_fallback=disable_fallback,
            inline_below=inline_below,
        )

        idle_timeout = check_idle_timeout(idle_timeout)

        async def begin() -> Beginning:
            value = await self._with_urls(input_value(input), options)
            return Beginning(
                transport=self._sender(),
                request=stream_request(self._settings, endpoint, value, options),
                output_type=output_type,
                idle_timeout=idle_timeout,
                retry=retry,
            )

        return EventStream(begin)

    @property
    def storage(self) -> Storage:
        """Files to fal and from fal: upload, download, and who may read them."""
        if self._storage is None:
            from fal_async.single_flight import SingleFlight
            from fal_async.storage.client import Storage

            tokens = self._learnt.cdn_tokens = self._learnt.cdn_tokens or SingleFlight()
            self._storage = Storage(self._sender(), tokens)
        return self._storage

    async def _with_urls(self, value: Any, options: CallOptions) -> Any:
        """The input of a model with its files uploaded."""
        if is_flat(value):
            return value
        from fal_async.protocol.input_files import find_files

        if not find_files(value):
            return value
        return await self.storage.transform_input(value, inline_below=options.inline_below or 0)

    async def _fetch_files(self, files: list[OutputFile], folder: str | os.PathLike[str]) -> list[Path]:
        return await self.storage.download_all(files, folder)

    @property
    def webhooks(self) -> Webhooks:
        """Deliveries from fal: verify them, or attach a receiver. One for the session and all of its views."""
        root = self._root
        if root._webhooks is None:
            from fal_async.webhooks.client import Webhooks

            root._webhooks = Webhooks(root.transport)
        return root._webhooks

    @property
    def transport(self) -> Transport:
        """What sends this session's requests: for integrations."""
        return self._sender()

    async def run(
        self,
        endpoint_id: str,
        input: Any = None,
        *,
        path: str = "",
        method: str = "POST",
        output_type: type[T] | None = None,
        timeout: float | None = None,
        # Options of the request (see `CallOptions`).
        hint: str | None = None,
        start_timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        storage: StorageSettings | None = None,
        store_io: bool | None = None,
        disable_fallback: bool | None = None,
        inline_below: int | None = None,
        retry: RetryPolicy | None = None,
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
        endpoint = EndpointId.parse(endpoint_id, path)
        check_retry(retry)
        check_output_type(output_type)
        options = bundle(
            hint=hint,
            start_timeout=start_timeout,
            headers=headers,
            tags=tags,
            storage=storage,
            store_io=store_io,
            disable_fallback=disable_fallback,
            inline_below=inline_below,
        )
        progress = Progress()
        work = partial(self._run, endpoint, input, options, method, output_type, retry, progress)
        if timeout is None:
            return await work()
        wait = Wait(endpoint_id=endpoint.full, direct=progress)
        return await supervise(wait, work, timeout=timeout, cancel_on_exit=False)

    async def _run(
        self,
        endpoint: EndpointId,
        input: Any,
        options: CallOptions,
        method: str,
        output_type: type[T] | None,
        retry: RetryPolicy | None,
        progress: Progress,
    ) -> Result[T]:
        value = await self._with_urls(input_value(input), options)
        request = run_request(self._settings, endpoint, value, options, method)
        response = await self._sender().send(request, retry=retry, progress=progress)
        return parse_run(response, endpoint, output_type, self._fetch_files)

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
        from fal_async.queue.subscription import Subscription
        from fal_async.queue.updates import check_following

        endpoint = EndpointId.parse(endpoint_id, path)
        receiver = self.webhooks.receiver_for(webhook_url) if mode == "webhook" else None
        following: Mode = "polling" if mode == "webhook" else mode
        check_following(following, poll_interval, on_queue_update)
        check_function("on_enqueue", on_enqueue)
        check_retry(retry)
        check_output_type(output_type)
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
        asked = Subscription(
            queue=self.queue,
            endpoint=endpoint,
            input=input,
            options=options,
            webhook_url=webhook_url if receiver is None else receiver.url,
            retry=retry,
            logs=logs,
            on_enqueue=on_enqueue,
            on_queue_update=on_queue_update,
            mode=following,
            poll_interval=poll_interval,
            output_type=output_type,
            wait=Wait(endpoint_id=endpoint.full),
        )
        work = asked.result
        if receiver is not None:
            from fal_async.queue.webhook_subscription import WebhookWait

            work = WebhookWait(asked=asked, arrivals=receiver.arrivals).result
        return await supervise(asked.wait, work, timeout=timeout, cancel_on_exit=cancel_on_exit)

    async def verify_credentials(self) -> bool:
        """Whether fal knows the key: False for a wrong one. Costs nothing (protocol 1.2).

        ConfigurationError without any key; BalanceExhaustedError and other errors as everywhere.
        """
        if await self._keys.header(self._sender()) is None and self._settings.proxy_url is None:
            raise ConfigurationError(NO_KEY)
        # 404 for a request that never was: the key is good; 401: it is not.
        try:
            await self.queue.status(_PROBE_APP, str(uuid.uuid4()))
        except NotFoundError:
            return True
        except AuthenticationError:
            return False
        return True


def _key_source(settings: Settings, environment: Environment) -> KeySource:
    if settings.proxy_url is not None and settings.credentials is None:
        return NoKey()  # the proxy has one, and ours is none of its business
    return key_source(settings.credentials, environment.key, environment.home)
