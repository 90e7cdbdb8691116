"""The `Session` class: its options, its life cycle and its views.

Its calls are in `calls.py` and `batch_calls.py`, its resources in `resources.py`. `view.py` creates the resources.
Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Never

from fal_async.config import Check, Credentials, Hosts, PoolOptions, RetryPolicy, Settings, Timeouts
from fal_async.environment import from_env
from fal_async.errors import short_tracebacks, shortened
from fal_async.options import clean_headers, clean_tags, refuse_unknown
from fal_async.session.batch_calls import BatchCalls
from fal_async.session.calls import Calls
from fal_async.session.resources import Resources
from fal_async.session.shared import Shared
from fal_async.session.view import View
from fal_async.transport import Transport

if TYPE_CHECKING:
    import ssl as ssl_module

    import aiohttp

    from fal_async.ledger.ledger import Ledger

_ELSEWHERE = {
    **dict.fromkeys(("key", "api_key", "fal_key", "token"), "credentials"),
    **dict.fromkeys(("base_url", "host"), "hosts"),
    **dict.fromkeys(("proxy", "proxies"), "http_proxy"),
    **dict.fromkeys(("http_client", "session", "connector"), "client_session"),
    **dict.fromkeys(("max_retries", "retries"), "retry"),
    "default_timeout": "timeout",
    "default_headers": "headers",
}
"""Argument names of other clients, and the argument of `Session` that each one means."""


@short_tracebacks
class Session(Calls, BatchCalls, Resources):
    """A client of fal: one set of credentials over one connection pool.

    Use it as `async with Session() as fal:`. An application that keeps one session until it stops can call
    `await fal.open()` and `await fal.aclose()` instead. Without `open`, the first request opens the session. A
    session belongs to the event loop in which it was opened: in another one, calls raise SessionStateError.

    Args:
        credentials: the fal key `"key_id:key_secret"`, or a function (async or not) that returns it and is called
            for each HTTP request. If the function fails, the call raises TransportError, and nothing is sent. None
            (default): FAL_KEY, then FAL_KEY_ID and FAL_KEY_SECRET, then the login of fal's command line. If none of
            them has a key, the first request that needs one raises ConfigurationError, and nothing is sent.
            `ANONYMOUS`: requests are sent without a fal key, which public models allow.
        hosts: base URLs of fal's services. None (default): FAL_BASE_URL and the other environment variables
            (protocol 1.3), else fal's own.
        proxy_url: URL of a server-side proxy that adds the fal key; all requests go to it (protocol 10). A key from
            the environment is not sent to it, only `credentials`. None (default): no such proxy.
        retry: what is retried, and for how long. None (default): `RetryPolicy()`.
        timeout: limits of one HTTP attempt: a `Timeouts`, or a number of seconds for each attempt, direct calls
            included. The number replaces `Timeouts.first_byte`, `total` and `run`; `connect` is 10 seconds at most,
            and `stream` stays 45. None (default): `Timeouts()`.
        headers: headers for every request to the services in `hosts`, such as a gateway's token. They are not sent
            to the hosts of files, nor after a redirect to another origin. None (default): no further headers.
        tags: billing tags for every request to a model (protocol 3.1): at most 10, in 1,024 bytes together. A name
            has 1-64 of `a-z 0-9 . _ -`, a value up to 256 printable ASCII characters without a comma. None
            (default): no tags.
        client_session: an `aiohttp.ClientSession` whose connector (TLS, limits, name resolution), proxy and trace
            configs are used. It is never closed by this session. `ssl`, `http_proxy`, `keepalive_timeout` and
            `trace_configs` can't be combined with it. Its headers, auth, cookies and middlewares are not used,
            because they could send a paid request twice, or a secret to the host of a file. The proxy variables of
            the environment are used only if it was created with `trust_env=True`. None (default): the session
            creates its own connector.
        max_connections: maximum number of connections. None (default): 1,000, or four fifths of the process's limit
            of open files if that is less; with `client_session`, its connector's limit if that is less.
        max_answer: maximum size of one response in bytes, after decompression. A larger response is not read to its
            end, and the call raises TransportError (a direct call: SubmissionUncertainError). The result of a
            queued request can still be fetched by its request id in a session with a higher limit. The body of an
            error response is truncated at this size, or at 16 MiB if that is less. Downloads and streams are read
            in pieces and have no limit. None (default): 512 MiB.
        keepalive_timeout: seconds for which an idle connection is kept; default 30.
        ssl: an `ssl.SSLContext`, for example for a private CA. None (default): the system's certificates.
        http_proxy: URL of an HTTP proxy for every request: `http://user:password@host:port`. None (default): only
            the proxies of the environment, see `trust_env`.
        trust_env: whether the proxies in HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are used; default True.
            They never apply to this machine (localhost, 127.0.0.1), so that an emulator is reached directly.
            Passwords in ~/.netrc are never used.
        trace_configs: aiohttp's `TraceConfig` objects; default none.
        transport: a `Transport` that sends the requests instead of aiohttp: for tests without a socket, or for
            another HTTP library. Each of its methods gets the complete headers (with the fal key), the time limits
            and the retry policy, and has to apply the limits, retry, and raise the errors itself. It is never
            closed by this session. With it, the options of the connection pool have no effect, and the login of
            fal's command line is not used. None (default): aiohttp.
        ledger: where calls with a `key` are recorded, so that one key is billed once: a path (`"runs.db"`, created
            if missing), the URL of a PostgreSQL database, which several machines may share
            (`"postgresql://user@host/database"`; needs the extra `postgres`), or a `Ledger`. A path or URL is
            opened by the first call with a `key`, and closed with the session. A `Ledger` object must be closed by
            the code that opened it. None (default): calls can't have a `key`.
        check: what of each input is compared with the schema that fal publishes for the endpoint, before anything
            is sent or uploaded: "required" finds missing keys and unknown ones, such as misspelt names, which a
            model ignores; "schema" also compares the values, and needs the extra `schema`. If the schema can't be
            fetched within 5 seconds, the input is not checked. None (default): "off".

    Raises:
        ConfigurationError: an option is invalid. Nothing was opened.
        TypeError: an unknown argument; the message suggests the one that was probably meant.
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        hosts: Hosts | None = None,
        proxy_url: str | None = None,
        # How requests are sent.
        retry: RetryPolicy | None = None,
        timeout: float | Timeouts | None = None,
        headers: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        # The connection pool.
        client_session: aiohttp.ClientSession | None = None,
        max_connections: int | None = None,
        max_answer: int | None = None,
        keepalive_timeout: float = 30.0,
        ssl: ssl_module.SSLContext | None = None,
        http_proxy: str | None = None,
        trust_env: bool = True,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        transport: Transport | None = None,
        # Where calls with a key are recorded.
        ledger: str | os.PathLike[str] | Ledger | None = None,
        # What is compared before anything is sent.
        check: Check | None = None,
        **unknown: Never,
    ) -> None:
        refuse_unknown("Session", unknown, Session.__init__.__annotations__, _ELSEWHERE)
        # Traceback tools that print local variables would show the fal key and the environment.
        with shortened():
            environment = from_env()
            settings = Settings(
                hosts=environment.hosts if hosts is None else hosts,
                credentials=credentials,
                proxy_url=proxy_url,
                retry=RetryPolicy() if retry is None else retry,
                timeouts=Timeouts.of(timeout),
                headers=clean_headers(headers),
                tags=clean_tags(tags),
                check="off" if check is None else check,
                **({} if max_answer is None else {"max_answer": max_answer}),
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
            self._parent: Session | None = None  # for a view: the session whose pool it uses
            self._view = View.first(Shared(environment, pool, transport), settings, ledger)

    @classmethod
    def with_credentials(cls, key: Credentials) -> Session:
        """Create a session that uses this fal key.

        Args:
            key: `"key_id:key_secret"`, a function that returns it, or `ANONYMOUS`: see `credentials` of `Session`.

        Returns:
            A new session with the default options.

        Raises:
            ConfigurationError: the key is malformed.
        """
        return cls(key)

    @classmethod
    def with_proxy(cls, url: str) -> Session:
        """Create a session that sends its requests to a server-side proxy, which adds the fal key (protocol 10).

        Args:
            url: the proxy's URL, such as `"https://example.com/api/fal/proxy"`.

        Returns:
            A new session without a fal key.

        Raises:
            ConfigurationError: the URL is invalid.
        """
        return cls(proxy_url=url)

    def with_options(
        self,
        *,
        credentials: Credentials | None = None,
        retry: RetryPolicy | None = None,
        timeout: float | Timeouts | None = None,
        headers: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        ledger: str | os.PathLike[str] | Ledger | None = None,
        tenant: str | None = None,
        check: Check | None = None,
    ) -> Session:
        """Create a light view of this session: other defaults, the same connection pool.

        A process that serves many tenants makes one view for each of them. A view can be used until its session is
        closed, and closing a view does nothing. Views with different credentials share neither tokens nor learned
        run times.

        Args:
            credentials: another fal key for this view. Pass `tenant` or another `ledger` with it, because the keys
                of two accounts must not mix in one ledger: without either, calls with `key=` raise
                ConfigurationError. None (default): the fal key of this session.
            retry: another retry policy. None (default): unchanged.
            timeout: other limits of one HTTP attempt: a `Timeouts`, or a number of seconds (see `Timeouts.of`).
                None (default): unchanged.
            headers: headers that are added to those of this session, or replace those of the same name. None
                (default): unchanged.
            tags: billing tags that are added to those of this session, or replace those of the same name. None
                (default): unchanged.
            ledger: another ledger: a path, the URL of a database, or a `Ledger`. None (default): the ledger of this
                session.
            tenant: the name of the tenant that owns the keys in the ledger. The same `key` of two tenants means two
                requests. None (default): unchanged.
            check: what of each input is compared with the endpoint's schema: "off", "required" or "schema". None
                (default): unchanged.

        Returns:
            A session that shares the connections of this one.

        Raises:
            ConfigurationError: an option is invalid.
        """
        view = object.__new__(type(self))
        vars(view).update(vars(self))  # for the attributes of a subclass; the two of this class are set below
        view._parent = self._parent or self
        with shortened():
            view._view = self._view.with_options(
                credentials=credentials,
                retry=retry,
                timeout=timeout,
                headers=headers,
                tags=tags,
                ledger=ledger,
                tenant=tenant,
                check=check,
            )
        return view

    # The life cycle: created, open, closed.

    async def open(self) -> Session:
        """Open the connection pool now. Otherwise the first request opens it.

        Cancelling is safe, because it does not wait for anything.

        Returns:
            This session.

        Raises:
            SessionStateError: the session was closed, or belongs to another event loop; or `client_session` does.
            ConfigurationError: FAL_LOG has an unknown value, or an option of the connection pool is invalid.
        """
        self._view.shared.open()
        return self

    async def aclose(self) -> None:
        """End running calls, then close every connection. Closing twice, or closing a view, does nothing.

        Each request that a `subscribe` or `wait` follows, or that is being submitted, is cancelled once on fal,
        unless the call has `cancel_on_exit=False`. The cancels are sent concurrently. The calls raise
        SessionStateError with the request id. Requests with a `key` keep running, unless they belong to a batch
        that cancels them, and the next call with the same key continues to follow them. If a keyed submit is in
        progress, its response is awaited for up to 3 seconds. Without a response, the ledger records that it is
        uncertain whether fal accepted the request.

        Ending the calls takes 7 seconds at most, and 3 seconds more for each 500 requests that are cancelled.
        Closing open WebSockets may add 2 seconds, and a ledger with pending writes a few more. If the closing task
        is cancelled, the session is closed nevertheless.

        Raises:
            SessionStateError: the session was opened in another event loop, which is not closed yet.
        """
        if self._parent is None:
            await self._view.shared.aclose()

    async def __aenter__(self) -> Session:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Session {self._view.shared.state} queue={self.settings.hosts.queue}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Session has open connections and can't be pickled or copied: create one where it is used"
        )

    @property
    def closed(self) -> bool:
        """Whether the session was closed, so that it can't be used any more."""
        return self._view.shared.state == "closed"

    @property
    def settings(self) -> Settings:
        """The frozen settings of this session or view, for integrations."""
        return self._view.settings

    @property
    def transport(self) -> Transport:
        """The transport that sends this session's requests, for integrations."""
        return self._view.transport
