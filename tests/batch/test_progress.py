"""The display of `progress=True`. No failure of it stops the batch."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TextIO

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.batch.progress import ProgressDisplay
from fal_async.batch.progress.plain_lines import PlainLines
from fal_async.batch.progress.wording import counts, duration, ending, pace, share
from fal_async.batch.summary import BatchSummary

ROOT = Path(__file__).parents[2]
NUMBER = st.integers(0, 10**7)
MONEY = st.none() | st.decimals(0, 10**6, places=6)
SUMMARIES = st.builds(
    BatchSummary,
    total=st.none() | NUMBER,
    **dict.fromkeys(("done", "failed", "uncertain", "running", "queued", "from_ledger", "unpriced"), NUMBER),
    cost=MONEY,
    spent=MONEY,
    max_cost=MONEY,
    rate=st.floats(0, 10**5),
    elapsed=st.floats(0, 10**7),
    eta=st.none() | st.floats(0, 10**9),
)
HALF = BatchSummary(
    total=1000,
    done=142,
    failed=2,
    running=38,
    queued=2,
    from_ledger=100,
    cost=Decimal("3.12"),
    rate=1.4,
    elapsed=75,
    eta=611.4,
)


class Numbers:
    """A batch, as far as a display uses it."""

    endpoint_id = "fal-ai/flux/dev"

    def __init__(self, summary: BatchSummary = HALF) -> None:
        self.summary = summary


def test_wording_of_a_running_batch_has_counts_and_pace() -> None:
    assert counts(HALF) == "142 of 1,000 done (100 from the ledger), 2 failed, 38 running, 2 queued"
    assert pace(HALF) == "1.4 a second, about 10 min left, cost $3.12, about $21.67 at the end"
    assert share(HALF) == 0.144


def test_wording_of_an_ended_batch_has_time_and_cost() -> None:
    over = BatchSummary(
        total=3, done=2, uncertain=1, elapsed=7300, cost=Decimal("0.05"), spent=Decimal("0.02"), unpriced=1
    )
    assert ending(over) == (
        "2 of 3 done, 1 uncertain, took 2 h 1 min, cost $0.05 without 1 of unknown price, $0.02 of it now"
    )


def test_a_printed_summary_has_rounded_numbers_and_its_repr_the_exact_ones() -> None:
    summary = BatchSummary(total=3, done=1, rate=1.2345678901, elapsed=0.8100001, eta=1.61999)
    assert "rate=1.23, elapsed=0.8, eta=1.6)" in str(summary)
    assert "rate=1.2345678901, elapsed=0.8100001, eta=1.61999)" in repr(summary)


def test_wording_omits_numbers_that_are_unknown() -> None:
    begun = BatchSummary(queued=40)
    assert (counts(begun), pace(begun), share(begun)) == ("0 done, 40 queued", "", None)
    assert pace(BatchSummary(rate=0.05)) == "3.0 a minute"
    assert ending(begun) == "0 done, 40 queued, took 0 s"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (119, "119 s"),
        (125, "2 min"),
        (7199, "119 min"),
        (7260, "2 h 1 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_durations_are_worded_with_one_or_two_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_wording_of_a_batch_with_a_limit_shows_the_limit_even_before_the_first_cost() -> None:
    limited = BatchSummary(total=3, done=0, max_cost=Decimal("20"))
    assert pace(limited) == "cost $0.00 of $20.00"
    some = attrs.evolve(limited, done=3, cost=Decimal("19.5"), unpriced=2)
    assert ending(some) == "3 of 3 done, took 0 s, cost $19.50 of $20.00 without 2 of unknown price"


@given(SUMMARIES)
def test_wording_of_any_summary_is_one_line_of_ascii(summary: BatchSummary) -> None:
    for words in (counts(summary), pace(summary), ending(summary)):
        assert "\n" not in words
        assert words.isascii()
    assert 0 <= (share(summary) or 0) <= 1


# Without a terminal.


def test_a_plain_line_is_written_when_something_has_changed_and_at_the_end() -> None:
    out = io.StringIO()
    face = PlainLines(out)
    face.show("me/x", HALF, changed=False)
    face.show("me/x", HALF, changed=True)
    face.end("me/x", BatchSummary(total=1, done=1, elapsed=3))
    assert out.getvalue().splitlines() == [
        f"me/x: {counts(HALF)}; {pace(HALF)}",
        "me/x: 1 of 1 done, took 3 s",
    ]


async def test_the_last_line_is_written_without_a_terminal() -> None:
    out = io.StringIO()
    display, batch = ProgressDisplay(out), Numbers()
    display.start(batch)
    display.changed()
    display.end()
    assert out.getvalue() == f"fal-ai/flux/dev: {ending(HALF)}\n"


class Broken(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


async def test_a_broken_output_ends_only_the_display() -> None:
    closed = io.StringIO()
    closed.close()
    for out in (Broken(), closed):
        display, batch = ProgressDisplay(out), Numbers()
        display.start(batch)
        display.end()


async def test_a_full_pipe_does_not_block_the_display() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    while True:
        try:
            os.write(writing, b"x" * 65536)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    with os.fdopen(reading), os.fdopen(writing, "w") as out:
        display, batch = ProgressDisplay(out), Numbers()
        display.start(batch)
        display.end()  # returns


async def test_a_display_does_not_keep_a_dropped_batch_alive() -> None:
    display, batch = ProgressDisplay(io.StringIO()), Numbers()
    display.start(batch)
    del batch
    gc.collect()
    display.end()


# In a terminal.


@contextmanager
def terminal() -> Iterator[tuple[int, TextIO]]:
    """Yield the side of a terminal that reads the display, and the stream to which the program writes."""
    shown, end = pty.openpty()
    try:
        with os.fdopen(end, "w") as out:
            yield shown, out
    finally:
        os.close(shown)


async def until(shown: int, text: str) -> str:
    """Read until `text` appears, and return everything read so far."""
    loop, seen, found = asyncio.get_running_loop(), bytearray(), asyncio.Event()

    def read() -> None:
        seen.extend(os.read(shown, 65536))
        if text.encode() in seen:
            found.set()

    loop.add_reader(shown, read)
    try:
        await found.wait()
    finally:
        loop.remove_reader(shown)
    return seen.decode()


async def test_a_terminal_shows_a_bar_that_is_redrawn_and_leaves_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    threads = threading.active_count()
    with terminal() as (shown, out):
        display, batch = ProgressDisplay(out), Numbers()
        display.start(batch)
        first = await until(shown, "about $21.67 at the end")
        batch.summary = BatchSummary(total=1000, done=143, running=1)
        await until(shown, "143 of 1,000 done")
        assert threading.active_count() == threads
        batch.summary = BatchSummary(total=1000, done=1000, elapsed=9)
        display.end()
        last = await until(shown, "took 9 s")
    assert "fal-ai/flux/dev" in first
    assert "14%" in first
    assert "\x1b[?25h" in last  # the cursor is back


@pytest.mark.parametrize("columns", [1, 7])
async def test_a_tiny_terminal_shows_a_shortened_display(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    with terminal() as (shown, out):
        display, batch = ProgressDisplay(out), Numbers()
        display.start(batch)
        await until(shown, "…")
        display.end()


async def test_the_live_display_respects_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal() as (shown, out):
        display, batch = ProgressDisplay(out), Numbers()
        display.start(batch)
        seen = await until(shown, "38 running")
        display.end()
    assert "\x1b[3" not in seen  # no colour codes


async def test_a_terminal_that_cant_overwrite_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with terminal() as (shown, out):
        display, batch = ProgressDisplay(out), Numbers()
        display.start(batch)
        display.end()
        assert await until(shown, "took 75 s") == f"fal-ai/flux/dev: {ending(HALF)}\r\n"


async def test_the_second_batch_in_one_terminal_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with terminal() as (shown, out):
        one, other = ProgressDisplay(out), ProgressDisplay(out)
        batch = Numbers()
        one.start(batch)
        other.start(batch)
        other.end()
        one.end()
        assert (await until(shown, "\x1b[?25h")).count("\x1b[?25l") == 1  # the cursor was hidden once


async def test_a_terminal_closed_during_the_batch_ends_only_the_display(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    before = sys.stdout, sys.stderr
    shown, end = pty.openpty()
    out = os.fdopen(end, "w")
    display, batch = ProgressDisplay(out), Numbers()
    display.start(batch)
    await until(shown, "38 running")
    os.close(shown)
    display.end()
    assert (sys.stdout, sys.stderr) == before
    with pytest.raises(OSError, match="Input/output error"):
        out.close()


PROGRAM = """
import asyncio, sys
from fal_async import Session
from fal_async.emulator import Emulator
if sys.argv[1:] == ["no-rich"]:
    sys.modules["rich"] = None

async def main():
    async with Emulator(speed=50) as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:
        async with fal.map("fal-ai/any-llm", [{"prompt": "a"}, {"prompt": "b"}], progress=True) as batch:
            async for item in batch:
                print("printed meanwhile", item.index)

asyncio.run(main())
"""


def run_in_terminal(*arguments: str, stdout: int | None = None) -> tuple[str, str]:
    """Return the text on the terminal, and the text on standard output, which is not a terminal."""
    with terminal() as (shown, out):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out if stdout is None else stdout,
            stderr=out,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0
        os.set_blocking(shown, False)
        return os.read(shown, 65536).decode(), done.stdout or ""


def test_output_of_the_program_stays_above_the_display() -> None:
    shown, _ = run_in_terminal()
    assert shown.index("printed meanwhile 0") < shown.index("fal-ai/any-llm: 2 of 2 done, took")


def test_output_of_the_program_reaches_its_pipe() -> None:
    shown, piped = run_in_terminal(stdout=subprocess.PIPE)
    assert sorted(piped.splitlines()) == ["printed meanwhile 0", "printed meanwhile 1"]
    assert "2 of 2 done" in shown


def test_a_terminal_without_rich_gets_plain_lines_and_a_hint() -> None:
    shown, _ = run_in_terminal("no-rich")
    assert "\x1b" not in shown
    assert "(for a live display: pip install 'fal-async[progress]')" in shown
