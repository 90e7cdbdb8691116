"""An emulator with recordings is saved, and the one that is loaded plays on from its copy of them."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from fal_async.emulator import Emulator, Recordings
from fal_async.emulator.cassettes.cassette import RecordedFile
from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from tests.emulator.caller import calling, until
from tests.emulator.cassettes.samples import PICTURE, cassette
from tests.emulator.recordings.real_fal import LOCAL_KEY, REAL_KEY, REAL_SECRET, real_fal, recording

FLUX = "fal-ai/flux/dev"
CAT = {"prompt": "a cat"}


def record_by_hand(folder: Path, *results: Any, **changes: Any) -> list[str]:
    """Write a sequence of recordings of one input, each with a picture; return the names of the cassettes."""
    cassettes = CassetteFolder(folder)
    names = []
    for at, result in enumerate(results):
        file = cassettes.add_file(f"picture {at}".encode(), "image/png")
        recorded = {"recorded_at": f"2026-12-01T12:0{at}:00Z", "request_id": f"recorded-{at}"}
        files = {PICTURE: RecordedFile(file=file, content_type="image/png", size=9)}
        names.append(cassettes.add(cassette(CAT, result, files=files, **recorded | changes)).name)
    return names


async def own(input: Any) -> Any:
    return input


async def test_sequences_go_on_from_the_copy_and_depend_on_neither_folder(tmp_path: Path) -> None:
    folder, world = tmp_path / "cassettes", tmp_path / "world"
    names = record_by_hand(folder, {"n": 1, "url": PICTURE}, {"n": 2, "url": PICTURE}, via="run", submit=None)
    recordings = Recordings(folder, speed=math.inf)
    async with calling(Emulator(recordings=recordings)) as caller:
        caller.emulator.add_account("other:key")
        assert (await caller.run(FLUX, CAT)).data["n"] == 1
        await caller.emulator.save(world)
    shutil.rmtree(folder)
    async with calling(Emulator(state=world)) as caller:
        await caller.emulator.save(world)  # deletes the folder from which it was loaded
        assert [path.name for path in world.glob("saved-*")] == ["saved-2"]
        second = await caller.run(FLUX, CAT)
        assert (second.data["n"], second.headers["x-fal-request-id"]) == (2, "recorded-1")
        assert (await caller.get(second.data["url"].removeprefix(caller.emulator.url))).body == b"picture 1"
        other = await caller.run(FLUX, CAT, headers={"Authorization": "Key other:key"})
        assert other.data["n"] == 1
        assert [job.recording for job in caller.emulator.jobs.values()] == [names[0], names[1], names[0]]
        missed = await caller.run(FLUX, {"prompt": "a dog"})
        assert missed.data["error_type"] == "recording_missing"
        assert "'a cat' recorded, 'a dog' asked (nearest recording: " in missed.data["detail"]
        own = caller.emulator.folder
    assert own is not None
    assert not own.exists()


async def test_a_request_that_a_recording_was_answering_begins_anew_in_it(tmp_path: Path) -> None:
    record_by_hand(tmp_path / "cassettes", {"n": 1}, {"n": 2})
    async with calling(Emulator(recordings=Recordings(tmp_path / "cassettes"), clock="manual")) as caller:
        submitted = await caller.submit(FLUX, CAT)
        await caller.emulator.advance(1.6)
        assert len((await caller.status(submitted, logs="1")).data["logs"]) == 1
        await caller.emulator.save(tmp_path / "world")
    shutil.rmtree(tmp_path / "cassettes")
    async with calling(Emulator(state=tmp_path / "world", clock="manual")) as caller:
        path = f"/queue.fal.run/{FLUX}/requests/{submitted.data['request_id']}"
        status = (await caller.get(f"{path}/status?logs=1")).data
        assert (status["status"], status["queue_position"]) == ("IN_QUEUE", 2)
        await caller.emulator.advance(1.1)
        assert (await caller.get(f"{path}/status")).data["status"] == "IN_PROGRESS"
        await caller.emulator.advance(1)
        status = (await caller.get(f"{path}/status?logs=1")).data
        assert (status["status"], len(status["logs"])) == ("COMPLETED", 1)
        assert (await caller.get(path)).data == {"n": 1}
        later = await caller.submit(FLUX, CAT)
        assert later.data["request_id"] == "recorded-1"
        assert [job.attempts for job in caller.emulator.jobs.values()] == [1, 1]


async def test_given_recordings_take_the_place_of_the_copy_and_begin_with_the_first(tmp_path: Path) -> None:
    record_by_hand(tmp_path / "cassettes", {"n": 1}, {"n": 2}, via="run", submit=None)
    recordings = Recordings(tmp_path / "cassettes", missing="emulate", speed=math.inf)
    async with calling(Emulator(recordings=recordings)) as caller:
        await caller.run(FLUX, CAT)
        await caller.emulator.save(tmp_path / "world")
    record_by_hand(tmp_path / "others", {"n": 7}, {"n": 8}, via="run", submit=None)
    given = Recordings(tmp_path / "others", speed=math.inf)
    async with calling(Emulator(state=tmp_path / "world", recordings=given)) as caller:
        assert (await caller.run(FLUX, CAT)).data == {"n": 7}
    loaded = Emulator(state=tmp_path / "world")
    loaded.endpoint("me/own")(own)
    async with calling(loaded) as caller:
        assert (await caller.run("me/own", {"x": 1})).data == {"x": 1}  # the saved missing="emulate"
        assert (await caller.run(FLUX, CAT)).data == {"n": 2}


async def test_a_state_saved_while_recording_sends_nothing_to_fal_and_has_no_key_of_fal(
    tmp_path: Path,
) -> None:
    world = tmp_path / "world"
    async with real_fal() as real:

        @real.endpoint("me/slow")
        async def slow(input: Any, job: Any) -> None:
            await job.sleep(36000)

        async with recording(tmp_path / "cassettes", real) as caller:
            first = await caller.run("me/paint/fast", {"prompt": "x"})
            running = await caller.submit("me/slow", {"n": 1})
            await until(lambda: len(real.jobs) == 2)
            await caller.emulator.save(world)
        async with calling(Emulator(state=world)) as caller:
            again = await caller.run("me/paint/fast", {"prompt": "x"})
            assert again.data["seed"] == first.data["seed"]
            assert (await caller.run("me/paint/fast", {"prompt": "y"})).status == 400
            path = f"/queue.fal.run/me/slow/requests/{running.data['request_id']}"
            await caller.reached(running, "COMPLETED")
            lost = await caller.get(path)
            assert (lost.status, lost.headers["x-fal-needs-retry"]) == (504, "0")
            assert "it is not sent again: fal was answering it" in lost.data["detail"]
        assert len(real.jobs) == 2
    saved = b"".join(path.read_bytes() for path in world.rglob("*") if path.is_file())
    assert REAL_SECRET.encode() not in saved
    copied = b"".join(path.read_bytes() for path in world.glob("*/recordings/*/*"))
    assert copied
    assert LOCAL_KEY.encode() not in copied
    assert REAL_KEY.encode() not in copied


async def test_a_cassette_without_its_file_is_left_out_and_a_damaged_copy_is_named(tmp_path: Path) -> None:
    record_by_hand(tmp_path / "cassettes", {"n": 1}, {"n": 2})
    emulator = Emulator(recordings=Recordings(tmp_path / "cassettes"), builtins=False)
    next((tmp_path / "cassettes" / "files").iterdir()).unlink()
    async with emulator:
        await emulator.save(tmp_path / "world")
    (kept,) = (tmp_path / "world").glob("saved-1/recordings/*/*.json")
    Emulator(state=tmp_path / "world")
    kept.write_text("{")
    with pytest.raises(ValueError, match=rf"saved-1/recordings/.*{kept.name}: the file is not JSON"):
        Emulator(state=tmp_path / "world")
    settings = tmp_path / "world" / "saved-1" / "recordings.json"
    settings.write_text(json.dumps({"missing": "record"}))
    with pytest.raises(ValueError, match=r"recordings\.json can't be loaded"):
        Emulator(state=tmp_path / "world")
