"""Records calls of an emulator as cassettes, as far as the tests of drift need it: a small recorder by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fal_async.emulator.cassettes.cassette import Cassette, Moment, RecordedAnswer, Via
from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from fal_async.emulator.cassettes.content import Content
from tests.emulator.caller import Caller, Reply

STATES = ("IN_QUEUE", "IN_PROGRESS", "COMPLETED")


def content(data: bytes) -> Content:
    return Content.of(data, lambda _: f"{'0' * 64}.bin")


def answer(reply: Reply, after: float = 1.0) -> RecordedAnswer:
    return RecordedAnswer(after=after, status=reply.status, headers=reply.headers, body=content(reply.body))


def cassette(via: Via, endpoint_id: str, input: Any, **fields: Any) -> Cassette:
    tail = "/stream" if via == "stream" else ""
    return Cassette(
        recorded_at="2026-12-01T12:00:00+00:00",
        via=via,
        endpoint_id=endpoint_id,
        path=endpoint_id + tail,
        input=input,
        **fields,
    )


async def queued(caller: Caller, endpoint_id: str, input: Any) -> Cassette:
    """Record a call through the queue; its states as far as they are seen."""
    submitted = await caller.submit(endpoint_id, input)
    if submitted.status >= 400:
        return cassette("queue", endpoint_id, input, submit=answer(submitted))
    seen: dict[str, Any] = {}
    logs: list[Mapping[str, Any]] = []
    for state in STATES:
        await caller.reached(submitted, state)
        document = (await caller.status(submitted, "1")).data
        logs = document.pop("logs", None) or logs
        seen[document["status"]] = document
    moments = [Moment(after=0, status=state, document=document) for state, document in seen.items()]
    return cassette(
        "queue",
        endpoint_id,
        input,
        request_id=submitted.data["request_id"],
        submit=answer(submitted),
        moments=(*moments, *(Moment(after=0, log=entry) for entry in logs)),
        answer=answer(await caller.result(submitted)),
    )


async def run(caller: Caller, endpoint_id: str, input: Any) -> Cassette:
    return cassette("run", endpoint_id, input, answer=answer(await caller.run(endpoint_id, input)))


async def streamed(caller: Caller, endpoint_id: str, input: Any) -> Cassette:
    reply = await caller.run(f"{endpoint_id}/stream", input)
    events = [content(part + b"\n\n") for part in reply.body.split(b"\n\n") if part]
    end = RecordedAnswer(after=1.0, status=reply.status, headers=reply.headers)
    return cassette(
        "stream",
        endpoint_id,
        input,
        moments=tuple(Moment(after=0, event=event) for event in events),
        answer=end if reply.status < 400 else answer(reply),
    )


def written(folder: Path, *cassettes: Cassette) -> CassetteFolder:
    """Write cassettes, with an empty file for each that they name, and read them again."""
    writer = CassetteFolder(folder)
    for each in cassettes:
        for name in each.names_of_files():
            writer.file(name).parent.mkdir(parents=True, exist_ok=True)
            writer.file(name).touch()
        writer.add(each)
    return CassetteFolder(folder)
