"""Uncertain claims and fal's history: which requests are found, do certainly not exist, or stay unknown."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.protocol.ledger.entry import LedgerRequest, Place, Record, Space
from fal_async.protocol.ledger.matching import (
    CATCH_UP,
    Judgement,
    LostClaim,
    Seen,
    is_over,
    judged,
    lost_claim,
    merged,
)
from fal_async.protocol.request_history import MARGIN, PastRequest, Window

SENT, UNTIL = 1_000.0, 1_060.0


def claim(entry: int = 1, digest: str | None = "1:d", *, at: float = SENT, until: float = UNTIL) -> LostClaim:
    claimed = Window(start=at, end=until)
    return LostClaim(entry=entry, version=1, attempt=1, body_digest=digest, claimed=claimed)


def row(name: str = "r", sent_at: float | None = SENT, digest: str | None = "d") -> PastRequest:
    return PastRequest(request_id=name, sent_at=sent_at, input_digest=digest)


def seen(*unknown: PastRequest, now: float = SENT + 5, **rest: Any) -> Seen:
    return Seen(unknown=unknown, now=now, **rest)


def verdicts(claims: list[LostClaim], seen: Seen) -> list[str]:
    judgements = judged(claims, seen)
    return [judgements[claim.entry].verdict for claim in claims]


LATE = UNTIL + MARGIN + CATCH_UP


@pytest.mark.parametrize(
    ("shown", "verdict"),
    [
        (seen(row()), "found"),
        (seen(row(sent_at=SENT - 119)), "found"),
        (seen(row(sent_at=UNTIL + 119)), "found"),
        (seen(row(sent_at=None), now=LATE), "hidden"),
        (seen(row(digest="e"), row("2", digest="d"), row("3", None, None)), "found"),
        (seen(row(), row("2")), "equal"),
        (seen(row(), rivals=[claim(2)]), "contested"),
        (seen(row(), rivals=[claim(2, "1:e")]), "found"),
        (seen(row(), rivals=[claim(2, at=5_000, until=5_060)]), "found"),
        (seen(), "lagging"),
        (seen(row(sent_at=SENT - 121)), "lagging"),
        (seen(row(sent_at=SENT - 121), now=LATE), "elsewhere"),
        (seen(row(sent_at=UNTIL + 120), now=1e6), "elsewhere"),
        (seen(row(digest="e")), "lagging"),
        (seen(latest_known=UNTIL + 119), "lagging"),
        (seen(rivals=[claim(2)], latest_known=UNTIL + 120), "nothing"),
        (seen(now=LATE - 1), "lagging"),
        (seen(now=LATE), "nothing"),
        (seen(row(digest=None), now=LATE), "hidden"),
        (seen(row(digest=None, sent_at=None), now=LATE), "hidden"),
        (seen(row(digest=None, sent_at=SENT - 121), now=LATE), "nothing"),
    ],
)
def test_the_verdict_on_a_single_claim_follows_from_the_history(shown: Seen, verdict: str) -> None:
    assert verdicts([claim()], shown) == [verdict]


@pytest.mark.parametrize("digest", [None, "2:d", "d"])
def test_a_claim_whose_digest_can_not_be_compared_is_judged_hidden(digest: str | None) -> None:
    assert verdicts([claim(digest=digest)], seen(row(), now=LATE)) == ["hidden"]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([], ["nothing", "nothing"]),
        ([row("a")], ["found", "nothing"]),
        ([row("a"), row("b")], ["found", "found"]),
        ([row("a"), row("b"), row("c")], ["equal", "equal"]),
        ([row("a"), row("hidden", digest=None)], ["found", "hidden"]),
    ],
)
def test_two_claims_with_the_same_input_are_matched_to_their_requests(
    shown: list[PastRequest], expected: list[str]
) -> None:
    assert verdicts([claim(1), claim(2)], seen(*shown, now=LATE)) == expected


def test_claims_far_apart_in_time_are_judged_independently() -> None:
    early, late = claim(1), claim(2, at=50_000.0, until=50_060.0)
    shown = seen(row("a", 50_000.0), row("b"), row("c"), now=1e6)
    assert verdicts([early, late], shown) == ["equal", "found"]


def test_claims_with_overlapping_windows_each_get_a_request_within_their_window() -> None:
    early, late = claim(1), claim(2, at=SENT + 200, until=UNTIL + 200)
    judgements = judged([late, early], seen(row("a", SENT + 290), row("b", SENT)))
    assert judgements == {
        1: Judgement(verdict="found", request_id="b"),
        2: Judgement(verdict="found", request_id="a"),
    }
    crowded = seen(row("a", SENT - 1), row("b", SENT), now=LATE)
    assert verdicts([early, late], crowded) == ["equal", "equal"]


def test_the_claim_of_a_ledger_entry_is_converted_to_fals_clock() -> None:
    record = Record(
        number=7,
        version=3,
        place=Place(space=Space(origin="https://queue.fal.run"), key="k"),
        endpoint_id="a/b",
        input_digest="1:i",
        state="uncertain",
        requests=(
            LedgerRequest(n=1, request_id="r-1"),
            LedgerRequest(n=2, body_digest="1:d", claimed_at=SENT, claimed_until=UNTIL),
        ),
    )
    lost = lost_claim(record, ahead=10.0)
    claimed = Window(start=SENT + 10, end=UNTIL + 10)
    assert lost == LostClaim(entry=7, version=3, attempt=2, body_digest="1:d", claimed=claimed)
    assert lost.window == Window(start=SENT + 10 - MARGIN, end=UNTIL + 10 + MARGIN)
    assert lost.near(SENT + 12) == Window(start=SENT + 5, end=SENT + 17)
    assert lost.near(1e6) == Window(start=SENT + 5, end=UNTIL + 15)
    assert lost.near(SENT - 3600) == Window(start=SENT + 5, end=SENT + 15), "the clock was set back"
    assert [is_over(lost, now) for now in (lost.window.end - 1, lost.window.end)] == [False, True]
    assert lost_claim(attrs.evolve(record, requests=record.requests[:1]), ahead=0.0) is None


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e3))))
def test_merged_windows_cover_the_same_times_and_do_not_overlap(spans: list[tuple[float, float]]) -> None:
    windows = [Window(start=start, end=start + length) for start, length in spans]
    stretches = merged(windows)
    assert all(any(s.start <= w.start and w.end <= s.end for s in stretches) for w in windows)
    assert all(before.end < after.start for before, after in pairwise(stretches))
    assert {s.start for s in stretches} <= {w.start for w in windows}
    assert {s.end for s in stretches} <= {w.end for w in windows}


@st.composite
def outcomes(draw: st.DrawFn) -> tuple[list[LostClaim], list[PastRequest]]:
    """Claims of few inputs, and the requests that fal accepted, with clocks that differ by at most the margin."""
    claims: list[LostClaim] = []
    rows: list[PastRequest] = []
    for entry in range(draw(st.integers(1, 6))):
        at, digest = draw(st.sampled_from([0.0, 100.0, 300.0, 5_000.0])), draw(st.sampled_from("de"))
        claims.append(claim(entry, f"1:{digest}", at=at, until=at + 60))
        if draw(st.booleans()):
            rows.append(row(f"r-{entry}", at + draw(st.floats(-119, 179)), digest))
    return claims, rows


@given(outcomes())
def test_with_a_complete_history_every_request_is_found_and_no_other(
    truth: tuple[list[LostClaim], list[PastRequest]],
) -> None:
    claims, rows = truth
    judgements = judged(claims, seen(*rows, now=1e6))
    found = [judgement.request_id for judgement in judgements.values() if judgement.verdict == "found"]
    assert sorted(found, key=str) == sorted(row.request_id for row in rows)
    assert Counter(judgement.verdict for judgement in judgements.values()) == Counter(
        {"found": len(rows), "nothing": len(claims) - len(rows)}
    )


rows_at_all = st.builds(
    PastRequest,
    request_id=st.uuids().map(str),
    sent_at=st.none() | st.floats(-200, 6_000),
    input_digest=st.sampled_from(["d", "e", "other", None]),
)


@given(
    outcomes(),
    st.lists(rows_at_all, unique_by=lambda row: row.request_id),
    st.none() | st.floats(0, 1e4),
    st.floats(0, 1e4),
)
def test_no_history_assigns_a_request_twice_or_to_a_claim_that_does_not_fit(
    truth: tuple[list[LostClaim], list[PastRequest]],
    others: list[PastRequest],
    latest_known: float | None,
    now: float,
) -> None:
    claims, taken = truth
    shown = Seen(unknown=[*taken, *others], latest_known=latest_known, now=now)
    judgements = judged(claims, shown)
    assert set(judgements) == {claim.entry for claim in claims}
    by_id = {row.request_id: row for row in shown.unknown}
    found = {
        entry: by_id[one.request_id or ""] for entry, one in judgements.items() if one.verdict == "found"
    }
    assert len({row.request_id for row in found.values()}) == len(found)
    for claim in claims:
        if claim.entry in found:
            row = found[claim.entry]
            assert claim.body_digest == f"1:{row.input_digest}"
            assert claim.window.has(row.sent_at)
        if judgements[claim.entry].verdict == "nothing":
            caught_up = now >= claim.window.end + CATCH_UP
            assert caught_up or (latest_known is not None and latest_known >= claim.window.end)


@given(outcomes(), st.data())
def test_a_lagging_history_never_leads_to_the_verdict_nothing(
    truth: tuple[list[LostClaim], list[PastRequest]], data: st.DataObject
) -> None:
    claims, rows = truth
    listed = [row for row in rows if data.draw(st.booleans())]
    judgements = judged(claims, seen(*listed, now=0.0, latest_known=-200.0))
    assert "nothing" not in {judgement.verdict for judgement in judgements.values()}
