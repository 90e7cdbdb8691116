"""The seam to the storage of a ledger, which is SQLite by default. A store makes no decisions.

A claim is the note, written before a submit is sent, that a process is about to send it. The owner of an entry is
the process that has claimed it, or that follows its request.

Each method is one short transaction, which is on disk when the method returns. Many writes take the version of the
entry that the caller has read. If the entry has changed since, the write never damages what another owner has
written, and never loses a request id. Every method raises LedgerError if the store can't be read or written, and
SessionStateError if the store is closed, or was opened before this process was forked.

Cancelling a call is safe: its work is done completely or not at all.
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
    """A claim that is to be written.

    Attributes:
        place: the namespace and the key.
        endpoint_id: the endpoint, with its path.
        input_digest: the digest of the caller's input.
        body_digest: the digest of the bytes that are sent.
        seen: the version of the entry on which the decision to submit is based; None: there was no entry.
        claimed_at: the current time, in Unix seconds.
        claimed_until: the latest time at which the submit can be sent, in Unix seconds.
        input: the input as it is stored; None (the default): it is not stored.
        token: a random text in the webhook URL of the submit, by which `Store.deliver` finds the attempt; None (the
            default): fal does not deliver the outcome to the session's receiver.
    """

    place: Place
    endpoint_id: str
    input_digest: str
    body_digest: str
    seen: int | None
    claimed_at: float
    claimed_until: float
    input: Payload | None = None
    token: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class Hold:
    """A written claim of this process: the number of the entry, and the number of the attempt."""

    entry: int
    attempt: int


@attrs.frozen(kw_only=True)
class Delivered:
    """What `Store.deliver` has done.

    Attributes:
        record: the entry after that, with its outcome.
        is_first: whether the ledger did not have the outcome of this request before.
    """

    record: Record
    is_first: bool


@attrs.frozen(kw_only=True)
class Search:
    """A filter of entries. None matches all values; `run=""` and `tenant=""` match only calls without them."""

    origin: str | None = None
    tenant: str | None = None
    run: str | None = None
    states: Collection[State] | None = None
    endpoint_id: str | None = None


@attrs.frozen(kw_only=True)
class Costs:
    """What the attempts of the matching entries cost, as far as it is known.

    Attributes:
        known: the sum of the known costs; None if no cost is known.
        highest: the highest known cost of one attempt; None if no cost is known.
        unpriced: how many complete attempts have no known cost.
        open: how many attempts are not complete: being submitted, running, or uncertain.
    """

    known: Decimal | None = None
    highest: Decimal | None = None
    unpriced: int = 0
    open: int = 0


class Store(Protocol):
    """One open ledger. The entry that a write returns has no input; it has the outcome as soon as there is one."""

    @property
    def where(self) -> str:
        """The path of the file for messages, or the address of a server without its password."""
        ...

    def owns(self, record: Record) -> bool:
        """Return whether this store owns the entry. Each store of a process is a separate owner."""
        ...

    async def find(self, place: Place, *, payloads: bool = True) -> Record | None:
        """Return the entry at a place, or None. `payloads`: with its input and outcome; default True."""
        ...

    async def find_request(self, origin: str, request_id: str) -> Record | None:
        """Return the entry that has this request among its attempts, or None."""
        ...

    async def named(self, key: str, search: Search) -> list[Record]:
        """Return the entries with this key in all matching namespaces, at most ten."""
        ...

    async def claim(self, new: NewClaim) -> Hold | None:
        """Insert a claimed entry, or claim a further attempt of an entry. None if its version is not `seen`."""
        ...

    async def withdraw(self, hold: Hold) -> None:
        """Delete an attempt that fal did not accept.

        If that was the first attempt, the entry is deleted, too. Otherwise the entry is set to its state before the
        claim.
        """
        ...

    async def submitted(self, hold: Hold, request_id: str, at: float) -> Record:
        """Store the id of an accepted request; `at` is when it became known.

        If the entry no longer has this claim, the request is added as a further attempt.
        """
        ...

    async def uncertain(self, hold: Hold, at: float) -> None:
        """Store that it is not known whether fal accepted the attempt, and that the entry has no owner any more.

        `at`: the submit can't have been sent later.
        """
        ...

    async def adopt(
        self, entry: int, version: int, attempt: int, request_id: str, at: float
    ) -> Record | None:
        """Store the request id of an uncertain attempt, which a look-up or a user has found.

        The entry is "submitted" then. None if the entry has changed, or if another entry has this request id.
        """
        ...

    async def give_up(self, entry: int, version: int, attempt: int, at: float) -> bool:
        """Delete an uncertain attempt after a look-up or a user has found that fal did not accept it.

        `attempts` still counts it. Returns False if the entry has changed.
        """
        ...

    async def take(self, entry: int, version: int) -> Record | None:
        """Become the owner of a "submitted" entry whose owner is gone. None if the entry has changed."""
        ...

    async def leave(self, entry: int) -> None:
        """Stop owning an entry, so that the next caller can become its owner."""
        ...

    async def cancel_requested(self, entry: int, request_id: str, at: float) -> None:
        """Store that fal was asked to cancel the request."""
        ...

    async def until_changed(self, entry: int, version: int, seconds: float) -> None:
        """Wait until the entry may have changed since this version, or was deleted; at most `seconds`.

        A store that is not notified of changes by other processes looks at the entry several times, with pauses of
        at most 2 seconds.
        """
        ...

    async def until_owners_known(self, search: Search) -> None:
        """Wait until it is known of each owner of a matching "submitted" entry whether it still runs.

        A store that knows that at once does not wait.
        """
        ...

    async def end(self, entry: int, request_id: str, end: End) -> Record:
        """Store the outcome of an attempt, and return the entry after that.

        Only the first outcome of a request is stored. It becomes the outcome of the entry, too, unless the entry is
        already "done", or there is a newer attempt and this outcome is not "done".
        """
        ...

    async def deliver(
        self, origin: str, request_id: str, at: float, *, token: str | None = None, end: End | None = None
    ) -> Delivered | None:
        """Store what fal has delivered about a request, by its id, or by the token of the attempt.

        If no attempt has this request id, the attempt with the token gets it, unless it has another id: then the
        delivery is about the request of somebody who knows the token. `end` is stored as by `end`; None (the
        default): the request is complete, but its outcome is not known yet. `at`: when it was delivered.

        Returns None if no attempt has this request id, or the token and no request id.
        """
        ...

    async def set_files(self, entry: int, files: Collection[StoredFile]) -> None:
        """Replace the stored list of downloaded files."""
        ...

    async def known(self, request_ids: Collection[str]) -> set[str]:
        """Return those of the request ids that belong to any entry."""
        ...

    async def page(
        self, search: Search, *, after: int = 0, limit: int = 200, payloads: bool = False
    ) -> list[Record]:
        """Return at most `limit` entries with numbers larger than `after`, sorted by number; none at the end.

        No transaction stays open between two pages.
        """
        ...

    async def spaces(self) -> list[Space]:
        """Return the namespaces that have entries, sorted."""
        ...

    async def totals(self, search: Search) -> Mapping[State, int]:
        """Count the entries in each state."""
        ...

    async def costs(self, search: Search) -> Costs:
        """Return what all attempts cost, those of entries in any state."""
        ...

    async def forget(self, entry: int, version: int) -> bool:
        """Delete an entry, its attempts and its payloads. Returns False if the entry has changed."""
        ...

    async def drop_payloads(self, ended_before: float) -> int:
        """Delete the inputs and results of entries whose outcome is older than this time; return how many they are.

        The entries themselves stay, so that their keys are not submitted again.
        """
        ...

    def drop(self) -> None:
        """Close a store that was left open, without waiting, from any thread. It may be called twice."""
        ...

    async def aclose(self) -> None:
        """Finish the pending work, close the store, and release the owner's lock."""
        ...
