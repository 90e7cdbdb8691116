"""Which URLs may get the fal key: origins, redirects and the backup domain (protocol 1.1).

The key is not sent to a URL only because a response contains it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

from fal_async.config import Hosts
from fal_async.protocol.http import HttpRequest

_FAL_DOMAINS = ("fal.run", "fal.ai", "falrun.com")
_HOST_NAME = r"[a-z0-9-]+(?:\.[a-z0-9-]+)*"
_BACKUP = {"https://fal.run": "https://falrun.com", "https://queue.fal.run": "https://queue.falrun.com"}
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_WEB_SCHEMES = {"ws": "http", "wss": "https"}


def origin_of(url: str) -> str | None:
    """Return scheme, host and port, as in `https://queue.fal.run`; ws counts as http. None if malformed."""
    # The cache gets only the part before the path, because request ids would make every URL a new entry.
    end = url.find("/", url.find("://") + 3)
    return _origin(url if end < 0 else url[:end])


@lru_cache(maxsize=256)
def _origin(prefix: str) -> str | None:
    try:
        parts = urlsplit(prefix)
        port = parts.port
    except ValueError:
        return None
    # Some parsers read a backslash as a path separator, so that it could hide another host.
    odd = "@" in parts.netloc or "\\" in prefix or any(c.isspace() or not c.isprintable() for c in prefix)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or odd:
        return None
    scheme = _WEB_SCHEMES.get(parts.scheme, parts.scheme)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname.rstrip(".")
    default = port is None or port == _DEFAULT_PORTS[parts.scheme]
    return f"{scheme}://{host}" if default else f"{scheme}://{host}:{port}"


def is_fals_own(origin: str | None) -> bool:
    """Return whether the origin is https on the default port of one of fal's domains, or of a sub-domain."""
    if origin is None or not origin.startswith("https://"):
        return False
    host = origin.removeprefix("https://")
    # Only plain names, because parsers read `evil.com%2f.fal.run`, which ends in fal's domain, in different ways.
    if not re.fullmatch(_HOST_NAME, host):
        return False
    return any(host == domain or host.endswith("." + domain) for domain in _FAL_DOMAINS)


@lru_cache(maxsize=256)
def _origins_of(hosts: Hosts) -> frozenset[str | None]:
    # The CDN is not among them: it gets its own tokens, never the key (protocol 7.1).
    urls = (hosts.run, hosts.queue, hosts.rest, hosts.platform, hosts.realtime, hosts.ws)
    return frozenset(origin_of(url) for url in urls)


@lru_cache(maxsize=256)
def _all_origins_of(hosts: Hosts) -> frozenset[str | None]:
    return _origins_of(hosts) | {origin_of(url) for url in (hosts.cdn, hosts.openapi, hosts.auth)}


def may_have_key(url: str, hosts: Hosts) -> bool:
    """Return whether the session's fal key may be sent to this URL."""
    origin = origin_of(url)
    return origin is not None and (origin in _origins_of(hosts) or is_fals_own(origin))


def is_configured(url: str, hosts: Hosts) -> bool:
    """Return whether a URL leads to one of the session's services, so that the session's own headers are sent.

    fal's sub-domains are included only if the session's queue is fal's, because a gateway's token must be sent only
    to the gateway.
    """
    origin = origin_of(url)
    if origin is None:
        return False
    return origin in _all_origins_of(hosts) or (is_fals_own(origin) and is_fals_own(origin_of(hosts.queue)))


def is_at_home(url: str, base: str) -> bool:
    """Return whether a URL in a response leads to the same service as `base`, so that it is used with the key.

    A response must not lead a caller who uses a gateway past the gateway to fal itself.
    """
    if not _is_plain(url):
        return False
    if url.startswith(f"{base}/"):
        return True
    origin, home = origin_of(url), origin_of(base)
    return origin is not None and (origin == home or (is_fals_own(home) and is_fals_own(origin)))


def _is_plain(url: str) -> bool:
    """Return whether a URL is ASCII without spaces and control characters: a line end could inject a header."""
    return url.isascii() and url.isprintable() and " " not in url and "\\" not in url


def backup_url(url: str) -> str | None:
    """Return the same URL on the backup domain; None for a host without a backup (protocol 1.1)."""
    for primary, backup in _BACKUP.items():
        if url.startswith(primary + "/"):
            return backup + url[len(primary) :]
    return None


def redirect_target(request: HttpRequest, url: str, status: int, location: str | None) -> str | None:
    """Return the URL to follow after a redirect of a GET or HEAD; None if the redirect must not be followed.

    A request with a key or token is redirected only within its origin, so that no other origin gets a credential.
    """
    if status not in (301, 302, 303, 307, 308) or request.method not in ("GET", "HEAD") or not location:
        return None
    target = joined(url, location)
    origin = origin_of(target)
    secret = request.auth or "Authorization" in request.headers
    if not _is_plain(target) or origin is None or (secret and origin != origin_of(url)):
        return None
    return target


def joined(url: str, location: str) -> str:
    """Return the absolute URL of a redirect; "" if it is malformed."""
    try:
        return urljoin(url, location)
    except ValueError:  # a host in brackets that is not an IP address
        return ""


def without_query(url: str) -> str:
    """Return a URL without its query, which may have webhook secrets or signed tokens, for logs and messages."""
    return url.partition("?")[0].partition("#")[0]


def host_of(url: str) -> str:
    """Return the host and the port of a URL, for messages."""
    origin = origin_of(url)
    return origin.partition("://")[2] if origin else "an unreadable URL"
