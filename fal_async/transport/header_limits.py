"""How large the headers of an answer may be: far more than aiohttp grants, since an answer may be paid for."""

from __future__ import annotations

import inspect
from typing import Any

import aiohttp

_MAX_LINE = 64 * 1024
"""Bytes of one header; a browser takes as much. aiohttp grants 8,190."""
_MAX_HEADERS = 1024
"""Of one answer. aiohttp grants 128, from 3.14 on; before, it counts none."""
LIMITS_IN_WORDS = f"expected lines of at most {_MAX_LINE} bytes, at most {_MAX_HEADERS} of them"

HEADER_LIMITS: dict[str, Any] = {"max_line_size": _MAX_LINE, "max_field_size": _MAX_LINE}
if "max_headers" in inspect.signature(aiohttp.ClientSession).parameters:
    HEADER_LIMITS["max_headers"] = _MAX_HEADERS


def are_headers_too_large(error: aiohttp.ClientResponseError) -> bool:
    """aiohttp tells this from other nonsense by its words alone."""
    return error.message.startswith(("Got more than", "Too many headers"))
