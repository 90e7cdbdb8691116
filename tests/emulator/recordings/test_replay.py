from __future__ import annotations

import json
import math
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fal_async import ApiError, File, Session
from fal_async.emulator import Emulator, Recordings
from fal_async.emulator.cassettes.canonical_input import InputFile, canonical
from fal_async.emulator.cassettes.cassette import Moment, RecordedAnswer, RecordedFile
from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from fal_async.emulator.cassettes.content import Content
from fal_async.emulator.cassettes.document_fields import CassetteError
from tests.emulator.caller import Caller, calling, until
from tests.emulator.cassettes.samples import PICTURE, answered, cassette
from tests.servers.receiver import receiving

_FLUX = "fal-ai/flux/dev"
_CAT = {"prompt": "a cat"}
Add = Callable[..., str]


@pytest.fixture
def add(tmp_path: Path) -> Add:
    folder = CassetteFolder(tmp_path)

    def add(input: Any, result: Any = None, **changes: Any) -> str:
        return folder.add(cassette(input, result, **changes)).name

    return add


def _emulator(folder: Path, **options: Any) -> Emulator:
    recordings = {name: options.pop(name) for name in ("missing", "speed") if name in options}
    return Emulator(recordings=Recordings(folder, **recordings), **{"clock": "auto", **options})


async def _seen(caller: Caller, submitted: Any) -> list[tuple[str, int | None, int]]:
    """Return state, position and number of logs at each half second, until the request is complete."""
    seen = []
    while True:
        status = (await caller.status(submitted, logs="1")).data
        seen.append((status["status"], status.get("queue_position"), len(status.get("logs") or [])))
        if status["status"] == "COMPLETED":
            return seen
        await caller.emulator.advance(0.5)


async def test_a_replayed_request_has_the_recorded_states_at_the_recorded_times(
    add: Add, tmp_path: Path
) -> None:
    add(_CAT, {"seed": 7})
    async with calling(_emulator(tmp_path, clock="manual")) as caller:
        submitted = await caller.submit(_FLUX, _CAT)
        assert submitted.data["request_id"] == "11111111-2222-4333-8444-555555555555"
        assert submitted.data["queue_position"] == 2
        assert await _seen(caller, submitted) == [
            ("IN_QUEUE", 2, 0),
            ("IN_QUEUE", 1, 0),
            ("IN_PROGRESS", None, 0),
            ("IN_PROGRESS", None, 1),
            ("COMPLETED", None, 1),
        ]
        status, result = await caller.status(submitted, logs="1"), await caller.result(submitted)
    assert status.data["metrics"] == {"inference_time": 0.75}
    assert status.data["logs"][0]["timestamp"] == "2026-12-01T12:00:01Z"
    assert (result.status, result.body) == (200, b'{"seed":7}')
    assert result.headers["x-fal-billable-units"] == "1"


async def test_the_speed_of_a_replay_divides_its_pauses(add: Add, tmp_path: Path) -> None:
    add(_CAT)
    add({"prompt": "at once"})
    async with calling(_emulator(tmp_path, clock="manual", speed=4)) as caller:
        submitted = await caller.submit(_FLUX, _CAT)
        assert await _seen(caller, submitted) == [("IN_QUEUE", 2, 0), ("COMPLETED", None, 1)]
    async with calling(_emulator(tmp_path, clock="real", speed=math.inf)) as caller:
        submitted = await caller.submit(_FLUX, {"prompt": "at once"})
        assert (await caller.finished(submitted)).status == 200


async def test_virtual_time_makes_a_replay_of_ten_minutes_instantaneous(add: Add, tmp_path: Path) -> None:
    add(_CAT, answer=answered({"n": 1}, after=600.0))
    async with _emulator(tmp_path) as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:
        began = emulator.now
        result = await fal.subscribe(_FLUX, _CAT)
        assert (result.data, round(emulator.now - began)) == ({"n": 1}, 600)
        emulator.verify()


async def test_recordings_of_one_input_are_played_in_order_and_then_the_last_again(
    add: Add, tmp_path: Path
) -> None:
    for number, minute in ((2, "05"), (1, "01"), (3, "09")):
        add(_CAT, {"n": number}, via="run", submit=None, recorded_at=f"2026-12-01T12:{minute}:00Z")
    async with calling(_emulator(tmp_path)) as caller:
        replies = [await caller.run(_FLUX, _CAT) for _ in range(4)]
    assert [reply.data["n"] for reply in replies] == [1, 2, 3, 3]
    ids = [reply.headers["x-fal-request-id"] for reply in replies]
    assert ids[0] == "11111111-2222-4333-8444-555555555555"
    assert len(set(ids)) == 4


async def test_each_account_plays_the_recordings_of_one_input_from_the_first_on(
    add: Add, tmp_path: Path
) -> None:
    for number in (1, 2):
        add(_CAT, {"n": number}, via="run", submit=None)
    emulator = _emulator(tmp_path)
    emulator.add_account("other:key")
    async with calling(emulator) as caller:
        own = await caller.run(_FLUX, _CAT)
        other = await caller.run(_FLUX, _CAT, headers={"Authorization": "Key other:key"})
    assert own.data == other.data == {"n": 1}
    assert own.headers["x-fal-request-id"] != other.headers["x-fal-request-id"]


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (422, {}, {"detail": [{"loc": ["body"], "msg": "Field required", "type": "missing"}]}),
        (429, {"retry-after": "3", "x-fal-error-type": "busy"}, {"detail": "busy", "error_type": "busy"}),
    ],
)
async def test_a_refused_submit_is_refused_in_the_same_way(
    add: Add, tmp_path: Path, status: int, headers: dict[str, str], body: Any
) -> None:
    headers = {"content-type": "application/json", **headers}
    refused = RecordedAnswer(after=0.1, status=status, headers=headers, body=Content("json", body, "spaced"))
    add(_CAT, submit=refused, moments=(), answer=None, request_id=None)
    async with calling(_emulator(tmp_path)) as caller:
        reply = await caller.submit(_FLUX, _CAT)
        assert not caller.emulator.jobs
    assert (reply.status, reply.body) == (status, json.dumps(body).encode())
    assert {name: reply.headers[name] for name in headers} == headers


async def test_a_recorded_failure_is_the_outcome_and_is_not_tried_again(add: Add, tmp_path: Path) -> None:
    add(_CAT, answer=answered({"detail": "gone"}, after=2.0, status=503))
    async with calling(_emulator(tmp_path)) as caller:
        submitted = await caller.submit(_FLUX, _CAT)
        status = await caller.finished(submitted)
        result = await caller.result(submitted)
    assert status.data["error"] == "gone"
    assert (result.status, result.data) == (503, {"detail": "gone"})


async def test_the_events_of_a_stream_are_replayed_to_the_byte(add: Add, tmp_path: Path) -> None:
    texts = ['data: {"text": "a b"}\n\n', ": comment\n\n", 'event: end\ndata: {"x":1}\n\n']
    moments = [
        Moment(after=number, event=Content.of(text.encode(), lambda _: ""))
        for number, text in enumerate(texts)
    ]
    head = RecordedAnswer(after=9, status=200, headers={"content-type": "text/event-stream"})
    add(_CAT, via="stream", path=f"{_FLUX}/stream", submit=None, moments=tuple(moments), answer=head)
    async with calling(_emulator(tmp_path)) as caller:
        reply = await caller.call("POST", f"/fal.run/{_FLUX}/stream", json=_CAT)
    assert reply.body == "".join(texts).encode()
    assert reply.headers["content-type"] == "text/event-stream"


async def test_a_binary_stream_and_a_stream_that_failed_are_replayed(tmp_path: Path) -> None:
    folder = CassetteFolder(tmp_path)
    name = folder.add_file(b"\xff\xfe", "audio/mpeg")
    stream = {"via": "stream", "path": f"{_FLUX}/stream", "submit": None}
    head = RecordedAnswer(after=2, status=200, headers={"content-type": "audio/mpeg"})
    folder.add(cassette(_CAT, **stream, moments=(Moment(after=1, event=Content("file", name)),), answer=head))
    folder.add(cassette({}, **stream, moments=(), answer=answered({"detail": "no"}, status=422)))
    async with calling(_emulator(tmp_path)) as caller:
        reply = await caller.call("POST", f"/fal.run/{_FLUX}/stream", json=_CAT)
        failed = await caller.call("POST", f"/fal.run/{_FLUX}/stream", json={})
    assert (reply.body, reply.headers["content-type"]) == (b"\xff\xfe", "audio/mpeg")
    assert (failed.status, failed.data) == (422, {"detail": "no"})


async def test_urls_of_recorded_files_lead_to_them_and_expiring_does_not_delete_them(tmp_path: Path) -> None:
    folder = CassetteFolder(tmp_path)
    name = folder.add_file(b"a picture", "image/png")
    file = RecordedFile(file=name, content_type="image/png", size=9)
    other = "https://storage.example.com/out.png?sig=1"
    folder.add(cassette(_CAT, {"a": PICTURE, "b": other}, files={PICTURE: file, other: file}))
    async with calling(_emulator(tmp_path)) as caller:
        submitted = await caller.submit(_FLUX, _CAT)
        await caller.finished(submitted)
        data = (await caller.result(submitted)).data
        assert data["a"] == f"{caller.emulator.url}/v3.fal.media/files/b/0a8c11ef/cat.png"
        for url in data.values():
            reply = await caller.get(url)
            assert (reply.body, reply.headers["content-type"]) == (b"a picture", "image/png")
        caller.emulator.expire_files()
        assert (await caller.get(data["a"])).status == 404
    assert folder.read_file(name) == b"a picture"


async def test_an_uploaded_file_is_found_by_its_content_and_not_by_its_url(tmp_path: Path) -> None:
    folder, data = CassetteFolder(tmp_path), b"\x89PNG\r\n\x1a\n cat"
    input = canonical({"image_url": PICTURE}, lambda _: InputFile(sha256(data).hexdigest(), "image/png"))
    folder.add(cassette(input, {"n": 1}))
    async with _emulator(tmp_path) as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:
        result = await fal.subscribe(_FLUX, {"image_url": File(data, content_type="image/png")})
        assert result.data == {"n": 1}
        with pytest.raises(ApiError, match=r"input\.image_url: the file .* recorded, the file"):
            await fal.subscribe(_FLUX, {"image_url": File(b"a dog", content_type="image/png")})


async def test_strict_names_the_difference_to_the_nearest_recording_and_verify_reports_it(
    add: Add, tmp_path: Path
) -> None:
    name = add({"prompt": "a cat", "seed": 7})
    async with _emulator(tmp_path) as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:
        with pytest.raises(ApiError) as raised:
            await fal.subscribe(_FLUX, {"prompt": "a cat", "seed": 8})
        assert f"input.seed: 7 recorded, 8 asked (nearest recording: {name})" in str(raised.value)
        assert emulator.count("submit") == 1
        with pytest.raises(ApiError, match=f"not recorded: me/other: the recorded endpoints are {_FLUX}"):
            await fal.run("me/other", {})
        with pytest.raises(AssertionError, match=r"a call was not recorded: .*seed: 7 recorded, 8 asked"):
            emulator.verify()
        emulator.verify(unexpected=False)


async def test_emulate_lets_the_endpoints_answer_what_is_not_recorded(add: Add, tmp_path: Path) -> None:
    add(_CAT, {"n": 1})
    async with calling(_emulator(tmp_path, missing="emulate")) as caller:
        caller.emulator.endpoint("me/own")(_echo)
        assert (await caller.run("me/own", {"x": 1})).data == {"x": 1}
        submitted = await caller.submit(_FLUX, _CAT)
        await caller.finished(submitted)
        assert (await caller.result(submitted)).data == {"n": 1}
        caller.emulator.verify()


async def _echo(input: Any) -> Any:
    return input


async def test_a_fallback_chain_is_replayed_as_one_call_and_is_not_run_without_a_recording(
    add: Add, tmp_path: Path
) -> None:
    chain = {"steps": [{"app_id": _FLUX, "input": _CAT}]}
    add(chain, {"n": 1}, via="run", endpoint_id="execute", path="execute", submit=None)
    async with calling(_emulator(tmp_path)) as caller:
        assert (await caller.run("execute", chain)).data == {"n": 1}
        missed = await caller.run("execute", {"steps": []})
    assert (missed.status, missed.data["error_type"]) == (400, "recording_missing")


@pytest.mark.parametrize("at_first", [True, False])
async def test_a_cancelled_replay_ends_as_cancelled(add: Add, tmp_path: Path, at_first: bool) -> None:
    add(_CAT)
    async with calling(_emulator(tmp_path, clock="manual")) as caller:
        submitted = await caller.submit(_FLUX, _CAT)
        await caller.emulator.advance(0 if at_first else 1.2)
        cancelled = await caller.cancel(submitted)
        assert cancelled.status == (200 if at_first else 202)
        await caller.finished(submitted)
        assert (await caller.result(submitted)).status == 499


async def test_the_webhook_of_a_replay_is_signed_and_has_the_recorded_result(
    add: Add, tmp_path: Path
) -> None:
    add(_CAT, {"n": 1})
    async with receiving() as receiver, calling(_emulator(tmp_path)) as caller:
        submitted = await caller.submit(_FLUX, _CAT, params={"fal_webhook": receiver.url})
        await caller.finished(submitted)
        await until(lambda: bool(receiver.deliveries))
    (delivery,) = receiver.deliveries
    assert json.loads(delivery.body)["payload"] == {"n": 1}
    assert delivery.headers["X-Fal-Webhook-Signature"]


async def test_the_status_stream_of_a_replay_has_its_positions_and_logs(add: Add, tmp_path: Path) -> None:
    add(_CAT)
    async with calling(_emulator(tmp_path, clock="real", speed=10)) as caller:
        submitted = await caller.submit(_FLUX, _CAT)
        url = f"{submitted.data['status_url']}/stream?logs=1"
        events = (await caller.get(url)).body.decode().split("\n\n")
    documents = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: ")]
    assert [document["status"] for document in documents] == [
        "IN_QUEUE",
        "IN_QUEUE",
        "IN_PROGRESS",
        "IN_PROGRESS",
        "COMPLETED",
    ]
    assert [document.get("queue_position") for document in documents[:2]] == [2, 1]


def test_a_missing_an_empty_and_a_broken_folder_are_refused_when_the_emulator_is_made(tmp_path: Path) -> None:
    with pytest.raises(CassetteError, match="there is no such folder of recordings"):
        _emulator(tmp_path / "missing")
    with pytest.raises(CassetteError, match="the folder has no recordings"):
        _emulator(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.json").write_text("{}")
    with pytest.raises(CassetteError, match=r"b\.json: the field 'format' is missing"):
        _emulator(tmp_path)


@pytest.mark.parametrize("wrong", [{"mode": "play"}, {"missing": "fail"}, {"speed": 0}, {"speed": math.nan}])
def test_an_impossible_option_of_recordings_is_refused_with_its_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recordings("somewhere", **wrong)


def test_the_upstream_key_is_not_in_the_repr_of_recordings() -> None:
    assert "secret" not in repr(Recordings("x", upstream_key="id:secret"))
