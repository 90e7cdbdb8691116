"""The ledger of a session, opened on the first keyed call, and the drivers of its keys."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from fal_async.cancellation import SUBMIT_GRACE
from fal_async.closeable import SESSION_CLOSED
from fal_async.errors import CancelOutcome, SessionStateError
from fal_async.keyed.late_writes import LateWrites
from fal_async.keyed.lookup import Lookups
from fal_async.ledger.opening import open_store
from fal_async.ledger.store import Store
from fal_async.protocol.ledger.entry import Place, Record
from fal_async.sheltered import wait_for_all

_LAST_WRITES = 2.0
"""Seconds for last writes, in addition to `SUBMIT_GRACE`."""


class Drives(Protocol):
    """What closing a session needs of a driver."""

    @property
    def task(self) -> asyncio.Task[None]: ...

    def close(self) -> bool:
        """Resolve the claim and end; a running request is left to the next call. False if it is ending already."""
        ...

    def give_up(self) -> None:
        """End now, even if writes are pending."""
        ...


class SessionLedger:
    """Shared by the views of a session.

    Attributes:
        is_ours: the session opens and closes the store; False only if a `Store` was given.
        drivers: the driver of each key; at most one per key.
        cancels: functions that cancel a request, by origin and tenant, for `Ledger.forget(force=True)`.
        running: all drivers, including those that have left `drivers` and only store how they ended.
    """

    def __init__(self, given: Any) -> None:
        self._given = given
        self.is_ours: bool = not hasattr(given, "claim")
        self._store: Store | None = None
        self._detach: Callable[[], None] | None = None
        self._opening = asyncio.Lock()
        self._is_closed = False
        self.late: LateWrites = LateWrites()
        self.lookups: Lookups = Lookups()
        self.drivers: dict[Place, Any] = {}
        self.running: set[Drives] = set()
        self.cancels: dict[tuple[str, str], Callable[[Record], Awaitable[CancelOutcome]]] = {}

    def __del__(self) -> None:
        """Release the owner of a session that was not closed, or whose event loop is gone."""
        store: Store | None = self.__dict__.get("_store")
        if store is not None and self.is_ours and not self._is_closed:
            store.drop()

    async def store(self) -> Store:
        """Return the store, opened by the first call.

        Raises LedgerError if it can't be opened, SessionStateError once the session is closed.
        """
        if self._store is None:
            async with self._opening:
                self.check_open()
                if self._store is None:
                    self._store = await self._opened()
        self.check_open()
        return self._store

    async def _opened(self) -> Store:
        """Open a store with its own owner, even if the caller has the same file open."""
        given = self._given
        if isinstance(given, str | os.PathLike):
            return await open_store(given)
        if not self.is_ours:
            return given  # type: ignore[no-any-return]
        store: Store = await given.new_store()
        self._detach = given.attach(self._cancel)
        return store

    async def _cancel(self, record: Record) -> CancelOutcome:
        """Cancel with the credentials of the entry's tenant: to another account fal reports no such request."""
        space = record.place.space
        cancel = self.cancels.get((space.origin, space.tenant))
        if cancel is None:
            raise SessionStateError(
                f"the key {record.place.key!r} belongs to the tenant {space.tenant!r} at {space.origin}, whose "
                "credentials the session does not know: make a call with a key of that tenant first",
                request_id=record.request_id,
            )
        return await cancel(record)

    def check_open(self) -> None:
        """Raise SessionStateError once the session is closed."""
        if self._is_closed:
            raise SessionStateError(SESSION_CLOSED)

    async def aclose(self) -> None:
        """Leave running requests, resolve claims, make the pending writes, close the store. Its time is bounded."""
        self._is_closed = True
        interrupted = await self._end_drivers(SUBMIT_GRACE + _LAST_WRITES, lambda driver: driver.close())
        interrupted = await self._end_drivers(_LAST_WRITES, lambda driver: driver.give_up()) or interrupted
        await self.late.aclose()
        if self._detach is not None:
            self._detach()
            self._detach = None
        async with self._opening:  # a call may be opening it now
            if self._store is not None and self.is_ours:
                await self._store.aclose()
        if interrupted:
            raise asyncio.CancelledError

    async def _end_drivers(self, limit: float, end: Callable[[Drives], object]) -> bool:
        loop = asyncio.get_running_loop()
        ours = [driver for driver in self.running if driver.task.get_loop() is loop]
        for driver in ours:
            end(driver)
        return await wait_for_all([driver.task for driver in ours], limit)
