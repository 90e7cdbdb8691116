"""Which headers a server-side proxy forwards, in either direction (protocol 10)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from fal_async.protocol.proxy.rules import TARGET_HEADER, ProxyRules, Refusal

FORWARDED = frozenset(
    {
        "accept",
        "content-type",
        "x-fal-request-start-timeout",
        "x-fal-request-timeout",
        "x-fal-runner-hint",
        "x-fal-queue-priority",
        "x-fal-no-retry",
        "x-fal-store-io",
        "x-fal-object-lifecycle",
        "x-fal-object-lifecycle-preference",
        "x-app-fal-disable-fallback",
    }
)
"""Request headers that a caller may set (protocol 3.1). Billing tags are not among them: the server sets them."""
RETURNED = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-type",
        "retry-after",
        "x-fal-billable-units",
        "x-fal-error-type",
        "x-fal-needs-retry",
        "x-fal-request-id",
        "x-fal-request-timeout-type",
        "x-fal-retryable",
        "x-fal-runner-hints",
    }
)
"""Response headers that are sent to the caller (protocol 3.2): no cookie, no location and no CDN token."""
_VALUE = re.compile(r"[\t\x20-\x7e]*")


def target_values(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """Return the values of all target headers."""
    return [value.decode("latin-1") for name, value in headers if _name(name) == TARGET_HEADER]


def forwarded_headers(headers: Iterable[tuple[bytes, bytes]], rules: ProxyRules) -> dict[str, str]:
    """Return the headers to forward, with names in lower case. Raise Refusal if one is repeated or malformed."""
    passed: dict[str, str] = {}
    for name, value in headers:
        key = _name(name)
        if key not in FORWARDED and key not in rules.headers:
            continue
        text = value.decode("latin-1")
        if key in passed or not _VALUE.fullmatch(text):
            raise Refusal(400, f"the header {key} is repeated or malformed")
        passed[key] = text
    return passed


def returned_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the response headers that are sent to the caller. `headers`: with names in lower case."""
    return {name: value for name, value in headers.items() if name in RETURNED}


def check_length(headers: Sequence[tuple[bytes, bytes]], rules: ProxyRules) -> int | None:
    """Return the declared length in bytes; None for a chunked body. Raise Refusal if it is invalid or too large."""
    values = [value for name, value in headers if _name(name) == "content-length"]
    if not values:
        return None
    if any(_name(name) == "transfer-encoding" for name, _ in headers):
        # fal must read the same body as the proxy, which depends on one of the two (RFC 9112, 6.3).
        raise Refusal(400, "the request has both content-length and transfer-encoding")
    if len(values) > 1 or not re.fullmatch(rb"[0-9]{1,18}", values[0]):
        raise Refusal(400, "the content-length is malformed")
    if int(values[0]) > rules.max_body:
        raise too_large(rules.max_body)
    return int(values[0])


def too_large(limit: int) -> Refusal:
    return Refusal(413, f"the body is larger than {limit} bytes")


def _name(name: bytes) -> str:
    return name.decode("latin-1").lower()
