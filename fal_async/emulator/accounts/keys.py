"""The accounts, found by their keys and by the tokens of CLI logins (protocol 1.2)."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fal_async.emulator.accounts.account import Account, anonymous
from fal_async.emulator.accounts.api_keys import checked_key
from fal_async.emulator.accounts.credential import Credential
from fal_async.emulator.accounts.prices import amount_of
from fal_async.emulator.timing.clock import Clock
from fal_async.emulator.wire.answers import Answer, json_answer, unauthorized


class Keyring:
    """The accounts, and the check of callers.

    A key or token in a call is always checked, even for a public endpoint. With `require=False`, callers without a
    known key use the emulator's own account.
    """

    def __init__(
        self,
        key: str,
        clock: Clock,
        *,
        require: bool,
        concurrency: int | None,
        balance: Decimal | float | str | None,
    ) -> None:
        self._clock = clock
        self.require: bool = require
        self.accounts: dict[str, Account] = {}
        """The accounts by nickname; the emulator's own is the first."""
        self.main: Account = self.add(key, concurrency=concurrency)
        self.main.balance = None if balance is None else amount_of(balance, "balance")
        self.anonymous: Account = anonymous()
        self.logins: dict[str, tuple[float, Account]] = {}
        """Seconds for which an access token is valid, and the account, by refresh token."""
        self.access_tokens: dict[str, tuple[float, Account]] = {}
        """The end, in seconds since the epoch, and the account of each access token."""
        self._known: dict[str, Credential] = {}
        """The latest credential of each API key, shared by the jobs of all calls with the key."""

    def add(
        self,
        key: str,
        *,
        nickname: str | None = None,
        concurrency: int | None = None,
        is_scope: bool = False,
    ) -> Account:
        """Add an account. Raise ValueError if the key or the nickname is malformed or in use."""
        name = checked_key(key).partition(":")[0] if nickname is None else nickname
        if not name:
            raise ValueError("name='': expected at least one character, or None")
        if name in self.accounts:
            raise ValueError(f"an account with the nickname {name!r} already exists: pass another one")
        if any(other.find_key(key) for other in self.accounts.values()):
            raise ValueError("an account with this key already exists: pass another one")
        account = Account(
            nickname=name, key=key, concurrency=concurrency, is_scope=is_scope, clock=self._clock
        )
        self.accounts[name] = account
        return account

    def remove(self, account: Account) -> None:
        """Refuse all keys and tokens of an account from now on. An account that is already removed is ignored."""
        if self.accounts.get(account.nickname) is account:
            del self.accounts[account.nickname]
        self._known = {given: known for given, known in self._known.items() if known.account is not account}
        self.access_tokens = {
            token: held for token, held in self.access_tokens.items() if held[1] is not account
        }
        self.logins = {token: held for token, held in self.logins.items() if held[1] is not account}

    def named(self, nickname: str | None) -> Account:
        """Return an account, for None the emulator's own. Raise KeyError if there is no such account."""
        return self.main if nickname is None else self.accounts[nickname]

    def credential_of(self, headers: Mapping[str, str]) -> Credential:
        """Return who the caller is: `anonymous` if the call has no key or an unknown one.

        A login's token may do what its user may, so it counts as an admin key. So does no key with `require=False`.
        """
        scheme, _, value = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            until, account = self.access_tokens.get(value, (0.0, self.anonymous))
            if until > self._clock.now():
                return Credential(account=account, is_admin=True, login=True)
        if scheme.lower() == "key" and (known := self._credential_of_key(value)) is not None:
            return known
        return Credential(account=self.anonymous if self.require else self.main, is_admin=not self.require)

    def _credential_of_key(self, given: str) -> Credential | None:
        known = self._known.get(given)
        if known is not None and known.account.find_key(given) == known.key:
            return known
        for account in self.accounts.values():
            if (key := account.find_key(given)) is not None:
                found = self._known[given] = Credential(account=account, key=key, is_admin=key.is_admin)
                return found
        self._known.pop(given, None)
        return None

    def refusal(
        self, account: Account, headers: Mapping[str, str], *, kind: str, public: bool, what: str
    ) -> Answer | None:
        """Return the answer that refuses a call, or None if it is allowed; `account` is that of `credential_of`."""
        if account is not self.anonymous:
            return account.refusal(kind)
        given = headers.get("Authorization")
        if given is not None:
            return unauthorized(_reason(given))
        if public:
            return None
        return unauthorized(f"Cannot access {what}. Authentication is required to access this application.")

    def add_login(self, refresh_token: str, expires_in: float, account: Account) -> None:
        self.logins[refresh_token] = expires_in, account

    def tokens(self) -> list[tuple[str, float]]:
        """Return the account's nickname, and the end in seconds since the epoch, of each valid access token."""
        now = self._clock.now()
        return [(account.nickname, until) for until, account in self.access_tokens.values() if until > now]

    def forget_tokens(self) -> None:
        self.access_tokens.clear()

    def grant(self, form: Mapping[str, Any]) -> Answer:
        """Return the answer of auth.fal.ai to `grant_type=refresh_token`."""
        if form.get("grant_type") != "refresh_token":
            return _refused("unsupported_grant_type", "Only refresh_token is served by the emulator")
        login = self.logins.get(str(form.get("refresh_token")))
        if login is None:
            return _refused("invalid_grant", "Unknown or invalid refresh token.")
        lifetime, account = login
        until = self._clock.now() + lifetime
        token = _jwt(self._clock.on_the_machine(until))
        self.access_tokens[token] = until, account
        document = {"access_token": token, "expires_in": int(lifetime), "token_type": "Bearer"}
        return json_answer({**document, "id_token": token, "scope": "openid profile email offline_access"})


def _reason(given: str) -> str:
    scheme, _, value = given.partition(" ")
    if scheme.lower() == "bearer":
        # An API key sent as Bearer fails on the token's issuer (protocol 1.2).
        return "The token has expired, or its issuer is unknown"
    if scheme.lower() != "key" or ":" not in value:
        return "Invalid Authorization header: expected the form 'Key key_id:key_secret'"
    return "No user found for Key ID and Secret"


def _refused(error: str, description: str) -> Answer:
    return json_answer({"error": error, "error_description": description}, 403)


def _jwt(expires_at: float) -> str:
    """Return a token in the form of a JWT, with the claim that clients read, and no real signature."""
    claims = {
        "iss": "https://auth.fal.ai/",
        "sub": "emulator|user",
        "exp": int(expires_at),
        "jti": secrets.token_hex(8),
    }
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in [*parts, b"emulator"])
