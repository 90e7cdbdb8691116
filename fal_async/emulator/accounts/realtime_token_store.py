"""The realtime tokens that were issued, and what each of them allows (protocol 6.2)."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from typing import Any

import attrs

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.timing.clock import Clock
from fal_async.emulator.wire.routing import app_id


@attrs.frozen
class Grant:
    """What a token allows, until a time in seconds since the epoch."""

    account: Account
    apps: frozenset[str]
    expires_at: float


class RealtimeTokenStore:
    """The tokens that were issued, with the apps that each of them allows.

    A token of `/tokens/` names aliases (apps without their owner); a token of `/tokens/realtime` names whole ids
    with their path.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.grants: dict[str, Grant] = {}

    def give(self, account: Account, apps: list[str], seconds: float) -> str:
        expires_at = self._clock.now() + seconds
        token = _jwt(apps, self._clock.on_the_machine(expires_at))
        self.grants[token] = Grant(account, frozenset(apps), expires_at)
        return token

    def holder(self, token: str, endpoint_id: str, path: str) -> Account | None:
        """Return the token's account, or None if the token is unknown, expired, or for another app."""
        grant = self.grants.get(token)
        if grant is None or grant.expires_at <= self._clock.now():
            return None
        alias = app_id(endpoint_id).rpartition("/")[2]
        return grant.account if grant.apps & {alias, path} else None

    def valid(self) -> list[tuple[str, float]]:
        """Return the account's nickname, and the end in seconds since the epoch, of each valid token."""
        now = self._clock.now()
        return [
            (grant.account.nickname, grant.expires_at)
            for grant in self.grants.values()
            if grant.expires_at > now
        ]

    def revoke(self, account: Account | None = None) -> None:
        """Refuse the tokens issued so far: those of one account, or for None all."""
        self.grants = {
            token: grant for token, grant in self.grants.items() if account not in (None, grant.account)
        }


def _jwt(apps: list[str], expires_at: float) -> str:
    """Return a token in the form of a JWT, with the claim that clients read, and no real signature."""
    claims: Mapping[str, Any] = {
        "iss": "fal.ai",
        "allowed_apps": apps,
        "exp": int(expires_at),
        "jti": secrets.token_hex(8),
    }
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in [*parts, b"emulator"])
