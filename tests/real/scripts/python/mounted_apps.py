"""Applications of four frameworks, mounted in this process: a `fal.App`, Flask by a2wsgi, Quart, Litestar.

Prints a JSON document of what their callers got, by framework.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import redirect_stdout
from typing import Any

import aiohttp
from a2wsgi import WSGIMiddleware
from fal_app import Words
from flask import Flask
from flask import request as flask_request
from litestar import Litestar, post
from litestar.response import ServerSentEvent
from quart import Quart
from quart import request as quart_request

from fal_async.emulator import Emulator

EVENTS = ["data: 1\n\n", "data: 2\n\n"]
of_flask, of_quart = Flask("of_flask"), Quart("of_quart")


@of_flask.post("/")
def flask_root() -> Any:
    print("upper", flask_request.json["prompt"])
    return {"output": flask_request.json["prompt"].upper()}


@of_flask.post("/stream")
def flask_stream() -> Any:
    def events() -> Iterator[str]:
        yield from EVENTS

    return events(), {"Content-Type": "text/event-stream"}


@of_quart.post("/")
async def quart_root() -> Any:
    prompt = (await quart_request.get_json())["prompt"]
    print("upper", prompt)
    return {"output": prompt.upper()}


@of_quart.post("/stream")
async def quart_stream() -> Any:
    async def events() -> AsyncIterator[bytes]:
        for event in EVENTS:
            yield event.encode()

    return events(), {"Content-Type": "text/event-stream"}


@post("/", sync_to_thread=True)
def litestar_root(data: dict[str, str]) -> dict[str, str]:
    print("upper", data["prompt"])
    return {"output": data["prompt"].upper()}


@post("/stream")
async def litestar_stream() -> ServerSentEvent:
    return ServerSentEvent(iter(["1", "2"]))


async def calls_of(emulator: Emulator, http: aiohttp.ClientSession, name: str) -> dict[str, Any]:
    url = f"{emulator.url}/queue.fal.run/me/{name}"
    async with http.post(url, json={"prompt": "hello"}) as response:
        job = emulator.jobs[(await response.json())["request_id"]]
    await job.wait_for("COMPLETED", timeout=20)
    url = f"{emulator.url}/fal.run/me/{name}/stream"
    async with http.post(url, json={"prompt": "1 2"}) as response:
        events = [line for line in (await response.text()).splitlines() if line.startswith("data: ")]
    url = f"{emulator.url}/fal.ai/api/openapi/queue/openapi.json"
    async with http.get(url, params={"endpoint_id": f"me/{name}"}) as response:
        document = await response.json()
    return {
        "output": json.loads(job.answer.body)["output"],
        "logs": [(entry["level"], entry["message"]) for entry in job.logs],
        "events": len(events),
        "schemas": sorted(document["components"]["schemas"]) if document else None,
    }


async def main() -> None:
    with redirect_stdout(sys.stderr):
        emulator, found = Emulator(), {}
        emulator.mount("me/fal", Words(_allow_init=True)._build_app())
        emulator.mount("me/flask", WSGIMiddleware(of_flask))
        emulator.mount("me/quart", of_quart)
        emulator.mount("me/litestar", Litestar([litestar_root, litestar_stream], logging_config=None))
        key = {"Authorization": f"Key {emulator.key}"}
        async with emulator, aiohttp.ClientSession(headers=key) as http:
            for name in ("fal", "flask", "quart", "litestar"):
                found[name] = await calls_of(emulator, http, name)
    print(json.dumps(found))


asyncio.run(main())
