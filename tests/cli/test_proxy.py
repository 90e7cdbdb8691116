"""`fal-async proxy`, run as a separate process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fal_async.cli import main
from fal_async.emulator import Emulator


@asynccontextmanager
async def running(emulator: Emulator, *arguments: str, token: str = "") -> AsyncIterator[str]:
    """Yield the URL of a proxy in front of the emulator. At the end the proxy must stop cleanly on SIGTERM."""
    environment = {
        **os.environ,
        "FAL_BASE_URL": emulator.url,
        "FAL_KEY": emulator.key,
        "FAL_PROXY_TOKEN": token,
    }
    command = [sys.executable, "-m", "fal_async", "proxy", "--port", "0", *arguments]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    try:
        # The socket listens before this line is printed, so an early connection waits until the proxy accepts it.
        async with asyncio.timeout(20):
            said = (await process.stdout.readline()).decode()
        found = re.match(r"fal proxy at (http://127\.0\.0\.1:[1-9]\d*); Ctrl-C stops it\n", said)
        assert found is not None, said
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            _, complained = await process.communicate()
    assert complained == b""
    # After uvicorn has stopped, it raises the signal again.
    assert process.returncode in (0, -signal.SIGTERM)


async def ask(http: aiohttp.ClientSession, url: str, endpoint_id: str, **headers: str) -> tuple[int, Any]:
    target = {"x-fal-target-url": f"https://fal.run/{endpoint_id}", **headers}
    async with http.post(url, json={"prompt": "x"}, headers=target) as answer:
        return answer.status, await answer.json()


async def test_an_anonymous_proxy_serves_only_the_given_endpoints(emulator: Emulator) -> None:
    arguments = ("--anonymous", "--endpoint", "fal-ai/any-llm")
    async with aiohttp.ClientSession() as http, running(emulator, *arguments) as url:
        assert (await ask(http, url, "fal-ai/any-llm"))[0] == 200
        assert (await ask(http, url, "fal-ai/flux/dev"))[0] == 403


async def test_a_proxy_with_a_token_refuses_callers_without_it(emulator: Emulator) -> None:
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
        (("--endpoint", "flux", "--anonymous"), "not a pattern"),
        (("--endpoint", "**", "--anonymous", "--max-body", "0"), "max_body=0"),
    ],
)
def test_a_proxy_with_unusable_options_exits_with_1_and_a_message(
    arguments: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAL_KEY", "some:key")
    assert main(("proxy", *arguments)) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("key", "said"), [("", "no FAL_KEY found"), ("no-colon", "has no colon")])
def test_a_proxy_without_a_key_does_not_start(
    key: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("FAL_KEY", key)
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    assert main(("proxy", "--endpoint", "**", "--anonymous", "--port", "0")) == 1
    captured = capsys.readouterr()
    assert (captured.out, said in captured.err) == ("", True)


def test_a_proxy_on_a_port_in_use_exits_with_1_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_KEY", "some:key")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert main(("proxy", "--endpoint", "**", "--anonymous", "--port", port)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"fal-async proxy: port {port} is in use on 127.0.0.1: pass another --port, "
        "or --port 0 for a free one\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--endpoint"),
        (("--endpoint", "**", "--allow", "everything"), "invalid choice"),
        (("--endpoint", "**", "--port", "99999"), "expected a port"),
    ],
)
def test_wrong_arguments_of_the_proxy_exit_with_a_message(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(("proxy", *arguments))
    assert said in capsys.readouterr().err
