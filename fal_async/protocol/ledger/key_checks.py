"""Checks of keys and their namespaces, made before anything is read or sent."""

from __future__ import annotations

import re
import unicodedata

from fal_async.config import Hosts
from fal_async.errors import ConfigurationError, one_line
from fal_async.protocol.ledger.entry import Space
from fal_async.protocol.origins import origin_of

LONGEST = 255
"""Most characters of a key, a run and a tenant."""
_SHOWN = 40
"""Most characters of a value in a message, which is cut at 200."""
UNCERTAIN = ("report", "lookup", "resubmit")
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Control characters, lone surrogates, line separators: categories that are the same in each Unicode version."""
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_BEFORE_API_KEY = r"(?:(?:export\s+|set\s+)?\w+\s*=|(?:Key|Bearer)\s)?"
_API_KEY = rf"(?i)[\s\"'`]*{_BEFORE_API_KEY}[\s\"'`]*{_UUID}:[0-9a-f]{{32}}[\s\"'`]*"
"""Matches a fal API key (protocol 1.2): alone, in an Authorization header, or in a line of a .env file."""


def check_key(key: object) -> str:
    """Return the key as a plain str.

    Raises ConfigurationError unless it is a str of 1-255 printable characters. A fal API key is refused, too,
    because the ledger would store it.
    """
    return _checked("key", key, "an id of the work to pay for once, such as 'order-42'", least=1)


def quoted(value: object) -> str:
    """Return a key, run, tenant or id for a message: in quotes, and at most 40 characters of it."""
    return repr(one_line(value, _SHOWN))


def check_run(run: object) -> str:
    """Return the run as a plain str, which may be "". Raises ConfigurationError as for a key."""
    return _checked("run", run, "a namespace of keys, such as '2026-11-30'")


def check_tenant(tenant: object) -> str:
    """Return the tenant as a plain str, which may be "". Raises ConfigurationError as for a key."""
    return _checked("tenant", tenant, "the owner of the keys, such as 'acme'")


def check_uncertain(uncertain: object) -> None:
    """Raise ConfigurationError unless the value of `uncertain=` is one of the three allowed words."""
    if uncertain not in UNCERTAIN:
        raise ConfigurationError(
            f"uncertain={one_line(repr(uncertain), _SHOWN)}: expected one of {', '.join(map(repr, UNCERTAIN))}"
        )


def _checked(name: str, value: object, meant: str, *, least: int = 0) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} is of type {type(value).__name__}: expected str, {meant}")
    text = str.__str__(value)  # the value of a StrEnum member, without its class
    if not least <= len(text) <= LONGEST:
        raise ConfigurationError(
            f"{name} has {len(text)} characters: expected {least} to {LONGEST}; pass {meant}"
        )
    at = None
    if not text.isprintable():  # True for some allowed characters, too, such as a no-break space
        at = next((at for at, char in enumerate(text) if unicodedata.category(char) in _UNPRINTABLE), None)
    if at is not None:
        raise ConfigurationError(
            f"{name} has an unprintable character, U+{ord(text[at]):04X} at index {at}: pass {meant}"
        )
    if re.fullmatch(_API_KEY, text):
        raise ConfigurationError(
            f"{name} looks like a fal API key, which the ledger would store: pass {meant}. "
            "If it is not an API key, add a prefix to it"
        )
    return text


def space_of(hosts: Hosts, *, proxy_url: str | None = None, tenant: str = "", run: str = "") -> Space:
    """Return the namespace of a session's keys.

    If a proxy is used, its origin counts, as the proxy decides which account is billed. Raises ConfigurationError
    if the URL has no origin.
    """
    url = hosts.queue if proxy_url is None else proxy_url
    origin = origin_of(url)
    if origin is None:
        raise ConfigurationError(
            "the URL of the queue (or of the proxy) has no host: with a ledger, expected an http or https URL"
        )
    return Space(origin=origin, tenant=tenant, run=run)
