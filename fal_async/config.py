"""The settings of a session: hosts, credentials, time limits, retries, connection pool.

`Hosts`, `Timeouts` and `RetryPolicy` are frozen. They validate their values when they are created, so that an
invalid one raises ConfigurationError before any request. Citations such as (protocol 4.2) are sections of
`fal_async/protocol/README.md`.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import attrs

from fal_async.checks import (
    check_flag,
    check_int,
    check_kind,
    check_plain_function,
    check_seconds,
    check_word,
    checked,
)
from fal_async.errors import ConfigurationError


class Anonymous(enum.Enum):
    """The type of `ANONYMOUS`."""

    ANONYMOUS = "ANONYMOUS"

    def __repr__(self) -> str:
        return "ANONYMOUS"


ANONYMOUS: Final = Anonymous.ANONYMOUS
"""A value for `credentials`: requests are sent without a fal key, which public models allow."""

Credentials = str | Callable[[], str] | Callable[[], Awaitable[str]] | Anonymous
"""`"key_id:key_secret"`, a function (async or not) that returns it, or `ANONYMOUS`.

The function is called for each attempt of an HTTP request. It may also return the whole value of the
`Authorization` header, `"Bearer ..."` or `"Key ..."`."""

_LOCAL_SCHEMES = {"http": "ws", "https": "wss"}
_SECONDS, _SECONDS_OR_NONE = checked(check_seconds), checked(check_seconds, or_none=True)


def _check_base_url(_: Any, attribute: attrs.Attribute[str], value: str) -> None:
    schemes = ("ws", "wss") if attribute.name in ("realtime", "ws") else ("http", "https")
    if not _is_base_url(value, schemes):
        raise ConfigurationError(
            f"hosts: {attribute.name}={value!r}: expected {' or '.join(schemes)}://host[:port][/path]"
        )


def _is_base_url(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:  # an invalid port or IPv6 address
        return False
    odd = any(c in "\\?#@" or c.isspace() or not c.isprintable() for c in url)
    # "https://https://fal.run" would be the host "https" with no port.
    return parts.scheme in schemes and _is_host_name(host) and not odd and not parts.netloc.endswith(":")


def _is_host_name(host: str | None) -> bool:
    """Return whether DNS can look up `host`: no empty labels, none of more than 63 characters."""
    return bool(host) and all(0 < len(label) < 64 for label in str(host).removesuffix(".").split("."))


def _base_url(default: str) -> Any:
    return attrs.field(default=default, converter=lambda url: str(url).rstrip("/"), validator=_check_base_url)


@attrs.frozen(kw_only=True)
class Hosts:
    """The base URLs of fal's services (protocol 1.1).

    Any of them can be a local server: `http://127.0.0.1:PORT`, or `ws://127.0.0.1:PORT` for `realtime` and `ws`.
    The fal key is sent only to `run`, `queue`, `rest`, `platform`, `realtime` and `ws`, and by https to fal.run,
    fal.ai, falrun.com and their subdomains.

    Attributes:
        run: direct calls and streams; default `https://fal.run`.
        queue: the queue; default `https://queue.fal.run`.
        rest: uploads, realtime tokens and webhook keys; default `https://rest.fal.ai`.
        cdn: stored files; default `https://v3.fal.media`.
        platform: the platform API, such as the request history; default `https://api.fal.ai/v1`.
        realtime: realtime WebSockets; default `wss://fal.run`.
        ws: HTTP over WebSocket; default `wss://ws.fal.run`.
        openapi: schemas of endpoints; default `https://fal.ai`.
        auth: fal's login service; default `https://auth.fal.ai`.
        backup: whether the backup domain is used; default True. If no connection to `fal.run` or `queue.fal.run`
            can be made, one more attempt is made at `falrun.com`.

    Raises:
        ConfigurationError: a URL is not a base URL.
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
        """Return the hosts of a server that has all services under one URL, such as an emulator.

        The base URL of a service is `url` and fal's own host name: `http://127.0.0.1:8000/queue.fal.run` is the
        queue. The backup domain is not used.

        Args:
            url: `http://host[:port][/path]` or `https://host[:port][/path]`.

        Returns:
            The base URLs of all services.

        Raises:
            ConfigurationError: `url` is not such a URL.
        """
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
    """The limits of one HTTP attempt, in seconds. None switches a limit off, except for `stream`.

    An attempt that exceeds a limit fails: it is retried, or the call raises TransportTimeoutError
    (SubmissionUncertainError, if fal may have accepted a paid request).

    Attributes:
        connect: the longest time for opening a connection, name resolution and TLS included; default 10.
        first_byte: the longest time without progress: while 64 KiB of the request are sent, until the response
            begins, or between two pieces of the response; default 60.
        total: the longest time from the end of the request to the end of the response; default 120.
        run: the same for a direct call, whose response begins only when the model has finished; default 3600, after
            which fal ends the call (`request_timeout`, protocol 3.3). `first_byte` and `total` do not apply once a
            direct call was sent. It also limits the wait for the beginning of a model's stream.
        stream: the longest silence of a status stream; default 45, the time of three of fal's keep-alives
            (protocol 4.3). None: `first_byte` applies.

    Raises:
        ConfigurationError: a value is neither a positive number of seconds nor None.
    """

    connect: float | None = attrs.field(default=10.0, validator=_SECONDS_OR_NONE)
    first_byte: float | None = attrs.field(default=60.0, validator=_SECONDS_OR_NONE)
    total: float | None = attrs.field(default=120.0, validator=_SECONDS_OR_NONE)
    run: float | None = attrs.field(default=3600.0, validator=_SECONDS_OR_NONE)
    stream: float | None = attrs.field(default=45.0, validator=_SECONDS_OR_NONE)

    @classmethod
    def of(cls, timeout: float | Timeouts | None) -> Timeouts:
        """Return the limits that the argument `timeout` of a session means.

        Args:
            timeout: a `Timeouts`, which is returned unchanged. A number of seconds becomes `first_byte`, `total`
                and `run`, and also `connect` if it is less than 10; `stream` keeps its default. None: the defaults.

        Returns:
            The limits.

        Raises:
            ConfigurationError: `timeout` is not a positive number of seconds.
        """
        if timeout is None:
            return cls()
        if isinstance(timeout, Timeouts):
            return timeout
        check_seconds("timeout", timeout, or_none=True)
        return cls(connect=min(10.0, timeout), first_byte=timeout, total=timeout, run=timeout)


@attrs.frozen(kw_only=True)
class Retry:
    """The argument of `RetryPolicy.on_retry`: a failed attempt, and when the next one follows.

    Attributes:
        operation: what the HTTP request is for, such as `"submit"` or `"status"`.
        attempt: the number of the attempt that failed, from 1.
        delay: the seconds until the next attempt.
        error: the error of the failed attempt.
        endpoint_id: the endpoint, or None if the HTTP request does not belong to one.
        request_id: fal's id of the request, or None if it is not known.
    """

    operation: str
    attempt: int
    delay: float
    error: Exception
    endpoint_id: str | None = None
    request_id: str | None = None


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often and for how long HTTP requests are retried. Which errors are retried depends on the operation.

    A paid request (submit, run, stream) is sent again only if fal certainly did not accept it (protocol 12), unless
    `retry_uncertain` is True.

    Attributes:
        max_attempts: the maximum number of attempts of one HTTP request, the first included; default 4. 1 switches
            retries off.
        base_delay: the unit of the delays in seconds; default 0.5. The delay before retry n is random between 0 and
            `min(max_delay, base_delay * 2**n)`. After n failed polls in sequence, the pause before the next poll is
            random between half of `min(max_delay, 10, base_delay * 2**(n - 1))` and all of it, but at least 0.1.
        max_delay: the longest delay in seconds that the client itself chooses; default 20. A `Retry-After` may be
            longer, up to `max_retry_after`.
        max_total: seconds since the start of the first attempt, after which no retry is started; default 60.
        max_retry_after: the longest `Retry-After` that is respected, in seconds; default 60. If the server asks for
            more, its error is raised at once; but polls, and the fetch of a result, are retried after
            `max_retry_after`.
        result_total: seconds in place of `max_total` for fetching the result of a completed request, which is
            already paid for; default 300. `max_attempts` does not limit these retries, unless it is 1.
        outage: if all polls of a request fail, or give an unknown status, for this many seconds, the client stops
            following it and raises the last error; default 600. A permanent error is raised at once.
        stuck_after: seconds with an unchanged position in the queue after which a warning is logged; default 120.
        retry_uncertain: whether to retry a paid request also after a 502 or 504 of a gateway, although fal may have
            accepted it, so that it may be billed twice; default False.
        on_retry: a plain function that is called with a `Retry` before each delay, also between failing polls. Its
            exceptions are raised by the call, like those of any other callback. None (default): no function.

    Raises:
        ConfigurationError: a value is invalid.
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
    """Return whether `url` is `http://[user:password@]host[:port][/...]`, or the same with https."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and _is_host_name(parts.hostname) and parts.port != 0
        return right and url.isprintable() and " " not in url
    except ValueError:  # an invalid port or IPv6 address
        return False


def _check_proxy_url(_: Any, attribute: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None and not is_proxy_url(str(value)):
        shown = f"={str(value).partition('?')[0]!r}"
        if "@" in str(value):  # probably followed by a password
            shown = ": the URL is invalid (it is not shown, because it has a user name)"
        raise ConfigurationError(f"{attribute.name}{shown}: expected http://host[:port] or https://...")


def _check_hosts(_: Any, __: Any, value: object) -> None:
    if not isinstance(value, Hosts):
        raise ConfigurationError(
            f"hosts is of type {type(value).__name__}: expected Hosts(...), or Hosts.local(url) for a local fal"
        )


Check = Literal["off", "required", "schema"]
"""What `check=` compares of an input with the endpoint's schema before anything is sent.

"off": nothing. "required": whether required keys are missing, and whether there are unknown keys. "schema": also
the types and limits of the values.
"""
CHECKS: tuple[Check, ...] = ("off", "required", "schema")


# Settings are never compared or printed. Without `eq` and `repr`, attrs generates fewer methods at import.
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Settings:
    """The settings in which a session and its views (`with_options`) can differ. `Session.settings` returns them.

    Attributes:
        hosts: the base URLs of fal's services.
        credentials: the fal key, a function that returns it, or `ANONYMOUS`. None: FAL_KEY, then FAL_KEY_ID and
            FAL_KEY_SECRET, then the login of fal's command line (protocol 1.4).
        proxy_url: a server-side proxy that adds the fal key (protocol 10), or None.
        retry: the retry policy.
        timeouts: the limits of one HTTP attempt.
        headers: headers for every request to the services in `hosts`.
        tags: billing tags for every request to a model.
        max_answer: maximum size of one response in bytes, after decompression; default 512 MiB.
        check: what of an input is compared with the endpoint's schema before it is sent; default "off".
    """

    hosts: Hosts = attrs.field(factory=Hosts, validator=_check_hosts)
    credentials: Credentials | None = attrs.field(default=None, repr=False)
    proxy_url: str | None = attrs.field(default=None, validator=_check_proxy_url)
    retry: RetryPolicy = attrs.field(factory=RetryPolicy, validator=checked(check_kind, kind=RetryPolicy))
    timeouts: Timeouts = attrs.field(factory=Timeouts)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    tags: Mapping[str, str] = attrs.field(factory=dict)
    max_answer: int = attrs.field(default=512 * 1024 * 1024, validator=checked(check_int, least=1))
    check: Check = attrs.field(default="off", validator=checked(check_word, words=CHECKS))


def _check_tls(_: Any, __: Any, value: object) -> None:
    if value is None or isinstance(value, bool):
        return
    import ssl

    if not isinstance(value, ssl.SSLContext):
        raise ConfigurationError(f"ssl is of type {type(value).__name__}: expected an ssl.SSLContext")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PoolOptions:
    """The options of a session's connection pool, which `Session` describes."""

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
                    f"{field.name} can't be combined with client_session=: set it on the aiohttp session instead"
                )
