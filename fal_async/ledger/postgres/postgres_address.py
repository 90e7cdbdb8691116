"""The URL of a ledger on PostgreSQL."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import attrs

from fal_async.errors import ConfigurationError, one_line

SCHEMES = ("postgresql", "postgres")
POOL_SIZE = 4
"""Connections of one process, in addition to the one that has its locks, unless the URL says otherwise."""
_MOST = 100
_SHOWN = 100
"""Most characters of an address in messages, which are cut at 200."""


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
    except ValueError as error:
        raise ConfigurationError(f"ledger={name}: not a URL ({one_line(str(error), 40)})") from None
    if not where.lower().startswith(tuple(f"{scheme}://" for scheme in SCHEMES)) or parts.fragment:
        raise ConfigurationError(f"ledger={name}: expected postgresql://user:password@host:5432/database")
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


def _size(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST):
        raise ConfigurationError(
            f"ledger={name}: expected pool_size=1 to {_MOST} (default {POOL_SIZE}), got {one_line(text, 20)!r}"
        )
    return int(text)


def name_of_url(where: str) -> str:
    """Return a URL without its password and its options, for messages."""
    scheme, _, rest = where.partition("://")
    place, _, _ = rest.partition("?")
    netloc, slash, path = place.partition("/")
    user, at, hosts = netloc.rpartition("@")
    return one_line(f"{scheme}://{user.partition(':')[0]}{at}{hosts}{slash}{path.partition('#')[0]}", _SHOWN)
