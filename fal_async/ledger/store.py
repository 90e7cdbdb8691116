"""The seam to where a ledger is kept: SQLite by default. No decision is made behind it.

Each method is one short transaction, durable when it returns. Who writes says what it saw: a write that no longer
fits changes nothing that another owner knows, and loses no request id. Every method raises LedgerError where the
store can't be read or written, and SessionStateError where it is closed, or used after a fork.

Cancelling a call of it is safe: what was handed over is written all the same, or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Protocol

import attrs

from fal_async.errors import LedgerError
from fal_async.protocol.ledger.entry import (
    End,
    Payload,
    Place,
    Record,
    Space,
    State,
    StoredFile,
)


class EntryGone(LedgerError):
    """Somebody deleted the entry: there is nothing to be written to."""


@attrs.frozen(kw_only=True)
class NewClaim:
    """What is written before the first byte of a submit leaves."""

    place: Place
    endpoint_id: str
    input_digest: str
    body_digest: str
    seen: int | None
    """The version of the entry that the decision to submit was made on; None: there was none."""
    claimed_at: float
    claimed_until: float
    input: Payload | None = None


@attrs.frozen(kw_only=True)
class Hold:
    """A claim that stands: of this process, for one attempt of one entry."""

    entry: int
    attempt: int


@attrs.frozen(kw_only=True)
class Search:
    """Which entries of a name space; None: all of them. `run=None` of `Ledger.entries` is every run."""

    origin: str | None = None
    tenant: str | None = None
    run: str | None = None
    states: Collection[State] | None = None
    endpoint_id: str | None = None


class Store(Protocol):
    """One ledger, of one process. Writes give an entry without its input, and without its end before it has one."""

    @property
    def where(self) -> str:
        """For messages: the file, or the address without its password."""
        ...

    def owns(self, record: Record) -> bool:
        """Whether its owner is this very store: several of one process are as many owners."""
        ...

    async def find(self, place: Place, *, payloads: bool = True) -> Record | None:
        """The entry there."""
        ...

    async def find_request(self, origin: str, request_id: str) -> Record | None:
        """The entry that has this request among its attempts."""
        ...

    async def named(self, key: str, search: Search) -> list[Record]:
        """The entries with this key in all name spaces that fit: ten at most."""
        ...

    async def claim(self, new: NewClaim) -> Hold | None:
        """Insert the entry, or take it for a further attempt. None where it is no longer what was `seen`:
        look again."""
        ...

    async def withdraw(self, hold: Hold) -> None:
        """Nothing was taken by fal: the attempt goes, and the entry with it if it was the first one; else it
        stands as before the claim."""
        ...

    async def submitted(self, hold: Hold, request_id: str, at: float) -> Record:
        """fal took it; `at`: when it was known. Where the hold no longer fits, it becomes a further attempt."""
        ...

    async def uncertain(self, hold: Hold, at: float) -> None:
        """Whether fal took it, nobody here knows, and nobody works on it any more."""
        ...

    async def adopt(
        self, entry: int, version: int, attempt: int, request_id: str, at: float
    ) -> Record | None:
        """A look-up, or a person, found the attempt's request: "submitted". None where the entry has changed, or
        another one has this request."""
        ...

    async def give_up(self, entry: int, version: int, attempt: int, at: float) -> bool:
        """A look-up, or a person, found that fal never took it: the attempt is withdrawn (`attempts` still counts
        it). False where the entry has changed."""
        ...

    async def take(self, entry: int, version: int) -> Record | None:
        """Become the owner of a submitted entry whose owner is gone. None where it has changed."""
        ...

    async def leave(self, entry: int) -> None:
        """This process follows it no longer: whoever calls next may take it."""
        ...

    async def cancel_requested(self, entry: int, request_id: str, at: float) -> None:
        """fal was asked to cancel it."""
        ...

    async def end(self, entry: int, request_id: str, end: End) -> Record:
        """The end of an attempt; gives the entry as it stands then. The first end of a request wins; that of an
        older attempt becomes the entry's only where that is "done", or no newer one is under way or ended."""
        ...

    async def set_files(self, entry: int, files: Collection[StoredFile]) -> None:
        """What is on disk of its output, in place of what was stored before."""
        ...

    async def known(self, request_ids: Collection[str]) -> set[str]:
        """Those among them that any entry has."""
        ...

    async def page(
        self, search: Search, *, after: int = 0, limit: int = 200, payloads: bool = False
    ) -> list[Record]:
        """Entries whose number is larger than `after`, by number. No transaction stays open between pages."""
        ...

    async def spaces(self) -> list[Space]:
        """The name spaces that have entries, sorted."""
        ...

    async def totals(self, search: Search) -> Mapping[State, int]:
        """How many entries there are in each state."""
        ...

    async def costs(self, search: Search) -> tuple[Decimal | None, int]:
        """The sum of all attempts' costs (None without any), and how many ended without one."""
        ...

    async def forget(self, entry: int, version: int) -> bool:
        """Delete it, its attempts and payloads. False where it has changed."""
        ...

    async def drop_payloads(self, ended_before: float) -> int:
        """Payloads of entries that ended before: deleted, a tombstone stays. How many entries."""
        ...

    def drop(self) -> None:
        """Close it without waiting, from any thread: for a ledger that nobody closed. Closing twice is no error."""
        ...

    async def aclose(self) -> None:
        """Write what was handed over, and give the owner's lock back."""
        ...
