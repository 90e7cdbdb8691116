"""Find the requests of uncertain claims in fal's history, or prove that a claim has no request. Pure.

A claim is the ledger's note, written before a submit is sent, that a process is about to send it. It is uncertain
if it is not known whether fal accepted the submit. All times are Unix seconds of fal's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

import attrs

from fal_async.protocol.ledger.decisions import newest_claim
from fal_async.protocol.ledger.digests import VERSION
from fal_async.protocol.ledger.entry import Record
from fal_async.protocol.request_history import MARGIN, NEAR, PastRequest, Window

CATCH_UP = 600.0
"""Seconds after which the history shows every request: it is late by minutes (protocol 12)."""

Verdict = Literal["found", "nothing", "equal", "contested", "elsewhere", "hidden", "lagging"]


@attrs.frozen(kw_only=True)
class LostClaim:
    """An attempt of which it is not known whether fal accepted it.

    Attributes:
        entry: the number of the entry.
        version: the version of the entry, for the write that resolves the claim.
        attempt: the number of the attempt.
        body_digest: the digest of the bytes of the submit, as `1:<sha256>`; None if it is not known.
        claimed: the time from the claim to the latest time at which the submit can have been sent.
    """

    entry: int
    version: int
    attempt: int
    body_digest: str | None
    claimed: Window

    @property
    def window(self) -> Window:
        """The time in which the submit was sent, if it was, with a margin because clocks differ."""
        return Window(start=self.claimed.start - MARGIN, end=self.claimed.end + MARGIN)

    def near(self, now: float) -> Window:
        """Return the most likely window. Its margin is small, as the clocks were compared by the `Date` header."""
        # The claim may start after `now`, if a clock was set back since.
        until = max(self.claimed.start, min(self.claimed.end, now))
        return Window(start=self.claimed.start - NEAR, end=until + NEAR)


@attrs.frozen(kw_only=True)
class Judgement:
    """What the history says about one claim.

    Attributes:
        verdict: "found": the history shows the request; "nothing": fal certainly has no such request; "equal":
            there are more requests with this input than claims; "contested": the requests may belong to a claim of
            a running process; "elsewhere": a request with this input was sent at another time, and a clock may have
            changed; "hidden": a request whose input is not shown may be the one; "lagging": the history may not
            have caught up yet.
        request_id: the request id if the verdict is "found", otherwise None.
    """

    verdict: Verdict
    request_id: str | None = None


@attrs.frozen(kw_only=True)
class Seen:
    """What a look-up found in the history of one endpoint.

    Attributes:
        unknown: the requests whose ids no entry has.
        rivals: the claims of running processes: the history may show their requests before the ledger has the ids.
        latest_known: when the latest shown request with a known id was sent; None: no such request is shown.
        now: the time of the look-up.
    """

    unknown: Collection[PastRequest]
    rivals: Collection[LostClaim] = ()
    latest_known: float | None = None
    now: float


def lost_claim(record: Record, *, ahead: float) -> LostClaim | None:
    """Return the uncertain claim of an entry in fal's time; None if all attempts have a request id.

    `ahead`: how many seconds fal's clock is ahead of the clock of the claim.
    """
    claim = newest_claim(record)
    if claim is None:
        return None
    return LostClaim(
        entry=record.number,
        version=record.version,
        attempt=claim.n,
        body_digest=claim.body_digest,
        claimed=Window(
            start=claim.claimed_at + ahead, end=max(claim.claimed_at, claim.claimed_until) + ahead
        ),
    )


def merged(windows: Iterable[Window]) -> list[Window]:
    """Merge overlapping windows, so that each stretch of time is read once. Return them sorted by time."""
    stretches: list[Window] = []
    for window in sorted(windows, key=lambda window: window.start):
        if stretches and window.start <= stretches[-1].end:
            stretches[-1] = attrs.evolve(stretches[-1], end=max(stretches[-1].end, window.end))
        else:
            stretches.append(window)
    return stretches


def is_over(claim: LostClaim, now: float) -> bool:
    """Whether the submit can no longer be sent. Until then, no history proves that fal lacks the request."""
    return now >= claim.window.end


def judged(claims: Collection[LostClaim], seen: Seen) -> dict[int, Judgement]:
    """Return a judgement of each claim, by the number of its entry."""
    judgements: dict[int, Judgement] = {}
    for digest in {claim.body_digest for claim in claims}:
        judgements |= _of_input([claim for claim in claims if claim.body_digest == digest], seen)
    return judgements


def _of_input(claims: Sequence[LostClaim], seen: Seen) -> dict[int, Judgement]:
    """Judge claims with the same input."""
    found = [row for row in seen.unknown if _is(row, claims[0].body_digest)]
    rivals = [rival for rival in seen.rivals if rival.body_digest == claims[0].body_digest]
    judgements: dict[int, Judgement] = {}
    stretches = merged(claim.window for claim in claims)
    for stretch in stretches:
        inside = [claim for claim in claims if stretch.has(claim.window.start)]
        rows = [row for row in found if stretch.has(row.sent_at)]
        judgements |= _of_stretch(inside, rows, rivals, seen)
    if any(not any(stretch.has(row.sent_at) for stretch in stretches) for row in found):
        # A request was sent when there was no claim. Only a person who knows the clocks can say whether it belongs
        # to one of the claims.
        astray = {entry for entry, judgement in judgements.items() if judgement.verdict == "nothing"}
        judgements |= dict.fromkeys(astray, Judgement(verdict="elsewhere"))
    return judgements


def _is(row: PastRequest, digest: str | None) -> bool:
    return row.input_digest is not None and f"{VERSION}:{row.input_digest}" == digest


def _of_stretch(
    claims: Sequence[LostClaim], rows: Sequence[PastRequest], rivals: Sequence[LostClaim], seen: Seen
) -> dict[int, Judgement]:
    """Judge claims with the same input in one stretch of time."""
    if not rows:
        return {claim.entry: _absence(claim, seen) for claim in claims}
    pairs = _pairs(claims, rows)
    if pairs is None:
        return {claim.entry: Judgement(verdict="equal") for claim in claims}
    if any(rival.window.overlaps(claim.window) for rival in rivals for claim in claims):
        return {claim.entry: Judgement(verdict="contested") for claim in claims}
    return {
        claim.entry: (
            Judgement(verdict="found", request_id=pairs[claim.entry])
            if claim.entry in pairs
            else _absence(claim, seen)
        )
        for claim in claims
    }


def _pairs(claims: Sequence[LostClaim], rows: Sequence[PastRequest]) -> Mapping[int, str] | None:
    """Assign each request to a claim, and return the request ids by entry number.

    Returns None if a request fits no remaining claim, so that all assignments are doubtful. Of several claims that
    fit, the one whose window ends first is used, so that a complete assignment is found if any exists.
    """
    pairs: dict[int, str] = {}
    for row in sorted(rows, key=lambda row: row.sent_at or 0.0):
        free = [claim for claim in claims if claim.entry not in pairs and claim.window.has(row.sent_at)]
        if not free:
            return None
        pairs[min(free, key=lambda claim: (claim.window.end, claim.entry)).entry] = row.request_id
    return pairs


def _absence(claim: LostClaim, seen: Seen) -> Judgement:
    """Judge a claim for which the history shows no request with the same input."""
    readable = claim.body_digest is not None and claim.body_digest.startswith(f"{VERSION}:")
    if not readable or any(_may_be(claim, row) for row in seen.unknown):
        return Judgement(verdict="hidden")
    shown_later = seen.latest_known is not None and seen.latest_known >= claim.window.end
    if shown_later or seen.now >= claim.window.end + CATCH_UP:
        return Judgement(verdict="nothing")
    return Judgement(verdict="lagging")


def _may_be(claim: LostClaim, row: PastRequest) -> bool:
    """Whether the request may belong to the claim, as its input or its time is not shown."""
    if row.sent_at is None:
        return row.input_digest is None or _is(row, claim.body_digest)
    return row.input_digest is None and claim.window.has(row.sent_at)
