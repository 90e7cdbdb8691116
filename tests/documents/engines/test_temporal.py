"""Temporal: its activity in Temporal's own environment for tests, and its workflow by replaying a history.

Neither needs a server, which is not a Python package.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from fal_async import Session
from fal_async.emulator import Emulator, Fault
from tests.documents.engines.programs import CAT, Program, paid_once, refused_pictures, slow_pictures


@pytest.fixture
def program(emulator: Emulator, tmp_path: Path, database: str) -> Program:
    return Program.saved("temporal", tmp_path, emulator, LEDGER=database)


@pytest.fixture
async def draw(program: Program, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """The activity, with the session of a worker."""
    pictures = program.module(monkeypatch)
    async with Session(ledger=program.variables["LEDGER"]) as fal:
        yield pictures.Pictures(fal).draw


class Attempt(ActivityEnvironment):
    """The n-th attempt of one activity, and its heartbeats."""

    def __init__(self, number: int = 1) -> None:
        super().__init__()
        self.info = dataclasses.replace(self.info, activity_id="1", workflow_run_id="run-1", attempt=number)
        self.beats: list[str] = []
        self.alive = asyncio.Event()
        self.on_heartbeat = self.beat

    def beat(self, request_id: str) -> None:
        self.beats.append(request_id)
        self.alive.set()


async def test_an_activity_beats_with_each_status_and_a_second_attempt_sends_nothing(
    emulator: Emulator, draw: Any
) -> None:
    slow_pictures(emulator).set()
    first, second = Attempt(), Attempt(2)
    images = await first.run(draw, CAT)
    assert images[0]["file_name"] == "cat.png"
    assert set(first.beats) == set(emulator.jobs)
    assert await second.run(draw, CAT) == images
    paid_once(emulator)


async def test_an_activity_of_a_stopping_worker_is_continued_by_the_next_attempt(
    emulator: Emulator, draw: Any
) -> None:
    release = slow_pictures(emulator)
    first = Attempt()
    running = asyncio.ensure_future(first.run(draw, CAT))
    await first.alive.wait()
    first.cancel(ActivityCancellationDetails(worker_shutdown=True))
    with pytest.raises(asyncio.CancelledError):
        await running
    release.set()
    assert (await Attempt(2).run(draw, CAT))[0]["file_name"] == "cat.png"
    paid_once(emulator)


async def test_the_activity_of_a_cancelled_workflow_cancels_its_request(
    emulator: Emulator, draw: Any
) -> None:
    slow_pictures(emulator)
    attempt = Attempt()
    running = asyncio.ensure_future(attempt.run(draw, CAT))
    await attempt.alive.wait()
    attempt.cancel(ActivityCancellationDetails(cancel_requested=True))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (emulator.count("submit"), emulator.count("cancel")) == (1, 1)


async def test_an_attempt_with_an_unknown_end_may_be_retried_and_is_paid_for_once(
    emulator: Emulator, draw: Any
) -> None:
    slow_pictures(emulator).set()
    emulator.history.lag = 3_600.0
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    with pytest.raises(ApplicationError) as caught:
        await Attempt().run(draw, CAT)
    assert (caught.value.type, caught.value.non_retryable) == ("SubmissionUncertainError", False)
    emulator.history.lag = 0.0
    await Attempt(2).run(draw, CAT)
    paid_once(emulator)


async def test_an_activity_that_the_model_refuses_is_not_retried(emulator: Emulator, draw: Any) -> None:
    refused_pictures(emulator)
    with pytest.raises(ApplicationError) as caught:
        await Attempt().run(draw, CAT)
    assert (caught.value.type, caught.value.non_retryable) == ("ValidationError", True)


@pytest.mark.parametrize(
    ("activity", "status", "said"),
    [("draw", 0, "replayed"), ("other", 1, "scheduled event 'other' does not match")],
)
async def test_the_workflow_runs_the_activity_of_its_history_and_no_other(
    program: Program, activity: str, status: int, said: str
) -> None:
    async with program.process("-W", "error", "-m", "tests.documents.engines.replay", activity) as replay:
        assert await replay.status() == status
    assert replay.lines_with(said)
