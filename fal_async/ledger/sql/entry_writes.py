"""The writes that all stores make in the same way: by the rules of this folder, one entry at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from fal_async.ledger.sql import after_submit, claims
from fal_async.ledger.sql.statements import Write
from fal_async.ledger.store import Hold
from fal_async.protocol.ledger.entry import Record, StoredFile

T = TypeVar("T")


class EntryWrites(ABC):
    """A part of a `Store`."""

    @abstractmethod
    def _change(self, entry: int, write: Callable[[int], Write[T]]) -> Awaitable[T]:
        """Make a write of an entry; `write` is called with the number of the owner."""

    async def withdraw(self, hold: Hold) -> None:
        await self._change(hold.entry, lambda me: claims.withdraw(me, hold))

    async def uncertain(self, hold: Hold, at: float) -> None:
        await self._change(hold.entry, lambda me: claims.uncertain(me, hold, at))

    async def adopt(
        self, entry: int, version: int, attempt: int, request_id: str, at: float
    ) -> Record | None:
        return await self._change(entry, lambda _: claims.adopt(entry, version, attempt, request_id, at))

    async def give_up(self, entry: int, version: int, attempt: int, at: float) -> bool:
        return await self._change(entry, lambda _: claims.give_up(entry, version, attempt, at))

    async def leave(self, entry: int) -> None:
        await self._change(entry, lambda me: after_submit.leave(me, entry))

    async def cancel_requested(self, entry: int, request_id: str, at: float) -> None:
        await self._change(entry, lambda _: after_submit.cancel_requested(entry, request_id, at))

    async def set_files(self, entry: int, files: Collection[StoredFile]) -> None:
        await self._change(entry, lambda _: after_submit.set_files(entry, files))

    async def forget(self, entry: int, version: int) -> bool:
        return await self._change(entry, lambda _: after_submit.forget(entry, version))
