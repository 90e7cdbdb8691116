"""What `/_emulator` shows of foreign data: no secrets, and not more than a person reads. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from fal_async.emulator.wire.answers import Answer

HIDDEN = "***"
_SECRET_NAMES = re.compile(
    r"authorization|cookie|token|secret|signature|password|identity|api-?key|jwt", re.I
)
_KEY = re.compile(rb"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}):[0-9a-f]{32,}", re.I)
"""A real key of fal (protocol 1.2), wherever it stands."""
_CUT = 20_000
"""Characters of one text that are shown."""
_MEMBERS = 1000
"""How many members of a list or an object are shown."""
_SUMMARY = 160


def masked(answer: Answer) -> Answer:
    """Return the answer without the secrets of fal's keys."""
    return Answer(answer.status, answer.headers, _KEY.sub(rb"\1:***", answer.body))


def masked_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Return headers or a query without values that let their readers in."""
    return {name: _masked_value(name, value) for name, value in fields.items()}


def _masked_value(name: str, value: str) -> str:
    if not _SECRET_NAMES.search(name):
        return value
    scheme, space, rest = value.partition(" ")
    if not space:
        return HIDDEN
    key_id, colon, _ = rest.partition(":")
    return f"{scheme} {key_id}:{HIDDEN}" if colon and scheme.lower() == "key" else f"{scheme} {HIDDEN}"


def masked_url(url: str) -> str:
    """Return a URL without its password, and without the values of its query."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        query = urlencode([(name, HIDDEN) for name, _ in parse_qsl(parts.query)], safe="*")
        return urlunsplit((parts.scheme, host, parts.path, query, ""))
    except ValueError:
        return HIDDEN


def shortened(value: Any, limit: int = _CUT) -> Any:
    """Return a JSON value with long texts and long lists cut, such as those of data URIs."""
    if isinstance(value, str):
        return value if len(value) <= limit else f"{value[:limit]}… ({len(value)} characters)"
    if isinstance(value, Mapping):
        return {str(name): shortened(one, limit) for name, one in list(value.items())[:_MEMBERS]}
    if isinstance(value, list | tuple):
        return [shortened(one, limit) for one in value[:_MEMBERS]]
    return value


def summary(input: Any) -> str:
    """Return one line about an input: its prompt or text, or the start of its JSON."""
    said = [input.get(name) for name in ("prompt", "text")] if isinstance(input, Mapping) else []
    text = next((one for one in said if isinstance(one, str) and one), None) or _json(input)
    return " ".join(text[: 2 * _SUMMARY].split())[:_SUMMARY]


def _json(input: Any) -> str:
    if input in (None, {}, []):
        return ""
    if isinstance(input, Mapping):
        input = dict(list(input.items())[:20])
    try:
        return json.dumps(shortened(input, 80), ensure_ascii=False)
    except (TypeError, ValueError):  # an application may take what is not JSON
        return ""
