"""Whether a page of another origin makes this request: pure. A page that a developer happens to visit must not
change keys, drop connections, or read recorded requests."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

_OWN_SITES = frozenset({"same-origin", "none"})
"""`Sec-Fetch-Site` of the emulator's own pages, and of a URL that somebody typed."""
_FORM_TYPES = frozenset({"text/plain", "multipart/form-data"})
"""What a form sends without asking first. The third, which `curl -d` sends as well, can't spell JSON in a form."""
_PRIVATE_DOMAINS = ("localhost", "localdomain", "internal", "local", "test", "lan", "home.arpa")
"""Nobody can register a name in these, and point it at this machine (RFC 6761, 6762, 8375, ICANN)."""


def foreign_page(headers: Mapping[str, str]) -> str | None:
    """What is wrong with the request; None: no foreign page made it."""
    host = headers.get("Host", "")
    if headers.get("Sec-Fetch-Site", "none").strip().lower() not in _OWN_SITES:
        return "a page of another origin asks"
    origin = headers.get("Origin")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        return "a page of another origin asks"
    if not _is_private(host):
        return "call it by its address, as localhost, or by a name without a dot: this one may be a foreign page's"
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() in _FORM_TYPES:
        return "the body is a form's: send it as application/json"
    return None


def _is_private(host: str) -> bool:
    """No name that somebody else's DNS may point at this machine, as the page of such a name can ("rebinding")."""
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    name = name.rstrip(".").lower()
    if "." not in name or any(name.endswith(f".{domain}") for domain in _PRIVATE_DOMAINS):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
