"""One account: its key, and what else is its own."""

from __future__ import annotations

import attrs

from fal_async.emulator.wire.answers import Answer, balance_exhausted, too_many_running

_DIRECT = frozenset({"run", "stream", "realtime", "websocket"})
PAID = _DIRECT | {"submit"}


def checked_key(key: str) -> str:
    """ValueError where it is none."""
    if not all(key.partition(":")):
        raise ValueError("a key has the form id:secret")
    return key


def _concurrency(_: object, __: object, value: int | None) -> None:
    if value is not None and (isinstance(value, bool) or value < 1):
        raise ValueError(f"concurrency must be 1 or more, or None, not {value!r}")


@attrs.define(eq=False, kw_only=True)
class Account:
    """Its requests, uploads, balance and history are its own: what is another's is unknown to it.

    A test may set `key` and `concurrency` at any time.

    Attributes:
        nickname: how ACLs name it (protocol 7.4); by default the first half of its key.
        key: any other gets 401, unless it is another account's.
        concurrency: how many of its requests run at a time, whatever their endpoints. Those of the queue wait,
            direct calls are refused with 429 (protocol 9.4). None: no limit.
        running: how many do now.
    """

    nickname: str
    key: str = attrs.field(repr=False, validator=lambda _, __, key: checked_key(key) and None)
    concurrency: int | None = attrs.field(default=None, validator=_concurrency)
    running: int = attrs.field(default=0, init=False)
    _locked: frozenset[str] | bool = attrs.field(default=False, init=False, repr=False)

    @property
    def has_place(self) -> bool:
        return self.concurrency is None or self.running < self.concurrency

    def lock(self, *, polls: bool = True) -> None:
        """403, exhausted balance, on every call; with `polls=False` on run and submit only (protocol 9.4)."""
        self._locked = True if polls else PAID

    def unlock(self) -> None:
        self._locked = False

    def refusal(self, kind: str) -> Answer | None:
        """None: it may call this operation now."""
        if kind in self._locked if isinstance(self._locked, frozenset) else self._locked:
            return balance_exhausted()
        return too_many_running() if kind in _DIRECT and not self.has_place else None


def anonymous() -> Account:
    """Whoever calls a public endpoint without a key."""
    return Account(nickname="", key="no:body")
