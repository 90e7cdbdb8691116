"""Lenient readers of single fields of a response: each returns None if the field is missing or malformed."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


def text_in(document: Mapping[str, Any], name: str) -> str | None:
    """Return a non-empty str."""
    value = document.get(name)
    return value if isinstance(value, str) and value else None


def count_in(document: Mapping[str, Any], name: str) -> int | None:
    """Return an int >= 0."""
    value = document.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def iso_seconds(text: Any) -> float | None:
    """Return an ISO time as Unix seconds. Without a time zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def http_seconds(text: str) -> float | None:
    """Return an HTTP date as Unix seconds. Without a time zone it is UTC."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def jwt_expiry(token: str) -> float | None:
    """Return `exp` of a JSON web token, in Unix seconds. Only the server verifies the signature."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        expiry = claims["exp"]
        seconds = math.nan if isinstance(expiry, bool | str) else float(expiry)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None
    # Python's JSON decoder accepts NaN and Infinity, which are not times.
    return seconds if math.isfinite(seconds) else None
