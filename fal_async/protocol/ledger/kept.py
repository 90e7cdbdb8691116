"""The parts of a response and of an input that the ledger stores."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fal_async.protocol.amounts import BILLABLE_UNITS
from fal_async.protocol.http import JSON_TYPE, REQUEST_ID
from fal_async.protocol.json_input import encode_json, input_value
from fal_async.protocol.ledger.digests import FileDigest
from fal_async.protocol.ledger.entry import Payload
from fal_async.protocol.storage.input_files import replace_files
from fal_async.protocol.storage.media import parse_data_uri

KEPT: frozenset[str] = frozenset(
    {
        *(REQUEST_ID, BILLABLE_UNITS, "content-type", "retry-after"),
        *("x-fal-error-type", "x-fal-needs-retry", "x-fal-retryable", "x-fal-request-timeout-type"),
    }
)
"""Headers that are stored (protocol 3.2). `x-fal-cdn-token` is not, because it gives access to restricted files."""
_LONGEST_HEADER = 1000
_DATA = r"(?i)\bdata:(?:[\w.+-]+/[\w.+-]+(?:;[^,\s]{0,200})?|;base64),"
_DATA_WITHIN = rf"{_DATA}[^\s\"'<>()]*"


def kept_headers(headers: Any) -> dict[str, str]:
    """Return the response headers to store, with their names in lower case; none if `headers` is not a mapping."""
    found = headers.items() if isinstance(headers, Mapping) else ()
    return {
        name: value
        for name, value in found
        if name in KEPT and isinstance(value, str) and len(value) <= _LONGEST_HEADER
    }


def kept_input(value: Any, files: Sequence[FileDigest] = ()) -> Payload:
    """Return an input as the ledger stores it, to be read by people.

    It is JSON, with the content type and SHA-256 in place of each file and `data:` URI. `files`: as for
    `digests.input_digest`. Raises ConfigurationError if JSON can't represent the input.
    """
    digests = iter(files)
    document = replace_files(input_value(value), lambda _: _file_text(next(digests)))
    body = encode_json(document)
    if b"data:" in body.lower():
        body = encode_json(_without_data(json.loads(body)))
    return Payload(content_type=JSON_TYPE, body=body)


def _file_text(file: FileDigest) -> str:
    return f"file:{file.content_type};sha256={file.sha256}"


def _without_data(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_data(item) for item in value]
    if not isinstance(value, str):
        return value
    # If the whole str is a data URI, it may contain spaces. Within a longer text, a data URI ends at a space.
    return _data_text(value) if re.match(_DATA, value) else re.sub(_DATA_WITHIN, _data_within, value)


def _data_within(found: re.Match[str]) -> str:
    return _data_text(found[0])


def _data_text(uri: str) -> str:
    """Return `data:image/png;size=1234;sha256=...` of the URI's bytes, or of its text if it can't be decoded."""
    try:
        data, content_type = parse_data_uri(uri)
    except ValueError:
        data, content_type = uri.encode(), uri[5:].partition(",")[0]
    return f"data:{content_type};size={len(data)};sha256={hashlib.sha256(data).hexdigest()}"
