"""The options of a call as HTTP headers and query parameters (protocol 3.1, 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from fal_async.errors import ConfigurationError
from fal_async.options import NO_OPTIONS, CallOptions, clean_tags, tags_header
from fal_async.protocol.http import JSON_TYPE

JSON_HEADERS: Mapping[str, str] = {"Content-Type": JSON_TYPE, "Accept": JSON_TYPE}
_FLAGS = {True: "1", False: "0"}


def option_headers(options: CallOptions, tags: Mapping[str, str], *, queue: bool) -> dict[str, str]:
    """Return the headers of a call.

    `tags`: the tags of the session; a tag of the call with the same name takes precedence. `queue`: whether to
    include the options that only the queue has.
    """
    headers = dict(JSON_HEADERS)
    if tags or options.tags:
        # Both were checked separately, but the gateway's limits apply to all tags together.
        both = clean_tags({**tags, **options.tags}) if tags and options.tags else tags or options.tags or {}
        headers["X-Fal-Tags"] = tags_header(both)
    if options is NO_OPTIONS:
        return headers
    if options.start_timeout is not None:
        # The preferred name and its older alias, because some servers know only the alias (protocol 14, no. 4).
        seconds = _decimal(options.start_timeout)
        headers |= {"X-Fal-Request-Start-Timeout": seconds, "X-Fal-Request-Timeout": seconds}
    if options.hint is not None:
        headers["X-Fal-Runner-Hint"] = options.hint
    if options.storage is not None:
        headers["X-Fal-Object-Lifecycle-Preference"] = options.storage.header()
    if options.store_io is not None:
        headers["X-Fal-Store-IO"] = _FLAGS[options.store_io]
    if options.disable_fallback:
        headers["x-app-fal-disable-fallback"] = "1"
    if queue and options.priority is not None:
        headers["X-Fal-Queue-Priority"] = options.priority
    if queue and options.no_retry:
        headers["X-Fal-No-Retry"] = "1"
    return merged_headers(headers, options.headers) if options.headers else headers


def _decimal(number: float) -> str:
    """Format a number of any size without an exponent."""
    from decimal import Decimal  # imported here because it is rarely needed and slow to import

    return format(Decimal(str(number)), "f")


def merged_headers(headers: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return all headers. `given` takes precedence, and names are compared without regard to case."""
    names = {name.lower() for name in given}
    return {name: value for name, value in headers.items() if name.lower() not in names} | dict(given)


def submit_query(options: CallOptions, webhook_url: str | None) -> str:
    """Return `?fal_webhook=...&fal_max_queue_length=...`, or "" if neither is set (protocol 4.1)."""
    query = []
    if webhook_url is not None:
        query.append(f"fal_webhook={quote(check_webhook_url(webhook_url), safe='')}")
    if options.max_queue_length is not None:
        query.append(f"fal_max_queue_length={options.max_queue_length}")
    return "?" + "&".join(query) if query else ""


def check_webhook_url(url: str) -> str:
    """Return the URL as str. Raise ConfigurationError unless it is an http or https URL."""
    if not _is_web_url(str(url)):
        raise ConfigurationError(f"webhook_url={url!r}: expected an http or https URL that fal can reach")
    return str(url)


def _is_web_url(url: str) -> bool:
    try:
        url.encode()
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and url.isprintable()
            and " " not in url
        )
    except ValueError:  # a lone surrogate, or a malformed IPv6 address
        return False
