"""The session: what it is made with, its life and its views.

Its calls stand in `calls.py`, its resources in `resources.py`; these are made in `view.py`.
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
"""What other clients call the arguments of `Session`."""


@short_tracebacks
class Session(Calls, BatchCalls, Resources):
    """fal, for one set of credentials, over one connection pool.

    `async with Session() as fal:`, or `await fal.open()` and `await fal.aclose()` for application singletons;
    it also opens by itself on first use. It belongs to the event loop in which it was opened.

    Args:
        credentials: `"key_id:key_secret"`, a function (async or not) that gives one and is asked for each
            request, or None: FAL_KEY, then FAL_KEY_ID and FAL_KEY_SECRET, then the fal command line's login.
            A function that fails is a TransportError: nothing was sent. Where there is no key, the first request
            that needs one is a ConfigurationError, and nothing is sent. `ANONYMOUS`: requests go without a key, as
            public models allow.
        hosts: base URLs; default FAL_BASE_URL and the other variables, else fal's own.
        proxy_url: a server-side proxy that holds the key: requests go to it (fal docs "proxy").
            The environment's key stays here then; only `credentials` are sent to it.
        retry: what is tried again, and how long; see `RetryPolicy`.
        timeout: limits of one HTTP attempt: a `Timeouts`, or seconds for each of them.
        client_session: an aiohttp session that lends its connections (TLS, limits, names), its proxy and its
            traces; it is never closed here, and those options can't be given beside it. Nothing else of it is used,
            such as its headers, auth, cookies and middlewares: they could send a paid request twice, or a secret
            to a file's host. HTTP_PROXY and so on are followed where it has `trust_env=True`, too.
        max_connections: connections at most; default 1,000, or fewer if few files may be open.
        max_answer: bytes of one whole answer at most, decompressed; default 512 MiB. A larger one ends the
            call with a TransportError (of a direct run: SubmissionUncertainError) and is not read on. A result can
            still be fetched by its id, by a session that takes more. The body of an error is cut there, or at
            16 MiB. Downloads and streams are held in pieces, and have no such limit.
        keepalive_timeout: seconds that an idle connection is kept; default 30.
        ssl: an `ssl.SSLContext`, such as one for a private CA.
        http_proxy: URL of an HTTP proxy, `http://user:password@host:port`, for every request.
        trust_env: False: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are ignored. By default they are
            followed, but for this machine itself (localhost, 127.0.0.1): an emulator is reached directly. No
            password is taken from ~/.netrc.
        headers: sent with every request to the services in `hosts`, such as a gateway's token; never to the hosts
            of files, nor across a redirect to another origin.
        tags: billing tags, sent with every request to a model.
        trace_configs: aiohttp's `TraceConfig`s.
        transport: what sends the requests in place of aiohttp: for tests without a socket, or another HTTP library.
            It is given the headers, the key, the time limits and the retry policy, and does the rest. It is never
            closed here. The options of the connection pool are of no effect then, and the login of fal's command
            line is not used.
        ledger: where calls with a `key` are kept, so that one key is one bill: a path (`"runs.db"`, made if
            missing), a URL, or a `Ledger`. It is opened on the first of them, and closed with the session; a
            `Ledger` is not.

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
        max_answer: int | None = None,
        keepalive_timeout: float = 30.0,
        ssl: ssl_module.SSLContext | None = None,
        http_proxy: str | None = None,
        trust_env: bool = True,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        transport: Transport | None = None,
        # What is kept of calls with a key.
        ledger: str | os.PathLike[str] | Ledger | None = None,
        **unknown: Never,
    ) -> None:
        refuse_unknown("Session", unknown, Session.__init__.__annotations__, _ELSEWHERE)
        with shortened():  # the key, and the environment, are local variables
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
            self._parent: Session | None = None  # of a view: the session whose pool it uses
            self._view = View.first(Shared(environment, pool, transport), settings, ledger)

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
        ledger: str | os.PathLike[str] | Ledger | None = None,
        tenant: str | None = None,
    ) -> Session:
        """A light view of this session with other defaults, on the same pool: many tenants, one process.

        What is not given stays as it is; `headers` and `tags` are added to those that are there. Views with
        other credentials have nothing learnt or cached in common; for calls with a key they need `tenant`, whose
        keys theirs are, or a `ledger` of their own: ConfigurationError by such a call otherwise. A view
        lives as long as its session: closing it closes nothing.
        """
        view = object.__new__(type(self))
        vars(view).update(vars(self))  # what a subclass keeps; all that is ours is in the two below
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

    # Life: created, open, closed.

    async def open(self) -> Session:
        """Open the pool now. It opens by itself on first use, too. SessionStateError once it was closed."""
        self._view.shared.open()
        return self

    async def aclose(self) -> None:
        """End what is waited for, then close every connection. Closing twice, or closing a view, is no error.

        Each request that a `subscribe` or `wait` follows, or whose submit is under way, is cancelled once, side by
        side, unless `cancel_on_exit=False` leaves it; whoever waits gets a SessionStateError that names it.
        Requests with a key are left to the next call with it, unless a batch cancels them; a submit that is under
        way has 3 seconds for its id, and its claim is stored as uncertain then.
        Bounded to some 7 seconds, more for many hundreds of requests. Cancelled meanwhile, it closes all the same.
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

    def __repr__(self) -> str:
        return f"<Session {self._view.shared.state} queue={self.settings.hosts.queue}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Session holds connections and can't be pickled or copied: make one where it is used"
        )

    @property
    def closed(self) -> bool:
        """Whether it was closed: it can't be used any more."""
        return self._view.shared.state == "closed"

    @property
    def settings(self) -> Settings:
        """What this session or view was made with, frozen: for integrations."""
        return self._view.settings

    @property
    def transport(self) -> Transport:
        """What sends this session's requests: for integrations."""
        return self._view.transport
