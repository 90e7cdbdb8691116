"""A ledger as its user has it open, to look into and to decide by hand."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import aclosing
from datetime import timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import attrs

from fal_async.checks import check_flag
from fal_async.errors import ConfigurationError, SessionStateError, short_tracebacks
from fal_async.ledger import exporting
from fal_async.ledger.by_hand import Cancel, cancel_first, decide, only_one, search_of
from fal_async.ledger.ledger_entry import LedgerEntry, entry_of
from fal_async.ledger.opening import open_store, seconds_of
from fal_async.ledger.paging import records
from fal_async.ledger.store import Store
from fal_async.protocol.ledger.entry import Record, Space, State
from fal_async.protocol.ledger.key_checks import check_key
from fal_async.protocol.queue import check_request_id

_PAGE = 20
"""Entries that are in memory at a time, with what was stored of their outputs."""


@attrs.frozen(kw_only=True)
class LedgerSummary:
    """How many entries there are in each state, and what they cost.

    Attributes:
        cost: of all attempts, by list price, in its currency; None where no price is known.
        unpriced: attempts that ended without a known cost.
    """

    total: int = 0
    claimed: int = 0
    submitted: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    uncertain: int = 0
    cost: Decimal | None = None
    unpriced: int = 0


@short_tracebacks
class Ledger:
    """A ledger on disk: `async with await Ledger.open("runs.db") as ledger:`.

    It may serve several sessions, `Session(ledger=ledger)`, and several event loops; several processes of one
    machine may have the same file open. A key is unique within the origin of the queue, the tenant and the run.
    Where these are None, the methods mean the only entry with the key, whichever it is of.

    Every method raises LedgerError where the file can't be read or written, SessionStateError where the ledger is
    closed or the process was forked. Cancelling any of them is safe.
    """

    def __init__(self, store: Store, where: str, keep: float | None, keep_input: bool) -> None:
        """Use `Ledger.open`."""
        self._store = store
        self._is_closed = False
        self._cancels: list[Cancel] = []
        self.where: str = where
        self.keep: float | None = keep
        self.keep_input: bool = keep_input

    @classmethod
    async def open(
        cls,
        where: str | os.PathLike[str],
        *,
        keep: float | timedelta | None = None,
        keep_input: bool = True,
    ) -> Self:
        """Open it, or make it where there is none.

        Args:
            where: a path, or `sqlite:///runs.db` (relative), `sqlite:////data/runs.db`. Its folder must be there,
                on a local disk.
            keep: seconds after its end from which on an entry's input and result are deleted. What stays says that
                the key was used: a call with it raises ResultExpiredError. None (the default): they are kept.
            keep_input: False stores of inputs the digests only.

        Raises:
            ConfigurationError: `where` can't have a ledger: no such folder, a network file system, a file of
                another program or of a newer version of this package. It is left as it was.
            LedgerError: the file can't be read or written, or another process has it locked.
        """
        check_flag("keep_input", keep_input)
        seconds = seconds_of(keep)
        store = await open_store(where, keep=seconds, keep_input=keep_input)
        return cls(store, store.where, seconds, keep_input)

    # Looking.

    async def get(
        self, key: str, *, run: str | None = None, tenant: str | None = None, origin: str | None = None
    ) -> LedgerEntry | None:
        """The entry of a key; None where there is none.

        Raises ConfigurationError where several runs, tenants or origins have the key: it names them.
        """
        record = await self._record(key, run, tenant, origin)
        return None if record is None else entry_of(record)

    async def entries(
        self,
        *,
        run: str | None = None,
        state: State | Collection[State] | None = None,
        tenant: str | None = None,
        origin: str | None = None,
    ) -> AsyncIterator[LedgerEntry]:
        """All entries, or those of a run, in a state or one of several, in the order in which their keys came.

        Entries may change meanwhile: each is as it stands when it is read. Nothing is held between two of them.
        """
        search = search_of(run, tenant, origin, state)
        async with aclosing(records(self._open_store(), search, at_a_time=_PAGE, payloads=True)) as found:
            async for record in found:
                yield entry_of(record)

    async def spaces(self) -> list[Space]:
        """The name spaces that have entries: `origin`, `tenant` and `run` of each."""
        return await self._open_store().spaces()

    async def summary(
        self, *, run: str | None = None, tenant: str | None = None, origin: str | None = None
    ) -> LedgerSummary:
        """How many entries there are in each state, and what they cost: of all, or of a run."""
        search = search_of(run, tenant, origin)
        counts = await self._open_store().totals(search)
        cost, unpriced = await self._open_store().costs(search)
        by_state: dict[Any, Any] = dict(counts)
        return LedgerSummary(total=sum(counts.values()), cost=cost, unpriced=unpriced, **by_state)

    async def export(
        self, path: str | os.PathLike[str], *, run: str | None = None, tenant: str | None = None
    ) -> int:
        """Write all entries, or those of a run, to a file; gives how many.

        Args:
            path: ends in `.jsonl` or `.csv`. It is replaced when all is written; until then it stays as it was.
                Columns: `origin, tenant, run, key, endpoint_id, state, request_id, attempts, claimed_at,
                submitted_at, ended_at, billable_units, cost, files, error, input, output`.

        Raises:
            ConfigurationError: another ending.
            LedgerError: the file can't be written.
        """
        to, count = os.fspath(path), 0
        exporting.check_format(to)
        async with aclosing(self.entries(run=run, tenant=tenant)) as entries:  # type: ignore[type-var]
            with exporting.exported(to) as file:
                async for entry in entries:
                    file.write(entry)
                    count += 1
        return count

    # Deciding.

    async def resolve(
        self,
        key: str,
        *,
        request_id: str | None,
        run: str | None = None,
        tenant: str | None = None,
        origin: str | None = None,
    ) -> LedgerEntry:
        """Decide by hand what became of a submit of which nobody knows; gives the entry as it stands then.

        Args:
            request_id: fal took it, and this is its id: the next call with the key follows it, or `fal.recover`.
                None: fal never took it: the next call submits. If that is wrong, it is paid twice.

        Raises:
            ConfigurationError: there is no such key, nothing about it is uncertain, or another entry has this id.
        """
        if request_id is not None:
            check_request_id(request_id)
        while True:
            record = await self._existing(key, run, tenant, origin)
            if await decide(self._open_store(), record, request_id):
                return entry_of(await self._existing(key, run, tenant, origin))

    async def forget(
        self,
        key: str,
        *,
        force: bool = False,
        run: str | None = None,
        tenant: str | None = None,
        origin: str | None = None,
    ) -> None:
        """Delete the entry of a key: the next call with the key submits, and pays.

        Args:
            force: if its request has not ended, cancel it first. A session does that: one that is open with this
                ledger, `Session(ledger=ledger)`.

        Raises:
            ConfigurationError: there is no such key; or its request has not ended, and can't be cancelled or was
                not to be.
            SessionStateError: `force`, and no session is open with this ledger.
        """
        check_flag("force", force)
        while True:
            record = await self._existing(key, run, tenant, origin)
            if record.ended_at is None:
                await cancel_first(record, self._cancels, force=force)
                cancelled, record = record, await self._existing(key, run, tenant, origin)
                if record.ended_at is None and record.attempts != cancelled.attempts:
                    continue  # somebody submitted it anew meanwhile
            if await self._open_store().forget(record.number, record.version):
                return

    async def new_store(self) -> Store:
        """For a session: one that is an owner of its own. It stays open when the ledger is closed."""
        self._open_store()
        return await open_store(self.where, keep=self.keep, keep_input=self.keep_input)

    def attach(self, cancel: Cancel) -> Callable[[], None]:
        """Of a session: how it cancels the request of an entry. Gives what takes it back."""
        self._cancels.append(cancel)
        return lambda: self._cancels.remove(cancel)

    # Finding.

    async def _record(
        self, key: str, run: str | None, tenant: str | None, origin: str | None
    ) -> Record | None:
        search = search_of(run, tenant, origin)
        found = await self._open_store().named(check_key(key), search)
        return only_one(found, key)

    async def _existing(self, key: str, run: str | None, tenant: str | None, origin: str | None) -> Record:
        record = await self._record(key, run, tenant, origin)
        if record is None:
            raise ConfigurationError(f"the ledger has no key {key!r} there")
        return record

    def _open_store(self) -> Store:
        if self._is_closed:
            raise SessionStateError("the ledger is closed")
        return self._store

    async def aclose(self) -> None:
        """Close it. Sessions that use it go on. Closing twice is no error."""
        self._is_closed = True
        await self._store.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Ledger {self.where}{' (closed)' * self._is_closed}>"
