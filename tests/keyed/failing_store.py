"""A store that fails or waits on demand, and otherwise passes all calls on to a store that works."""

from __future__ import annotations

import asyncio
from typing import Any

from fal_async import LedgerError
from fal_async.ledger.store import Store


class FailingStore:
    """A store that passes calls on to another one.

    Attributes:
        fails: names of methods that raise LedgerError.
        hangs: names of methods that never return.
        gates: events by the name of the method that waits for them.
        late_gates: events by the name of the method that waits for them before it returns.
        calls: the names of the methods that were called, in order.
        returning: the names of the methods that were about to return, in order.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.fails: set[str] = set()
        self.hangs: set[str] = set()
        self.gates: dict[str, asyncio.Event] = {}
        self.late_gates: dict[str, asyncio.Event] = {}
        self.calls: list[str] = []
        self.returning: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name in ("where", "owns"):
            return found

        async def call(*values: Any, **named: Any) -> Any:
            self.calls.append(name)
            if name in self.hangs:
                await asyncio.get_running_loop().create_future()
            if name in self.gates:
                await self.gates[name].wait()
            if name in self.fails:
                raise LedgerError("no space left on device")
            value = await found(*values, **named)
            self.returning.append(name)
            if name in self.late_gates:
                await self.late_gates[name].wait()
            return value

        return call
