"""The store in a PostgreSQL database."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import asyncpg
import attrs

from fal_async.errors import LedgerError, SessionStateError
from fal_async.ledger.postgres import first_attempts, searches, transactions
from fal_async.ledger.postgres.claiming import Claiming
from fal_async.ledger.postgres.database import Database, acquire, left_by_last
from fal_async.ledger.postgres.first_attempts import Accepted, Outcome
from fal_async.ledger.postgres.lanes import Lane
from fal_async.ledger.postgres.owners import clear
from fal_async.ledger.postgres.postgres_address import Address
from fal_async.ledger.postgres.record_reads import BEFORE_TAKING, at_places
from fal_async.ledger.postgres.writer import Writer
from fal_async.ledger.sql import after_submit, claims, delivered
from fal_async.ledger.sql.entry_writes import EntryWrites
from fal_async.ledger.sql.statements import Write
from fal_async.ledger.store import Costs, Delivered, Hold, NewClaim, Search
from fal_async.protocol.ledger.entry import End, Place, Record, Space, State

T = TypeVar("T")
_EVERY = 600.0
"""Seconds between two searches for payloads to delete."""
_PAUSE = 0.5
"""Seconds between two looks at owners of which it is not known yet whether they run."""
_AWAIT = (
    "WITH marked AS (UPDATE entries SET awaited = 1 WHERE id = $1 AND version = $2 AND awaited = 0 RETURNING 1) "
    "SELECT EXISTS (SELECT 1 FROM marked) "
    "OR EXISTS (SELECT 1 FROM entries WHERE id = $1 AND version = $2 AND awaited = 1)"
)


class PostgresStore(EntryWrites):
    """Implements `Store`. Each store is a separate owner; the stores of one event loop share their connections."""

    def __init__(self, database: Database, keep: float | None, keep_input: bool) -> None:
        self._database = database
        self._keep, self._keep_input = keep, keep_input
        self._writer = Writer(database)
        self._claiming = Claiming(database, self._writer)
        self._process = os.getpid()
        self._is_open = True
        self._next_cleaning = 0.0
        self._finds: Lane[tuple[Place, bool], Record | None] = Lane(database, at_places)
        self._submits: Lane[Accepted, Record | None] = Lane(
            database, first_attempts.submitted, same=lambda given: given.hold.entry
        )
        self._ends: Lane[Outcome, Record | None] = Lane(
            database, first_attempts.end, same=lambda given: given.entry
        )

    @classmethod
    async def open(
        cls, address: Address, *, keep: float | None = None, keep_input: bool = True
    ) -> PostgresStore:
        """Connect, and make the tables of a new ledger. Cancelling is safe.

        `keep`: seconds from the outcome of an entry until its input and result are deleted; None: never.
        `keep_input`: whether inputs are stored.

        Raises ConfigurationError if the database can't be used, LedgerError if it can't be reached.
        """
        store = cls(await acquire(address), keep, keep_input)
        try:
            await store._database.run(clear)
        except BaseException:
            await store.aclose()
            raise
        store._clean_up()
        return store

    @property
    def where(self) -> str:
        return self._database.address.name

    def owns(self, record: Record) -> bool:
        return record.is_owned_by(self._writer.number)

    # Reads.

    async def find(self, place: Place, *, payloads: bool = True) -> Record | None:
        self._check()
        await self._claiming.settled(place)
        return await self._finds.call((place, payloads))

    async def find_request(self, origin: str, request_id: str) -> Record | None:
        database = self._checked()
        return await database.run(lambda given: searches.of_request(database, given, origin, request_id))

    async def named(self, key: str, search: Search) -> list[Record]:
        database = self._checked()
        return await database.run(lambda given: searches.named(database, given, key, search))

    async def known(self, request_ids: Collection[str]) -> set[str]:
        return await self._checked().run(lambda given: searches.known(given, request_ids))

    async def page(
        self, search: Search, *, after: int = 0, limit: int = 200, payloads: bool = False
    ) -> list[Record]:
        database = self._checked()
        return await database.run(
            lambda given: searches.page(database, given, search, after=after, limit=limit, payloads=payloads)
        )

    async def spaces(self) -> list[Space]:
        return await self._checked().run(searches.spaces)

    async def totals(self, search: Search) -> Mapping[State, int]:
        database = self._checked()
        return await database.run(lambda given: searches.totals(database, given, search))

    async def costs(self, search: Search) -> Costs:
        return await self._checked().run(lambda given: searches.costs(given, search))

    async def until_changed(self, entry: int, version: int, seconds: float) -> None:
        database = self._checked()
        with database.owners.watching(entry) as event:
            await database.owners.listen()
            if await database.run(lambda given: given.fetchval(_AWAIT, entry, version)):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await event.wait()

    async def until_owners_known(self, search: Search) -> None:
        database, loop = self._checked(), asyncio.get_running_loop()
        until = loop.time() + 2 * BEFORE_TAKING  # not for ever while one owner after the other dies
        while loop.time() < until:
            seconds = await database.run(lambda given: searches.seconds_in_doubt(database, given, search))
            if not seconds:
                return
            await asyncio.sleep(min(seconds, _PAUSE))

    # Writes.

    async def claim(self, new: NewClaim) -> Hold | None:
        self._check()
        await self._claiming.settled(new.place)
        return await self._claiming.claim(new if self._keep_input else attrs.evolve(new, input=None))

    async def submitted(self, hold: Hold, request_id: str, at: float) -> Record:
        self._check()
        return await asyncio.shield(self._writer.start(self._submitted(hold, request_id, at)))

    async def _submitted(self, hold: Hold, request_id: str, at: float) -> Record:
        record = await _fast(self._submits.call(Accepted(self._writer.number or 0, hold, request_id, at)))
        if record is not None:
            return record
        return await self._writer.written(hold.entry, lambda me: claims.submitted(me, hold, request_id, at))

    async def take(self, entry: int, version: int) -> Record | None:
        self._check()
        await self._writer.joined()
        return await self._change(entry, lambda me: after_submit.take(me, entry, version))

    async def end(self, entry: int, request_id: str, end: End) -> Record:
        self._check()
        self._clean_up()
        return await asyncio.shield(self._writer.start(self._end(entry, request_id, end)))

    async def _end(self, entry: int, request_id: str, end: End) -> Record:
        record = await _fast(self._ends.call(Outcome(entry, request_id, end)))
        if record is not None:
            return record
        return await self._writer.written(entry, lambda _: after_submit.end(entry, request_id, end))

    async def deliver(
        self, origin: str, request_id: str, at: float, *, token: str | None = None, end: End | None = None
    ) -> Delivered | None:
        database = self._checked()
        self._clean_up()
        work = transactions.delivered(
            database, lambda: delivered.deliver(origin, request_id, at, token=token, end=end)
        )
        return await asyncio.shield(self._writer.start(database.run(work, whole=True)))

    async def drop_payloads(self, ended_before: float) -> int:
        self._check()
        return await asyncio.shield(self._writer.start(self._dropped(ended_before)))

    async def _dropped(self, ended_before: float) -> int:
        dropped = 0
        while some := await self._database.run(lambda given: searches.drop_payloads(given, ended_before)):
            dropped += some
        return dropped

    def _clean_up(self) -> None:
        if self._keep is not None and time.monotonic() >= self._next_cleaning:
            self._next_cleaning = time.monotonic() + min(self._keep, _EVERY)
            self._writer.try_to(self._dropped(time.time() - self._keep))

    def _check(self) -> None:
        self._database.check_usable()
        if not self._is_open:
            raise SessionStateError(f"the ledger {self.where} is closed: open it again")

    def _checked(self) -> Database:
        self._check()
        return self._database

    async def _change(self, entry: int, write: Callable[[int], Write[T]]) -> T:
        self._check()
        return await self._writer.change(entry, write)

    # Closing.

    async def aclose(self) -> None:
        """Close the store. Cancelling is safe: the store is closed in any case.

        In a forked child this does nothing, because the connections belong to the parent.
        """
        if not self._is_open or os.getpid() != self._process:
            return
        self._database.check_usable()
        self._is_open = False
        await asyncio.shield(asyncio.get_running_loop().create_task(self._close()))

    async def _close(self) -> None:
        self._claiming.close()
        await self._writer.finish()
        if left_by_last(self._database):
            await self._database.aclose()
            await self._writer.ended()  # at once, as no operation is repeated any more

    def __del__(self) -> None:
        if self._is_open and os.getpid() == self._process:
            warnings.warn(
                f"the ledger {self.where} was left open: call aclose()", ResourceWarning, stacklevel=2
            )
            self.drop()

    def drop(self) -> None:
        """Close the store without waiting, from any thread."""
        if not self._is_open or os.getpid() != self._process:
            return
        self._is_open = False
        if left_by_last(self._database):
            self._database.terminate()
        elif self._writer.number is not None:
            self._database.abandon(self._writer.number)


async def _fast(answer: asyncio.Future[Record | None]) -> Record | None:
    """Return the answer of a fast write; None if the entry has to be written separately.

    A statement for several entries also fails as a whole, if another entry has one of the request ids already.
    """
    try:
        return await answer
    except LedgerError as error:
        if isinstance(error.__cause__, asyncpg.IntegrityConstraintViolationError):
            return None
        raise
