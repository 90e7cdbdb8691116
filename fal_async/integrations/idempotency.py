"""Make the key of a call from an `Idempotency-Key` header and a scope, such as the id of the caller's user."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence

from fal_async.errors import ConfigurationError
from fal_async.protocol.ledger.key_checks import LONGEST, check_key

HEADER = "Idempotency-Key"
DESCRIPTION = (
    "Identifies a request that is billed once, such as a new UUID for each order: 1 to 255 printable ASCII "
    "characters. A request that is repeated with the same key and content gets the same response."
)
_LONGEST_SCOPE = 128
"""Maximum number of characters of an escaped scope: with it, a key with a digest has at most 255 characters."""


class BadIdempotencyKey(ValueError):
    """The header is invalid. Its text is shown to the caller, with status 400."""


def read_header(values: Sequence[str], *, required: bool) -> str | None:
    """Return the header's value; None if it is missing and not required. Raises BadIdempotencyKey if invalid."""
    if not values:
        if required:
            raise BadIdempotencyKey(
                f"The header {HEADER} is missing: send a value that identifies the request, such as a new UUID"
            )
        return None
    if len(values) > 1:
        raise BadIdempotencyKey(f"The header {HEADER} was sent {len(values)} times: send it once")
    value = values[0].strip()
    if not 1 <= len(value) <= LONGEST or not (value.isascii() and value.isprintable()):
        raise BadIdempotencyKey(
            f"The header {HEADER} has {len(value)} characters: expected 1 to {LONGEST} printable ASCII characters"
        )
    return value


def scope_text(scope: object) -> str:
    """Return the scope as a `str` with `%` and `:` percent-encoded.

    Raises ConfigurationError for a value that can't identify a user, such as None: with it all callers would share
    one scope, and get each other's results.
    """
    if isinstance(scope, uuid.UUID) or (isinstance(scope, int) and not isinstance(scope, bool)):
        scope = str(scope)
    if not isinstance(scope, str):
        raise ConfigurationError(
            f"the key's scope is of type {type(scope).__name__}: expected a str, int or UUID, "
            "such as the id of the signed-in user"
        )
    # Without escaping, the scope "a:b" with the value "c" would give the key of scope "a" with the value "b:c".
    text = scope.replace("%", "%25").replace(":", "%3A")
    if not 1 <= len(text) <= _LONGEST_SCOPE or not text.isprintable():
        raise ConfigurationError(
            f"the key's scope has {len(text)} characters: expected 1 to {_LONGEST_SCOPE} printable characters, "
            "such as the id of the signed-in user"
        )
    return text


def scoped_key(scope: object, value: str) -> str:
    """Return `"{scope}:{value}"`, with a digest of the value if that is not a valid key.

    Raises the ConfigurationError of `scope_text`.
    """
    whose = scope_text(scope)
    try:
        return check_key(f"{whose}:{value}")
    except ConfigurationError:
        # Too long for a key, or refused because scope and value together look like a fal API key.
        return check_key(f"{whose}:sha256-{hashlib.sha256(value.encode()).hexdigest()}")
