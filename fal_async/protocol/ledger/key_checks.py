"""What a key is, and where it is unique: checked before anything is read or sent."""

from __future__ import annotations

import re
import unicodedata

from fal_async.config import Hosts
from fal_async.errors import ConfigurationError
from fal_async.protocol.ledger.entry import Space
from fal_async.protocol.origins import origin_of

LONGEST = 255
"""Characters of a key, a run and a tenant."""
UNCERTAIN = ("report", "lookup", "resubmit")
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of Unicode, the same in each version of it: control characters, lone surrogates, line separators."""
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_BEFORE_API_KEY = r"(?:(?:export\s+|set\s+)?\w+\s*=|(?:Key|Bearer)\s)?"
_API_KEY = rf"(?i)[\s\"'`]*{_BEFORE_API_KEY}[\s\"'`]*{_UUID}:[0-9a-f]{{32}}[\s\"'`]*"
"""A fal API key (protocol 1.2), alone or as a header or a line of a .env file has it."""


def check_key(key: object) -> str:
    """The key as a plain str.

    ConfigurationError for what is no text of 1-255 printable characters, and for a fal API key: it would be stored.
    """
    return _checked("key", key, "the id of what is to be paid for once, such as 'order-42'", least=1)


def check_run(run: object) -> str:
    """The run as a plain str; `""` is one, too. ConfigurationError as for a key."""
    return _checked("run", run, "a name space of keys, such as '2026-11-30'")


def check_tenant(tenant: object) -> str:
    """The tenant as a plain str; `""` is one, too. ConfigurationError as for a key."""
    return _checked("tenant", tenant, "whose keys they are, such as 'acme'")


def check_uncertain(uncertain: object) -> None:
    """ConfigurationError for another word than the three."""
    if uncertain not in UNCERTAIN:
        raise ConfigurationError(
            f"uncertain={uncertain!r}: expected one of {', '.join(map(repr, UNCERTAIN))}"
        )


def _checked(name: str, value: object, meant: str, *, least: int = 0) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} is a {type(value).__name__}: expected str, {meant}")
    text = str.__str__(value)  # a StrEnum's member is stored as the text that it is
    if not least <= len(text) <= LONGEST:
        raise ConfigurationError(f"{name} has {len(text)} characters, of {least} to {LONGEST}: pass {meant}")
    at = None
    if not text.isprintable():  # of which some are allowed, such as a space that is not broken
        at = next((at for at, char in enumerate(text) if unicodedata.category(char) in _UNPRINTABLE), None)
    if at is not None:
        raise ConfigurationError(
            f"{name} has a character that can't be printed, U+{ord(text[at]):04X} at place {at}: pass {meant}"
        )
    if re.fullmatch(_API_KEY, text):
        raise ConfigurationError(
            f"{name} has the shape of a fal API key, and it would be stored: pass {meant}. "
            "If it is none, put a word before it"
        )
    return text


def space_of(hosts: Hosts, *, proxy_url: str | None = None, tenant: str = "", run: str = "") -> Space:
    """The name space of a session's keys. Through a proxy it is the proxy's: whose account pays, it decides.

    ConfigurationError where the URL has no origin.
    """
    url = hosts.queue if proxy_url is None else proxy_url
    origin = origin_of(url)
    if origin is None:
        raise ConfigurationError("the URL of the queue has no host that keys could belong to")
    return Space(origin=origin, tenant=tenant, run=run)
