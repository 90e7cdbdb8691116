"""The public `Ledger`: read entries, decide uncertain ones by hand, export."""

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
from fal_async.ledger.opening import checked_place, open_store, seconds_of
from fal_async.ledger.paging import records
from fal_async.ledger.store import Store
from fal_async.protocol.ledger.entry import Record, Space, State
from fal_async.protocol.ledger.key_checks import check_key, quoted
from fal_async.protocol.queue import check_request_id

_PAGE = 20
"""Entries in memory at a time, with their stored inputs and outputs."""


@attrs.frozen(kw_only=True)
class LedgerSummary:
    """The number of entries in each state, and what they cost.

    Attributes:
        total: all entries.
        claimed: entries that a running process is submitting.
        submitted: entries whose request fal has accepted, and whose outcome is not known yet.
        done: entries with a result.
        failed: entries with an error.
        cancelled: entries whose request was cancelled.
        uncertain: entries for which it is not known whether fal accepted the submit.
        cost: what all submits cost by list price, in US dollars, as far as it is known; None if no cost is known.
        unpriced: the number of completed submits whose cost is not known.
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
    """A ledger in a file or a database: `async with await Ledger.open("runs.db") as ledger:`.

    A ledger may serve several sessions, `Session(ledger=ledger)`, also in other event loops. Several processes on
    one machine may open the same file, and processes on any number of machines the same database.

    The same key can exist once for each combination of origin (the base URL of the queue, or of the proxy if one is
    used), tenant (`with_options(tenant=)`) and run (a namespace of keys, `run=`). The methods
    take these as `origin`, `tenant` and `run`; None matches all of them. A method that needs one entry raises
    ConfigurationError if several match, and lists them.

    All methods except `aclose` raise LedgerError if the ledger can't be read or written, and SessionStateError if
    the ledger is closed, or was opened before this process was forked. Cancelling a method is safe: a write that
    has begun is completed, or changes nothing.

    Attributes:
        where: the real path of the file, or the URL of the database, without its password.
        keep: seconds from the outcome of an entry until its input and result are deleted; None: they are never
            deleted.
        keep_input: whether inputs are stored; if False, only their digests are.
    """

    def __init__(self, store: Store, place: str, keep: float | None, keep_input: bool) -> None:
        """Take an open store; to open a ledger, call `Ledger.open`."""
        self._store = store
        self._is_closed = False
        self._cancels: list[Cancel] = []
        self.where: str = store.where
        self._place = place
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
        """Open a ledger; create the file, or the tables in a database, if they do not exist.

        A ledger in a database can be used only in the event loop in which it was opened. Cancelling is safe.

        Args:
            where: a path, or a URL: `sqlite:///runs.db` (relative), `sqlite:////data/runs.db` (absolute) or
                `postgresql://user@host/database`. The folder of a file must exist, and must be on a local disk.
                A database needs the extra `postgres`; its tables are made in the schema `fal_async`, unless they
                exist.
            keep: seconds, or a timedelta, from the outcome of an entry until its input and result are deleted. The
                entry itself stays: a call with its key raises ResultExpiredError. None (the default): they are
                never deleted.
            keep_input: whether inputs are stored; default True. If False, only their digests are.

        Returns:
            The open ledger. Close it with `aclose`, or use it as an async context manager.

        Raises:
            ConfigurationError: a ledger can't be at `where`: the folder does not exist or is on a network file
                system, or the file was written by another program or by a newer version of this package. The file
                is not changed. Of a database: it does not exist, the server refuses the user or the password, the
                user may not make the tables, `fal-async ledger migrate` must be run first, or a pooler is in
                between and the URL has no `direct=`. Also if `keep` is not a time > 0, or `keep_input` is not a
                bool.
            LedgerError: the file can't be read or written, another process keeps it locked, or the server can't be
                reached.
        """
        check_flag("keep_input", keep_input)
        seconds = seconds_of(keep)
        place = checked_place(where)
        store = await open_store(place, keep=seconds, keep_input=keep_input)
        return cls(store, place, seconds, keep_input)

    # Reading.

    async def get(
        self, key: str, *, run: str | None = None, tenant: str | None = None, origin: str | None = None
    ) -> LedgerEntry | None:
        """Return the entry of a key.

        Cancelling is safe.

        Args:
            key: the key, as it was passed to the call.
            run: the run of the key; None (the default) matches all runs.
            tenant: the tenant of the key; None (the default) matches all tenants.
            origin: the origin of the queue, such as `"https://queue.fal.run"`; None (the default) matches all.

        Returns:
            The entry, or None if there is none.

        Raises:
            ConfigurationError: several runs, tenants or origins have the key; the message lists them. Also if an
                argument is invalid.
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
        """Iterate over the entries in the order in which they were created.

        Each entry has the state that it had when it was read. Other calls may change entries during the iteration.
        Nothing is locked between two entries.

        Args:
            run: only entries of this run; None (the default): of all runs.
            state: only entries in this state, or in one of several states: `"claimed"`, `"submitted"`, `"done"`,
                `"failed"`, `"cancelled"`, `"uncertain"`. None (the default): in all states.
            tenant: only entries of this tenant; None (the default): of all tenants.
            origin: only entries of this origin of the queue; None (the default): of all.

        Yields:
            The entries, which are read 20 at a time.

        Raises:
            ConfigurationError: an argument is invalid, such as an unknown state.
        """
        search = search_of(run, tenant, origin, state)
        async with aclosing(records(self._open_store(), search, at_a_time=_PAGE, payloads=True)) as found:
            async for record in found:
                yield entry_of(record)

    async def spaces(self) -> list[Space]:
        """Return the namespaces that have entries, sorted. Cancelling is safe.

        Returns:
            One `Space` for each combination of `origin`, `tenant` and `run`.

        Raises:
            LedgerError: the ledger can't be read.
            SessionStateError: the ledger is closed, or the process was forked.
        """
        return await self._open_store().spaces()

    async def summary(
        self, *, run: str | None = None, tenant: str | None = None, origin: str | None = None
    ) -> LedgerSummary:
        """Count the entries in each state, and add up their costs. Cancelling is safe.

        Args:
            run: only entries of this run; None (the default): of all runs.
            tenant: only entries of this tenant; None (the default): of all tenants.
            origin: only entries of this origin of the queue; None (the default): of all.

        Returns:
            The counts and the costs.

        Raises:
            ConfigurationError: an argument is invalid.
        """
        search = search_of(run, tenant, origin)
        counts = await self._open_store().totals(search)
        costs = await self._open_store().costs(search)
        by_state: dict[Any, Any] = dict(counts)
        return LedgerSummary(
            total=sum(counts.values()), cost=costs.known, unpriced=costs.unpriced, **by_state
        )

    async def export(
        self, path: str | os.PathLike[str], *, run: str | None = None, tenant: str | None = None
    ) -> int:
        """Write entries to a file, as JSON lines or CSV.

        The columns are `origin, tenant, run, key, endpoint_id, state, request_id, attempts, claimed_at,
        submitted_at, ended_at, billable_units, cost, files, error, input, output`.

        Cancelling is safe: an existing file is replaced only after all entries have been written.

        Args:
            path: the file to write, with the suffix `.jsonl` or `.csv`.
            run: only entries of this run; None (the default): of all runs.
            tenant: only entries of this tenant; None (the default): of all tenants.

        Returns:
            The number of entries written.

        Raises:
            ConfigurationError: the name has another suffix, or an argument is invalid.
            LedgerError: the file can't be written, or the ledger can't be read.
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
        """Store your own decision on whether fal accepted an uncertain submit.

        Cancelling is safe: the decision is stored completely or not at all.

        Args:
            key: the key of the entry.
            request_id: the id of the request if fal accepted it: the next call with the key, or `fal.recover`,
                follows that request. None if fal did not accept it: the next call submits again. If fal had
                accepted it after all, fal bills both requests.
            run: the run of the key; None (the default) matches all runs.
            tenant: the tenant of the key; None (the default) matches all tenants.
            origin: the origin of the queue; None (the default) matches all.

        Returns:
            The entry after the decision.

        Raises:
            ConfigurationError: the key has no entry, or several; the entry has no uncertain submit, or it is being
                submitted by a running process; or `request_id` belongs to another entry.
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
        """Delete the entry of a key, so that the next call with the key submits a new request, which is billed.

        Cancelling is safe: the entry is deleted completely or not at all. With `force`, its request may already be
        cancelled on fal then.

        Args:
            key: the key of the entry.
            force: whether a request that is not complete is cancelled first; default False: ConfigurationError is
                raised. The cancellation is sent by an open session that uses this ledger,
                `Session(ledger=ledger)`.
            run: the run of the key; None (the default) matches all runs.
            tenant: the tenant of the key; None (the default) matches all tenants.
            origin: the origin of the queue; None (the default) matches all.

        Raises:
            ConfigurationError: the key has no entry, or several; its request is not complete and `force` is False;
                its request still runs after the cancellation; or it is not known whether fal accepted the request
                (call `resolve` first).
            SessionStateError: `force` is True, and no open session with this ledger can cancel the request.
        """
        check_flag("force", force)
        while True:
            record = await self._existing(key, run, tenant, origin)
            if record.ended_at is None:
                await cancel_first(record, self._cancels, force=force)
                cancelled, record = record, await self._existing(key, run, tenant, origin)
                if record.ended_at is None and record.attempts != cancelled.attempts:
                    continue  # another call has submitted it again
            if await self._open_store().forget(record.number, record.version):
                return

    async def new_store(self) -> Store:
        """Open a store for a session. It is a separate owner of claims, and the session closes it."""
        self._open_store()
        return await open_store(self._place, keep=self.keep, keep_input=self.keep_input)

    def attach(self, cancel: Cancel) -> Callable[[], None]:
        """Register how a session cancels the request of an entry. For sessions only. Raises nothing.

        Args:
            cancel: cancels the request of a record; raises SessionStateError if the record belongs to a tenant or
                an origin that the session does not know.

        Returns:
            A function that ends the registration.
        """
        self._cancels.append(cancel)
        return lambda: self._cancels.remove(cancel)

    # Finding an entry.

    async def _record(
        self, key: str, run: str | None, tenant: str | None, origin: str | None
    ) -> Record | None:
        search = search_of(run, tenant, origin)
        found = await self._open_store().named(check_key(key), search)
        return only_one(found, key)

    async def _existing(self, key: str, run: str | None, tenant: str | None, origin: str | None) -> Record:
        record = await self._record(key, run, tenant, origin)
        if record is None:
            raise ConfigurationError(
                f"no entry with the key {quoted(key)}: check run, tenant and origin, too; None matches all "
                f"(run={_shown(run)}, tenant={_shown(tenant)}, origin={_shown(origin)})"
            )
        return record

    def _open_store(self) -> Store:
        if self._is_closed:
            raise SessionStateError("the ledger is closed: open it again with Ledger.open")
        return self._store

    async def aclose(self) -> None:
        """Close the ledger. Sessions that use it are not affected, as each has opened it separately.

        It may be called twice. Cancelling is safe: the ledger is closed in any case. Raises nothing if the disk is
        full or the server is gone, but SessionStateError in another event loop than that of an open database.
        """
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


def _shown(name: str | None) -> str:
    return "None" if name is None else quoted(name)
