"""`with Emulator()` in a thread of its own, and calls of an emulator from other threads and event loops."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from fal_async import ServerError, Session
from fal_async.emulator import Emulator, Fault
from tests.testbed.held import open_files, threads

LLM = "fal-ai/any-llm"


def ask(emulator: Emulator) -> int:
    with urllib.request.urlopen(emulator.url + "/_emulator", timeout=20) as answer:
        status: int = answer.status
    return status


def test_hundreds_of_emulators_in_threads_leave_no_thread_and_no_file() -> None:
    with Emulator() as first:
        ask(first)
    before = (threads(), open_files())
    for number in range(200):
        with Emulator() as emulator:
            if number % 20 == 0:
                ask(emulator)
    assert (threads(), open_files()) == before


def test_two_emulators_in_threads_serve_their_own_requests() -> None:
    with Emulator() as one, Emulator(key="other:key") as other:
        assert one.url != other.url
        ask(one)
        asyncio.run(run_llm(other))
        assert (one.count(), other.count()) == (0, 1)


async def run_llm(emulator: Emulator) -> str:
    async with Session(emulator.key, hosts=emulator.hosts) as fal:
        output: str = (await fal.run(LLM, {"prompt": "why?"})).data["output"]
    return output


def test_emulator_in_a_thread_refuses_a_port_in_use_and_ends_its_thread() -> None:
    before = threads()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        emulator = Emulator(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            emulator.__enter__()
    assert threads() == before
    with emulator:  # the port is free now
        ask(emulator)


def test_emulator_in_a_thread_cannot_be_started_twice() -> None:
    with Emulator() as emulator:
        with pytest.raises(RuntimeError, match="already started"):
            emulator.__enter__()
        with pytest.raises(RuntimeError, match="already started"):
            asyncio.run(emulator.start())
        ask(emulator)


async def fails_to_start(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no model"})


def test_application_that_fails_to_start_ends_the_emulators_thread() -> None:
    before = threads()
    emulator = Emulator()
    emulator.mount("me/app", fails_to_start)
    with pytest.raises(RuntimeError, match="no model"):
        emulator.__enter__()
    assert threads() == before


def interrupted() -> None:
    with Emulator() as emulator:
        ask(emulator)
        raise KeyboardInterrupt


def test_interrupted_block_ends_the_emulators_thread() -> None:
    before = threads()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert threads() == before


async def test_emulator_in_a_thread_answers_while_the_tests_loop_is_blocked() -> None:
    with Emulator() as emulator:
        assert ask(emulator) == 200  # urllib blocks this loop
        time.sleep(0)  # noqa: ASYNC251
        assert "why?" in await run_llm(emulator)


FORKS = """
import os, urllib.request
from fal_async.emulator import Emulator

with Emulator() as emulator:
    child = os.fork()
    urllib.request.urlopen(emulator.url + "/_emulator", timeout=20).close()
    if child:  # the emulator serves the child until then
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
"""
STOPS_BEFORE_ITS_CHILD = """
import os, sys, urllib.request
from fal_async.emulator import Emulator

told, tells = os.pipe()
with Emulator() as emulator:
    child = os.fork()
    if not child:
        os.close(tells)
        os.read(told, 1)
        try:
            urllib.request.urlopen(emulator.url + "/_emulator", timeout=20).close()
        except ConnectionError:
            os._exit(7)
        except OSError as error:
            os._exit(7 if isinstance(error.reason, ConnectionError) else 1)
        os._exit(0)
os.close(tells)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_process_leaves_the_block_without_waiting_for_the_thread() -> None:
    # Python warns of each fork of a process with threads, which is what this is about.
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS], check=True, timeout=30)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shuts down a socket that listens")
def test_stopped_emulator_refuses_connections_although_a_forked_process_lives() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", STOPS_BEFORE_ITS_CHILD], check=True, timeout=30)


async def test_wait_in_another_loop_is_cancelled_and_times_out() -> None:
    with Emulator() as emulator:
        with pytest.raises(TimeoutError, match="0 of 1 'submit' requests"):
            await emulator.wait_for("submit", timeout=0.01)
        waiting = asyncio.create_task(emulator.wait_for("submit", timeout=60))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(ValueError, match="kind='sumbit'"):
            await emulator.wait_for("sumbit")


async def test_cancelled_restart_from_another_loop_ends_with_a_listening_emulator() -> None:
    with Emulator() as emulator:
        restarting = asyncio.create_task(emulator.restart(downtime=1000))
        while await asyncio.to_thread(is_listening, emulator):
            await asyncio.sleep(0)
        restarting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await restarting
        assert ask(emulator) == 200


def is_listening(emulator: Emulator) -> bool:
    try:
        ask(emulator)
    except OSError:
        return False
    return True


async def test_wait_ends_with_an_error_when_the_emulator_is_stopped() -> None:
    with Emulator() as emulator:
        waiting = asyncio.create_task(emulator.wait_for("submit", timeout=60))
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="the emulator was stopped"):
        await waiting


async def test_emulator_of_a_loop_is_controlled_from_a_thread(emulator: Emulator, fal: Session) -> None:
    def control() -> None:
        emulator.add_account("other:key")
        emulator.faults.add(Fault.answer(503, on="run", retry_after=0))
        emulator.drop_connections()
        asyncio.run(emulator.wait_for("run", 2))
        emulator.expire_files()

    controlled = asyncio.create_task(asyncio.to_thread(control))
    while not len(emulator.faults):
        await asyncio.sleep(0)
    with pytest.raises(ServerError):
        await fal.run(LLM, {"prompt": "x"})
    await fal.run(LLM, {"prompt": "x"})
    await controlled
    assert emulator.faults.struck == 1


def test_emulator_of_a_loop_that_stands_still_says_so() -> None:
    with asyncio.Runner() as runner:
        emulator = Emulator()
        runner.run(emulator.start())
        with pytest.raises(RuntimeError, match=r"is not running now.*with Emulator"):
            asyncio.run(emulator.wait_for("submit"))
        emulator.faults.add(Fault.reset())
        emulator.expire_files()
        runner.run(emulator.stop())


def test_jobs_can_be_read_while_the_emulator_adds_jobs() -> None:
    done = threading.Event()

    async def many(emulator: Emulator) -> None:
        async with Session(emulator.key, hosts=emulator.hosts) as fal:
            await asyncio.gather(*(fal.run("me/quick", {"n": n}) for n in range(300)))
        done.set()

    with Emulator() as emulator:

        @emulator.endpoint("me/quick", runners=100)
        async def quick(input: Any) -> Any:
            return input

        thread = threading.Thread(target=lambda: asyncio.run(many(emulator)))
        thread.start()
        while not done.is_set():
            _ = [job.state for job in emulator.jobs.values()], list(emulator.books), emulator.requests
            _ = dict(emulator.jobs.items()), list(emulator.jobs), emulator.books.repeated()
        thread.join()
        assert len(emulator.jobs) == len(list(emulator.jobs)) == emulator.count("run") == 300


def test_files_of_an_emulator_in_a_thread_go_with_it(tmp_path: Path) -> None:
    async def upload(emulator: Emulator) -> str:
        async with Session(emulator.key, hosts=emulator.hosts) as fal:
            return await fal.upload(b"abc", content_type="text/plain")

    with Emulator() as emulator:
        url = asyncio.run(upload(emulator))
        folder = emulator.folder
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert answer.read() == b"abc"
    assert folder is not None
    assert not folder.exists()


def test_stop_within_the_block_is_allowed() -> None:
    with Emulator() as emulator:
        asyncio.run(emulator.stop())
        assert not emulator.connections_opened
        asyncio.run(emulator.start())
        assert ask(emulator) == 200
