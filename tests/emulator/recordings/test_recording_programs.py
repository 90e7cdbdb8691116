"""`fal-async emulator --record` as a process of its own: its key, its end, and a full disk."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from fal_async.emulator import Emulator, JobContext
from tests.emulator.recordings.real_fal import REAL_KEY, REAL_SECRET, real_fal

FULL_DISK = """
import resource, signal, sys
from fal_async.__main__ import main
# Simulates a full disk without mounting one: no file may grow beyond 1 kB.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
sys.exit(main())
"""
PROGRAM = ("-m", "fal_async")


@asynccontextmanager
async def recorder(
    folder: Path, real: Emulator, program: tuple[str, ...] = PROGRAM
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Any]]:
    """Yield the process of a recorder, and what it printed as JSON."""
    arguments = ("emulator", "--record", folder, "--upstream", real.url, "--port", "0", "--json")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *program,
        *arguments,
        env={**os.environ, "FAL_KEY": REAL_KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_killed_recorder_leaves_only_whole_recordings_and_never_showed_its_key(
    tmp_path: Path,
) -> None:
    async with real_fal() as real, recorder(tmp_path, real) as (process, address):

        @real.endpoint("me/endless")
        async def endless(input: Any, job: JobContext) -> None:
            await asyncio.Event().wait()

        headers = {"Authorization": f"Key {address['key']}"}
        async with aiohttp.ClientSession(address["url"], headers=headers) as http:
            async with http.post("/fal.run/me/paint/fast", json={"a": 1}) as painted:
                assert painted.status == 200
            async with http.post("/queue.fal.run/me/endless", json={}) as submitted:
                assert submitted.status == 200
            async with http.get("/") as page:
                shown = json.dumps(address) + await page.text()
        process.send_signal(signal.SIGKILL)
        out, err = await process.communicate()
    [cassette] = [json.loads(path.read_text()) for path in tmp_path.glob("*/*.json")]
    assert cassette["path"] == "me/paint/fast"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2
    assert REAL_SECRET not in shown + out.decode() + err.decode()


async def test_a_full_disk_costs_the_recording_but_not_the_answer_that_was_paid(tmp_path: Path) -> None:
    async with real_fal() as real, recorder(tmp_path, real, ("-c", FULL_DISK)) as (process, address):
        headers = {"Authorization": f"Key {address['key']}"}
        input = {"file": f"data:,{'a' * 2000}"}
        async with (
            aiohttp.ClientSession(address["url"], headers=headers) as http,
            http.post("/fal.run/me/read", json=input) as answer,
        ):
            assert (await answer.json())["text"] == "a" * 2000
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 0
    assert "is not recorded" in err.decode()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_recording_without_a_key_of_fal_is_refused_with_the_way_out(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *PROGRAM,
        "emulator",
        "--record",
        tmp_path,
        env={name: text for name, text in os.environ.items() if name != "FAL_KEY"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == 1
    assert "set FAL_KEY in the environment" in err.decode()
