"""Realtime: URLs, tokens, and what frames and close codes mean (protocol 6). No sockets, no clock."""

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
"""Who may come in with a token is named in two ways (protocol 6.2, 14 no. 7): "alias" is what all clients
send to `/tokens/`; "path" is what newer docs send to `/tokens/realtime`."""

DEFAULT_PATH = "/realtime"
TOKEN_SECONDS = 120
_USABLE_SHARE = 0.9
"""A token is not used any more when this much of its life has passed (protocol 6.2)."""

NORMAL = 1000
BROKEN = 1006
"""Never sent: what the end of a connection without a close frame is called (RFC 6455, 7.4.1)."""
NO_CODE = 1005
"""Nor is this: a close frame without a code."""
_LOST = frozenset({1001, NO_CODE, BROKEN, 1012, 1013, 1014})
"""Going away, no code, just broken, restart, try again later, bad gateway: nothing that we did."""


def check_max_buffering(value: int | None) -> None:
    """1 to 60, or None (protocol 6.1)."""
    check_int("max_buffering", value, least=1, most=60, or_none=True)


# Where to.


def realtime_url(
    settings: Settings, endpoint: EndpointId, token: str | None, max_buffering: int | None
) -> str:
    """`endpoint` with its path. The token is in the query: this URL belongs into no log."""
    wanted = {"fal_jwt_token": token, "max_buffering": max_buffering}
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    return Secret(f"{settings.hosts.realtime}/{endpoint.full}" + (f"?{query}" if query else ""))


# Tokens.


@attrs.frozen(kw_only=True)
class Token:
    text: str = attrs.field(repr=False)
    use_until: float
    """Seconds since the epoch: nine tenths of its life."""


def token_request(settings: Settings, endpoint: EndpointId, form: TokenForm, seconds: int) -> HttpRequest:
    """ "`allowed_apps` holds the alias only (second id segment), not owner/app" (protocol 6.2)."""
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
    """A JSON string, or a `token` or `detail` around it (protocol 6.2)."""
    document = response.json()
    if isinstance(document, Mapping):
        document = document.get("token", document.get("detail"))
    if not isinstance(document, str) or not is_token(document):
        raise ResponseDecodeError(
            "the token service did not answer with a token", request_id=response.request_id
        )
    return usable(document, now, seconds)


def is_token(text: str) -> bool:
    """It stands in a URL."""
    return text.isascii() and text.isprintable() and text != ""


def usable(text: str, now: float, seconds: float) -> Token:
    """`seconds` is the life that was asked for: it counts where the token itself does not tell."""
    expires_at = jwt_expiry(text)
    life = seconds if expires_at is None else max(expires_at - now, 0.0)
    return Token(text=Secret(text), use_until=now + _USABLE_SHARE * life)


# Frames (the table of protocol 6.3).


@attrs.frozen
class Timings:
    seconds: float


@attrs.frozen
class Ended:
    """TIMEOUT: the session is idle or finished; a normal end."""

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
    """What a decoded frame means; None: it is a message. Error objects count in binary frames too."""
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
    """A text frame: control, or any JSON value as a message; what is no JSON is a message as it stands."""
    try:
        value = decode_json(text)
    except ValueError:
        return None, text
    return control_of(value), value


def may_be_control(text: str) -> bool:
    """A quick look, for who decodes text frames in a way of their own."""
    return '"x-fal-' in text or '"Unauthorized"' in text


# Ends.


class Disconnected(Exception):
    """A WebSocket is closed, in order or not."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code: int = code
        self.reason: str = reason


def is_normal(code: int) -> bool:
    return code == NORMAL


def is_lost(code: int) -> bool:
    """A connection that may be made again. Other codes are a refusal: it would end the same way."""
    return code in _LOST


def close_words(code: int, reason: str, what: str = "realtime connection") -> str:
    how = "broke" if code == BROKEN else f"was closed with code {code}"
    return f"the {what} {how}" + (f": {reason}" if reason else "")
