"""The pool: one aiohttp session, its connections, and the limits of how many of them requests may use."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import aiohttp

from fal_async.closeable import SESSION_CLOSED
from fal_async.config import PoolOptions
from fal_async.errors import ConfigurationError, SessionStateError
from fal_async.protocol.retry import RetryBudget
from fal_async.transport._aiohttp_private import default_proxy_of, in_use, loop_of, use_traces_of
from fal_async.transport.aiohttp_errors import not_redirected
from fal_async.transport.connection_limiter import ConnectionLimiter
from fal_async.transport.header_limits import HEADER_LIMITS
from fal_async.transport.http_proxies import Route, environment_route
from fal_async.transport.kept_connections import QuietConnector

_SHORT_REQUESTS = 100
_EAGER = 100
_STEPS_TO_RELEASE = 3
"""Steps of the event loop after which aiohttp has released a connection at the latest.

It takes longest if the response arrived before the whole request was sent."""
_DEFAULT_CONNECTIONS = 1000


class Pool:
    """One aiohttp session and its connections, bound to the event loop in which it was opened.

    Two limiters share the connections: one for short requests (half of the connections, but at most 100), and one
    for requests that use a connection for long (the rest). So fetching a result does not wait for a connection even
    if a thousand direct runs use theirs.
    """

    def __init__(self, options: PoolOptions, proxies: tuple[tuple[str, str], ...] = ()) -> None:
        """`proxies`: the environment variables that name proxies, with their values."""
        self._options, self._proxies = options, proxies
        self._explicit = Route(proxy=options.http_proxy, named_by="http_proxy=")
        self._follow_proxies = options.trust_env
        self._http: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closed: bool = False
        self.is_ours: bool = options.client_session is None
        self.budget: RetryBudget = RetryBudget()
        self.max_connections: int = options.max_connections or min(
            _affordable_connections(), _limit_of(options.client_session)
        )
        short = min(_SHORT_REQUESTS, max(1, self.max_connections // 2))
        long = max(1, self.max_connections - short)
        self.short_requests: ConnectionLimiter = self._limiter(short, "short requests")
        # If there is a single connection, both kinds of requests share it.
        self.long_requests: ConnectionLimiter = (
            self.short_requests
            if self.max_connections == 1
            else self._limiter(long, "long requests", eager=_EAGER)
        )
        self.passed_through: ConnectionLimiter = self._limiter(max(1, long // 2), "a proxy's callers")
        """For a proxy's callers: half of the long requests' places, so that the application keeps the others."""
        self.being_read: set[aiohttp.ClientResponse] = set()
        self.max_streams: int = max(1, long // 2)
        """How many status streams may be open at once: half of the long requests' places."""

    def _limiter(self, limit: int, whose: str, eager: int | None = None) -> ConnectionLimiter:
        what = f"max_connections={self.max_connections} connections ({limit} are for {whose})"
        return ConnectionLimiter(limit, eager, what=what)

    @property
    def places_taken(self) -> int:
        """How many connections are used by requests now, or are about to be opened for them."""
        short, long = self.short_requests, self.long_requests
        return short.taken + (0 if long is short else long.taken)

    @property
    def is_open(self) -> bool:
        return self._http is not None and not self.closed and self._options.client_session is None

    @property
    def state(self) -> str:
        return "closed" if self.closed else "created" if self._http is None else "open"

    def http(self) -> aiohttp.ClientSession:
        """Return the aiohttp session, opened on first use. SessionStateError if it can't be used."""
        loop = asyncio.get_running_loop()
        if self.closed:
            raise SessionStateError(SESSION_CLOSED)
        if self._http is None:
            self._http, self._loop = self._open(), loop
        if self._loop is not loop:
            raise _other_loop_error()
        if self._http.closed:
            raise SessionStateError("the borrowed client_session is closed")
        return self._http

    def route_to(self, url: str) -> Route:
        """Return how a URL is reached: directly or through a proxy.

        ConfigurationError if the environment variable for it does not name an HTTP proxy.
        """
        if self._explicit.proxy is not None:
            return self._explicit
        return environment_route(self._proxies, url, follow=self._follow_proxies)

    def check_loop(self) -> None:
        """Raise SessionStateError if the pool was opened in another event loop that is not closed."""
        loop = self._loop
        if loop is not None and loop is not asyncio.get_running_loop() and not loop.is_closed():
            raise _other_loop_error()

    @contextlib.contextmanager
    def reading(self, response: aiohttp.ClientResponse) -> Iterator[None]:
        """A block in which a body is read, so that `aclose` can stop it. Closing an aiohttp session does not."""
        self.being_read.add(response)
        try:
            yield
        finally:
            self.being_read.discard(response)

    async def aclose(self) -> None:
        """Close the connections. A borrowed aiohttp session stays open. Closing twice is allowed."""
        self.closed = True
        for response in tuple(self.being_read):
            response.close()  # the reading task gets an error
        http, self._http, self._loop = self._http, None, None
        if http is not None:
            left = await self._left_open(http) if self.is_ours else 0
            await http.close()
            if left:
                warnings.warn(f"{left} responses were neither read nor closed", ResourceWarning, stacklevel=2)

    async def _left_open(self, http: aiohttp.ClientSession) -> int:
        """Return how many responses were never closed: those that use a connection without a limiter's place.

        Only a bug of this package causes one. Its connection could not be used again while the pool is open.
        """
        for _ in range(_STEPS_TO_RELEASE):
            if in_use(http) <= self.places_taken:
                return 0
            await asyncio.sleep(0)
        return in_use(http) - self.places_taken

    def _open(self) -> aiohttp.ClientSession:
        options = self._options
        if options.client_session is not None:
            return self._open_over(_checked(options.client_session))
        traces = _checked_traces(options.trace_configs)
        connector = QuietConnector(
            limit=self.max_connections,
            keepalive_timeout=options.keepalive_timeout,
            ssl=True if options.ssl is None else options.ssl,
            socket_factory=_socket_that_notices_a_dead_peer,
        )
        return _session_over(connector, trace_configs=traces)

    def _open_over(self, borrowed: aiohttp.ClientSession) -> aiohttp.ClientSession:
        """Make a session that uses only the connections, the proxy and the traces of `borrowed`.

        Other parts of `borrowed` are not used: its middlewares could send a paid request twice, and its passwords,
        headers or cookies could be sent to the hosts of files.
        """
        session = _session_over(borrowed.connector, connector_owner=False)
        use_traces_of(borrowed, session)
        self._explicit = Route(proxy=default_proxy_of(borrowed), named_by="proxy= of the client_session")
        self._follow_proxies = self._follow_proxies and borrowed.trust_env
        weakref.finalize(self, session.detach)  # it owns no connections, so it need not be closed
        return session


def _session_over(connector: aiohttp.BaseConnector | None, **options: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        # Each HTTP request passes its own time limits. Only for WebSockets these apply.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        cookie_jar=aiohttp.DummyCookieJar(),  # the tenants of one pool must not share cookies
        trust_env=False,  # True would also send passwords of ~/.netrc; `Pool.route_to` finds the proxies
        middlewares=(not_redirected,),  # only for WebSockets: each HTTP request passes its own middlewares
        **HEADER_LIMITS,
        **options,
    )


def _limit_of(borrowed: Any) -> int:
    """Return the connection limit of a borrowed session.

    Our limiters then let no request wait in aiohttp, whose wait for a connection has no time limit.
    """
    connector = borrowed.connector if isinstance(borrowed, aiohttp.ClientSession) else None
    limits = () if connector is None else (connector.limit, connector.limit_per_host)
    return min((limit for limit in limits if limit), default=_DEFAULT_CONNECTIONS)


def _checked(borrowed: Any) -> aiohttp.ClientSession:
    if not isinstance(borrowed, aiohttp.ClientSession):
        raise ConfigurationError(
            f"client_session is of type {type(borrowed).__name__}: expected aiohttp.ClientSession"
        )
    if borrowed.closed:
        raise SessionStateError("the borrowed client_session is closed")
    if loop_of(borrowed) is not asyncio.get_running_loop():
        raise SessionStateError("the borrowed client_session belongs to another event loop")
    return borrowed


def _checked_traces(traces: Any) -> list[aiohttp.TraceConfig]:
    if not isinstance(traces, list | tuple) or not all(isinstance(t, aiohttp.TraceConfig) for t in traces):
        raise ConfigurationError("trace_configs: expected a list of aiohttp.TraceConfig")
    return list(traces)


def _other_loop_error() -> SessionStateError:
    return SessionStateError(
        "the session belongs to another event loop: make one session per loop (per `asyncio.run`)"
    )


def _affordable_connections() -> int:
    """Return 1,000, or four fifths of the limit of open files if that is less, but at least 2."""
    try:
        import resource
    except ImportError:  # Windows
        return _DEFAULT_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _DEFAULT_CONNECTIONS
    return max(2, min(_DEFAULT_CONNECTIONS, soft * 4 // 5))


def _socket_that_notices_a_dead_peer(address: Any) -> socket.socket:
    """Make a socket with TCP keep-alive, which detects a dead peer while a direct run is silent for minutes."""
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
