"""What a store keeps for one key: the entry, its attempts and its payloads. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import attrs

State = Literal["claimed", "submitted", "done", "failed", "cancelled", "uncertain"]
"""A store writes "uncertain" when a submit ends so, and also reports it for a claim whose owner is gone."""
Outcome = Literal["done", "failed", "cancelled", "expired"]
UNDER_WAY: frozenset[State] = frozenset({"claimed", "submitted", "uncertain"})
ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled"})


@attrs.frozen(kw_only=True)
class Space:
    """A namespace of keys. It does not include the API key, because API keys rotate.

    Attributes:
        origin: origin of the queue, or of the proxy if one is used, such as `https://queue.fal.run`. So keys of an
            emulator are separate from fal's.
        tenant: whose keys they are; default "".
        run: name of the run; default "".
    """

    origin: str
    tenant: str = ""
    run: str = ""


@attrs.frozen(kw_only=True)
class Place:
    """The unique identity of an entry: its space and key."""

    space: Space
    key: str


@attrs.frozen(kw_only=True)
class Payload:
    """A stored input, result or error: raw bytes, never pickle."""

    content_type: str
    body: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Owner:
    """A process that has the ledger open. The store knows by a lock whether it lives, never by its pid."""

    number: int
    host: str = ""
    pid: int = 0
    since: float = 0.0


@attrs.frozen(kw_only=True)
class LedgerRequest:
    """One attempt of an entry: one submit.

    Attributes:
        n: number of the attempt, from 1.
        body_digest: digest of the bytes that were sent, as `1:<sha256>`; look-ups compare it.
        claimed_at, claimed_until: the submit was sent between these times, if at all: its time budget.
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
        final: whether a "failed" end is replayed, with no further attempt unless the caller asks for one.
        payload: the raw result of "done", the stored error of the others.
        headers: the result's headers that are kept.
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
    """A downloaded file: `path` relative to the folder of `download=`, `size` in bytes."""

    n: int
    path: str
    size: int


@attrs.frozen(kw_only=True)
class Record:
    """One entry as a store returns it.

    Attributes:
        number: number of the entry in its store.
        version: grows with each write; a writer says which version it saw.
        state: "uncertain" also if its owner is gone and no request id was stored.
        final: whether a "failed" entry is replayed; otherwise the next call makes a further attempt.
        owner: the process that claimed the entry or follows it.
        owner_lives: whether the owner's lock is held. True if the owner is this process.
        input, end: payloads; None if they are not stored or `keep` has passed (`expired`). `end` is the raw
            result of "done", the stored error of "failed" and "cancelled".
        headers: the result's headers that are kept.
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
        """The id of the attempt that decided the end; before the end, the newest known id."""
        if (decisive := self._decisive) is not None:
            return decisive.request_id
        return next((request.request_id for request in reversed(self.requests) if request.request_id), None)

    def is_owned_by(self, number: int | None) -> bool:
        """Whether the owner has this number."""
        return self.owner is not None and self.owner.number == number

    def submitted_at_of(self, request_id: str) -> float | None:
        """Return when the id of this request became known; None if no attempt of the entry has this id."""
        return next((one.submitted_at for one in self.requests if one.request_id == request_id), None)

    @property
    def _decisive(self) -> LedgerRequest | None:
        """The attempt whose end is the entry's: of several results the stored one, otherwise the newest."""
        if self.state == "done":
            done = [request for request in reversed(self.requests) if request.outcome == "done"]
            stored = self.headers.get("x-fal-request-id")
            named = (request for request in done if request.request_id == stored)
            return next(named, done[0] if done else None)
        if self.state not in ("failed", "cancelled"):
            return None
        return next((request for request in reversed(self.requests) if request.outcome is not None), None)
