"""Pipes, files and terminals: what is printed where, and what happens when a stream is gone."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fal_async.emulator import Emulator, JobContext
from tests.cli.processes import START, ended, environment, started, terminal

MODEL, PICTURES = "fal-ai/any-llm", "fal-ai/flux/dev"


async def shell_line(emulator: Emulator, line: str, *words: str, **more: str) -> tuple[int | None, str, str]:
    """Run a line of a POSIX shell, in which "$@" is the program with these words."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", line, "sh", *START, *words),
        env=environment(emulator, **more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_handle_goes_from_submit_to_result_through_a_pipe(emulator: Emulator) -> None:
    async with started(emulator, "submit", MODEL, "prompt=größer", "--json") as process:
        handle, _ = await process.communicate()
    pipe = asyncio.subprocess.PIPE
    async with started(emulator, "result", "-", "--wait", "--json", stdin=pipe) as process:
        done = await ended(process, handle)
    assert done.status == 0
    assert json.loads(done.out)["request_id"] == json.loads(handle)["request_id"]
    assert "größer" in json.loads(done.out)["data"]["output"]


async def test_an_input_from_standard_input_is_sent_with_the_items(emulator: Emulator) -> None:
    @emulator.endpoint("me/echo")
    async def echo(input: dict[str, Any]) -> dict[str, Any]:
        return input

    pipe = asyncio.subprocess.PIPE
    async with started(
        emulator, "run", "me/echo", "seed:=2", "--input", "-", "--json", stdin=pipe
    ) as process:
        done = await ended(process, b'{"prompt": "x", "seed": 1}')
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out)["data"] == {"prompt": "x", "seed": 2}


async def test_binary_output_goes_to_a_pipe_as_it_is_but_not_to_a_terminal(emulator: Emulator) -> None:
    @emulator.endpoint("me/bytes")
    async def model(input: dict[str, Any]) -> bytes:
        return b"\x00\xff\n"

    async with started(emulator, "run", "me/bytes") as process:
        assert await process.communicate() == (b"\x00\xff\n", b"")
    async with terminal(emulator, "run", "me/bytes") as shown:
        assert await shown.end() == 2
    assert "the output is 3 B of binary data: pass --download FOLDER" in shown.shown


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
async def test_a_result_that_can_not_be_printed_is_not_lost(emulator: Emulator) -> None:
    full = await shell_line(emulator, 'exec "$@" >/dev/full', "subscribe", MODEL, "prompt=x", "-q")
    (first,) = emulator.jobs
    again = f"to fetch the result again: fal-async result {MODEL} "
    assert full == (
        1,
        "",
        f"fal-async subscribe: standard output can't be written: No space left on device; {again}{first}\n",
    )
    closed = await shell_line(emulator, 'exec "$@" >&-', "subscribe", MODEL, "prompt=x", "-q")
    *_, second = emulator.jobs
    assert closed == (1, "", f"fal-async subscribe: standard output is closed; {again}{second}\n")


async def test_a_reader_that_is_gone_ends_the_stream_in_order(emulator: Emulator) -> None:
    @emulator.endpoint("me/counter")
    async def model(input: dict[str, Any], job: JobContext) -> AsyncIterator[dict[str, Any]]:
        for number in itertools.count():
            yield {"number": number}
            await job.sleep(1)

    line = '{ "$@"; echo "[$?]" >&2; } | head -n 1'
    status, out, err = await shell_line(emulator, line, "stream", "me/counter", "--json")
    assert (status, len(out.splitlines())) == (0, 1)
    assert err == "fal-async stream: the reader of standard output is gone\n[1]\n"


async def test_a_reader_that_is_gone_cancels_the_request_and_its_id_is_printed(emulator: Emulator) -> None:
    @emulator.endpoint("me/talker")
    async def model(input: dict[str, Any], job: JobContext) -> None:
        for number in itertools.count():
            job.log(f"line {number}")
            await job.sleep(1)

    line = '{ "$@"; echo "[$?]" >&2; } | head -n 1'
    _, out, err = await shell_line(emulator, line, "subscribe", "me/talker", "--json", "--logs")
    (job,) = emulator.jobs.values()
    assert (len(out.splitlines()), job.cancel_requests) == (1, 1)
    assert err == (
        "fal-async subscribe: the reader of standard output is gone; "
        f"to look at the request: fal-async status me/talker {job.request_id}\n[1]\n"
    )


async def test_text_that_the_encoding_lacks_is_escaped(emulator: Emulator) -> None:
    @emulator.endpoint("me/labels")
    async def model(input: dict[str, Any]) -> dict[str, Any]:
        return {"label": "größer 猫"}

    async with started(emulator, "run", "me/labels", PYTHONIOENCODING="ascii") as process:
        done = await ended(process)
    assert (done.status, json.loads(done.out), done.out.isascii()) == (0, {"label": "größer 猫"}, True)


async def test_a_terminal_shows_the_queue_live_and_ends_with_files_and_sizes(
    emulator: Emulator, tmp_path: Any
) -> None:
    call = ("subscribe", PICTURES, "prompt=x", "--logs", "--download", str(tmp_path))
    async with terminal(emulator, *call) as shown:
        assert await shown.end() == 0
    (file,) = tmp_path.iterdir()
    assert f"{file}  " in shown.shown.splitlines()[-1]
    assert " kB" in shown.shown.splitlines()[-1]
    assert "\033[2K" in shown.shown  # a line was redrawn


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
async def test_a_terminal_without_colours_gets_none(emulator: Emulator, variables: dict[str, str]) -> None:
    async with terminal(emulator, "subscribe", PICTURES, "prompt=x", **variables) as shown:
        assert await shown.end() == 0
    assert "\033[36m" not in shown.shown
    if "TERM" in variables:
        assert "\033" not in shown.shown
    async with terminal(emulator, "run", "--help", **variables) as shown:
        assert await shown.end() == 0
    assert "\033" not in shown.shown


async def test_help_in_a_terminal_has_colours_and_the_overview_is_bold(emulator: Emulator) -> None:
    async with terminal(emulator, "run", "--help") as shown:
        assert await shown.end() == 0
    assert "\033[36m--input\033[0m" in shown.shown
    assert "image_size[width]:=512" in shown.shown
    async with terminal(emulator) as shown:
        assert await shown.end() == 0
    assert "\033[1mcalls to a model:\033[0m" in shown.shown


async def test_without_rich_a_terminal_gets_plain_lines(emulator: Emulator) -> None:
    script = "import sys; sys.modules['rich'] = sys.modules['rich_argparse'] = None\n"
    script += "from fal_async.cli import main; sys.exit(main())"
    start = (sys.executable, "-W", "error", "-c", script)
    async with terminal(emulator, "subscribe", MODEL, "prompt=x", start=start) as shown:
        assert await shown.end() == 0
    assert shown.shown.splitlines()[1] == "submitted"
    assert "\033" not in shown.shown
    async with terminal(emulator, "run", "--help", start=start) as shown:
        assert await shown.end() == 0
    assert "\033" not in shown.shown


async def test_fal_log_shows_log_lines_without_the_key(emulator: Emulator) -> None:
    async with started(emulator, "run", MODEL, "prompt=x", FAL_LOG="debug") as process:
        done = await ended(process)
    assert done.status == 0
    assert "DEBUG fal_async" in done.err
    assert emulator.key.partition(":")[2] not in done.err


@pytest.mark.parametrize("words", [(), ("batch", "--help"), ("run", "--help")])
async def test_a_reader_that_is_gone_ends_a_help_text_without_a_message(
    emulator: Emulator, words: tuple[str, ...]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = await asyncio.create_subprocess_exec(
        *START, *words, env=environment(emulator), stdout=writing, stderr=asyncio.subprocess.PIPE
    )
    os.close(writing)
    _, err = await process.communicate()
    assert (process.returncode, err) == (1, b"")
