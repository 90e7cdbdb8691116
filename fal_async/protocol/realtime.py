"""Realtime: URLs, tokens, and the meaning of frames and close codes (protocol 6). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode

import attrs

from fal_async.checks import check_int
from fal_async.config import Settings
from fal_async.errors import ConfigurationError, ResponseDecodeError, Secret
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.fields import jwt_expiry
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation, decode_json
from fal_async.protocol.json_input import encode_json
from fal_async.protocol.options import JSON_HEADERS

TokenForm = Literal["alias", "path"]
"""The form of a token request, which differs in how it names the app (protocol 6.2, 14 no. 7).

"alias": as all clients send it to `/tokens/`. "path": as newer docs of fal send it to `/tokens/realtime`."""

DEFAULT_PATH = "/realtime"
TOKEN_SECONDS = 120
_USABLE_SHARE = 0.9
"""A token is used until this share of its lifetime has passed (protocol 6.2)."""

NORMAL = 1000
BROKEN = 1006
"""The connection broke without a close frame. This code is never sent (RFC 6455, 7.4.1)."""
NO_CODE = 1005
"""The close frame had no code. This code is never sent either."""
_LOST = frozenset({1001, NO_CODE, BROKEN, 1012, 1013, 1014})
"""Going away, no code, broken, restart, try again later, bad gateway: not caused by the client."""


def check_max_buffering(value: int | None) -> None:
    """Raise ConfigurationError unless it is an int from 1 to 60, or None (protocol 6.1)."""
    check_int("max_buffering", value, least=1, most=60, or_none=True)


# The URL.


def realtime_url(
    settings: Settings, endpoint: EndpointId, token: str | None, max_buffering: int | None
) -> str:
    """Return the URL for `endpoint`. It contains the token, so it must never be logged.

    `token=None`: no token. `max_buffering=None`: fal's default.
    """
    wanted = {"fal_jwt_token": token, "max_buffering": max_buffering}
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    return Secret(f"{settings.hosts.realtime}/{endpoint.full}" + (f"?{query}" if query else ""))


# Tokens.


@attrs.frozen(kw_only=True)
class Token:
    """A realtime token."""

    text: str = attrs.field(repr=False)
    use_until: float
    """Unix seconds until which the token is used: nine tenths of its lifetime."""


def token_request(settings: Settings, endpoint: EndpointId, form: TokenForm, seconds: int) -> HttpRequest:
    """Return the HTTP request for a token that is valid for `seconds`.

    With "alias", the app is named without its owner (protocol 6.2).
    """
    if form == "alias":
        path, apps, seconds_name = "/tokens/", [endpoint.alias], "token_expiration"
    elif form == "path":
        path, apps, seconds_name = "/tokens/realtime", [endpoint.full], "duration"
    else:
        raise ConfigurationError(f"token_form={form!r}: expected 'alias' or 'path'")
    return HttpRequest(
        operation=Operation.TOKEN,
        method="POST",
        url=f"{settings.hosts.rest}{path}",
        headers=JSON_HEADERS,
        body=encode_json({"allowed_apps": apps, seconds_name: seconds}),
        ref=endpoint.ref,
    )


def parse_token(response: HttpResponse, now: float, seconds: float) -> Token:
    """Parse a token: a JSON string, or an object with the string as `token` or `detail` (protocol 6.2)."""
    document = response.json()
    if isinstance(document, Mapping):
        document = document.get("token", document.get("detail"))
    if not isinstance(document, str) or not is_token(document):
        raise ResponseDecodeError(
            "the response of the token service contains no token", request_id=response.request_id
        )
    return usable(document, now, seconds)


def is_token(text: str) -> bool:
    """Return whether `text` is non-empty printable ASCII, as it must be in a URL."""
    return text.isascii() and text.isprintable() and text != ""


def usable(text: str, now: float, seconds: float) -> Token:
    """Return the token and until when it is used. `seconds`: its lifetime if the token does not have an expiry."""
    expires_at = jwt_expiry(text)
    life = seconds if expires_at is None else max(expires_at - now, 0.0)
    return Token(text=Secret(text), use_until=now + _USABLE_SHARE * life)


# Frames (the table of protocol 6.3).


@attrs.frozen
class Timings:
    """The run time of the model for one message, in seconds."""

    seconds: float


@attrs.frozen
class Ended:
    """TIMEOUT: fal closes the session because it was idle or has finished. This is not an error."""

    reason: str


@attrs.frozen
class Failed:
    """The session failed. `error`: fal's code, such as "INTERNAL_ERROR". `reason`: its explanation, or ""."""

    error: str
    reason: str


@attrs.frozen
class Unauthorized:
    """The token was rejected."""


@attrs.frozen
class Unknown:
    """A control frame that this version does not know."""


Control = Timings | Ended | Failed | Unauthorized | Unknown


def control_of(value: Any) -> Control | None:
    """Return the meaning of a decoded frame, text or binary; None for a message of the model."""
    if not isinstance(value, dict):
        return None
    kind = value.get("type")
    if kind == "x-fal-message":
        timing = value.get("timing")
        known = value.get("action") == "timings" and isinstance(timing, int | float)
        try:
            return Timings(float(timing)) if known and timing is not None else Unknown()
        except OverflowError:
            return Unknown()
    if kind == "x-fal-error":
        error, reason = str(value.get("error") or "unknown error"), str(value.get("reason") or "")
        return Ended(reason) if error == "TIMEOUT" else Failed(error, reason)
    if value.get("status") == "error" and value.get("error") == "Unauthorized":
        return Unauthorized()
    return None


def read_text(text: str) -> tuple[Control | None, Any]:
    """Decode a text frame. Return a control frame and its value, or None and the message.

    A message is a JSON value, or the text itself if it is not JSON.
    """
    try:
        value = decode_json(text)
    except ValueError:
        return None, text
    return control_of(value), value


def may_be_control(text: str) -> bool:
    """Return whether a text frame may be a control frame: a quick check for callers with their own decoder."""
    return '"x-fal-' in text or '"Unauthorized"' in text


# Closing.


class Disconnected(Exception):
    """Raised when a WebSocket is closed, cleanly or not."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code: int = code
        self.reason: str = reason


def is_normal(code: int) -> bool:
    """Return whether the close code means that the session was closed without an error."""
    return code == NORMAL


def is_lost(code: int) -> bool:
    """Return whether reconnecting may help. Other codes mean a refusal, which would be repeated."""
    return code in _LOST


def close_words(code: int, reason: str, what: str = "realtime connection") -> str:
    """Return the beginning of a message about a closed connection."""
    how = "broke" if code == BROKEN else f"was closed with code {code}"
    return f"the {what} {how}" + (f": {reason}" if reason else "")
