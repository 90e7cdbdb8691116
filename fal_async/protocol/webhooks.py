"""Checks of webhook deliveries: the signed headers, the key set, the signature, the sender (protocol 8).

The fastest checks come first: headers, clock, then one hash of the body and one signature check per key. The body
is not parsed before its signature is verified.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import attrs

from fal_async.errors import ConfigurationError, ResponseDecodeError, WebhookVerificationError

TOLERANCE = 300.0
"""Seconds by which a signed timestamp may differ from the clock, either way (protocol 8.3)."""
KEPT_SECONDS = 24 * 3600.0
"""Seconds for which a key set may be cached (protocol 8.3)."""
REFRESH_SECONDS = 12 * 3600.0
"""Seconds after which a key set is renewed, so that the key host may be down for half a day without harm."""
PAUSE_SECONDS = 60.0
"""Seconds between two fetches of the key set because of an unknown signature, which anyone can send."""
MAX_KEYS = 32
"""The maximum number of keys that are used: a forged delivery takes one signature check for each key."""
KEY_SET_PATH = "/.well-known/jwks.json"
META_PATH = "/meta"

_REQUEST_ID, _USER_ID = "x-fal-webhook-request-id", "x-fal-webhook-user-id"
_TIMESTAMP, _SIGNATURE = "x-fal-webhook-timestamp", "x-fal-webhook-signature"
_FORMS = {
    # A line feed in a value could make one header appear as two lines of the signed message.
    _REQUEST_ID: re.compile(r"[^\x00-\x1f\x7f]{1,256}"),
    _USER_ID: re.compile(r"[^\x00-\x1f\x7f]{1,256}"),
    _TIMESTAMP: re.compile(r"[0-9]{1,12}"),
    _SIGNATURE: re.compile(r"[0-9a-fA-F]{128}"),
}
_KEY = re.compile(r"[A-Za-z0-9_-]{43}")


class HeaderItems(Protocol):
    """A mapping, or a server's own type of headers: `items()` returns pairs."""

    def items(self) -> Iterable[tuple[str, Any]]: ...


HeaderFields = HeaderItems | Iterable[tuple[str | bytes, str | bytes]]
"""A mapping, or pairs of name and value as in ASGI, which also show repeated headers.

A mapping's values may be lists of str, as some gateways pass them, and None for a missing header."""
SignatureCheck = Callable[[bytes, bytes, bytes], bool]
"""`(public key, signature, message)`: returns whether the Ed25519 signature is valid."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@attrs.frozen(kw_only=True)
class SignedHeaders:
    """The four headers of a delivery, well-formed but not yet verified."""

    request_id: str
    user_id: str
    timestamp: int
    signature: bytes = attrs.field(repr=False)


def read_headers(headers: HeaderFields) -> SignedHeaders:
    """Read the four headers, whose names may be in any case.

    Raises WebhookVerificationError if one is missing, repeated or malformed, and ConfigurationError if `headers` is
    neither a mapping nor pairs.
    """
    found: dict[str, str] = {}
    for name, value in _pairs(headers):
        key = _text(name).lower()
        values = value if isinstance(value, list | tuple) else () if value is None else (value,)
        if key not in _FORMS or not values:
            continue
        if key in found or len(values) > 1:
            raise WebhookVerificationError(f"the header {key} is repeated")
        found[key] = _text(values[0])
    for key, form in _FORMS.items():
        if key not in found:
            raise WebhookVerificationError(f"the header {key} is missing")
        if not form.fullmatch(found[key]):
            raise WebhookVerificationError(f"the header {key} is malformed")
    return SignedHeaders(
        request_id=found[_REQUEST_ID],
        user_id=found[_USER_ID],
        timestamp=int(found[_TIMESTAMP]),
        signature=bytes.fromhex(found[_SIGNATURE]),
    )


def _pairs(headers: Any) -> Iterable[tuple[Any, Any]]:
    try:
        pairs = headers.items() if callable(getattr(headers, "items", None)) else headers
        return [(name, value) for name, value in pairs]
    except Exception:  # `headers` may be any object, which may raise anything
        raise ConfigurationError(
            f"headers is of type {type(headers).__name__}: expected a mapping, or pairs of names and values"
        ) from None


def check_time(signed: SignedHeaders, now: float, tolerance: float = TOLERANCE) -> None:
    """Raise WebhookVerificationError if the timestamp is over `tolerance` seconds from `now` (protocol 8.3)."""
    off = signed.timestamp - now
    if abs(off) > tolerance:
        side = "in the future" if off > 0 else "old"
        raise WebhookVerificationError(
            f"the signature is {abs(off):.0f} s {side}: at most {tolerance:g} s are allowed; check the clock"
        )


def message_of(signed: SignedHeaders, body: bytes) -> bytes:
    """Return the signed message: four lines, no final line feed, the body as its SHA-256 in hex (protocol 8.3)."""
    digest = hashlib.sha256(body).hexdigest()
    # "surrogatepass" prevents an exception. No valid signature exists for text with lone surrogates.
    lines = (signed.request_id, signed.user_id, str(signed.timestamp), digest)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def is_signed(message: bytes, signature: bytes, keys: Sequence[bytes], check: SignatureCheck) -> bool:
    """Return whether one of the keys made the signature: "try every key" (protocol 8.3)."""
    return any(check(key, signature, message) for key in keys)


def parse_key_set(body: bytes) -> tuple[bytes, ...]:
    """Return the Ed25519 keys of a JWKS, 32 bytes each. Other entries are ignored.

    Raises ResponseDecodeError if it is not a key set or has no such key, so that a cached set is used instead.
    """
    document = _decoded(body, "the key set")
    entries = document.get("keys")
    usable = [_public_key(entry) for entry in entries] if isinstance(entries, list) else []
    keys = tuple(dict.fromkeys(key for key in usable if key is not None))
    if not keys:
        raise ResponseDecodeError("the key set has no Ed25519 key", paths=["required field missing @ $.keys"])
    return keys[:MAX_KEYS]


def _public_key(entry: Any) -> bytes | None:
    if not isinstance(entry, dict) or (entry.get("kty"), entry.get("crv")) != ("OKP", "Ed25519"):
        return None
    # Otherwise the key is declared to be for another purpose.
    if entry.get("use", "sig") != "sig" or entry.get("alg", "EdDSA") not in ("EdDSA", "Ed25519"):
        return None
    text = entry.get("x")
    if not isinstance(text, str) or not _KEY.fullmatch(text.rstrip("=")):
        return None
    try:
        return base64.urlsafe_b64decode(text.rstrip("=") + "=")
    except binascii.Error:
        return None


class Refresh(enum.Enum):
    """Whether new values must be fetched before cached ones are used."""

    NO = "no"
    WANTED = "wanted"
    """Fetch new values. If that fails, the cached values are still valid."""
    NEEDED = "needed"
    """Fetch new values. If that fails, no valid values exist."""


def refresh_of(fetched_at: float | None, tried_at: float | None, now: float) -> Refresh:
    """Return whether a new key set must be fetched before the cached one is used.

    Times are seconds of one clock; None means never. If the clock was set back, the cache counts as expired.
    """
    if fetched_at is None or not 0 <= now - fetched_at < KEPT_SECONDS:
        return Refresh.NEEDED
    if now - fetched_at >= REFRESH_SECONDS and may_try_again(tried_at, now):
        return Refresh.WANTED
    return Refresh.NO


def may_try_again(tried_at: float | None, now: float) -> bool:
    """Return whether a minute has passed since the last fetch that a signature by an unknown key caused."""
    return tried_at is None or not 0 <= now - tried_at < PAUSE_SECONDS


def parse_sender_ranges(body: bytes) -> tuple[Network, ...]:
    """Return `webhook_ip_ranges` of `GET /v1/meta` (protocol 8.2). Raise ResponseDecodeError without any."""
    entries = _decoded(body, "the response of /v1/meta").get("webhook_ip_ranges")
    networks = []
    for entry in entries if isinstance(entries, list) else []:
        try:
            networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            continue
    if not networks:
        raise ResponseDecodeError(
            "the response of /v1/meta has no webhook addresses",
            paths=["required field missing @ $.webhook_ip_ranges"],
        )
    return tuple(networks)


def is_sender(address: str, ranges: Iterable[Network]) -> bool:
    """Return whether fal sends deliveries from this address. An IPv4 address may be in its IPv6 form."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in network for network in ranges)


def _decoded(body: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(
            body
        )  # the caller's own function may have returned it, so it may be of any type
    except (ValueError, TypeError, RecursionError) as error:
        raise ResponseDecodeError(f"{what} is not JSON") from error
    if not isinstance(document, dict):
        raise ResponseDecodeError(f"{what} is not a JSON object")
    return document


def _text(value: Any) -> str:
    """Return a header's name or value as str; "", which no check accepts, for other types."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("latin-1")
    return value if isinstance(value, str) else ""
