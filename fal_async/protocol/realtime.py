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
"""How a token request names the app that may be used (protocol 6.2, 14 no. 7): "alias" is what all clients send to
`/tokens/`; "path" is what newer docs send to `/tokens/realtime`."""

DEFAULT_PATH = "/realtime"
TOKEN_SECONDS = 120
_USABLE_SHARE = 0.9
"""A token is no longer used once this share of its life has passed (protocol 6.2)."""

NORMAL = 1000
BROKEN = 1006
"""The connection ended without a close frame; this code is never sent (RFC 6455, 7.4.1)."""
NO_CODE = 1005
"""The close frame had no code; this code is never sent either."""
_LOST = frozenset({1001, NO_CODE, BROKEN, 1012, 1013, 1014})
"""Going away, no code, broken, restart, try again later, bad gateway: not caused by the client."""


def check_max_buffering(value: int | None) -> None:
    """Raise ConfigurationError unless it is an int from 1 to 60, or None (protocol 6.1)."""
    check_int("max_buffering", value, least=1, most=60, or_none=True)


# The URL.


def realtime_url(
    settings: Settings, endpoint: EndpointId, token: str | None, max_buffering: int | None
) -> str:
    """Return the URL of `endpoint`, which includes its path. It contains the token, so it must never be logged."""
    wanted = {"fal_jwt_token": token, "max_buffering": max_buffering}
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    return Secret(f"{settings.hosts.realtime}/{endpoint.full}" + (f"?{query}" if query else ""))


# Tokens.


@attrs.frozen(kw_only=True)
class Token:
    text: str = attrs.field(repr=False)
    use_until: float
    """Unix seconds at which nine tenths of its life have passed."""


def token_request(settings: Settings, endpoint: EndpointId, form: TokenForm, seconds: int) -> HttpRequest:
    """Return the request for a token that lives `seconds`.

    For "alias", "`allowed_apps` holds the alias only (second id segment), not owner/app" (protocol 6.2).
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
    """Parse a token: a JSON string, or an object with it as `token` or `detail` (protocol 6.2)."""
    document = response.json()
    if isinstance(document, Mapping):
        document = document.get("token", document.get("detail"))
    if not isinstance(document, str) or not is_token(document):
        raise ResponseDecodeError(
            "the response of the token service contains no token", request_id=response.request_id
        )
    return usable(document, now, seconds)


def is_token(text: str) -> bool:
    """Whether it is non-empty printable ASCII, because it is put into a URL."""
    return text.isascii() and text.isprintable() and text != ""


def usable(text: str, now: float, seconds: float) -> Token:
    """Return the token with its time limit. `seconds`: its requested life, used if the token has no expiry."""
    expires_at = jwt_expiry(text)
    life = seconds if expires_at is None else max(expires_at - now, 0.0)
    return Token(text=Secret(text), use_until=now + _USABLE_SHARE * life)


# Frames (the table of protocol 6.3).


@attrs.frozen
class Timings:
    seconds: float


@attrs.frozen
class Ended:
    """TIMEOUT: the session was idle or has finished, a normal end."""

    reason: str


@attrs.frozen
class Failed:
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
    """Return the meaning of a decoded frame; None for a message. Error objects count in binary frames, too."""
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
    """Decode a text frame: a control frame, a JSON value as message, or text that is not JSON as it is."""
    try:
        value = decode_json(text)
    except ValueError:
        return None, text
    return control_of(value), value


def may_be_control(text: str) -> bool:
    """Whether a text frame may be a control frame: a quick check for callers with their own decoder."""
    return '"x-fal-' in text or '"Unauthorized"' in text


# Closing.


class Disconnected(Exception):
    """Raised when a WebSocket is closed, cleanly or not."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code: int = code
        self.reason: str = reason


def is_normal(code: int) -> bool:
    return code == NORMAL


def is_lost(code: int) -> bool:
    """Whether reconnecting may help. Other codes are a refusal, which would be repeated."""
    return code in _LOST


def close_words(code: int, reason: str, what: str = "realtime connection") -> str:
    how = "broke" if code == BROKEN else f"was closed with code {code}"
    return f"the {what} {how}" + (f": {reason}" if reason else "")
