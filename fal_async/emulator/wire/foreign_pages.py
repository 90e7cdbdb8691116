"""Recognises requests that come from a page of another origin: pure.

A page that a developer happens to visit must not change keys, drop connections, or read recorded requests.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

_OWN_SITES = frozenset({"same-origin", "none"})
"""`Sec-Fetch-Site` of the emulator's own pages, and of a URL that the user typed."""
_FORM_TYPES = frozenset({"text/plain", "multipart/form-data"})
"""Content types that a page's form can send without a preflight, and that can carry JSON.

The third type of forms, which `curl -d` sends, is allowed: a form can't put JSON into it.
"""
_PRIVATE_DOMAINS = ("localhost", "localdomain", "internal", "local", "test", "lan", "home.arpa")
"""Nobody can register a name in these domains and let it point to this machine (RFC 6761, 6762, 8375, ICANN)."""


def foreign_page(headers: Mapping[str, str]) -> str | None:
    """Return why a request may come from a page of another origin; None if it does not."""
    host = headers.get("Host", "")
    if headers.get("Sec-Fetch-Site", "none").strip().lower() not in _OWN_SITES:
        return "the request comes from a page of another origin"
    origin = headers.get("Origin")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        return "the request comes from a page of another origin"
    if not _is_private(host):
        return "this host name may be a foreign page's: use an IP address, localhost, or a name without a dot"
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() in _FORM_TYPES:
        return "the content type is that of a form: send application/json"
    return None


def _is_private(host: str) -> bool:
    """Return whether a host name is safe from DNS rebinding: no one else can let it point to this machine."""
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    name = name.rstrip(".").lower()
    if "." not in name or any(name.endswith(f".{domain}") for domain in _PRIVATE_DOMAINS):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
