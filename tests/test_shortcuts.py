"""The module-level calls: a closed event loop leaves nothing behind, however it ends and whatever was called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fal_async

_PROGRAM = """
import asyncio, gc, os, signal, threading, weakref
import fal_async
from fal_async.emulator import Emulator
from tests.quick import gate_at

LLM, ASK = "fal-ai/any-llm", {"prompt": "x"}
emulator = None

def serve(ready):
    async def main():
        global emulator, stop
        stop = asyncio.Event()
        async with Emulator(speed=50) as emulator:
            gate_at(emulator)
            os.environ["FAL_KEY"], os.environ["FAL_BASE_URL"] = emulator.key, emulator.url
            loop = asyncio.get_running_loop()
            ready.append(lambda: loop.call_soon_threadsafe(stop.set))
            ready[0].set()
            await stop.wait()
    asyncio.run(main())

ready = [threading.Event()]
server = threading.Thread(target=serve, args=(ready,))
server.start()
assert ready[0].wait(30)

def is_socket(fd):
    try:
        return "socket" in os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:  # closed in the meantime
        return False

def sockets():
    return sum(map(is_socket, os.listdir("/proc/self/fd")))

async def stream():
    return [event async for event in fal_async.stream(LLM, ASK)]

async def waited():
    return await (await fal_async.submit(LLM, ASK)).wait()

async def two_keys():
    await fal_async.run(LLM, ASK)
    os.environ["FAL_LOG"] = ""  # another environment, as a changed key is
    await fal_async.run(LLM, ASK)

async def left_stream():
    async for event in fal_async.stream(LLM, ASK):
        break

CALLS = {
    "run": lambda: fal_async.run(LLM, ASK),
    "subscribe": lambda: fal_async.subscribe(LLM, ASK, mode="streaming"),
    "submit": waited,
    "stream": stream,
    "left stream": left_stream,
    "upload": lambda: fal_async.upload(b"abc"),
    "two keys": two_keys,
}

def closed_only(call):
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(call())
    finally:
        loop.close()
    return weakref.ref(loop)

def in_a_thread(call):
    loops = []
    thread = threading.Thread(target=lambda: loops.append(closed_only(call)))
    thread.start()
    thread.join()
    return loops[0]

def by_asyncio_run(call):
    loops = []
    async def main():
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await call()
    asyncio.run(main())
    return loops[0]

def by_run_forever(call):
    loop = asyncio.new_event_loop()
    done = threading.Event()
    def runs():
        loop.run_forever()
    thread = threading.Thread(target=runs)
    thread.start()
    asyncio.run_coroutine_threadsafe(call(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    async def closes():  # inside another, running loop
        loop.close()
    asyncio.run(closes())
    return weakref.ref(loop)

def shut_down_first(call):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(call())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    loop.close()
    return weakref.ref(loop)
"""


def run(script: str) -> str:
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            f"{_PROGRAM}\ntry:{script}\nfinally: ready[1](); server.join()",
        ],
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(fal_async.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


ENDS = ["closed_only", "in_a_thread", "by_asyncio_run", "by_run_forever", "shut_down_first"]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
@pytest.mark.parametrize("end", ENDS)
def test_closing_a_loop_closes_the_sessions_and_sockets_of_shortcuts(end: str) -> None:
    script = f"""
    closed_only(CALLS["run"])
    gc.collect()
    before = sockets()
    gc.disable()  # everything must be freed without the collector, except reference cycles of the loop itself
    for name, call in CALLS.items():
        loop = {end}(call)
        assert sockets() <= before + 1, name  # the server may not have noticed yet
        gc.collect()
        assert loop() is None, name
    """
    words = run(script)  # the emulator logs the model whose stream was abandoned
    assert "Warning" not in words
    assert "ignored" not in words


def test_closing_a_loop_during_a_shortcut_call_cancels_the_request() -> None:
    script = """
    loop = asyncio.new_event_loop()
    async def begin():
        task = asyncio.ensure_future(fal_async.subscribe("me/gate"))
        while not emulator.count("status"):
            await asyncio.sleep(0.01)
        return task
    task = loop.run_until_complete(begin())
    loop.close()
    assert isinstance(task.exception(), fal_async.SessionStateError), task
    assert task.exception().request_id in emulator.jobs
    assert emulator.count("cancel") == len(emulator.jobs) == 1
    """
    assert run(script) == ""


def test_ctrl_c_in_a_bare_loop_cancels_the_request_of_a_shortcut() -> None:
    script = """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    loop = asyncio.new_event_loop()
    def interrupt():
        while not emulator.count("status"):
            pass
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt).start()
    task = loop.create_task(fal_async.subscribe("me/gate"))
    try:
        loop.run_until_complete(task)
    except KeyboardInterrupt:
        pass
    finally:
        loop.close()
    assert task.done() and task.exception() is not None
    assert emulator.count("cancel") == len(emulator.jobs) == 1
    """
    run(script)


@pytest.mark.parametrize("amid", ["submit", "status"])
def test_the_end_of_asyncio_run_during_a_shortcut_call_cancels_the_request(amid: str) -> None:
    script = f"""
    from fal_async.emulator import Fault
    if "{amid}" == "submit":
        emulator.faults.add(Fault.stall(0.5, on="submit"))
    async def main():
        asyncio.ensure_future(fal_async.subscribe("me/gate"))
        while not emulator.count("{amid}"):
            await asyncio.sleep(0.01)
    asyncio.run(main())
    assert emulator.count("cancel") == len(emulator.jobs) == 1
    """
    assert run(script) == ""


def test_a_loop_that_is_dropped_unclosed_is_collected_with_its_session() -> None:
    """The warning about the unclosed loop is from asyncio itself."""
    script = """
    loop = asyncio.new_event_loop()
    loop.run_until_complete(fal_async.run(LLM, ASK))
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
    """
    assert "ResourceWarning: unclosed event loop" in run(script)


def test_closing_a_running_loop_raises_and_keeps_the_session() -> None:
    script = """
    async def main():
        await fal_async.run(LLM, ASK)
        try:
            asyncio.get_running_loop().close()
        except RuntimeError as error:
            assert "running" in str(error)
        else:
            raise AssertionError
        assert (await fal_async.run(LLM, ASK)).data
    asyncio.run(main())
    """
    assert run(script) == ""
