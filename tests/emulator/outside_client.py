"""Runs `fal-client` from PyPI, unchanged, in a process whose sockets all connect to the emulator.

A separate process, since the client keeps its settings and connections in module globals. Arguments: the emulator's
port and the scenario's name. Prints the scenario's outcome as JSON.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Callable
from typing import Any

import fal_client

LLM = "fal-ai/any-llm"


def bend_sockets(port: int) -> None:
    """Connect every host name and port to the emulator. Certificates are still checked."""
    here = ("127.0.0.1", port)
    connect = socket.socket.connect
    socket.getaddrinfo = lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", here)]
    socket.socket.connect = lambda self, _: connect(self, here)  # type: ignore[method-assign]


def described(update: fal_client.Status) -> dict[str, Any]:
    return {"kind": type(update).__name__, **vars(update)}


def refused(call: Callable[[], Any]) -> dict[str, Any]:
    try:
        call()
    except fal_client.FalClientHTTPError as error:
        return {"status": error.status_code, "message": error.message, "type": error.error_type}
    return {}


def run() -> Any:
    return fal_client.run(LLM, {"prompt": "a cat"}, start_timeout=30, hint="me")


def subscribe() -> Any:
    ids: list[str] = []
    updates: list[Any] = []
    data = fal_client.subscribe(
        "me/staged",
        {"n": 1},
        with_logs=True,
        interval=0.001,
        on_enqueue=ids.append,
        on_queue_update=lambda update: updates.append(described(update)),
        priority="low",
    )
    return {"data": data, "ids": ids, "updates": updates}


def subscribe_async() -> Any:
    updates: list[Any] = []

    async def main() -> Any:
        data = await fal_client.subscribe_async(
            "me/staged",
            {"n": 2},
            with_logs=True,
            interval=0.001,
            on_queue_update=lambda update: updates.append(described(update)),
        )
        return {"data": data, "updates": updates}

    return asyncio.run(main())


def submit() -> Any:
    """Follow a request by its handle, and by its ids alone."""
    handle = fal_client.submit(LLM, {"prompt": "a cat"})
    *_, last = handle.iter_events(with_logs=True, interval=0.001)
    return {
        "last": described(last),
        "data": handle.get(),
        "again": fal_client.result(LLM, handle.request_id),
        "status": described(fal_client.status(LLM, handle.request_id)),
    }


def cancel() -> Any:
    """Cancel a running, a waiting, an ended and an unknown request."""
    running = fal_client.submit("me/endless", {})
    waiting = fal_client.submit("me/endless", {})
    before = described(waiting.status())
    waiting.cancel()
    running.cancel()
    *_, last = running.iter_events(interval=0.001)
    return {
        "before": before,
        "waiting": described(waiting.status()),
        "running": described(last),
        "result": refused(running.get),
        "again": refused(waiting.cancel),
        "unknown": refused(lambda: fal_client.cancel("me/endless", "none")),
    }


def invalid_input() -> Any:
    return [
        refused(lambda: fal_client.run("fal-ai/flux/dev", {"seed": 1})),
        refused(lambda: fal_client.subscribe("fal-ai/flux/dev", {"seed": 1}, interval=0.001)),
        refused(lambda: fal_client.run("me/nothing", {})),
    ]


def wrong_key() -> Any:
    client = fal_client.SyncClient(key="wrong:key")
    return [refused(lambda: client.run(LLM, {})), refused(lambda: client.submit(LLM, {}))]


SCENARIOS = {
    function.__name__: function
    for function in (run, subscribe, subscribe_async, submit, cancel, invalid_input, wrong_key)
}

if __name__ == "__main__":
    bend_sockets(int(sys.argv[1]))
    json.dump(SCENARIOS[sys.argv[2]](), sys.stdout)
