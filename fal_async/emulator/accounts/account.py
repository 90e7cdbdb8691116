"""One account: its keys, its limit, and whether it is locked."""

from __future__ import annotations

from decimal import Decimal

import attrs

from fal_async.emulator.accounts.api_keys import ApiKey, KeyRack, checked_key, id_of
from fal_async.emulator.accounts.prices import amount_of
from fal_async.emulator.timing.clock import Clock
from fal_async.emulator.wire.answers import Answer, balance_exhausted, too_many_running

_DIRECT = frozenset({"run", "stream", "realtime", "websocket"})
PAID = _DIRECT | {"submit"}


def _concurrency(_: object, __: object, value: int | None) -> None:
    if value is not None and (isinstance(value, bool) or value < 1):
        raise ValueError(f"concurrency={value!r}: expected an int >= 1, or None for no limit")


def _balance(value: Decimal | float | str | None) -> Decimal | None:
    return None if value is None else amount_of(value, "balance")


@attrs.define(eq=False, kw_only=True)
class Account:
    """An account of the emulator, made by `Emulator.add_account`.

    It has its own requests, uploads, balance and history, and does not see those of other accounts. A test may
    change `key`, `admin_key`, `concurrency` and `balance` at any time; a bad value raises ValueError.

    Attributes:
        nickname: name of the account in ACLs (protocol 7.4); by default the part of its key before the colon.
        key: its API key, in the form id:secret. It has the scope API, so operations of the platform API that need
            an admin key answer it with 403 (protocol 11.7).
        admin_key: its admin key, which may do everything; by default that of `key` with "-admin" after the id.
        concurrency: how many of its requests run at a time, over all endpoints. Further queued requests wait,
            further direct calls get 429 (protocol 9.4). None (default): no limit.
        running: how many of its requests run now.
        balance: US dollars that it has left, which each billed request lowers. At 0, submits and direct calls get
            403, exhausted balance (protocol 9.4), until a test sets a higher one. None (default): no limit.
        is_scope: whether it is the account of a scope, which `Emulator.scope` made. Its requests have runners of
            their own, so that they do not wait for those of other accounts.
    """

    nickname: str
    key: str = attrs.field(repr=False, validator=lambda _, __, key: checked_key(key) and None)
    admin_key: str = attrs.field(repr=False, validator=lambda _, __, key: checked_key(key) and None)
    concurrency: int | None = attrs.field(default=None, validator=_concurrency)
    running: int = attrs.field(default=0, init=False)
    balance: Decimal | None = attrs.field(default=None, converter=_balance, init=False)
    is_scope: bool = attrs.field(default=False, on_setattr=attrs.setters.frozen)
    _locked: frozenset[str] | bool = attrs.field(default=False, init=False, repr=False)
    _clock: Clock = attrs.field(factory=Clock, repr=False)
    _rack: KeyRack = attrs.field(init=False, repr=False)

    @admin_key.default
    def _default_admin_key(self) -> str:
        key_id, _, secret = self.key.partition(":")
        return f"{key_id}-admin:{secret}"

    @_rack.default
    def _new_rack(self) -> KeyRack:
        return KeyRack(self._clock)

    @property
    def has_place(self) -> bool:
        """Whether one more request of this account may run now."""
        return self.concurrency is None or self.running < self.concurrency

    @property
    def locked(self) -> bool:
        """Whether `lock` was called, and `unlock` was not."""
        return bool(self._locked)

    @property
    def since(self) -> float:
        """When the account was made, in seconds since the epoch."""
        return self._rack.since

    @property
    def rack(self) -> KeyRack:
        """The keys that the platform API made or deleted; only the emulator uses it."""
        return self._rack

    @property
    def api_keys(self) -> list[ApiKey]:
        """The valid keys of scope API: `key`, and those that `POST /keys` made."""
        return self._rack.of(self.key)

    def add_api_key(self, alias: str) -> ApiKey:
        """Make a key of scope API, as `POST /keys` does (protocol 11.11).

        Args:
            alias: its name.

        Returns:
            The new key.
        """
        return self._rack.add(alias)

    def delete_api_key(self, key_id: str) -> None:
        """Refuse a key of scope API from now on. An unknown id is ignored, as on fal.

        Args:
            key_id: the part of the key before the colon.
        """
        self._rack.delete(key_id, self.key)

    def find_key(self, key: str) -> ApiKey | None:
        """Return a valid key of this account, or None if it has no such key.

        Args:
            key: the whole key.
        """
        if key == self.admin_key:
            return ApiKey(key=key, alias=id_of(key), created_at=self.since, is_admin=True)
        return self._rack.find(key, self.key)

    def lock(self, *, polls: bool = True) -> None:
        """Answer calls of this account with 403, exhausted balance (protocol 9.4).

        Args:
            polls: whether all calls get 403; default True. If False, only submits and direct calls do, since they
                are billed.
        """
        self._locked = True if polls else PAID

    def unlock(self) -> None:
        """Undo `lock`."""
        self._locked = False

    def charge(self, cost: Decimal) -> None:
        """Lower the balance, to 0 at least; only the emulator calls this.

        Args:
            cost: US dollars.
        """
        if self.balance is not None:
            self.balance = max(self.balance - cost, Decimal())

    def refusal(self, kind: str) -> Answer | None:
        """Return the answer that refuses this operation now, or None if it is allowed.

        Args:
            kind: the operation, such as "submit": a value of `RecordedRequest.kind`.
        """
        if kind in self._locked if isinstance(self._locked, frozenset) else self._locked:
            return balance_exhausted()
        if self.balance is not None and not self.balance and kind in PAID:
            return balance_exhausted()
        return too_many_running() if kind in _DIRECT and not self.has_place else None


def anonymous() -> Account:
    """Return the account of callers without a key."""
    return Account(nickname="", key="no:body")
