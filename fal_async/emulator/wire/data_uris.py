"""Data URIs: files within a text, in inputs and in results that are returned inline (protocol 13)."""

from __future__ import annotations

import base64
from urllib.parse import unquote, unquote_to_bytes


def data_uri(data: bytes, content_type: str) -> str:
    return f"data:{content_type};base64,{base64.b64encode(data).decode()}"


def is_data_uri(url: str) -> bool:
    return url[:5].lower() == "data:"


def data_of(uri: str) -> bytes:
    """Return the bytes of a data URI, whose base64 may be percent-encoded. ValueError if it is malformed."""
    head, comma, data = uri.partition(",")
    if not comma:
        raise ValueError("a data URI has a comma before its data")
    if not head.lower().endswith(";base64"):
        return unquote_to_bytes(data)
    return base64.b64decode(unquote(data), validate=True)
