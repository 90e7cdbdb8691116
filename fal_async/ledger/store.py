"""The seam to the storage of a ledger: SQLite by default. A store makes no decisions.

Each method is one short transaction, durable when it returns. A caller that writes passes the version that it has
read: a write that does not fit the entry any more changes nothing that another owner relies on, and does not lose a
request id. Every method raises LedgerError if the store can't be read or written, and SessionStateError if it is
closed, or used after a fork.

Cancelling a call is safe: the work is done completely, or not at all.
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
    """Raised by a write to an entry that was deleted."""


@attrs.frozen(kw_only=True)
class NewClaim:
    """A claim, which is written before the first byte of a submit is sent.

    Attributes:
        seen: the version of the entry on which the decision to submit is based; None: there was no entry.
    """

    place: Place
    endpoint_id: str
    input_digest: str
    body_digest: str
    seen: int | None
    claimed_at: float
    claimed_until: float
    input: Payload | None = None


@attrs.frozen(kw_only=True)
class Hold:
    """A claim of this process for one attempt of one entry."""

    entry: int
    attempt: int


@attrs.frozen(kw_only=True)
class Search:
    """A filter of entries. None matches all; so does `run=None`, while `run=""` matches calls without a run."""

    origin: str | None = None
    tenant: str | None = None
    run: str | None = None
    states: Collection[State] | None = None
    endpoint_id: str | None = None


class Store(Protocol):
    """One open ledger. Writes return an entry without its input, and with its end once it has ended."""

    @property
    def where(self) -> str:
        """The file, or the address without its password, for messages."""
        ...

    def owns(self, record: Record) -> bool:
        """Return whether this store owns the entry. Each store of a process is a separate owner."""
        ...

    async def find(self, place: Place, *, payloads: bool = True) -> Record | None:
        """Return the entry at a place, or None."""
        ...

    async def find_request(self, origin: str, request_id: str) -> Record | None:
        """Return the entry that has this request among its attempts, or None."""
        ...

    async def named(self, key: str, search: Search) -> list[Record]:
        """Return the entries with this key in all matching namespaces, ten at most."""
        ...

    async def claim(self, new: NewClaim) -> Hold | None:
        """Insert the entry, or claim a further attempt of it. None if its version is no longer `seen`."""
        ...

    async def withdraw(self, hold: Hold) -> None:
        """Delete an attempt that fal did not accept.

        The entry goes with it if that was the first attempt; otherwise it is again as it was before the claim.
        """
        ...

    async def submitted(self, hold: Hold, request_id: str, at: float) -> Record:
        """Store the id of an accepted request; `at` is when it became known.

        If the hold does not fit the entry any more, the request becomes a further attempt.
        """
        ...

    async def uncertain(self, hold: Hold, at: float) -> None:
        """Store that it is not known whether fal accepted the attempt, and that its owner has given it up."""
        ...

    async def adopt(
        self, entry: int, version: int, attempt: int, request_id: str, at: float
    ) -> Record | None:
        """Give an uncertain attempt the request that a look-up or a user has found: it is "submitted" then.

        None if the entry has changed, or another entry has this request.
        """
        ...

    async def give_up(self, entry: int, version: int, attempt: int, at: float) -> bool:
        """Withdraw an uncertain attempt that fal did not accept, as a look-up or a user has found.

        `attempts` still counts it. False if the entry has changed.
        """
        ...

    async def take(self, entry: int, version: int) -> Record | None:
        """Become the owner of a submitted entry whose owner is gone. None if the entry has changed."""
        ...

    async def leave(self, entry: int) -> None:
        """Stop owning an entry, so that the next caller may take it."""
        ...

    async def cancel_requested(self, entry: int, request_id: str, at: float) -> None:
        """Store that fal was asked to cancel the request."""
        ...

    async def end(self, entry: int, request_id: str, end: End) -> Record:
        """Store the end of an attempt, and return the entry after that.

        The first end of a request wins. It becomes the entry's end, too, unless the entry is already "done", or
        there is a newer attempt and this end is not "done".
        """
        ...

    async def set_files(self, entry: int, files: Collection[StoredFile]) -> None:
        """Replace the stored list of downloaded files."""
        ...

    async def known(self, request_ids: Collection[str]) -> set[str]:
        """Return those of the request ids that any entry has."""
        ...

    async def page(
        self, search: Search, *, after: int = 0, limit: int = 200, payloads: bool = False
    ) -> list[Record]:
        """Return entries with numbers larger than `after`, in order. No transaction stays open between pages."""
        ...

    async def spaces(self) -> list[Space]:
        """Return the namespaces that have entries, sorted."""
        ...

    async def totals(self, search: Search) -> Mapping[State, int]:
        """Count the entries in each state."""
        ...

    async def costs(self, search: Search) -> tuple[Decimal | None, int]:
        """Return the sum of all attempts' costs (None if no cost is known), and how many ended without one."""
        ...

    async def forget(self, entry: int, version: int) -> bool:
        """Delete an entry, its attempts and payloads. False if the entry has changed."""
        ...

    async def drop_payloads(self, ended_before: float) -> int:
        """Delete the payloads of entries that ended before this time; return the number of these entries.

        The entries stay as tombstones.
        """
        ...

    def drop(self) -> None:
        """Close it without waiting, from any thread: for a ledger that was left open. Closing twice is allowed."""
        ...

    async def aclose(self) -> None:
        """Finish the pending work, and release the owner's lock."""
        ...
