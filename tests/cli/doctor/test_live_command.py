"""`fal-async doctor --live` as a separate process: consent, prices, reports, Ctrl-C, exit statuses."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fal_async.emulator import Emulator, Fault
from tests.cli.doctor.examined import ROOT, doctor

START = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
START += "from fal_async.cli import main; sys.exit(main())"
"""Without this, a process that is started in the background would ignore Ctrl-C."""


@asynccontextmanager
async def started(
    emulator: Emulator,
    *arguments: str,
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int = asyncio.subprocess.PIPE,
    stderr: int = asyncio.subprocess.PIPE,
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", START, "doctor", "--live", *arguments),
        env={**os.environ, "PYTHONPATH": str(ROOT), "FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key},
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_live_report_is_a_table_to_paste_after_the_price_was_announced(emulator: Emulator) -> None:
    report = await doctor("--text", "--live", "--yes", FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key)
    assert report.status == 0
    assert report.err.startswith("This sends up to 6 requests to fal-ai/flux/schnell at ")
    assert "Price: 0.003 USD per " in report.err
    head, _, table = report.out.partition("fal-async doctor --live: ")
    assert head.startswith("fal-async doctor, ")
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) > 30
    assert len({row.rindex(" | ") for row in rows if row.endswith("|  |")}) == 1
    assert "0 differ" in table


async def test_live_document_has_questions_sections_and_verdicts(emulator: Emulator) -> None:
    report = await doctor("--live", "--yes", FAL_BASE_URL=emulator.url, FAL_KEY=emulator.admin_key)
    assert report.status == 0
    live = report.document["live"]
    assert live["counts"]["differs"] == 0
    assert (live["still_running"], live["uncertain"]) == ([], [])
    assert {"name", "section", "question", "sheet", "seen", "verdict"} == set(live["answers"][0])
    assert live["submitted"] == len(emulator.jobs)
    assert emulator.key not in report.out + report.err


async def test_difference_from_the_sheet_exits_with_1_and_is_in_the_table(emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(409, on="cancel", detail="too late", taken=True, times=None))
    report = await doctor("--text", "--live", "--yes", FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key)
    assert report.status == 1
    (row,) = [line for line in report.out.splitlines() if "cancel of a request that is done" in line]
    assert row.startswith("| differs ")
    assert "409" in row
    assert "too late" in row
    assert {job.state for job in emulator.jobs.values()} == {"COMPLETED"}


async def test_without_a_terminal_and_consent_nothing_is_sent_and_status_is_2(emulator: Emulator) -> None:
    report = await doctor("--text", "--live", FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key)
    assert (report.status, report.out) == (2, "")
    assert "--yes" in report.err
    assert sum(emulator.count(operation) for operation in ("submit", "status", "platform")) == 0


async def test_wrong_key_and_broken_settings_stop_before_any_request_is_paid(emulator: Emulator) -> None:
    report = await doctor("--text", "--live", "--yes", FAL_BASE_URL=emulator.url, FAL_KEY="other:key")
    assert (report.status, emulator.count("submit")) == (3, 0)
    assert "nothing was sent" in report.err
    report = await doctor("--text", "--live", "--yes", FAL_BASE_URL="nonsense", FAL_KEY="other:key")
    assert report.status == 1


@pytest.mark.parametrize(
    "arguments", [("--endpoint", "me/other"), ("--input", "[1]"), ("--endpoint", "x"), ("--patience", "0")]
)
async def test_wrong_arguments_exit_with_2_and_name_the_argument(
    arguments: tuple[str, ...], emulator: Emulator
) -> None:
    report = await doctor("--live", "--yes", *arguments, FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key)
    assert report.status == 2
    assert emulator.count("submit") == 0


async def test_uncertain_submit_exits_with_4_and_is_not_sent_again(emulator: Emulator) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    report = await doctor("--live", "--yes", FAL_BASE_URL=emulator.url, FAL_KEY=emulator.key)
    assert report.status == 4
    assert len(report.document["live"]["uncertain"]) == 1
    assert "may run and be billed" in report.err


async def test_interrupted_command_cancels_its_request_and_exits_with_130(emulator: Emulator) -> None:
    running = asyncio.Event()

    @emulator.endpoint("me/slow")
    async def slow(_: dict[str, object]) -> None:
        running.set()
        await asyncio.Event().wait()

    arguments = ("--yes", "--endpoint", "me/slow", "--input", "{}", "--json")
    async with started(emulator, *arguments) as process:
        await running.wait()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert (process.returncode, out) == (130, b"")
    assert b"ending the requests that still run" in err
    assert [job.state for job in emulator.jobs.values()] == ["COMPLETED"]
    assert emulator.count("cancel") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize(
    ("reply", "submits", "status"),
    [(b"n\n", 0, 1), (b"\n", 0, 1), (b"\x04", 0, 1), (b"yes\n", 1, 1), (b"", 0, 130)],
)
async def test_person_at_a_terminal_is_asked_before_anything_is_paid(
    reply: bytes, submits: int, status: int, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.answer(500, on="submit", times=None))  # one question is enough
    ours, theirs = os.openpty()
    try:
        async with started(emulator, "--patience", "1", stdin=theirs, stderr=theirs) as process:
            shown = b""
            while b"[y/N]" not in shown:
                shown += await asyncio.to_thread(os.read, ours, 4096)
            assert b"Price: 0.003 USD" in shown
            assert emulator.count("submit") == 0
            if reply:
                os.write(ours, reply)
            else:
                process.send_signal(signal.SIGINT)
            out, _ = await process.communicate()
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == status
    assert (emulator.count("submit") > 0) == bool(submits)
    assert (b"fal-async doctor --live" in out) == bool(submits)


async def test_reader_that_is_gone_during_live_questions_leaves_no_request(emulator: Emulator) -> None:
    read, write = os.pipe()
    os.close(read)
    async with started(emulator, "--yes", stdout=write) as process:
        os.close(write)
        _, err = await process.communicate()
    assert process.returncode == 1
    assert b"the reader of standard output is gone" in err
    assert emulator.count("submit") == 0
