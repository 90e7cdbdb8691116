"""A minimal client of Chromium's DevTools protocol: open a page, evaluate JavaScript, take a screenshot."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=800,900",
)


class Page:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._ids = socket, itertools.count(1)
        self.problems: list[str] = []
        """Uncaught exceptions, failed requests and violations of a policy, after `note_problems`."""

    async def call(self, method: str, **params: Any) -> Any:
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while (message := await self._next()).get("id") != number:
            pass
        assert "error" not in message, message
        return message["result"]

    async def open(self, url: str) -> None:
        """Open a page, and wait until it is loaded."""
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": "Page.navigate", "params": {"url": url}})
        while (await self._next()).get("method") != "Page.loadEventFired":
            pass

    async def note_problems(self) -> None:
        """Collect `problems` from now on."""
        await self.call("Runtime.enable")
        await self.call("Log.enable")

    async def _next(self) -> Any:
        message = await self._socket.receive_json()
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.problems.append(str(message["params"]["exceptionDetails"]))
            case "Log.entryAdded" if message["params"]["entry"]["level"] == "error":
                self.problems.append(str(message["params"]["entry"]))
        return message

    async def ask(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until a JavaScript condition holds, 30 s at most; the page itself checks it every 20 ms."""
        look = f"const look = () => ({condition}) ? done(true) : left-- ? setTimeout(look, 20) : done(false)"
        assert await self.ask(f"new Promise((done) => {{ let left = 1500; {look}; look(); }})"), condition

    async def screenshot(self, file: Path) -> None:
        picture = await self.call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(picture["data"]))


@asynccontextmanager
async def chromium(folder: Path, *flags: str, limit: float = 30) -> AsyncIterator[Page]:
    """Run a browser with a fresh profile in `folder`, for `limit` seconds at most."""
    # It leaves files in TMPDIR. The profile's path would be too long for the sockets that it makes there.
    temporary = tempfile.mkdtemp()
    process = await asyncio.create_subprocess_exec(
        "chromium",
        *FLAGS,
        *flags,
        f"--user-data-dir={folder}",
        "about:blank",
        env={**os.environ, "TMPDIR": temporary},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(limit), aiohttp.ClientSession() as http:
            origin = await _origin(process)
            async with http.get(f"http://{origin}/json/list") as listed:
                (tab, *_) = [entry for entry in await listed.json() if entry["type"] == "page"]
            async with http.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                await page.call("Page.enable")
                yield page
                await page.call("Browser.close")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
        shutil.rmtree(temporary)


async def _origin(process: asyncio.subprocess.Process) -> str:
    """Return host and port of its DevTools, which it prints on standard error."""
    assert process.stderr is not None
    async for line in process.stderr:
        _, found, rest = line.decode().partition("DevTools listening on ws://")
        if found:
            return rest.partition("/")[0]
    raise AssertionError("Chromium did not start")
