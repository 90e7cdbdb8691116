"""Another emulator that plays real fal, with models that answer each call differently, and a day's work on it."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from fal_async import File, Session, ValidationError
from fal_async.emulator import Emulator, Event, JobContext, ModelError
from fal_async.emulator.recordings.recordings import Recordings
from tests.emulator.caller import Caller, Reply, calling, until
from tests.servers.receiver import Receiver

REAL_KEY = "0a1b2c3d-real:f00dfeed5ec2e7f00dfeed5ec2e7"
REAL_SECRET = REAL_KEY.partition(":")[2]
LOCAL_KEY = "local-id:l0calsec2etl0calsec2et"


def play(real: Emulator) -> None:
    """Serve models, none of which answers two calls alike."""
    calls = itertools.count()

    @real.endpoint("me/paint/fast")
    async def paint(input: dict[str, Any], job: JobContext) -> dict[str, Any]:
        job.log("mixing colours")
        await job.sleep(2)
        job.log("painting", "STDERR")
        image = await job.file(b"\x89PNG" + bytes([next(calls)]) * 300, "image/png", "cat 1.png")
        return {"images": [image], "seed": next(calls), "é": input}

    @real.endpoint("me/read")
    async def read(input: dict[str, Any], job: JobContext) -> dict[str, Any]:
        data = await job.read(input["file"])
        if data is None:
            raise ModelError(422, f"{input['file']} is not mine")
        return {"text": data.decode(), "call": next(calls)}

    @real.endpoint("me/talk")
    async def talk(input: dict[str, Any], job: JobContext) -> AsyncIterator[Any]:
        for word in ("one", "zwei", "три"):
            yield {"word": word, "call": next(calls)}
        yield Event(data='"last"', event="end", id="7")
        yield {"sound": await job.file(b"RIFF" + bytes([next(calls)]), "audio/wav", "a.wav")}

    @real.endpoint("me/strict")
    async def strict(input: dict[str, Any]) -> None:
        entry = {"loc": ["body", "n"], "msg": f"wrong, call {next(calls)}", "type": "value_error"}
        raise ModelError(422, [entry])


@asynccontextmanager
async def real_fal() -> AsyncIterator[Emulator]:
    """An emulator that plays real fal."""
    real = Emulator(key=REAL_KEY, builtins=False, speed=50)
    play(real)
    async with real:
        yield real


@asynccontextmanager
async def recording(folder: Path, real: Emulator, **details: Any) -> AsyncIterator[Caller]:
    """Yield a caller of an emulator that records into a folder what `real` answers."""
    recordings = Recordings(folder, mode="record", upstream=real.url, upstream_key=REAL_KEY)
    async with calling(Emulator(key=LOCAL_KEY, builtins=False, recordings=recordings, **details)) as caller:
        yield caller


@asynccontextmanager
async def replaying(folder: Path, **details: Any) -> AsyncIterator[Caller]:
    """Yield a caller of an emulator that replays a folder at once."""
    recordings = Recordings(folder, mode="replay", speed=1000, **details)
    async with calling(Emulator(key=LOCAL_KEY, builtins=False, recordings=recordings)) as caller:
        yield caller


@attrs.frozen
class Day:
    """What the caller got, by the name of the call; the address of its emulator is "HERE"."""

    got: dict[str, Any]

    def note(self, name: str, caller: Caller, reply: Reply) -> None:
        body = reply.body.replace(caller.emulator.url.encode(), b"HERE")
        kept = ("content-type", "x-fal-error-type", "retry-after", "x-fal-billable-units", "x-fal-request-id")
        headers = {name: reply.headers[name] for name in kept if name in reply.headers}
        self.got[name] = (reply.status, headers, body)


async def upload(caller: Caller, data: bytes) -> str:
    form = {"file_name": "note.txt", "content_type": "text/plain"}
    opened = await caller.call("POST", "/rest.fal.ai/storage/upload/initiate", json=form)
    headers = {"Content-Type": "text/plain"}
    assert (await caller.call("PUT", opened.data["upload_url"], data=data, headers=headers)).status == 200
    url: str = opened.data["file_url"]
    return url


async def whole_day(caller: Caller, receiver: Receiver) -> Day:
    """Use run, queue with logs, stream, upload, download, a 422, a 429 and a webhook."""
    day = Day({})
    ran = await caller.run("me/paint/fast", {"prompt": "run", "key": "ordinary"})
    day.note("run", caller, ran)
    day.note("download of run", caller, await caller.get(ran.data["images"][0]["url"]))
    for n in (1, 2):  # equal inputs, which fal answers differently
        submitted = await caller.submit(
            "me/paint/fast", {"prompt": "queue"}, params={"fal_webhook": receiver.url}
        )
        day.note(f"submit {n}", caller, submitted)
        day.note(f"status {n}", caller, await caller.finished(submitted))
        result = await caller.result(submitted)
        day.note(f"result {n}", caller, result)
        day.note(f"download {n}", caller, await caller.get(result.data["images"][0]["url"]))
    streamed = await caller.run("me/talk/stream", {"a": 1})
    day.note("stream", caller, streamed)
    last = json.loads(streamed.body.decode().strip().rpartition("data: ")[2])
    day.note("download of stream", caller, await caller.get(last["sound"]["url"]))
    day.note("run with a file", caller, await caller.run("me/read", {"file": await upload(caller, b"hello")}))
    day.note(
        "run with another file", caller, await caller.run("me/read", {"file": await upload(caller, b"bye")})
    )
    day.note("422", caller, await caller.run("me/strict", {"n": 0}))
    day.note("429", caller, await caller.submit("me/read", {"file": "data:,x"}))
    refused = await caller.submit("me/strict", {"n": 1})
    day.note("submit of 422", caller, refused)
    day.note("status of 422", caller, await caller.finished(refused))
    day.note("result of 422", caller, await caller.result(refused))
    await until(lambda: len(receiver.deliveries) == 2)
    here = caller.emulator.url.encode()
    day.got["webhooks"] = [delivery.body.replace(here, b"HERE") for delivery in receiver.deliveries]
    return day


async def client_day(emulator: Emulator, folder: Path) -> Any:
    """Use this package's client for a run, a queued request with logs, a stream, an upload and a download."""
    got: list[Any] = []
    async with Session(credentials=emulator.key, hosts=emulator.hosts) as fal:
        ran = await fal.run("me/paint/fast", {"prompt": "run"})
        downloaded = await fal.storage.download(ran.data["images"][0]["url"], folder / "cat.png")
        got += [ran.data, downloaded.read_bytes()]
        queued = await fal.subscribe("me/paint/fast", {"prompt": "queue"}, logs=True)
        got += [queued.data, queued.request_id]
        got += [event async for event in fal.stream("me/talk", {"a": 1})]
        got.append(
            (await fal.subscribe("me/read", {"file": File(b"some bytes", content_type="text/plain")})).data
        )
        with pytest.raises(ValidationError) as refused:
            await fal.subscribe("me/strict", {"n": 2})
        got.append([entry.msg for entry in refused.value.errors])
    return json.loads(json.dumps(got, default=repr).replace(emulator.url, "HERE"))
