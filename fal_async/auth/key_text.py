"""The header for a fal key from the caller or the environment.

Harmless mistakes, such as quotes around the key, are corrected; others raise an error.
"""

from __future__ import annotations

import re

from fal_async.errors import ConfigurationError, Secret

NO_KEY = (
    "no FAL_KEY found: set the environment variable FAL_KEY to your key (https://fal.ai/dashboard/keys), "
    "or pass credentials="
)
_FORM = "expected key_id:key_secret, from https://fal.ai/dashboard/keys"
_QUOTES = "\"'`"
_ASSIGNED = r"(?ai)(export\s+|set\s+)?(fal_key(_id|_secret)?\s*:|\w+\s*=)|.*:fal_key_secret\s*="
_PLACEHOLDER = r"(?i)[<{\[$%].*|(.*[^a-z])?your([^a-z].*)?|key_id:key_secret|[x*.]+(:[x*.]+)?"


def authorization(credentials: str) -> str:
    """Return the header for a fal key (protocol 1.2). White space and quotes around the key are removed.

    Raises:
        ConfigurationError: the value can't be a fal key. The message does not contain it.
    """
    if not isinstance(credentials, str):
        raise ConfigurationError(
            f"the fal key is of type {type(credentials).__name__}: expected str 'key_id:key_secret'"
        )
    text = _unquoted(credentials)
    scheme, _, value = text.partition(" ")
    if scheme in ("Key", "Bearer") and value.strip():
        text = value.strip()
        _check_characters(text)
    else:
        scheme = "Key"
        _check_form(text)
    if scheme == "Key" and not all(text.partition(":")):
        raise ConfigurationError(f"the fal key has no colon: {_FORM}")
    return Secret(f"{scheme} {text}")


def _unquoted(text: str) -> str:
    """Remove line ends, which break authentication (protocol 1.2), and the quotes of a shell or .env file."""
    text = text.strip().removeprefix("\ufeff").strip()
    while len(text) > 1 and text[0] in _QUOTES and text[0] == text[-1]:
        text = text[1:-1].strip()
    return text


def _check_form(text: str) -> None:
    if re.match(_ASSIGNED, text):
        raise ConfigurationError(
            f"the fal key begins with the variable's name: {_FORM}, and nothing before it"
        )
    if re.fullmatch(_PLACEHOLDER, text):
        raise ConfigurationError(f"the fal key is a placeholder: {_FORM}")
    _check_characters(text)
    if text.count(":") > 1:
        raise ConfigurationError(
            f"the fal key has more than one colon: {_FORM} (a whole key in FAL_KEY_SECRET belongs in FAL_KEY)"
        )


def _check_characters(text: str) -> None:
    odd = not text.isascii() or not text.isprintable() or " " in text or any(c in text for c in _QUOTES)
    if odd or not text:
        raise ConfigurationError(
            f"the fal key is empty or has characters that are not allowed in a key: {_FORM}"
        )
