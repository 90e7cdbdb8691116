"""Removal of secrets from everything that is written into a folder of recordings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

REDACTED = "REDACTED"
KEPT_HEADERS = frozenset(
    {
        "content-type",
        "retry-after",
        "x-fal-billable-units",
        "x-fal-error-type",
        "x-fal-needs-retry",
        "x-fal-request-timeout-type",
        "x-fal-retryable",
        "x-fal-runner-hints",
        "x-fal-served-from",
    }
)
"""The headers of answers that are recorded. All others are left out, so that no token or cookie is ever written."""
_URL = re.compile(r"(?i)\b(?:https?|wss?)://[^\s\"'<>\\^`{|}]+")
_USER = re.compile(r"(?<=://)[^/?#@]*@")
_SECRET_QUERY = re.compile(
    r"(?i)(?<=[?&;])((?:fal_jwt_token|identity|jwt|sig|signature|token|[\w-]*[_-]token|[\w-]*api[_-]?key|key|"
    r"password|secret|[\w-]*[_-]secret|auth|authorization|credential|googleaccessid|awsaccesskeyid|"
    r"key-pair-id|policy|x-(?:amz|goog)-[\w-]+)=)[^&;#]*"
)
_LONG_ENOUGH = 8
"""Characters of a key's secret part from which it is searched for without its id: a shorter one may be a word."""


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an answer that are recorded, with lower-case names in alphabetical order."""
    kept = {name.lower(): value for name, value in headers.items() if name.lower() in KEPT_HEADERS}
    return dict(sorted(kept.items()))


def without_signatures(text: str) -> str:
    """Replace tokens, signatures and passwords in the URLs within a string by "REDACTED"."""
    return _URL.sub(_cleaned, text) if "://" in text else text


def _cleaned(url: re.Match[str]) -> str:
    return _SECRET_QUERY.sub(rf"\g<1>{REDACTED}", _USER.sub(f"{REDACTED}@", url[0]))


class Redactor:
    """Replaces keys, and tokens and signatures of URLs.

    Args:
        keys: the API keys in use, in the form id:secret.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        forms = {form for key in keys if key for form in _forms(key)}
        self._secrets = sorted(forms, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return without_signatures(text)

    def value(self, value: Any) -> Any:
        """Return JSON values without secrets, also in the keys of objects."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.value(item) for key, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list | tuple) else value

    def data(self, data: bytes) -> bytes:
        """Return the bytes of a file without the keys. URLs in files are not changed."""
        for secret in self._secrets:
            data = data.replace(secret.encode(), REDACTED.encode())
        return data


def _forms(key: str) -> Iterable[str]:
    secret = key.partition(":")[2]
    yield key
    yield quote(key, safe="")
    if len(secret) >= _LONG_ENOUGH:
        yield secret
