"""The options of a call, from its headers and query (protocol 3.1, 4.1): pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import attrs

from fal_async.emulator.storage.lifecycle import HEADERS as LIFECYCLE_HEADERS
from fal_async.emulator.storage.lifecycle import Lifecycle, lifecycle_of

MAX_EXTRA_ATTEMPTS = 9
"""fal makes up to 10 attempts in total (protocol 4.7)."""
_TAG_KEY, _TAG_VALUE = re.compile(r"[a-z0-9._-]{1,64}"), re.compile(r"[ -+\--~]{0,256}")
_MOST_TAGS, _TAGS_SIZE = 10, 1024
"""How many tags a request has, and the characters of their keys and values together (3.7)."""
_YES = frozenset({"1", "true", "yes"})
_NO = frozenset({"0", "false", "no"})


class BadOption(ValueError):
    """A header or query value that fal answers with 400 `bad_request`."""


@attrs.frozen(kw_only=True)
class CallOptions:
    """The options of a call, as the emulator read them from headers and query (protocol 3.1, 4.1).

    Attributes:
        start_timeout: seconds after arrival within which the request must be started. None (default): no limit.
        low_priority: whether requests of normal priority are started first; default False.
        extra_attempts: how often fal may retry the request after a server error; default 9.
        max_queue_length: the request is refused if more requests than this are waiting. None (default): no limit.
        store_io: whether the request history shows input and output; default True.
        hint: the runner hint. None (default): the caller gave none.
        webhook_url: receiver of the webhook. None (default): no webhook.
        lifecycle: lifecycle of the files that the request produces. None (default): the caller gave none.
        tags: the tags of the request, by key, for reports (protocol 3.7); default none.
    """

    start_timeout: float | None = None
    low_priority: bool = False
    extra_attempts: int = MAX_EXTRA_ATTEMPTS
    max_queue_length: int | None = None
    store_io: bool = True
    hint: str | None = None
    webhook_url: str | None = None
    lifecycle: Lifecycle | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict)


_NO_OPTIONS = CallOptions()


def parse_options(headers: Mapping[str, str], query: Mapping[str, str]) -> CallOptions:
    """Read the options; `headers` must ignore the case of names. Raise `BadOption` for a bad value."""
    # Most calls have no option. They share one value, since each job keeps its own.
    if not query and not any(name[:6].lower() == "x-fal-" for name in headers):
        return _NO_OPTIONS
    options = _parsed(headers, query)
    return _NO_OPTIONS if options == _NO_OPTIONS else options


def _parsed(headers: Mapping[str, str], query: Mapping[str, str]) -> CallOptions:
    return CallOptions(
        start_timeout=_start_timeout(headers),
        # "can only lower; unknown values ignored" (3.1)
        low_priority=headers.get("X-Fal-Queue-Priority", "").strip().lower() == "low",
        extra_attempts=_extra_attempts(headers),
        max_queue_length=_max_queue_length(query),
        store_io=headers.get("X-Fal-Store-IO", "").strip().lower() not in _NO,
        hint=headers.get("X-Fal-Runner-Hint"),
        webhook_url=query.get("fal_webhook"),
        lifecycle=_lifecycle(headers),
        tags=_tags(headers.get("X-Fal-Tags", "")),
    )


def _lifecycle(headers: Mapping[str, str]) -> Lifecycle | None:
    try:
        return lifecycle_of(headers) if any(name in headers for name in LIFECYCLE_HEADERS) else None
    except ValueError as error:
        raise BadOption(str(error)) from error


def _tags(header: str) -> dict[str, str]:
    """Return the tags; wrong ones are dropped one by one, and the last of several with a key wins (3.7)."""
    tags: dict[str, str] = {}
    count = size = 0
    for pair in header.split(","):
        key, equals, value = pair.partition("=")
        key, value = key.strip().lower(), value.strip()
        if (
            not equals
            or key.startswith("fal.")
            or not (_TAG_KEY.fullmatch(key) and _TAG_VALUE.fullmatch(value))
        ):
            continue
        count, size = count + 1, size + len(key) + len(value)
        if count <= _MOST_TAGS and size <= _TAGS_SIZE:
            tags[key] = value
    return tags


def _start_timeout(headers: Mapping[str, str]) -> float | None:
    """Return the limit; the newer header wins if both are sent, and 0.1 s or less is a 400 (3.1)."""
    for name in ("X-Fal-Request-Start-Timeout", "X-Fal-Request-Timeout"):
        text = headers.get(name)
        if text is not None:
            return _seconds(name, text)
    return None


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError as error:
        raise BadOption(f"Invalid {name} header: {text!r} is not a number of seconds") from error
    if not math.isfinite(seconds) or seconds <= 0.1:
        raise BadOption(f"Invalid {name} header: {text!r} must be greater than 0.1 seconds")
    return seconds


def _extra_attempts(headers: Mapping[str, str]) -> int:
    """Return how often to retry; no-retry wins over the retry configuration (3.1)."""
    if headers.get("X-Fal-No-Retry", "").strip().lower() in _YES:
        return 0
    wanted = _retry_config(headers.get("X-Fal-Retry-Config")).get("server_error")
    retries = wanted.get("retries") if isinstance(wanted, dict) else None
    if isinstance(retries, int) and retries >= 0:
        return min(retries, MAX_EXTRA_ATTEMPTS)
    return MAX_EXTRA_ATTEMPTS


def _retry_config(text: str | None) -> dict[str, Any]:
    """Return the configuration; fal ignores invalid JSON silently (3.1)."""
    if text is None:
        return {}
    try:
        config = json.loads(text)
    except ValueError:
        return {}
    return config if isinstance(config, dict) else {}


def _max_queue_length(query: Mapping[str, str]) -> int | None:
    text = query.get("fal_max_queue_length")
    if text is None:
        return None
    if not text.isdecimal():
        raise BadOption(f"Invalid fal_max_queue_length: {text!r} is not a whole number")
    return int(text)
