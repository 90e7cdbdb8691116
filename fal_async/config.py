"""What a session is made with: hosts, credentials, time limits, retries.

All values here are frozen and checked when they are made, so that a wrong one fails before any request.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from fal_async.checks import check_flag, check_int, check_kind, check_plain_function, check_seconds, checked
from fal_async.errors import ConfigurationError


class Anonymous(enum.Enum):
    """The type of `ANONYMOUS`."""

    ANONYMOUS = "ANONYMOUS"

    def __repr__(self) -> str:
        return "ANONYMOUS"


ANONYMOUS: Final = Anonymous.ANONYMOUS
"""As `credentials`: calls are made without a key, as public models allow."""

Credentials = str | Callable[[], str] | Callable[[], Awaitable[str]] | Anonymous
"""`"key_id:key_secret"`, or a function (async or not) that gives one and is asked for each request, or `ANONYMOUS`.
A function may also give a whole header value, `"Bearer ..."` or `"Key ..."`."""

_LOCAL_SCHEMES = {"http": "ws", "https": "wss"}
_SECONDS, _SECONDS_OR_NONE = checked(check_seconds), checked(check_seconds, or_none=True)


def _check_base_url(_: Any, attribute: attrs.Attribute[str], value: str) -> None:
    schemes = ("ws", "wss") if attribute.name in ("realtime", "ws") else ("http", "https")
    if not _is_base_url(value, schemes):
        raise ConfigurationError(
            f"hosts: {attribute.name}={value!r} is no base URL: expected {' or '.join(schemes)}://host[:port][/path]"
        )


def _is_base_url(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:  # a port or an IPv6 address that is none
        return False
    odd = any(c in "\\?#@" or c.isspace() or not c.isprintable() for c in url)
    # "https://https://fal.run" would be the host "https" with no port.
    return parts.scheme in schemes and _is_host_name(host) and not odd and not parts.netloc.endswith(":")


def _is_host_name(host: str | None) -> bool:
    """What a look-up can be asked for: without empty labels and such of more than 63 characters."""
    return bool(host) and all(0 < len(label) < 64 for label in str(host).removesuffix(".").split("."))


def _base_url(default: str) -> Any:
    return attrs.field(default=default, converter=lambda url: str(url).rstrip("/"), validator=_check_base_url)


@attrs.frozen(kw_only=True)
class Hosts:
    """Base URLs of fal's services (protocol 1.1). Any of them can be `http://127.0.0.1:PORT`.

    The key goes to these origins, and to https sub-domains of fal's own; to no other.
    `backup=False` switches the backup domain off: one more attempt at `falrun.com`, made only where no
    connection to `fal.run` or `queue.fal.run` could be had.
    """

    run: str = _base_url("https://fal.run")
    queue: str = _base_url("https://queue.fal.run")
    rest: str = _base_url("https://rest.fal.ai")
    cdn: str = _base_url("https://v3.fal.media")
    platform: str = _base_url("https://api.fal.ai/v1")
    realtime: str = _base_url("wss://fal.run")
    ws: str = _base_url("wss://ws.fal.run")
    openapi: str = _base_url("https://fal.ai")
    auth: str = _base_url("https://auth.fal.ai")
    backup: bool = True

    @classmethod
    def local(cls, url: str) -> Hosts:
        """All services behind one URL, each under its own name as the first path segment (the emulator)."""
        base = str(url).rstrip("/")
        scheme, separator, rest = base.partition("://")
        if not separator or scheme not in _LOCAL_SCHEMES:
            raise ConfigurationError(f"base URL {url!r}: expected http://host[:port] or https://host[:port]")
        sockets = f"{_LOCAL_SCHEMES[scheme]}://{rest}"
        return cls(
            run=f"{base}/fal.run",
            queue=f"{base}/queue.fal.run",
            rest=f"{base}/rest.fal.ai",
            cdn=f"{base}/v3.fal.media",
            platform=f"{base}/api.fal.ai/v1",
            realtime=f"{sockets}/fal.run",
            ws=f"{sockets}/ws.fal.run",
            openapi=f"{base}/fal.ai",
            auth=f"{base}/auth.fal.ai",
            backup=False,
        )


@attrs.frozen(kw_only=True)
class Timeouts:
    """Limits of one HTTP attempt, in seconds. None switches one off.

    Attributes:
        connect: until a connection stands, name look-up and TLS included; default 10.
        first_byte: how long nothing may move: no 64 KiB of the request leave, then the answer does not begin, then
            nothing more of it comes; default 60.
        total: from when the request has left to the end of the answer; default 120.
        stream: silence within a status stream; default 45, three of fal's keep-alives (protocol 4.3).
            None: `first_byte`.
        run: both of the latter for direct runs once they have left, as they are answered only when the model is
            done; default 3600, after which fal itself gives up (`request_timeout`, protocol 3.3).
    """

    connect: float | None = attrs.field(default=10.0, validator=_SECONDS_OR_NONE)
    first_byte: float | None = attrs.field(default=60.0, validator=_SECONDS_OR_NONE)
    total: float | None = attrs.field(default=120.0, validator=_SECONDS_OR_NONE)
    run: float | None = attrs.field(default=3600.0, validator=_SECONDS_OR_NONE)
    stream: float | None = attrs.field(default=45.0, validator=_SECONDS_OR_NONE)

    @classmethod
    def of(cls, timeout: float | Timeouts | None) -> Timeouts:
        """A number bounds every attempt, direct runs too."""
        if timeout is None:
            return cls()
        if isinstance(timeout, Timeouts):
            return timeout
        check_seconds("timeout", timeout, or_none=True)
        return cls(connect=min(10.0, timeout), first_byte=timeout, total=timeout, run=timeout)


@attrs.frozen(kw_only=True)
class Retry:
    """One retry that is about to be made: what `RetryPolicy.on_retry` sees."""

    operation: str
    attempt: int
    """The attempt that failed, from 1."""
    delay: float
    """Seconds until the next one."""
    error: Exception
    endpoint_id: str | None = None
    request_id: str | None = None


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often and how long this client tries again. What is retried at all depends on the operation.

    A paid request (submit, run) is sent again only where fal surely did not take it (protocol 12).

    Attributes:
        max_attempts: of one request, the first included; default 4. 1 switches retries off.
        base_delay, max_delay: the wait before retry n is random between 0 and
            `min(max_delay, base_delay * 2**n)` seconds; defaults 0.5 and 20. The pauses between failing polls
            grow in the same way, to 10 seconds at most.
        max_total: no retry begins later than this many seconds after the first attempt; default 60.
        max_retry_after: the longest `Retry-After` that is obeyed, in seconds; default 60. If the server asks
            for more, its error is raised at once.
        result_total: in place of `max_total` for fetching a result, which is paid for already; default 300.
        outage: seconds for which nothing but failing polls, or status words that nobody knows, is borne by who
            waits for a request; default 600.
        stuck_after: seconds without a move in the queue after which a warning says so; default 120.
        retry_uncertain: also send a paid request again after an ingress 502 or 504, which may come after
            fal took it: a second bill is possible. Default False.
        on_retry: a plain function, called with a `Retry` before each wait, those between failing polls included.
            What it raises ends the call as an exception in another callback does.
    """

    max_attempts: int = attrs.field(default=4, validator=checked(check_int, least=1))
    base_delay: float = attrs.field(default=0.5, validator=_SECONDS)
    max_delay: float = attrs.field(default=20.0, validator=_SECONDS)
    max_total: float = attrs.field(default=60.0, validator=_SECONDS)
    max_retry_after: float = attrs.field(default=60.0, validator=_SECONDS)
    result_total: float = attrs.field(default=300.0, validator=_SECONDS)
    outage: float = attrs.field(default=600.0, validator=_SECONDS)
    stuck_after: float = attrs.field(default=120.0, validator=_SECONDS)
    retry_uncertain: bool = attrs.field(default=False, validator=checked(check_flag))
    on_retry: Callable[[Retry], None] | None = attrs.field(
        default=None, eq=False, repr=False, validator=checked(check_plain_function, takes=("retry",))
    )


def is_proxy_url(url: str) -> bool:
    """Whether it is `http://[user:password@]host[:port][/...]`, or https."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and _is_host_name(parts.hostname) and parts.port != 0
        return right and url.isprintable() and " " not in url
    except ValueError:  # a port or an IPv6 address that is none
        return False


def _check_proxy_url(_: Any, attribute: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None and not is_proxy_url(str(value)):
        shown = str(value).partition("?")[0] if "@" not in str(value) else "(with a user)"
        raise ConfigurationError(f"{attribute.name}={shown!r}: expected http://host[:port] or https://...")


def _check_hosts(_: Any, __: Any, value: object) -> None:
    if not isinstance(value, Hosts):
        raise ConfigurationError(
            f"hosts is a {type(value).__name__}: expected Hosts(...), or Hosts.local(url) for a local fal"
        )


# What nobody compares or prints needs no methods for it: attrs makes them at import, in each process.
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Settings:
    """What a session and the views that `with_options` gives of it can differ in."""

    hosts: Hosts = attrs.field(factory=Hosts, validator=_check_hosts)
    credentials: Credentials | None = attrs.field(default=None, repr=False)
    """None: the usual chain (protocol 1.4)."""
    proxy_url: str | None = attrs.field(default=None, validator=_check_proxy_url)
    """A server-side proxy that holds the key (protocol 10)."""
    retry: RetryPolicy = attrs.field(factory=RetryPolicy, validator=checked(check_kind, kind=RetryPolicy))
    timeouts: Timeouts = attrs.field(factory=Timeouts)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    tags: Mapping[str, str] = attrs.field(factory=dict)
    max_answer: int = attrs.field(default=512 * 1024 * 1024, validator=checked(check_int, least=1))
    """Bytes of one whole answer, decompressed."""


def _check_tls(_: Any, __: Any, value: object) -> None:
    if value is None or isinstance(value, bool):
        return
    import ssl

    if not isinstance(value, ssl.SSLContext):
        raise ConfigurationError(f"ssl is a {type(value).__name__}: expected an ssl.SSLContext")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PoolOptions:
    """What a session's connection pool is made with; the values of aiohttp's own types are passed through."""

    client_session: Any = attrs.field(default=None, repr=False)
    max_connections: int | None = attrs.field(
        default=None, validator=checked(check_int, least=1, or_none=True)
    )
    keepalive_timeout: float = attrs.field(default=30.0, validator=_SECONDS)
    ssl: Any = attrs.field(default=None, validator=_check_tls)
    http_proxy: str | None = attrs.field(default=None, repr=False, validator=_check_proxy_url)
    trust_env: bool = attrs.field(default=True, validator=checked(check_flag))
    trace_configs: Any = ()

    def __attrs_post_init__(self) -> None:
        if self.client_session is None:
            return
        for field in attrs.fields(PoolOptions):
            value = getattr(self, field.name)
            if value and value != field.default and field.name not in ("client_session", "max_connections"):
                raise ConfigurationError(
                    f"{field.name}: of no effect beside client_session=; give that to the aiohttp session"
                )
