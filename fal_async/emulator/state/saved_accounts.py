"""Accounts with their keys, balances, logins and tokens."""

from __future__ import annotations

from decimal import Decimal

import attrs

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.accounts.api_keys import ApiKey
from fal_async.emulator.accounts.realtime_token_store import Grant
from fal_async.emulator.core import Core


@attrs.frozen(kw_only=True)
class SavedAccount:
    nickname: str
    key: str
    admin_key: str
    concurrency: int | None = None
    balance: Decimal | None = None
    locked: bool = False
    polls_locked: bool = False
    since: float
    made_keys: list[ApiKey] = attrs.field(factory=list)
    deleted_keys: list[str] = attrs.field(factory=list)


def take_accounts(core: Core) -> list[SavedAccount]:
    return [
        SavedAccount(
            nickname=account.nickname,
            key=account.key,
            admin_key=account.admin_key,
            concurrency=account.concurrency,
            balance=account.balance,
            locked=account.locked,
            polls_locked=account.locked and account.refusal("status") is not None,
            since=account.since,
            made_keys=list(account.rack.made.values()),
            deleted_keys=sorted(account.rack.deleted),
        )
        for account in core.keyring.accounts.values()
        if not account.is_scope
    ]


def put_accounts(core: Core, saved: list[SavedAccount]) -> None:
    """Give the emulator's own account what the first one had, and add the others."""
    for at, one in enumerate(saved):
        account = core.keyring.main if at == 0 else core.keyring.add(one.key, nickname=one.nickname)
        account.key, account.admin_key = one.key, one.admin_key
        account.concurrency, account.balance = one.concurrency, one.balance
        account.rack.since = one.since
        account.rack.made.update({key.key_id: key for key in one.made_keys})
        account.rack.deleted.update(one.deleted_keys)
        if one.locked:
            account.lock(polls=one.polls_locked)
    if saved and saved[0].nickname != core.keyring.main.nickname:
        main = core.keyring.main
        main.nickname = saved[0].nickname
        others = [account for account in core.keyring.accounts.values() if account is not main]
        core.keyring.accounts.clear()
        core.keyring.accounts.update({account.nickname: account for account in (main, *others)})


@attrs.frozen(kw_only=True)
class SavedToken:
    """A token, or a refresh token, whose `until` is then the seconds for which an access token is valid."""

    token: str
    account: str
    until: float
    apps: list[str] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class SavedUrl:
    """A signed URL of a file."""

    identity: str
    path: str
    until: float


@attrs.frozen(kw_only=True)
class SavedTokens:
    logins: list[SavedToken] = attrs.field(factory=list)
    access: list[SavedToken] = attrs.field(factory=list)
    realtime: list[SavedToken] = attrs.field(factory=list)
    cdn: list[SavedToken] = attrs.field(factory=list)
    signed_urls: list[SavedUrl] = attrs.field(factory=list)


def take_tokens(core: Core) -> SavedTokens:
    """Return the logins, and the tokens that are still valid, except those of scopes."""
    now, keyring = core.clock.now(), core.keyring
    scopes = {account.nickname for account in keyring.accounts.values() if account.is_scope}
    return SavedTokens(
        logins=_with_accounts(keyring.logins),
        access=[token for token in _with_accounts(keyring.access_tokens) if token.until > now],
        realtime=[
            SavedToken(
                token=token,
                account=grant.account.nickname,
                until=grant.expires_at,
                apps=sorted(grant.apps),
            )
            for token, grant in core.realtime_tokens.grants.items()
            if grant.expires_at > now and not grant.account.is_scope
        ],
        cdn=[
            SavedToken(token=token, account=owner, until=until)
            for token, (until, owner) in core.uploads.granted.items()
            if until > now and owner not in scopes
        ],
        signed_urls=[
            SavedUrl(identity=identity, path=path, until=until)
            for identity, (path, until) in core.uploads.signed.items()
            if until > now
        ],
    )


def _with_accounts(tokens: dict[str, tuple[float, Account]]) -> list[SavedToken]:
    return [
        SavedToken(token=token, account=account.nickname, until=until)
        for token, (until, account) in tokens.items()
        if not account.is_scope
    ]


def put_tokens(core: Core, saved: SavedTokens) -> None:
    keyring, accounts = core.keyring, core.keyring.accounts
    keyring.logins.update({one.token: (one.until, accounts[one.account]) for one in saved.logins})
    keyring.access_tokens.update({one.token: (one.until, accounts[one.account]) for one in saved.access})
    for one in saved.realtime:
        grant = Grant(accounts[one.account], frozenset(one.apps), one.until)
        core.realtime_tokens.grants[one.token] = grant
    core.uploads.granted.update({one.token: (one.until, one.account) for one in saved.cdn})
    core.uploads.signed.update({one.identity: (one.path, one.until) for one in saved.signed_urls})
