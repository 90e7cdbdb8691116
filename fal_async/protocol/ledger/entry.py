"""What a store keeps for one key: the entry, its attempts and its payloads. Times are Unix seconds.

A claim is the note, written before a submit is sent, that a process is about to send it. This process is the owner
of the entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import attrs

State = Literal["claimed", "submitted", "done", "failed", "cancelled", "uncertain"]
"""The state of an entry. It is "uncertain" if it is not known whether fal accepted the newest submit.

A store writes "uncertain" after such a submit, and returns it for a claim whose owner is gone.
"""
Outcome = Literal["done", "failed", "cancelled", "expired"]
"""The outcome of an attempt. It is "expired" if fal no longer has the result."""
UNDER_WAY: frozenset[State] = frozenset({"claimed", "submitted", "uncertain"})
"""The states of an entry without an outcome."""
ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled"})
"""The states of an entry with an outcome."""


@attrs.frozen(kw_only=True)
class Space:
    """A namespace of keys. It does not include the API key, because API keys rotate.

    Attributes:
        origin: the origin of the queue, or of the proxy if one is used, such as `https://queue.fal.run`. So the
            keys of calls to an emulator are separate from those of calls to fal.
        tenant: the owner of the keys, such as a customer; default "".
        run: the name of the run, such as one batch; default "".
    """

    origin: str
    tenant: str = ""
    run: str = ""


@attrs.frozen(kw_only=True)
class Place:
    """What identifies an entry: its namespace and its key."""

    space: Space
    key: str


@attrs.frozen(kw_only=True)
class Payload:
    """A stored input, result or error: bytes with their content type, never pickle."""

    content_type: str
    body: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Owner:
    """A process that has the ledger open.

    Attributes:
        number: the number of the owner in the store. By a lock with this number the store knows whether the process
            still runs, never by the pid.
        host: the host name of the machine.
        pid: the process id, for messages.
        since: when it became an owner, by its first claim.
    """

    number: int
    host: str = ""
    pid: int = 0
    since: float = 0.0


@attrs.frozen(kw_only=True)
class LedgerRequest:
    """One attempt of an entry: one submit.

    Attributes:
        n: the number of the attempt, from 1.
        body_digest: the digest of the bytes that were sent, as `1:<sha256>`, by which a look-up finds the request.
        request_id: the request id; None if it is not known whether fal accepted the attempt.
        claimed_at: when the claim was written. The submit was not sent before.
        claimed_until: the latest time at which the submit can have been sent.
        submitted_at: when the request id became known; None before.
        ended_at: when the outcome became known; None before.
        outcome: "done", "failed", "cancelled", or "expired" (fal no longer has the result); None before the outcome
            is known.
        billable_units: the units that fal billed; None if fal reported none.
        cost: the cost by list price, in the currency of the price; None if no price is known.
        cancel_requested_at: when fal was asked to cancel the request; None if it was not.
        by_webhook: whether fal delivers the outcome to the webhook receiver of the session; default False.
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
    by_webhook: bool = False


@attrs.frozen(kw_only=True)
class End:
    """The outcome of an attempt, as it is stored.

    Attributes:
        state: the new state of the entry.
        outcome: the outcome of the attempt.
        at: when the outcome became known.
        final: whether a "failed" entry is replayed, without a further attempt unless the caller asks for one;
            default False.
        payload: the body of the result if `outcome` is "done", otherwise the stored error.
        headers: the stored headers of the response.
        billable_units: the units that fal billed; None if fal reported none.
        cost: the cost by list price; None if no price is known.
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
    """A downloaded file.

    Attributes:
        n: the number of the file in the result, from 0.
        path: its path, relative to the folder of `download=`.
        size: its size in bytes.
    """

    n: int
    path: str
    size: int


@attrs.frozen(kw_only=True)
class Record:
    """One entry as a store returns it.

    Attributes:
        number: the number of the entry in its store.
        version: grows with each write; a writer passes the version that it has read.
        state: the state; "uncertain", too, if the owner is gone and no request id was stored.
        final: whether a "failed" entry is replayed; if False, the next call makes a further attempt.
        attempts: how many times the entry was submitted.
        owner: the process that has claimed the entry or follows its request; None if there is none.
        owner_lives: whether the owner still runs. True if the owner is this process.
        requests: the attempts that fal accepted or may have accepted, sorted by number.
        input: the input; None if it is not stored, or was deleted after `keep` seconds.
        end: the body of the result of a "done" entry, or the stored error of a "failed" or "cancelled" one; None
            before the first outcome, and if it was deleted after `keep` seconds.
        headers: the stored headers of the response.
        expired: whether the input and the outcome were deleted after `keep` seconds.
        files: the files that were downloaded.
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
        """The id of the request whose outcome the entry has; before the outcome, the newest known id, or None."""
        if (decisive := self._decisive) is not None:
            return decisive.request_id
        return next((request.request_id for request in reversed(self.requests) if request.request_id), None)

    def is_owned_by(self, number: int | None) -> bool:
        """Whether the entry has an owner, and it has this number."""
        return self.owner is not None and self.owner.number == number

    def attempt_of(self, request_id: str) -> LedgerRequest | None:
        """Return the attempt with this request id; None if no attempt of the entry has it."""
        return next((one for one in self.requests if one.request_id == request_id), None)

    def submitted_at_of(self, request_id: str) -> float | None:
        """Return when the id of this request became known; None if no attempt of the entry has this id."""
        attempt = self.attempt_of(request_id)
        return None if attempt is None else attempt.submitted_at

    @property
    def _decisive(self) -> LedgerRequest | None:
        """The attempt whose outcome the entry has: of several results the stored one, otherwise the newest."""
        if self.state == "done":
            done = [request for request in reversed(self.requests) if request.outcome == "done"]
            stored = self.headers.get("x-fal-request-id")
            named = (request for request in done if request.request_id == stored)
            return next(named, done[0] if done else None)
        if self.state not in ("failed", "cancelled"):
            return None
        return next((request for request in reversed(self.requests) if request.outcome is not None), None)
