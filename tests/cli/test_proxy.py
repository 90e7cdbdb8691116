"""`fal-async proxy` as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from fal_async.cli import main
from fal_async.emulator import Emulator


def free_port() -> int:
    with socket.socket() as finder:
        finder.bind(("127.0.0.1", 0))
        port: int = finder.getsockname()[1]
        return port


@asynccontextmanager
async def running(emulator: Emulator, *arguments: str, token: str = "") -> AsyncIterator[str]:
    """The URL of a proxy in front of the emulator; it must stop cleanly at SIGTERM."""
    port = free_port()
    environment = {
        **os.environ,
        "FAL_BASE_URL": emulator.url,
        "FAL_KEY": emulator.key,
        "FAL_PROXY_TOKEN": token,
    }
    command = [sys.executable, "-m", "fal_async", "proxy", "--port", str(port), *arguments]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    try:
        await is_up(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            said, complained = await process.communicate()
    assert said.startswith(f"fal proxy at http://127.0.0.1:{port}".encode())
    assert complained == b""
    # uvicorn raises the signal anew once it has stopped.
    assert process.returncode in (0, -signal.SIGTERM)


async def is_up(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(20):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)  # another process: there is nothing to wait for
                continue
            writer.close()
            return
    raise AssertionError("the proxy did not start")


async def ask(http: aiohttp.ClientSession, url: str, endpoint_id: str, **headers: str) -> tuple[int, Any]:
    target = {"x-fal-target-url": f"https://fal.run/{endpoint_id}", **headers}
    async with http.post(url, json={"prompt": "x"}, headers=target) as answer:
        return answer.status, await answer.json()


async def test_anonymous(emulator: Emulator) -> None:
    arguments = ("--anonymous", "--endpoint", "fal-ai/any-llm")
    async with aiohttp.ClientSession() as http, running(emulator, *arguments) as url:
        assert (await ask(http, url, "fal-ai/any-llm"))[0] == 200
        assert (await ask(http, url, "fal-ai/flux/dev"))[0] == 403


async def test_with_a_token(emulator: Emulator) -> None:
    arguments = ("--endpoint", "**")
    async with aiohttp.ClientSession() as http, running(emulator, *arguments, token="let-me-in") as url:
        assert (await ask(http, url, "fal-ai/any-llm"))[0] == 401
        assert (await ask(http, url, "fal-ai/any-llm", Authorization="Bearer wrong"))[0] == 401
        assert (await ask(http, url, "fal-ai/any-llm", Authorization="Bearer let-me-in"))[0] == 200
    assert emulator.count("run") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--endpoint", "**"), "--anonymous"),
        (("--endpoint", "flux", "--anonymous"), "no pattern"),
    ],
)
def test_what_can_not_be(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("proxy", *arguments)) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--endpoint"),
        (("--endpoint", "**", "--allow", "everything"), "invalid choice"),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(("proxy", *arguments))
    assert said in capsys.readouterr().err
