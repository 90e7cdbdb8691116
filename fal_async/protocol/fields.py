"""Single fields out of answers, read leniently: None where one is missing or is not what it should be."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


def text_in(document: Mapping[str, Any], name: str) -> str | None:
    """A str that is not empty."""
    value = document.get(name)
    return value if isinstance(value, str) and value else None


def count_in(document: Mapping[str, Any], name: str) -> int | None:
    """An int >= 0."""
    value = document.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def iso_seconds(text: Any) -> float | None:
    """An ISO time as Unix seconds; UTC where it names no time zone."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def http_seconds(text: str) -> float | None:
    """An HTTP date as Unix seconds; UTC where it names no time zone. None for what is no date."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def jwt_expiry(token: str) -> float | None:
    """`exp` of a JSON web token, Unix seconds. Nothing is verified: the signature is the server's business."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        expiry = claims["exp"]
        seconds = math.nan if isinstance(expiry, bool | str) else float(expiry)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None
    # JSON as Python reads it has NaN and Infinity, too: a token that never expires is none of theirs.
    return seconds if math.isfinite(seconds) else None
