"""The URL of a ledger on PostgreSQL."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import attrs

from fal_async.errors import ConfigurationError, one_line

SCHEMES = ("postgresql", "postgres")
POOL_SIZE = 4
"""Connections of one process, in addition to the one that has its locks, unless the URL says otherwise."""
_MOST = 100
_SHOWN = 100
"""Most characters of an address in messages, which are cut at 200."""
_HOST = r"(?:\[[^\]/?#@]*\]|[^\[\]:,/?#@]*)(?::[0-9]*)?"
_HOSTS = re.compile(rf"{_HOST}(?:,{_HOST})*")
"""The hosts and ports of a URL. What else stands there is a part of a password."""
_WITH_AT = ("direct", "password")
"""Options whose value may have an `@` that is not escaped."""
_HIDDEN = "//..."
_EXPECTED = (
    "ledger=postgresql://...: expected postgresql://HOST/DATABASE, or USER:PASSWORD@HOST; in a password, write %40 "
    "for @, %2F for /, %3F for ?, %23 for #, %25 for %"
)
"""Shows nothing of the URL, because any part of it may belong to a password."""


@attrs.frozen
class Address:
    """Where the database is.

    Attributes:
        url: the URL for the driver, with the password.
        direct: the URL of the server itself, if `url` is that of a pooler; None: `url` is that of the server.
        pool_size: the largest number of connections for reads and writes.
        name: the URL without password and options, for messages.
    """

    url: str = attrs.field(repr=False)
    direct: str | None = attrs.field(repr=False)
    pool_size: int
    name: str


def is_address(where: object) -> bool:
    """Return whether the value of `ledger=` is a URL of PostgreSQL."""
    return isinstance(where, str) and where.partition(":")[0].lower() in SCHEMES


def address_of(where: str) -> Address:
    """Return the address of a URL: `postgresql://user:password@host:5432/database?sslmode=require`.

    Two options are ours, all others are the driver's: `direct`, see `Address.direct`, and `pool_size`.

    Raises ConfigurationError if it is not a URL of a database.
    """
    name = name_of_url(where)
    try:
        parts = urlsplit(where)
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ConfigurationError(_EXPECTED) from None
    if name.endswith(_HIDDEN) or parts.fragment or _has_host(parts.query):
        raise ConfigurationError(_EXPECTED)
    ours = dict(option for option in options if option[0] in ("direct", "pool_size"))
    others = [option for option in options if option[0] not in ours]
    direct = ours.get("direct")
    if direct is not None and not is_address(direct):
        raise ConfigurationError(
            f"ledger={name}: expected direct=postgresql://..., the URL of the server itself, not of the pooler"
        )
    return Address(
        url=urlunsplit(parts._replace(query=urlencode(others))),
        direct=direct,
        pool_size=_size(ours.get("pool_size", str(POOL_SIZE)), name),
        name=name,
    )


def _has_host(query: str) -> bool:
    """Return whether the real host may be among the options, after a password with a `?` that is not escaped."""
    with_at = [option.partition("=")[0] for option in query.split("&") if "@" in option]
    return any(name not in _WITH_AT for name in with_at)


def _size(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST):
        raise ConfigurationError(
            f"ledger={name}: expected pool_size=1 to {_MOST} (default {POOL_SIZE}), got {one_line(text, 20)!r}"
        )
    return int(text)


def name_of_url(where: str) -> str:
    """Return a URL without its user, password and options, for messages; only its scheme if that is in doubt."""
    scheme, _, rest = where.partition(":")
    place = re.split(r"[?#]", rest, maxsplit=1)[0]
    netloc, slash, path = place.removeprefix("//").partition("/")
    hosts = netloc.rpartition("@")[2]
    if not place.startswith("//") or not _HOSTS.fullmatch(hosts) or "@" in path:
        return f"{scheme}:{_HIDDEN}"
    return one_line(f"{scheme}://{hosts}{slash}{path}", _SHOWN)
