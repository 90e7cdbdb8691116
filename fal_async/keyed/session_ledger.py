"""The ledger of a session, which the first keyed call opens, and the drivers of its keys.

A driver is the task that submits and follows the request of one key (`driver.py`). A claim is the ledger's note,
written before a submit is sent, that this process is about to send it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Protocol

from fal_async.cancellation import SUBMIT_GRACE
from fal_async.closeable import SESSION_CLOSED
from fal_async.errors import CancelOutcome, SessionStateError
from fal_async.keyed.call import Ended
from fal_async.keyed.late_writes import LateWrites
from fal_async.keyed.lookup import Lookups
from fal_async.ledger.opening import open_store
from fal_async.ledger.store import Store
from fal_async.models import Completed
from fal_async.protocol.ledger.entry import Place, Record
from fal_async.protocol.ledger.key_checks import quoted
from fal_async.sheltered import wait_for_all

_LAST_WRITES = 2.0
"""Seconds for the last writes when a session is closed, in addition to `SUBMIT_GRACE`."""


class Drives(Protocol):
    """A driver, as it is used by closing a session."""

    @property
    def task(self) -> asyncio.Task[None]: ...

    def close(self) -> bool:
        """Resolve the claim and end the task. A request that fal has accepted is not cancelled.

        Returns False if `close` was called before.
        """
        ...

    def give_up(self) -> None:
        """Interrupt the task at once, even during a write, which `LateWrites` repeats."""
        ...


class OfTenant(Protocol):
    """Access to requests with the credentials of their tenant."""

    async def cancel(self, record: Record) -> CancelOutcome:
        """Cancel the request of an entry on fal."""
        ...

    async def fetch(self, record: Record, completed: Completed) -> Ended:
        """Fetch and store the outcome of a completed request, and return it."""
        ...


class SessionLedger:
    """The ledger of a session, shared by all of its views.

    Attributes:
        is_ours: whether the session opens and closes the store. False only if the user has passed an open `Store`.
        late: the writes that have failed and are retried.
        lookups: the look-ups of uncertain requests.
        drivers: the driver of each key that is being submitted or followed; at most one per key.
        running: all drivers whose task runs, including those that only store an outcome and are no longer in
            `drivers`.
        tenants: for each origin and tenant, the access with its credentials. `Ledger.forget(force=True)` and
            deliveries without an outcome need it.
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
        self.tenants: dict[tuple[str, str], OfTenant] = {}

    def __del__(self) -> None:
        """Close the store of a session that was not closed, so that other processes can follow its requests."""
        store: Store | None = self.__dict__.get("_store")
        if store is not None and self.is_ours and not self._is_closed:
            store.drop()

    async def store(self) -> Store:
        """Return the store; the first call opens it.

        Raises LedgerError if it can't be opened, and SessionStateError after the session was closed.
        """
        if self._store is None:
            async with self._opening:
                self.check_open()
                if self._store is None:
                    self._store = await self._opened()
        self.check_open()
        return self._store

    async def _opened(self) -> Store:
        """Open a store for this session alone, even if the user has the same file open.

        So the session is a separate owner of claims and requests. Only a `Store` that was passed is used as it is.
        """
        given = self._given
        if isinstance(given, str | os.PathLike):
            return await open_store(given)
        if not self.is_ours:
            return given  # type: ignore[no-any-return]
        store: Store = await given.new_store()
        self._detach = given.attach(self._cancel)
        return store

    async def _cancel(self, record: Record) -> CancelOutcome:
        return await self.tenant_of(record).cancel(record)

    def tenant_of(self, record: Record) -> OfTenant:
        """Return the access with the credentials of the entry's tenant: with others fal does not know the request.

        Raises SessionStateError if the session does not have these credentials.
        """
        space = record.place.space
        tenant = self.tenants.get((space.origin, space.tenant))
        if tenant is None:
            raise SessionStateError(
                "the session does not know the credentials of the key's tenant: make a call for that tenant first "
                f"(key {quoted(record.place.key)}, tenant {quoted(space.tenant)}, {space.origin})",
                request_id=record.request_id,
            )
        return tenant

    def check_open(self) -> None:
        """Raise SessionStateError after the session was closed."""
        if self._is_closed:
            raise SessionStateError(SESSION_CLOSED)

    async def aclose(self) -> None:
        """Close the drivers and the store, within a limited time.

        Claims are resolved and pending writes are made. Requests that fal has accepted are not cancelled,
        but followed by the next process.
        """
        self._is_closed = True
        interrupted = await self._end_drivers(SUBMIT_GRACE + _LAST_WRITES, lambda driver: driver.close())
        interrupted = await self._end_drivers(_LAST_WRITES, lambda driver: driver.give_up()) or interrupted
        await self.late.aclose()
        if self._detach is not None:
            self._detach()
            self._detach = None
        async with self._opening:  # a call may be opening the store at this moment
            if self._store is not None and self.is_ours:
                await self._store.aclose()
        if interrupted:
            raise asyncio.CancelledError

    async def _end_drivers(self, limit: float, end: Callable[[Drives], object]) -> bool:
        """Call `end` for each driver of this event loop, and wait at most `limit` seconds for their tasks.

        Returns whether the calling task was cancelled in this time; the caller raises that later.
        """
        loop = asyncio.get_running_loop()
        ours = [driver for driver in self.running if driver.task.get_loop() is loop]
        for driver in ours:
            end(driver)
        return await wait_for_all([driver.task for driver in ours], limit)
