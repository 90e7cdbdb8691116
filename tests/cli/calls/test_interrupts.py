"""Ctrl-C: what becomes of the request, and what the person is told."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fal_async.emulator import Emulator, Fault
from tests.cli.processes import CTRL_C, ended, interrupted, started, terminal

PLACES = "fal-async status me/slow "


@pytest.fixture
def may_end(emulator: Emulator) -> Iterator[asyncio.Event]:
    """Serve a model that works until the event is set."""
    event = asyncio.Event()

    @emulator.endpoint("me/slow", runners=1)
    async def slow(input: dict[str, Any]) -> dict[str, Any]:
        await event.wait()
        return {"text": "done"}

    yield event
    event.set()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
async def test_ctrl_c_and_other_signals_cancel_a_running_request_and_say_what_became_of_it(
    emulator: Emulator, may_end: asyncio.Event, number: signal.Signals, status: int
) -> None:
    async with started(emulator, "subscribe", "me/slow") as process:
        await emulator.wait_for("status", timeout=50)
        process.send_signal(number)
        done = await ended(process)
    (job,) = emulator.jobs.values()
    assert (done.status, done.out, job.cancel_requests) == (status, "", 1)
    what, where = done.err.splitlines()[-2:]
    assert what == (
        "fal-async subscribe: interrupted: fal was asked to cancel the request, but it may still complete"
    )
    assert where == f"request {job.request_id}; to look again: {PLACES}{job.request_id}"


async def test_ctrl_c_in_a_terminal_removes_a_waiting_request_and_restores_the_screen(
    emulator: Emulator, may_end: asyncio.Event
) -> None:
    async with started(emulator, "submit", "me/slow") as first:
        await first.communicate()
    async with terminal(emulator, "subscribe", "me/slow") as shown:
        await shown.until("in queue, 0 ahead")
        shown.type(CTRL_C)
        assert await shown.end() == 130
    job = list(emulator.jobs.values())[-1]
    assert job.cancel_requests == 1
    *_, what, where = shown.shown.splitlines()
    assert what.endswith("fal-async subscribe: interrupted: fal removed the request from the queue")
    assert job.request_id in where
    assert shown.shown.rindex("\033[?25h") > shown.shown.rindex("\033[?25l")  # the cursor is visible again


async def test_ctrl_c_with_a_key_leaves_the_request_running_and_the_same_command_gets_its_result(
    emulator: Emulator, may_end: asyncio.Event, tmp_path: Path
) -> None:
    call = ("subscribe", "me/slow", "--idempotency-key", "k", "--ledger", str(tmp_path / "runs.db"))
    async with started(emulator, *call) as process:
        await emulator.wait_for("status", timeout=50)
        done = await interrupted(process)
    assert (done.status, done.out) == (130, "")
    assert done.err.splitlines()[-1] == "the request keeps running: the same command waits for it again"
    may_end.set()
    async with started(emulator, *call, "-q") as process:
        out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    assert b'"text": "done"' in out
    assert [job.cancel_requests for job in emulator.jobs.values()] == [0]


async def test_ctrl_c_while_the_submit_is_on_its_way_says_how_to_find_the_request(
    emulator: Emulator, may_end: asyncio.Event
) -> None:
    emulator.faults.add(Fault.stall(60, on="submit", taken=True))
    async with started(emulator, "subscribe", "me/slow") as process:
        await emulator.wait_for("submit", timeout=50)
        done = await interrupted(process)
    assert (done.status, done.out) == (130, "")
    assert "fal did not respond to the submit" in done.err
    assert "fal-async requests me/slow" in done.err


async def test_ctrl_c_stops_waiting_for_a_result_and_leaves_the_request_running(
    emulator: Emulator, may_end: asyncio.Event
) -> None:
    async with started(emulator, "submit", "me/slow") as process:
        request_id = (await process.communicate())[0].decode().strip()
    async with started(emulator, "result", "me/slow", request_id, "--wait") as process:
        await emulator.wait_for("status", timeout=50)
        done = await interrupted(process)
    assert (done.status, done.out) == (130, "")
    assert done.err.splitlines()[-1] == (
        f"the request keeps running: fal-async result me/slow {request_id} --wait"
    )
    assert [job.cancel_requests for job in emulator.jobs.values()] == [0]


async def test_ctrl_c_closes_a_direct_call_and_says_that_it_may_be_billed(
    emulator: Emulator, may_end: asyncio.Event
) -> None:
    async with started(emulator, "run", "me/slow") as process:
        await emulator.wait_for("run", timeout=50)
        done = await interrupted(process)
    assert (done.status, done.out) == (130, "")
    assert done.err == "interrupted: the connection was closed; fal may still bill the call\n"


async def test_ctrl_c_while_files_are_fetched_prints_the_result_and_how_to_fetch_it_again(
    emulator: Emulator, tmp_path: Path
) -> None:
    emulator.faults.add(Fault.stall(60, on="file"))
    call = ("subscribe", "fal-ai/flux/schnell", "prompt=x", "--download", str(tmp_path))
    async with started(emulator, *call) as process:
        await emulator.wait_for("file", timeout=50)
        done = await interrupted(process)
    (request_id,) = emulator.jobs
    assert (done.status, len(json.loads(done.out)["images"])) == (130, 1)
    assert done.err.splitlines()[-1] == (
        "interrupted: the files were not downloaded; "
        f"to fetch the result again: fal-async result fal-ai/flux/schnell {request_id}"
    )


async def test_a_terminal_that_is_closed_cancels_the_request(
    emulator: Emulator, may_end: asyncio.Event
) -> None:
    async with terminal(emulator, "subscribe", "me/slow") as shown:
        await shown.until("running")
        shown.close()
        await emulator.wait_for("cancel", timeout=50)
    assert [job.cancel_requests for job in emulator.jobs.values()] == [1]
