"""DBOS: a step that a second process repeats, and one whose process was killed, is paid for once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fal_async.emulator import Emulator
from tests.documents.engines.programs import CAT, SECONDS, Program, paid_once, refused_pictures, slow_pictures

PROGRAM = ("pictures.py", "order-42", CAT)


@pytest.fixture
def program(emulator: Emulator, database: str, tmp_path: Path) -> Program:
    return Program.saved("dbos", tmp_path, emulator, DATABASE_URL=database)


async def test_a_step_that_a_second_process_repeats_after_a_kill_is_paid_for_once(
    emulator: Emulator, program: Program
) -> None:
    release = slow_pictures(emulator)
    async with program.process(*PROGRAM) as first:
        await emulator.wait_for("status", timeout=SECONDS)
        async with program.process(*PROGRAM) as second:  # both have the executor id "local"
            await second.says("Recovering 1 workflows")
            first.kill()
            release.set()
            await second.end()
    assert second.lines_with("cat.png")
    paid_once(emulator)


async def test_a_finished_workflow_that_is_started_again_returns_its_stored_result(
    emulator: Emulator, program: Program
) -> None:
    slow_pictures(emulator).set()
    for _ in range(2):
        async with program.process(*PROGRAM) as process:
            await process.end()
        assert process.lines_with("cat.png")
    paid_once(emulator)


async def test_a_step_that_the_model_refuses_fails_without_a_retry(
    emulator: Emulator, program: Program
) -> None:
    refused_pictures(emulator)
    async with program.process(*PROGRAM) as process:
        assert await process.status() == 1
    assert process.lines_with("ValidationError: 422 body.prompt: not this one")
    assert emulator.count("submit") == 1
