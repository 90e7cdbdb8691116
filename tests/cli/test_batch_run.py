"""`fal-async batch`, run as a separate process against an emulator: runs, reruns, exit statuses, resolving."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from fal_async import Ledger
from fal_async.emulator import Emulator, Fault
from fal_async.ledger.opening import Where
from tests.emulator.gate import Gate

ROOT = Path(__file__).parents[2]
MODEL = "fal-ai/any-llm"
# Without this, a process that is started in the background would ignore Ctrl-C.
START = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
START += "from fal_async.cli import main; sys.exit(main())"


@attrs.frozen
class Done:
    status: int | None
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@asynccontextmanager
async def started(
    emulator: Emulator, *arguments: str, **more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "FAL_BASE_URL": emulator.url,
        "FAL_KEY": emulator.key,
        **more,
    }
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", START, "batch", *arguments),
        env=environment,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def batch(emulator: Emulator, *arguments: str, stdin: str = "", **more: str) -> Done:
    async with started(emulator, *arguments, **more) as process:
        out, err = await process.communicate(stdin.encode())
        return Done(process.returncode, out.decode(), err.decode())


def inputs(folder: Path, rows: Sequence[dict[str, Any]]) -> str:
    path = folder / "inputs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


async def test_a_run_writes_items_and_files_and_a_second_one_sends_nothing(
    emulator: Emulator, tmp_path: Path, where: Where
) -> None:
    rows = [{"id": n, "prompt": f"cat {n}", "image_size": {"width": 64, "height": 64}} for n in range(4)]
    out, ledger = tmp_path / "out", str(where)
    run = ("run", "fal-ai/flux/schnell", inputs(tmp_path, rows), "--ledger", ledger, "--json")
    more = ("--key-column", "id", "--columns", "prompt,image_size", "--download", str(out))
    first = await batch(emulator, *run, *more)
    assert (first.status, first.err) == (0, "")
    *items, last = first.lines
    assert sorted(item["key"] for item in items) == ["0", "1", "2", "3"]
    assert last["summary"]["done"] == last["summary"]["total"] == 4
    assert emulator.count("submit") == 4
    assert {item["files"][0] for item in items} == {str(path) for path in out.iterdir()}

    again = await batch(emulator, *run, *more)
    assert (again.status, again.err) == (0, "")
    assert all(item["ok"] and item["from_ledger"] for item in again.lines[:-1])
    assert emulator.count("submit") == 4

    status = await batch(emulator, "status", "--ledger", ledger)
    assert (status.status, status.err) == (0, "")
    assert status.out == "fal-ai/flux/schnell: 4 done, cost $0.012\n"

    export = tmp_path / "results.jsonl"
    done = await batch(emulator, "export", str(export), "--ledger", ledger, "--json")
    assert (done.status, done.lines) == (0, [{"summary": {"entries": 4, "file": str(export)}}])
    lines = [json.loads(line) for line in export.read_text().splitlines()]
    assert [line["cost"] for line in lines] == ["0.003"] * 4


async def test_inputs_are_read_from_a_pipe_and_failures_are_reported(
    emulator: Emulator, tmp_path: Path
) -> None:
    rows = '{"prompt": "a cat", "num_images": 9}\n{"prompt": "a cat", "image_size": {"width": 64, "height": 64}}\n'
    done = await batch(
        emulator, "run", "fal-ai/flux/dev", "-", "--ledger", str(tmp_path / "runs.db"), stdin=rows
    )
    assert done.status == 1
    assert done.out.startswith("fal-ai/flux/dev: 1 of 2 done, 1 failed, took ")
    failed, way = done.err.splitlines()
    assert "422 body.num_images" in failed
    assert "--retry-failed" in way


async def test_a_batch_stopped_by_max_failures_exits_with_5(emulator: Emulator, tmp_path: Path) -> None:
    rows = [{"prompt": "a cat", "num_images": 9, "seed": n} for n in range(5)]
    run = ("run", "fal-ai/flux/dev", inputs(tmp_path, rows), "--ledger", str(tmp_path / "runs.db"))
    done = await batch(emulator, *run, "--concurrency", "1", "--max-failures", "1", "--json")
    assert done.status == 5
    assert [next(iter(line)) for line in done.lines[-2:]] == ["error", "summary"]
    assert done.err.splitlines()[-1].startswith("fal-async batch run: ")


async def test_a_batch_stopped_by_max_cost_exits_with_5_and_a_higher_one_continues_it(
    emulator: Emulator, tmp_path: Path, where: Where
) -> None:
    rows = [{"prompt": f"cat {n}", "image_size": {"width": 64, "height": 64}} for n in range(5)]
    run = ("run", "fal-ai/flux/schnell", inputs(tmp_path, rows), "--ledger", str(where))
    done = await batch(emulator, *run, "--max-cost", "0.01")
    assert (done.status, len(emulator.jobs)) == (5, 3)
    assert "cost $0.009 of $0.01" in done.out
    assert "max_cost=$0.01 has no room for a request of $0.003: $0.009 spent, $0.00 reserved" in done.err
    more = await batch(emulator, *run, "--max-cost", "1", "--json")
    assert (more.status, len(emulator.jobs)) == (0, 5)
    assert [item["cost"] for item in more.lines[:-1]] == ["0.003"] * 5
    summary = more.lines[-1]["summary"]
    assert (summary["cost"], summary["spent"], summary["max_cost"]) == ("0.015", "0.006", "1")


async def test_requests_of_a_killed_run_count_in_the_limit_of_the_next_one(
    emulator: Emulator, tmp_path: Path, where: Where
) -> None:
    gate = Gate()
    emulator.endpoint("me/gate", price="0.1", runners=10)(gate)
    rows = [{"n": n} for n in range(10)]
    line = ("run", "me/gate", inputs(tmp_path, rows), "--ledger", str(where), "--max-cost", "0.3")
    async with started(emulator, *line) as process:
        await emulator.wait_for("submit", 3, timeout=30)
        # When the ledger has the ids, the next run can go on at once.
        async with await Ledger.open(where) as ledger:
            while (await ledger.summary()).submitted < 3:
                await asyncio.sleep(0.01)
        process.kill()
        await process.wait()
    assert len(emulator.jobs) == 3
    gate.open()
    done = await batch(emulator, *line)
    assert (done.status, len(emulator.jobs)) == (5, 3)
    assert "cost $0.30 of $0.30" in done.out


async def test_a_refused_key_exits_with_3(emulator: Emulator, tmp_path: Path) -> None:
    run = ("run", MODEL, inputs(tmp_path, [{"prompt": "x"}]), "--ledger", str(tmp_path / "runs.db"))
    done = await batch(emulator, *run, FAL_KEY="wrong:key")
    assert (done.status, len(emulator.jobs)) == (3, 0)
    assert "401" in done.err


async def test_uncertain_items_exit_with_4_and_can_be_resolved_by_hand(
    emulator: Emulator, tmp_path: Path
) -> None:
    ledger = ("--ledger", str(tmp_path / "runs.db"))
    run = ("run", MODEL, inputs(tmp_path, [{"id": "a", "prompt": "x"}]), *ledger, "--key-column", "id")
    emulator.faults.add(Fault.reset(on="submit", taken=True, times=1))
    done = await batch(emulator, *run, "--uncertain", "report")
    assert done.status == 4
    assert f"fal-async batch uncertain {' '.join(ledger)}" in done.err

    listed = await batch(emulator, "uncertain", *ledger, "--json")
    assert listed.status == 4
    entry, last = listed.lines
    assert (entry["key"], entry["run"], last) == ("a", MODEL, {"summary": {"uncertain": 1}})

    emulator.faults.add(Fault.answer(403, on="platform"))
    searched = await batch(emulator, "uncertain", *ledger, "--lookup")
    assert (searched.status, "history can't be read" in searched.err) == (4, True)
    (request_id,) = emulator.jobs
    resolved = await batch(emulator, "uncertain", *ledger, "--resolve", "a", "--request-id", request_id)
    assert (resolved.status, resolved.out) == (0, "nothing is uncertain\n")
    again = await batch(emulator, *run)
    assert (again.status, len(emulator.jobs)) == (0, 1)


async def test_ctrl_c_cancels_queued_requests_and_the_same_command_continues_the_run(
    emulator: Emulator, tmp_path: Path
) -> None:
    may_end = asyncio.Event()
    worked_on = []

    @emulator.endpoint("me/slow", runners=2)
    async def slow(input: dict[str, Any]) -> dict[str, Any]:
        worked_on.append(input["n"])
        await may_end.wait()
        return input

    rows = inputs(tmp_path, [{"n": n} for n in range(6)])
    run = ("run", "me/slow", rows, "--ledger", str(tmp_path / "runs.db"), "--concurrency", "4")
    async with started(emulator, *run) as process:
        await emulator.wait_for("status", 4, timeout=50)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert "Press Ctrl-C again to exit at once" in err.decode()
    may_end.set()
    done = await batch(emulator, *run)
    assert done.status == 0
    assert sorted(worked_on) == list(range(6))


async def test_a_second_ctrl_c_ends_the_process_at_once(emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.add(Fault.stall(60, on="cancel", times=None))

    @emulator.endpoint("me/slow")
    async def slow(input: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    rows = inputs(tmp_path, [{"n": n} for n in range(6)])
    run = ("run", "me/slow", rows, "--ledger", str(tmp_path / "runs.db"))
    async with started(emulator, *run) as process:
        await emulator.wait_for("status", 6, timeout=50)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while b"Ctrl-C again" not in await process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        await process.wait()
    assert process.returncode == 130


async def test_a_closed_standard_output_ends_the_run_in_order(emulator: Emulator, tmp_path: Path) -> None:
    rows = inputs(tmp_path, [{"prompt": str(n)} for n in range(5)])
    run = ("run", MODEL, rows, "--ledger", str(tmp_path / "runs.db"), "--json", "--concurrency", "1")
    reading, writing = os.pipe()
    os.close(reading)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", START, "batch", *run),
        env={**os.environ, "PYTHONPATH": str(ROOT), "FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key},
        stdout=writing,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(writing)
    _, err = await process.communicate()
    assert process.returncode == 1
    assert err.decode().splitlines()[-1] == (  # a warning about requests that go on may come before
        "fal-async batch run: the reader of standard output is gone; the same command continues the run"
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
@pytest.mark.parametrize(
    ("way", "status", "says", "heads"),
    [
        (
            ">/dev/full",
            1,
            "standard output can't be written: No space left on device; the same command continues the run",
            [],
        ),
        ("2>&-", 1, "", ["index", "summary"]),
        ("<&-", 2, "standard input can't be read: Bad file descriptor", ["error"]),
    ],
)
async def test_unusable_standard_streams_end_the_run_in_order(
    emulator: Emulator, tmp_path: Path, way: str, status: int, says: str, heads: list[str]
) -> None:
    rows = inputs(tmp_path, [{"prompt": "a cat", "num_images": 9}])
    run = (
        "run",
        "fal-ai/flux/dev",
        "-" if way == "<&-" else rows,
        "--ledger",
        str(tmp_path / "runs.db"),
        "--json",
    )
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'exec "$@" {way}', "sh", sys.executable, "-W", "error", "-c", START, "batch", *run),
        env={**os.environ, "PYTHONPATH": str(ROOT), "FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == status
    assert err.decode() == (f"fal-async batch run: {says}\n" if says else "")
    assert [next(iter(json.loads(line))) for line in out.splitlines()] == heads
