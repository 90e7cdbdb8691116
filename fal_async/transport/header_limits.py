"""The limits of response headers. They are far above aiohttp's, because a response may have been paid for."""

from __future__ import annotations

import inspect
from typing import Any

import aiohttp

_MAX_LINE = 64 * 1024
"""The longest header, in bytes, as in browsers. aiohttp's default is 8,190."""
_MAX_HEADERS = 1024
"""The most headers of one response. aiohttp's default is 128 since version 3.14; earlier versions have no limit."""
LIMITS_IN_WORDS = f"expected lines of at most {_MAX_LINE} bytes, at most {_MAX_HEADERS} of them"

HEADER_LIMITS: dict[str, Any] = {"max_line_size": _MAX_LINE, "max_field_size": _MAX_LINE}
if "max_headers" in inspect.signature(aiohttp.ClientSession).parameters:
    HEADER_LIMITS["max_headers"] = _MAX_HEADERS


def are_headers_too_large(error: aiohttp.ClientResponseError) -> bool:
    """Return whether the headers exceed a limit. Only the message of aiohttp's error shows this."""
    return error.message.startswith(("Got more than", "Too many headers"))
