"""Calls that are recorded in front of another emulator, which plays real fal."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fal_async.emulator import Emulator, JobContext, ModelError
from fal_async.emulator.cassettes.cassette import Cassette, RecordedAnswer, Via
from tests.emulator.caller import Caller
from tests.emulator.recordings.real_fal import REAL_KEY, recording


def add_own(emulator: Emulator) -> None:
    """Add endpoints that another emulator does not have."""

    @emulator.endpoint("me/poet", log_labels=True)
    async def poet(input: Any, job: JobContext) -> Any:
        job.log("thinking")
        if "type" in input:
            raise ModelError(
                422, [{"loc": ["body"], "msg": "no", "type": input["type"], "input": 1, "url": "u"}]
            )
        if "status" in input:
            raise ModelError(input["status"], "no", "runner_server_error")
        return {"poem": "O!"}

    @emulator.endpoint("me/talk")
    async def talk(_: Any) -> AsyncIterator[Any]:
        yield {"word": "O!"}

    @emulator.endpoint("me/bytes")
    async def data(_: Any) -> bytes:
        return b"\xff"

    @emulator.endpoint("me/chunks")
    async def chunks(_: Any) -> AsyncIterator[bytes]:
        yield b"\xff"


@asynccontextmanager
async def recorder(folder: Path, change: Callable[[Emulator], None] = add_own) -> AsyncIterator[Caller]:
    """Yield a caller of an emulator that records; `change` prepares the one that plays real fal."""
    async with Emulator(key=REAL_KEY, speed=50, plain_pictures=True) as real:
        change(real)
        async with recording(folder, real) as caller:
            yield caller


async def queued(caller: Caller, endpoint_id: str, input: Any) -> None:
    """Record a call through the queue."""
    submitted = await caller.submit(endpoint_id, input)
    if submitted.status < 400:
        await caller.finished(submitted)


async def streamed(caller: Caller, endpoint_id: str, input: Any) -> None:
    await caller.run(f"{endpoint_id}/stream", input)


def documents_in(folder: Path) -> list[Any]:
    """Return the cassettes of a folder as JSON values, and delete them."""
    paths = sorted(folder.glob("*/*.json"))
    documents = [json.loads(path.read_text()) for path in paths]
    for path in paths:
        path.unlink()
    return documents


def cassette(via: Via, endpoint_id: str, answer: RecordedAnswer) -> Cassette:
    """Return a cassette as if it were written by hand."""
    when = "2026-12-01T12:00:00+00:00"
    place: Any = {"submit" if via == "queue" else "answer": answer}
    return Cassette(recorded_at=when, via=via, endpoint_id=endpoint_id, path=endpoint_id, input={}, **place)
