"""Who may call: the account's key, a CLI login's tokens, an account without money (protocol 1.2, 9.4)."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from fal_async.emulator.wire.answers import Answer, balance_exhausted, json_answer, unauthorized

PAID = frozenset({"run", "submit", "stream", "realtime", "websocket"})


class Keyring:
    """`require=False` lets everybody in. A key or token that is given is checked, on public endpoints too."""

    def __init__(self, key: str, *, require: bool) -> None:
        self.key: str = _checked(key)
        self.require: bool = require
        self._locked: frozenset[str] | bool = False
        self._logins: dict[str, float] = {}
        self._tokens: dict[str, float] = {}

    def rotate(self, key: str) -> None:
        self.key = _checked(key)

    def lock(self, *, polls: bool) -> None:
        self._locked = True if polls else PAID

    def unlock(self) -> None:
        self._locked = False

    def refusal(self, headers: Mapping[str, str], *, kind: str, public: bool, what: str) -> Answer | None:
        """None: come in."""
        given = headers.get("Authorization")
        if given is None and public:
            return None
        if self.require and given is None:
            return unauthorized(
                f"Cannot access {what}. Authentication is required to access this application."
            )
        if self.require and given is not None and (refused := self._check(given)):
            return refused
        locked = kind in self._locked if isinstance(self._locked, frozenset) else self._locked
        return balance_exhausted() if locked else None

    def _check(self, given: str) -> Answer | None:
        scheme, _, value = given.partition(" ")
        if scheme.lower() == "bearer":
            # An API key sent as Bearer fails on the token's issuer (protocol 1.2).
            known = self._tokens.get(value, 0) > time.time()
            return None if known else unauthorized("The token has expired, or its issuer is unknown")
        if scheme.lower() != "key" or ":" not in value:
            return unauthorized("Invalid Authorization header: expected the form 'Key key_id:key_secret'")
        return None if value == self.key else unauthorized("No user found for Key ID and Secret")

    def add_login(self, refresh_token: str, expires_in: float) -> None:
        self._logins[refresh_token] = expires_in

    def forget_tokens(self) -> None:
        self._tokens.clear()

    def grant(self, form: Mapping[str, Any]) -> Answer:
        """auth.fal.ai's answer to `grant_type=refresh_token`."""
        if form.get("grant_type") != "refresh_token":
            return _refused("unsupported_grant_type", "Only refresh_token is served by the emulator")
        lifetime = self._logins.get(str(form.get("refresh_token")))
        if lifetime is None:
            return _refused("invalid_grant", "Unknown or invalid refresh token.")
        token = _jwt(time.time() + lifetime)
        self._tokens[token] = time.time() + lifetime
        document = {"access_token": token, "expires_in": int(lifetime), "token_type": "Bearer"}
        return json_answer({**document, "id_token": token, "scope": "openid profile email offline_access"})


def _checked(key: str) -> str:
    if not all(key.partition(":")):
        raise ValueError("a key has the form id:secret")
    return key


def _refused(error: str, description: str) -> Answer:
    return json_answer({"error": error, "error_description": description}, 403)


def _jwt(expires_at: float) -> str:
    """The look of a JWT, with the one claim that clients read, and no real signature."""
    claims = {
        "iss": "https://auth.fal.ai/",
        "sub": "emulator|user",
        "exp": int(expires_at),
        "jti": secrets.token_hex(8),
    }
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in [*parts, b"emulator"])
