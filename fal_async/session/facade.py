"""The `Session` class: its options, its life cycle and its views.

Its calls are in `calls.py` and `batch_calls.py`, its resources in `resources.py`. `view.py` creates the resources.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Never

from fal_async.config import Credentials, Hosts, PoolOptions, RetryPolicy, Settings, Timeouts
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

    Use it as `async with Session() as fal:`. An application that keeps one session for its whole life can call
    `await fal.open()` and `await fal.aclose()` instead. A session also opens on its first request. It belongs to
    the event loop in which it was opened.

    Args:
        credentials: `"key_id:key_secret"`, or a function (async or not) that returns it and is called for each
            request. If the function fails, the request raises TransportError, and nothing is sent. None (default):
            FAL_KEY, then FAL_KEY_ID and FAL_KEY_SECRET, then the login of fal's command line. Without any key, the
            first request that needs one raises ConfigurationError, and nothing is sent. `ANONYMOUS`: requests are
            sent without a key, which public models allow.
        hosts: base URLs of fal's services. None (default): FAL_BASE_URL and the other environment variables
            (protocol 1.3), else fal's own.
        proxy_url: URL of a server-side proxy that holds the key; all requests go to it (protocol 10). A key from
            the environment is not sent to it, only `credentials`. None (default): no such proxy.
        retry: what is retried, and for how long. None (default): `RetryPolicy()`.
        timeout: limits of one HTTP attempt: a `Timeouts`, or a number of seconds that bounds every attempt, direct
            runs included (see `Timeouts.of`). None (default): `Timeouts()`.
        headers: headers for every request to the services in `hosts`, such as a gateway's token. They are not sent
            to the hosts of files, nor after a redirect to another origin.
        tags: billing tags for every request to a model (protocol 3.1).
        client_session: an `aiohttp.ClientSession` whose connector (TLS, limits, name resolution), proxy and trace
            configs are used. It is never closed by this session. `ssl`, `http_proxy`, `keepalive_timeout` and
            `trace_configs` can't be combined with it. Its headers, auth, cookies and middlewares are not used: they
            could send a paid request twice, or a secret to the host of a file. The proxy variables of the
            environment are followed only if it was created with `trust_env=True`. None (default): the session
            creates its own.
        max_connections: maximum number of connections. None (default): 1,000, or fewer if the process may open
            only few files.
        max_answer: maximum size of one response in bytes, decompressed; default 512 MiB. A larger response is not
            read further, and the call raises TransportError (a direct run: SubmissionUncertainError). The result
            can still be fetched by its id with a session that allows more. The body of an error is truncated at
            this size, or at 16 MiB if that is less. Downloads and streams are read in pieces and have no limit.
        keepalive_timeout: seconds for which an idle connection is kept; default 30.
        ssl: an `ssl.SSLContext`, for example for a private CA. None (default): the system's certificates.
        http_proxy: URL of an HTTP proxy for every request: `http://user:password@host:port`.
        trust_env: whether HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are followed; default True. They never
            apply to this machine (localhost, 127.0.0.1), so that an emulator is reached directly. Passwords in
            ~/.netrc are never used.
        trace_configs: aiohttp's `TraceConfig` objects.
        transport: a `Transport` that sends the requests instead of aiohttp: for tests without a socket, or for
            another HTTP library. It receives the headers, the key, the time limits and the retry policy, and does
            the rest. It is never closed by this session. With it, the options of the connection pool have no
            effect, and the login of fal's command line is not used.
        ledger: where calls with a `key` are recorded, so that one key is billed once: a path (`"runs.db"`, created
            if missing), a URL, or a `Ledger`. The first such call opens it. The session closes it, except a
            `Ledger` object, which its owner closes. None (default): calls can't have a `key`.

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
        **unknown: Never,
    ) -> None:
        refuse_unknown("Session", unknown, Session.__init__.__annotations__, _ELSEWHERE)
        # A full traceback would show the key and the environment, which are local variables.
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
        """Create a session that uses this key.

        Args:
            key: `"key_id:key_secret"`, a function that returns it, or `ANONYMOUS`: see `Session`.

        Returns:
            A new session with the default options.

        Raises:
            ConfigurationError: the key is malformed.
        """
        return cls(key)

    @classmethod
    def with_proxy(cls, url: str) -> Session:
        """Create a session that sends its requests to a server-side proxy, which holds the key (protocol 10).

        Args:
            url: the proxy's URL, such as `"https://example.com/api/fal/proxy"`.

        Returns:
            A new session without a key of its own.

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
    ) -> Session:
        """Create a light view of this session: other defaults, the same connection pool.

        A process that serves many tenants makes one view for each of them. A view lives as long as its session,
        and closing a view does nothing. Views with different credentials share nothing learnt or cached.

        Args:
            credentials: another key for this view. Calls with a `key` then also need `tenant` or a ledger of their
                own: they raise ConfigurationError otherwise. None (default): the key of this session.
            retry: another retry policy. None (default): unchanged.
            timeout: other limits of one HTTP attempt: a `Timeouts`, or a number of seconds (see `Timeouts.of`).
                None (default): unchanged.
            headers: headers that are added to those of this session, or replace those of the same name.
            tags: billing tags that are added to those of this session, or replace those of the same name.
            ledger: another ledger: a path, a URL or a `Ledger`. None (default): the same one.
            tenant: the name of the tenant that owns the keys in the ledger: the same `key` of two tenants is two
                requests. None (default): unchanged.

        Returns:
            A session that shares the connections of this one.

        Raises:
            ConfigurationError: an option is invalid.
        """
        view = object.__new__(type(self))
        vars(view).update(vars(self))  # attributes of a subclass; ours are the two that are set below
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
            )
        return view

    # The life cycle: created, open, closed.

    async def open(self) -> Session:
        """Open the connection pool now; otherwise the first request opens it.

        Cancelling is safe: it opens without waiting for anything.

        Returns:
            This session.

        Raises:
            SessionStateError: the session was closed, or belongs to another event loop.
            ConfigurationError: FAL_LOG has an unknown value, or an option of the connection pool is invalid.
        """
        self._view.shared.open()
        return self

    async def aclose(self) -> None:
        """End running calls, then close every connection. Closing twice, or closing a view, does nothing.

        Each request that a `subscribe` or `wait` follows, or that is being submitted, is cancelled once, all of
        them concurrently, unless the call has `cancel_on_exit=False`. The calls raise SessionStateError, which
        names the request. Requests with a key keep running, and the next call with the key takes them up, unless a
        batch cancels them. A keyed submit in progress gets 3 seconds to return its id; after that its claim is
        stored as uncertain.

        Closing takes about 7 seconds at most, longer with many hundreds of requests. If the closing task is
        cancelled, the session is closed nevertheless.

        Raises:
            SessionStateError: called in another event loop than the session's own, while that one is not closed.
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
            "a Session holds connections and can't be pickled or copied: make one where it is used"
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
