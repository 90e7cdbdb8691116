"""Reaches one origin as a client does: look up the name, connect, TLS, one HEAD request without a key.

It uses sockets of the standard library, so that each step is timed and can fail on its own. The thread that looks
up a name is abandoned at the time limit, because a lookup can't be stopped.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import attrs

from fal_async.cli.doctor.certificate import Certificate, certificate_of, untrusted_certificate
from fal_async.errors import one_line
from fal_async.storage.threads import abandonable
from fal_async.transport.http_proxies import Route
from fal_async.version import __version__

LIMIT = 5.0
"""Seconds that one probe takes at most."""
_ADDRESSES = 4
"""How many addresses of a name are tried, all at the same time."""
_MOST = 65536
T = TypeVar("T")


@attrs.define(kw_only=True)
class HostProbe:
    """What was seen on the way to one origin. Times are in seconds; a step that was not reached has None.

    Attributes:
        origin: scheme, host and port, such as "https://queue.fal.run".
        services: the names of the services at this origin, as in `Hosts`.
        proxy: host and port of the HTTP proxy on the way; None: no proxy.
        addresses: the addresses of the host, or of the proxy.
        look_up: time to look up the name.
        connect: time to connect, and to make the proxy's tunnel.
        secure: time of the TLS handshake.
        answer: time from the HTTP request to the head of its response.
        tls: the version of TLS.
        certificate: the certificate of the server, also of one that was not trusted.
        status: the HTTP status of the response.
        clock_ahead: seconds by which this machine's clock is ahead of the server's; negative: behind. The server
            tells whole seconds.
        failed_at: the step that failed: "name", "connect", "proxy", "tls" or "answer". None: none failed.
        error: why, in one line.
    """

    origin: str
    services: tuple[str, ...]
    proxy: str | None = None
    addresses: tuple[str, ...] = ()
    look_up: float | None = None
    connect: float | None = None
    secure: float | None = None
    answer: float | None = None
    tls: str | None = None
    certificate: Certificate | None = None
    status: int | None = None
    clock_ahead: float | None = None
    failed_at: str | None = None
    error: str = ""

    @property
    def host(self) -> str:
        """The host without its port."""
        return urlsplit(self.origin).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.origin).port or (443 if self.is_secure else 80)

    @property
    def is_secure(self) -> bool:
        return self.origin.startswith("https:")


async def probe(
    origin: str, services: tuple[str, ...], route: Route, trust: ssl.SSLContext, limit: float = LIMIT
) -> HostProbe:
    """Reach `origin`, and return what was seen. It raises nothing, and takes at most `limit` seconds.

    `route`: the proxy on the way. `trust`: which certificates are trusted. Cancelling is safe.
    """
    seen = HostProbe(origin=origin, services=services, proxy=route.host or None)
    way = _Way(seen, route, trust)
    try:
        async with asyncio.timeout(limit):
            await way.go()
    except TimeoutError:
        seen.failed_at, seen.error = way.step, f"no answer within {limit:g} s"
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        seen.failed_at, seen.error = way.step, _words(error)
    finally:
        way.close()
    return seen


class _Way:
    """The steps to one origin, over one connection."""

    def __init__(self, seen: HostProbe, route: Route, trust: ssl.SSLContext) -> None:
        self.step: str = "name"
        self._seen, self._trust = seen, trust
        self._proxy = None if route.proxy is None else urlsplit(route.proxy)
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._writers: list[asyncio.StreamWriter] = []

    async def go(self) -> None:
        seen, proxy = self._seen, self._proxy
        at = (seen.host, seen.port) if proxy is None else (proxy.hostname or "", _port_of(proxy))
        seen.addresses, seen.look_up = await self._timed("name", lambda: _addresses(*at))
        _, seen.connect = await self._timed("connect", lambda: self._connect(at[1]))
        if proxy is not None:
            _, more = await self._timed("proxy", self._tunnel)
            seen.connect += more
        if seen.is_secure:
            _, seen.secure = await self._timed("tls", self._secure)
        head, seen.answer = await self._timed("answer", self._ask)
        seen.status, date = _status_and_date(head)
        if date is not None:
            # The response is on its way for a part of `answer`. The server leaves out the fraction of its second.
            seen.clock_ahead = time.time() - seen.answer / 2 - (date + 0.5)

    def close(self) -> None:
        for writer in self._writers:
            with contextlib.suppress(OSError, RuntimeError):
                writer.transport.abort()

    async def _timed(self, step: str, work: Callable[[], Awaitable[T]]) -> tuple[T, float]:
        self.step, began = step, time.perf_counter()
        return await work(), time.perf_counter() - began

    async def _connect(self, port: int) -> None:
        """Connect to the address that responds first, as clients do that know both kinds of addresses."""
        attempts = [
            asyncio.ensure_future(asyncio.open_connection(address, port, limit=_MOST))
            for address in self._seen.addresses[:_ADDRESSES]
        ]
        failures: list[BaseException] = []
        try:
            for attempt in asyncio.as_completed(attempts):
                try:
                    self._reader, self._writer = await attempt
                except OSError as error:
                    failures.append(error)
                    continue
                self._writers.append(self._writer)
                return
        finally:
            for other in attempts:
                other.cancel()
            for ended in await asyncio.gather(*attempts, return_exceptions=True):
                if not isinstance(ended, BaseException) and ended[1] not in self._writers:
                    self._writers.append(ended[1])
        raise failures[0] if failures else OSError("the name has no address")

    async def _tunnel(self) -> None:
        """Ask the proxy for a tunnel. Plain HTTP needs none."""
        assert self._proxy is not None
        if self._proxy.scheme == "https":
            await self._writer.start_tls(self._trust, server_hostname=self._proxy.hostname)
        if not self._seen.is_secure:
            return
        place = f"{self._seen.host}:{self._seen.port}"
        await self._send(f"CONNECT {place} HTTP/1.1", place, self._proxy_headers())
        status, _ = _status_and_date(await self._reader.readuntil(b"\r\n\r\n"))
        if status != 200:
            raise OSError(f"the proxy answered {status} to CONNECT {place}")

    async def _secure(self) -> None:
        try:
            await self._writer.start_tls(self._trust, server_hostname=self._seen.host)
        except ssl.SSLCertVerificationError:
            self._seen.certificate = await untrusted_certificate(self._seen.host, self._again)
            raise
        connection = self._writer.get_extra_info("ssl_object")
        self._seen.tls = connection.version()
        self._seen.certificate = certificate_of(connection.getpeercert())

    async def _again(self) -> asyncio.StreamWriter:
        """Return another connection over the same way, before TLS."""
        await self._connect(self._seen.port if self._proxy is None else _port_of(self._proxy))
        if self._proxy is not None:
            await self._tunnel()
        return self._writer

    async def _ask(self) -> bytes:
        plain_proxy = self._proxy is not None and not self._seen.is_secure
        target = f"{self._seen.origin}/" if plain_proxy else "/"
        more = self._proxy_headers() if plain_proxy else ""
        await self._send(f"HEAD {target} HTTP/1.1", urlsplit(self._seen.origin).netloc, more)
        return await self._reader.readuntil(b"\r\n\r\n")

    async def _send(self, line: str, host: str, more: str) -> None:
        head = f"{line}\r\nHost: {host}\r\nUser-Agent: fal_async/{__version__} doctor\r\n{more}"
        self._writer.write(f"{head}Connection: close\r\n\r\n".encode("latin-1", "replace"))
        await self._writer.drain()

    def _proxy_headers(self) -> str:
        if self._proxy is None or self._proxy.username is None:
            return ""
        pair = f"{unquote(self._proxy.username)}:{unquote(self._proxy.password or '')}"
        return f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"


async def _addresses(host: str, port: int) -> tuple[str, ...]:
    """Return the addresses of a name, in the system's order and without repetition."""
    found = await abandonable(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def _port_of(proxy: Any) -> int:
    return int(proxy.port or (443 if proxy.scheme == "https" else 80))


def _status_and_date(head: bytes) -> tuple[int, float | None]:
    """Return the status of a response, and the time of its header `Date`. ValueError if it is not HTTP."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/") or not rest[:3].isdigit():
        raise ValueError("the response is not HTTP")
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip().lower() == "date":
            with contextlib.suppress(ValueError, OverflowError):
                return int(rest[:3]), parsedate_to_datetime(value.strip()).timestamp()
    return int(rest[:3]), None


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return one_line(error.verify_message)
    if isinstance(error, EOFError):
        return "the connection was closed"
    strerror = getattr(error, "strerror", None)
    return one_line(strerror or str(error) or type(error).__name__)
