"""The HTTP proxies that environment variables name, and which of them a URL uses.

Only the names and addresses of proxies are taken from the environment.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import attrs

from fal_async.config import is_proxy_url
from fal_async.errors import ConfigurationError, Secret
from fal_async.protocol.origins import origin_of


@attrs.frozen(kw_only=True)
class Route:
    """How a request is sent: directly, or through a proxy."""

    proxy: str | None = attrs.field(default=None, repr=False)
    """The proxy's URL, which may contain a user and a password. None: no proxy."""
    named_by: str = ""
    """The name of the option or environment variable that the proxy comes from."""
    ignored: str = ""
    """The name of an environment variable whose proxy is not used, because `trust_env` is False."""

    @property
    def host(self) -> str:
        """The proxy's host and port, without secrets."""
        return urlsplit(self.proxy or "").netloc.rpartition("@")[2]


DIRECT = Route()


def environment_route(variables: tuple[tuple[str, str], ...], url: str, *, follow: bool) -> Route:
    """Return the route for `url`: HTTPS_PROXY for https and wss, HTTP_PROXY for http and ws, else ALL_PROXY.

    Hosts in NO_PROXY are reached directly, and so is this machine (localhost, 127.0.0.0/8, ::1): a proxy would look
    for an emulator on the proxy's own machine. ConfigurationError if the variable does not name an HTTP proxy.

    `variables`: the environment variables that name proxies, with their values. `follow`: whether to use the proxy;
    if False, the route is direct and has the variable's name as `ignored`.
    """
    origin = origin_of(url) if variables else None
    return DIRECT if origin is None else _route_to(variables, origin, follow)


@lru_cache(maxsize=256)
def _route_to(variables: tuple[tuple[str, str], ...], origin: str, follow: bool) -> Route:
    named = {name.lower(): (name, value) for name, value in variables}
    if _is_direct(origin, named.get("no_proxy", ("", ""))[1]):
        return DIRECT
    scheme = origin.partition("://")[0]
    name, value = named.get(f"{scheme}_proxy") or named.get("all_proxy") or ("", "")
    if not value:
        return DIRECT
    if not follow:
        return Route(ignored=name)
    url = Secret(value if "://" in value else f"http://{value}")
    if not is_proxy_url(url):
        raise ConfigurationError(
            f"the environment variable {name} does not name an HTTP proxy: expected http://host:port (not SOCKS); "
            "trust_env=False ignores it"
        )
    return Route(proxy=url, named_by=name)


def _is_direct(origin: str, no_proxy: str) -> bool:
    parts = urlsplit(origin)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if host == "localhost" or host.endswith(".localhost") or _is_within(host, "127.0.0.0/8", "::1/128"):
        return True
    return any(_names(entry, host, port) for entry in re.split(r"[,\s]+", no_proxy.lower()) if entry)


def _names(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of NO_PROXY matches the host.

    An entry is `*`, a name (which matches its sub-domains too), an address, or a network (`10.0.0.0/8`). After a
    name or an address, a port may follow.
    """
    if entry == "*" or _is_within(host, entry):
        return True
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit() and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").lstrip(".")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))


def _is_within(host: str, *networks: str) -> bool:
    try:
        address = ip_address(host)
        return any(address in ip_network(network, strict=False) for network in networks)
    except ValueError:
        return False
