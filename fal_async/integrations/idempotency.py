"""From an `Idempotency-Key` header to the key of a call: whose key it is, and what the header says."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence

from fal_async.errors import ConfigurationError
from fal_async.protocol.ledger.key_checks import LONGEST, check_key

HEADER = "Idempotency-Key"
DESCRIPTION = (
    "Names what is to be paid for once, such as a new UUID for each order: 1 to 255 printable ASCII characters. "
    "A repetition with the same key and the same content gets the same answer."
)
_LONGEST_SCOPE = 128


class BadIdempotencyKey(ValueError):
    """The header can't be used: the text is for the caller, whose mistake it is (400)."""


def read_header(values: Sequence[str], *, required: bool) -> str | None:
    """The header's one value. BadIdempotencyKey says what is wrong with it."""
    if not values:
        if required:
            raise BadIdempotencyKey(f"The header {HEADER} is missing: name what is to be paid for once")
        return None
    if len(values) > 1:
        raise BadIdempotencyKey(f"The header {HEADER} was sent {len(values)} times: send it once")
    value = values[0].strip()
    if not 1 <= len(value) <= LONGEST or not (value.isascii() and value.isprintable()):
        raise BadIdempotencyKey(
            f"The header {HEADER} has {len(value)} characters: expected 1 to {LONGEST} printable ASCII ones"
        )
    return value


def scope_text(scope: object) -> str:
    """Whose key it is, as text.

    ConfigurationError for what is nobody's name: all callers would share one scope, and get each other's results.
    """
    if isinstance(scope, uuid.UUID) or (isinstance(scope, int) and not isinstance(scope, bool)):
        scope = str(scope)
    if not isinstance(scope, str):
        raise ConfigurationError(
            f"scope gave a {type(scope).__name__}: expected whose key it is, such as the id of who signed in"
        )
    # Or "a:b" with the key "c" would be "a" with the key "b:c": somebody else's.
    text = scope.replace("%", "%25").replace(":", "%3A")
    if not 1 <= len(text) <= _LONGEST_SCOPE or not text.isprintable():
        raise ConfigurationError(
            f"scope has {len(text)} characters: expected 1 to {_LONGEST_SCOPE} printable ones, "
            "such as the id of who signed in"
        )
    return text


def scoped_key(scope: object, value: str) -> str:
    """`"{scope}:{value}"`. ConfigurationError: see `scope_text`."""
    whose = scope_text(scope)
    try:
        return check_key(f"{whose}:{value}")
    except ConfigurationError:
        # Together too long for a key; or two ids that look like a fal API key, and were refused for that.
        return check_key(f"{whose}:sha256-{hashlib.sha256(value.encode()).hexdigest()}")
