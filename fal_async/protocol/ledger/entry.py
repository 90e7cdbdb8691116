"""What a store keeps of one key: the entry, its attempts, its payloads. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import attrs

State = Literal["claimed", "submitted", "done", "failed", "cancelled", "uncertain"]
"""`uncertain` is stored by whoever knows it, and read of a claim whose owner is gone."""
Outcome = Literal["done", "failed", "cancelled", "expired"]
UNDER_WAY: frozenset[State] = frozenset({"claimed", "submitted", "uncertain"})
ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled"})


@attrs.frozen(kw_only=True)
class Space:
    """A name space of keys. No API key is part of it: they rotate."""

    origin: str
    """Of the queue: `https://queue.fal.run`. An emulator's keys are not fal's."""
    tenant: str = ""
    run: str = ""


@attrs.frozen(kw_only=True)
class Place:
    """Where an entry stands: at most one entry has it."""

    space: Space
    key: str


@attrs.frozen(kw_only=True)
class Payload:
    """An input, a result or an error as it is stored: raw bytes, never pickle."""

    content_type: str
    body: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Owner:
    """A process that has the ledger open. Whether it lives, the store knows by a lock, never by the pid."""

    number: int
    host: str = ""
    pid: int = 0
    since: float = 0.0


@attrs.frozen(kw_only=True)
class LedgerRequest:
    """One attempt of an entry: one submit.

    Attributes:
        n: counted from 1.
        body_digest: of the bytes that were sent, as `1:<sha256>`; what look-ups compare.
        claimed_at, claimed_until: the submit left between them, if it did; the budget of the submit is in it.
        outcome: None until it has ended. "expired": its result is gone.
        cost: in the price's currency, by list price.
    """

    n: int
    body_digest: str | None = None
    request_id: str | None = None
    claimed_at: float = 0.0
    claimed_until: float = 0.0
    submitted_at: float | None = None
    ended_at: float | None = None
    outcome: Outcome | None = None
    billable_units: Decimal | None = None
    cost: Decimal | None = None
    cancel_requested_at: float | None = None


@attrs.frozen(kw_only=True)
class End:
    """How an attempt ended. `state` and `final` become the entry's, `outcome` the attempt's.

    Attributes:
        final: of "failed": it is replayed, and no further attempt is made unless one is asked for.
        payload: the raw result of "done", the stored error of the others.
        headers: of the result: those that are kept.
    """

    state: State
    outcome: Outcome
    at: float
    final: bool = False
    payload: Payload | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    billable_units: Decimal | None = None
    cost: Decimal | None = None


@attrs.frozen(kw_only=True)
class StoredFile:
    """A downloaded file: `path` relative to the folder that `download=` names; `size` in bytes."""

    n: int
    path: str
    size: int


@attrs.frozen(kw_only=True)
class Record:
    """One entry as a store gives it.

    Attributes:
        number: of the entry in its store.
        version: goes up with each write; who changes the entry says which version it saw.
        state: "uncertain" also where it was claimed by an owner that is gone and no id came.
        final: of "failed": the error is replayed; otherwise the next call makes a further attempt.
        owner, owner_lives: who follows it, or claimed it; whether that one's lock is held. An owner that is this
            very process lives.
        input, end: payloads; None where they are not stored, or `keep` has passed (`expired`). `end` is the raw
            result of "done", the stored error of "failed" and "cancelled".
        headers: of the result: those that are kept.
    """

    number: int
    version: int
    place: Place
    endpoint_id: str
    input_digest: str
    state: State
    final: bool = False
    attempts: int = 0
    owner: Owner | None = None
    owner_lives: bool = False
    requests: tuple[LedgerRequest, ...] = ()
    claimed_at: float = 0.0
    submitted_at: float | None = None
    ended_at: float | None = None
    input: Payload | None = None
    end: Payload | None = None
    headers: dict[str, str] = attrs.field(factory=dict, repr=False)
    expired: bool = False
    files: tuple[StoredFile, ...] = ()

    @property
    def request_id(self) -> str | None:
        """Of the attempt that it ended with; while it goes on, of the newest that has one."""
        if (decisive := self._decisive) is not None:
            return decisive.request_id
        return next((request.request_id for request in reversed(self.requests) if request.request_id), None)

    def is_owned_by(self, number: int | None) -> bool:
        """By the owner of this number."""
        return self.owner is not None and self.owner.number == number

    def submitted_at_of(self, request_id: str) -> float | None:
        """When the id of this request was known; None where it is none of the entry's."""
        return next((one.submitted_at for one in self.requests if one.request_id == request_id), None)

    @property
    def _decisive(self) -> LedgerRequest | None:
        """The attempt whose end is the entry's: of several results the one that is stored, of others the newest."""
        if self.state == "done":
            done = [request for request in reversed(self.requests) if request.outcome == "done"]
            stored = self.headers.get("x-fal-request-id")
            named = (request for request in done if request.request_id == stored)
            return next(named, done[0] if done else None)
        if self.state not in ("failed", "cancelled"):
            return None
        return next((request for request in reversed(self.requests) if request.outcome is not None), None)
