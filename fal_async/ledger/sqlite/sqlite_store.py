"""The store in an SQLite file. Each method hands an operation to the thread of the file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import attrs

from fal_async.errors import FalError, LedgerError, SessionStateError
from fal_async.ledger.sql import after_submit, claims, delivered
from fal_async.ledger.sql.entry_writes import EntryWrites
from fal_async.ledger.sql.statements import Write
from fal_async.ledger.sqlite import pieces, reads
from fal_async.ledger.sqlite.alike import FIND, VERSION
from fal_async.ledger.sqlite.cleaning import Cleaning
from fal_async.ledger.sqlite.group_commit import Member, Operation
from fal_async.ledger.sqlite.ledger_file import LedgerFile
from fal_async.ledger.sqlite.new_entries import CLAIM, END, SUBMITTED, claim
from fal_async.ledger.sqlite.open_files import open_files
from fal_async.ledger.sqlite.pieces import Work
from fal_async.ledger.sqlite.reads import Tables
from fal_async.ledger.sqlite.sqlite_errors import PATIENCE
from fal_async.ledger.sqlite.version_looks import until_other, version_of
from fal_async.ledger.sqlite.writes import deliver, resign, run
from fal_async.ledger.store import Costs, Delivered, Hold, NewClaim, Search
from fal_async.protocol.ledger.entry import End, Place, Record, Space, State

T = TypeVar("T")


class SqliteStore(EntryWrites):
    """Implements `Store`. Each store is a separate owner, even if several stores in a process use the same file."""

    def __init__(self, file: LedgerFile, keep: float | None, keep_input: bool) -> None:
        self._file = file
        self._cleaning = None if keep is None else Cleaning(keep, self._hand_over)
        self._keep_input = keep_input
        self._member = Member()
        self._process = os.getpid()
        self._is_open = True
        self._may_own = False
        self._unheld: set[asyncio.Future[Hold | None]] = set()
        """Claims whose callers were cancelled before the claim was written, so that they are withdrawn after it."""

    @classmethod
    async def open(
        cls,
        path: str,
        *,
        keep: float | None = None,
        keep_input: bool = True,
        patience: float = PATIENCE,
    ) -> SqliteStore:
        """Open the file at a real path; create it if it is missing. Cancelling is safe.

        `keep`: seconds from the outcome of an entry until its input and result are deleted; None: never.
        `keep_input`: whether inputs are stored. `patience`: seconds that a write waits for another process.

        Raises ConfigurationError if a ledger can't be at this place, LedgerError if the file can't be opened.
        """
        store = cls(open_files().acquire(path, patience), keep, keep_input)
        try:
            await store._read(_nothing)
            store._clean_up()
        except BaseException:
            store.drop()
            raise
        return store

    @property
    def where(self) -> str:
        return self._file.path

    def owns(self, record: Record) -> bool:
        return record.is_owned_by(self._member.number)

    # Reads.

    async def find(self, place: Place, *, payloads: bool = True) -> Record | None:
        return await self._read(
            lambda tables, _: reads.find(tables, place, payloads), kind=FIND, given=(place, payloads)
        )

    async def find_request(self, origin: str, request_id: str) -> Record | None:
        return await self._read(lambda tables, _: reads.find_request(tables, origin, request_id))

    async def named(self, key: str, search: Search) -> list[Record]:
        return await self._read(lambda tables, _: reads.named(tables, key, search))

    async def known(self, request_ids: Collection[str]) -> set[str]:
        return await self._read(lambda tables, _: reads.known(tables, request_ids))

    async def page(
        self, search: Search, *, after: int = 0, limit: int = 200, payloads: bool = False
    ) -> list[Record]:
        found: list[Record] = []
        on: int | None = after
        while on is not None and not found:
            found, on = await self._read(pieces.page(search, on, limit, payloads))
        return found

    async def spaces(self) -> list[Space]:
        return await self._read(lambda tables, _: reads.spaces(tables))

    async def totals(self, search: Search) -> Mapping[State, int]:
        counts: Counter[State] = Counter()
        on: int | None = 0
        while on is not None:
            some, on = await self._read(pieces.totals(search, on))
            counts.update(some)
        return counts

    async def costs(self, search: Search) -> Costs:
        found: list[Costs] = []
        on: int | None = 0
        while on is not None:
            some, on = await self._read(pieces.costs(search, on))
            found.append(some)
        return reads.summed(found)

    # Writes.

    async def claim(self, new: NewClaim) -> Hold | None:
        if not self._keep_input:
            new = attrs.evolve(new, input=None)
        operation = self._operation(
            lambda tables, me: claim(tables, me, new),
            writes=True,
            joins=True,
            if_lost=self._withdrawal,
            kind=CLAIM,
            given=new,
        )
        written = self._hand(operation)
        try:
            return await asyncio.shield(written)
        except asyncio.CancelledError:
            # The caller did not get the claim, so nothing was sent. The claim is withdrawn as soon as it is
            # written.
            self._unheld.add(written)
            written.add_done_callback(self._withdraw_unheld)
            raise

    def _withdraw_unheld(self, written: asyncio.Future[Hold | None]) -> None:
        self._unheld.discard(written)
        if not written.cancelled() and written.exception() is None and (hold := written.result()):
            with contextlib.suppress(FalError):  # if the file is closed, the claim stays and is uncertain
                self._file.hand(self._withdrawal(hold))

    def _withdrawal(self, hold: Hold) -> Operation:
        return Operation(
            work=lambda tables, me: run(tables, claims.withdraw(me, hold), hold.entry),
            writes=True,
            member=self._member,
        )

    async def submitted(self, hold: Hold, request_id: str, at: float) -> Record:
        return await self._change(
            hold.entry,
            lambda me: claims.submitted(me, hold, request_id, at),
            kind=SUBMITTED,
            given=(hold, request_id, at),
        )

    async def take(self, entry: int, version: int) -> Record | None:
        return await self._change(entry, lambda me: after_submit.take(me, entry, version), joins=True)

    async def end(self, entry: int, request_id: str, end: End) -> Record:
        self._clean_up()
        return await self._change(
            entry,
            lambda _: after_submit.end(entry, request_id, end),
            kind=END,
            given=(entry, request_id, end),
        )

    async def deliver(
        self, origin: str, request_id: str, at: float, *, token: str | None = None, end: End | None = None
    ) -> Delivered | None:
        self._clean_up()
        return await self._write(
            lambda tables, _: deliver(tables, delivered.deliver(origin, request_id, at, token=token, end=end))
        )

    async def until_changed(self, entry: int, version: int, seconds: float) -> None:
        await until_other(lambda: self._read(version_of(entry), kind=VERSION, given=entry), version, seconds)

    async def until_owners_known(self, search: Search) -> None:
        """Do nothing: the lock of an owner is free as soon as its process has ended."""

    async def drop_payloads(self, ended_before: float) -> int:
        dropped = 0
        on: int | None = 0
        while on is not None:
            some, on = await self._write(pieces.drop(ended_before, on))
            dropped += some
        return dropped

    # Closing.

    async def aclose(self) -> None:
        """Close the store. Cancelling is safe: the store is closed in any case.

        In a forked child this does nothing, because the open file belongs to the parent.
        """
        loop = asyncio.get_running_loop()
        if ours := [claim for claim in self._unheld if claim.get_loop() is loop]:
            await asyncio.wait(ours)
        last, resignation = self._operation(_nothing, writes=False), self._resignation()
        resignation.loop, resignation.future = _loop_and_future()
        for operation in self._drop(last, resignation):
            if operation.future is not None:
                # An error, such as a full disk, is ignored, because the lock of the owner is released in any case.
                with contextlib.suppress(LedgerError):
                    await asyncio.shield(operation.future)

    def __del__(self) -> None:
        if self._is_open and os.getpid() == self._process:
            warnings.warn(
                f"the ledger {self._file.name} was left open: call aclose()", ResourceWarning, stacklevel=2
            )
            self.drop()

    def drop(self) -> None:
        """Close the store without waiting, from any thread."""
        self._drop(None, self._resignation())

    def _drop(self, last: Operation | None, resignation: Operation) -> list[Operation]:
        """Close the store. Return those of the two operations whose futures will be set."""
        if not self._is_open or os.getpid() != self._process:
            return []
        self._is_open = False
        settled = []
        if self._may_own:
            # `hand` raises if the file could not be opened, or if its thread has ended.
            with contextlib.suppress(FalError):
                self._file.hand(resignation)
                settled.append(resignation)
        is_closing = open_files().release(self._file, last)
        return [*settled, last] if is_closing and last is not None else settled

    def _resignation(self) -> Operation:
        """Return the operation by which this store releases its entries and stops being an owner."""
        return Operation(work=resign, writes=True, member=self._member, resigns=True)

    # Handing operations to the thread of the file.

    def _clean_up(self) -> None:
        if self._cleaning is not None:
            self._cleaning.go_on()

    def _hand_over(self, operation: Operation) -> None:
        if self._is_open:
            self._file.hand(operation)

    def _read(self, work: Work[T], **alike: Any) -> asyncio.Future[T]:
        return self._hand(self._operation(work, writes=False, **alike))

    def _write(self, work: Work[T], **how: Any) -> asyncio.Future[T]:
        return self._hand(self._operation(work, writes=True, **how))

    def _change(self, entry: int, write: Callable[[int], Write[T]], **how: Any) -> asyncio.Future[T]:
        """Make a write of an entry; `write` is called with the number of the owner."""
        return self._write(lambda tables, me: run(tables, write(me), entry), **how)

    def _operation(self, work: Work[Any], **how: Any) -> Operation:
        loop, future = _loop_and_future()
        return Operation(work=work, member=self._member, loop=loop, future=future, **how)

    def _hand(self, operation: Operation) -> asyncio.Future[Any]:
        if not self._is_open:
            raise SessionStateError(f"the ledger {self._file.name} is closed: open it again")
        self._may_own = self._may_own or operation.joins
        self._file.hand(operation)
        assert operation.future is not None
        return operation.future


def _loop_and_future() -> tuple[asyncio.AbstractEventLoop, asyncio.Future[Any]]:
    """Return the running event loop and a new future of it."""
    loop = asyncio.get_running_loop()
    return loop, loop.create_future()


def _nothing(_: Tables, __: int) -> None:
    """Do nothing. This is the work of an operation that only waits for the operations before it."""
