"""A small soak run: every job is accounted for, in spite of restarts and random faults."""

from __future__ import annotations

import pytest

from fal_async import ServerError, SubmissionUncertainError
from fal_async.emulator import Emulator
from tests.guarantees.soak_account import Ending, balance
from tests.guarantees.soak_run import echo_at, soak


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_soak_run_ends_with_a_balanced_account(emulator: Emulator, seed: int) -> None:
    echo_at(emulator)
    account = await soak(emulator.url, emulator.key, seed=seed, count=150, at_once=15)
    assert account.violations == []
    assert sum(account.endings.values()) == account.asked == 150
    assert account.endings["result"] > 20
    assert emulator.faults.struck > 50


def job(number: int, request_id: str, **other: object) -> dict[str, object]:
    entry = {"input": {"n": number}, "request_id": request_id, "state": "COMPLETED", "forgotten": False}
    return {**entry, "cancel_requests": 0, **other}


def test_balance_reports_every_kind_of_violation() -> None:
    """The account must report the errors that it is made to find."""
    endings = [
        Ending(number=1, way="subscribe", request_id="a", answer=1),
        Ending(number=2, way="subscribe", request_id="c", answer=3),
        Ending(number=3, way="subscribe", error=KeyError("x"), request_id="d"),
        Ending(number=4, way="subscribe", error=ServerError("x", status=500)),
        Ending(number=5, way="subscribe", error=SubmissionUncertainError("x"), looked=True, found="g"),
        Ending(number=6, way="cancel", request_id="h"),
        Ending(number=7, way="subscribe", request_id="z", answer=7),
    ]
    books = [
        *(job(1, "a"), job(1, "b"), job(2, "c"), job(3, "d"), job(4, "e"), job(5, "f")),
        *(job(6, "h", state="IN_PROGRESS"), job(8, "i")),
    ]
    assert balance(endings, books).violations == [
        "no. 1 (subscribe): 2 jobs were made",
        "no. 2 (subscribe): the result of no. 3",
        "no. 3 (subscribe): a bare KeyError",
        "no. 4 (subscribe): ServerError without the id of the job that was made",
        "no. 5 (subscribe): find_submission returned g, the server has ['f']",
        "no. 6 (cancel): cancelled, but request h was left to run",
        "no. 7 (subscribe): a result without a job",
        "no. 8: no call asked for it",
    ]
    assert balance([Ending(number=1, way="run", request_id="a", answer=1)], [job(1, "a")]).violations == []
