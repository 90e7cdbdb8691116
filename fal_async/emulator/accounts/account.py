"""One account: its key, its limit, and whether it is locked."""

from __future__ import annotations

import attrs

from fal_async.emulator.wire.answers import Answer, balance_exhausted, too_many_running

_DIRECT = frozenset({"run", "stream", "realtime", "websocket"})
PAID = _DIRECT | {"submit"}


def checked_key(key: str) -> str:
    """Return the key. Raise ValueError unless it has the form id:secret."""
    if not all(key.partition(":")):
        raise ValueError("expected a key of the form id:secret, such as emulator:key")
    return key


def _concurrency(_: object, __: object, value: int | None) -> None:
    if value is not None and (isinstance(value, bool) or value < 1):
        raise ValueError(f"concurrency={value!r}: expected an int >= 1, or None for no limit")


@attrs.define(eq=False, kw_only=True)
class Account:
    """An account of the emulator, made by `Emulator.add_account`.

    It has its own requests, uploads, balance and history, and does not see those of other accounts. A test may
    change `key` and `concurrency` at any time; a bad value raises ValueError.

    Attributes:
        nickname: name of the account in ACLs (protocol 7.4); by default the part of its key before the colon.
        key: its API key, in the form id:secret.
        concurrency: how many of its requests run at a time, over all endpoints. Further queued requests wait,
            further direct calls get 429 (protocol 9.4). None (default): no limit.
        running: how many of its requests run now.
    """

    nickname: str
    key: str = attrs.field(repr=False, validator=lambda _, __, key: checked_key(key) and None)
    concurrency: int | None = attrs.field(default=None, validator=_concurrency)
    running: int = attrs.field(default=0, init=False)
    _locked: frozenset[str] | bool = attrs.field(default=False, init=False, repr=False)

    @property
    def has_place(self) -> bool:
        """Whether one more request of this account may run now."""
        return self.concurrency is None or self.running < self.concurrency

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

    def refusal(self, kind: str) -> Answer | None:
        """Return the answer that refuses this operation now, or None if it is allowed.

        Args:
            kind: the operation, such as "submit": a value of `RecordedRequest.kind`.
        """
        if kind in self._locked if isinstance(self._locked, frozenset) else self._locked:
            return balance_exhausted()
        return too_many_running() if kind in _DIRECT and not self.has_place else None


def anonymous() -> Account:
    """Return the account of callers without a key."""
    return Account(nickname="", key="no:body")
