"""Recordings of an emulator do not differ from it, and each alteration of one is found."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fal_async.emulator import Emulator, JobContext, ModelError
from fal_async.emulator.cassettes.cassette import Cassette, RecordedAnswer
from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from fal_async.emulator.cassettes.content import Content
from fal_async.emulator.cassettes.document_fields import CassetteError
from fal_async.emulator.drift.drift_report import DriftReport, drift
from fal_async.emulator.drift.emulated_calls import sendable
from tests.emulator.caller import Caller
from tests.emulator.drift.recorded_calls import cassette, queued, run, streamed, written

FLUX, LLM, WHISPER, VIDEO = "fal-ai/flux/dev", "fal-ai/any-llm", "fal-ai/whisper", "fal-ai/veo3"
PROMPT = {"prompt": "a cat"}


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


async def compared(
    folder: CassetteFolder, prepare: Callable[[Emulator], None] = lambda _: None
) -> DriftReport:
    return await drift(folder, prepare)


async def test_recordings_of_an_emulator_have_no_differences(caller: Caller, tmp_path: Path) -> None:
    add_own(caller.emulator)
    recorded = [
        await queued(caller, FLUX, PROMPT),
        await queued(caller, FLUX, {}),
        await run(caller, FLUX, {"image_size": 7}),
        await queued(caller, WHISPER, {"audio_url": "https://example.com/a.mp3"}),
        await queued(caller, VIDEO, PROMPT),
        await run(caller, LLM, PROMPT),
        await streamed(caller, LLM, PROMPT),
        await streamed(caller, FLUX, PROMPT),
        await queued(caller, "me/missing", {}),
        await queued(caller, "me/poet", {}),
        await queued(caller, "me/poet", {"type": "content_policy_violation"}),
        await run(caller, "me/poet", {"type": "missing"}),
        await queued(caller, "me/poet", {"status": 500}),
        await streamed(caller, "me/talk", {}),
    ]
    folder = written(tmp_path, *recorded)
    report = await compared(folder)
    assert report == DriftReport(calls=len(recorded), unknown=("me/poet", "me/talk"), differences=())
    assert (await compared(folder, add_own)) == DriftReport(calls=len(recorded), unknown=(), differences=())


def of_status(document: Any, state: str) -> Any:
    (found,) = [m["document"] for m in document["moments"] if m.get("status") == state]
    return found


def image(document: Any) -> Any:
    return document["answer"]["body"]["json"]["images"][0]


ALTERATIONS: Mapping[str, tuple[Callable[[Any], object], str, str, str]] = {
    "submit without a field": (
        lambda doc: doc["submit"]["body"]["json"].pop("cancel_url"),
        "submit.body.json.cancel_url",
        "absent",
        "string",
    ),
    "submit with a new field": (
        lambda doc: doc["submit"]["body"]["json"].update(eta=3.5),
        "submit.body.json.eta",
        "number",
        "absent",
    ),
    "submit with another status": (
        lambda doc: doc["submit"].update(status=202),
        "submit.status",
        "202",
        "200",
    ),
    "status with a new field": (
        lambda doc: of_status(doc, "COMPLETED")["metrics"].update(gpu="H100"),
        "moments[0].document.metrics.gpu",
        "string",
        "absent",
    ),
    "status with another type": (
        lambda doc: of_status(doc, "COMPLETED").update(request_id=7),
        "moments[0].document.request_id",
        "number",
        "string",
    ),
    "unknown state": (
        lambda doc: of_status(doc, "COMPLETED").update(status="PAUSED"),
        "moments[0].document.status",
        "PAUSED",
        "IN_QUEUE or IN_PROGRESS or COMPLETED",
    ),
    "log with a new field": (
        lambda doc: doc["moments"][1]["log"].update(host={}),
        "moments[1].log.host",
        "object",
        "absent",
    ),
    "new header": (
        lambda doc: doc["answer"]["headers"].update({"x-fal-retryable": "true"}),
        'answer.headers["x-fal-retryable"]',
        "present",
        "absent",
    ),
    "missing header": (
        lambda doc: doc["answer"]["headers"].pop("x-fal-billable-units"),
        'answer.headers["x-fal-billable-units"]',
        "absent",
        "present",
    ),
    "another content type": (
        lambda doc: doc["answer"]["headers"].update({"content-type": "text/json"}),
        'answer.headers["content-type"]',
        "text/json",
        "application/json",
    ),
    "result with another status": (
        lambda doc: doc["answer"].update(status=201),
        "answer.status",
        "201",
        "200",
    ),
    "result without a required field": (
        lambda doc: image(doc).pop("url"),
        "answer.body.json.images[0].url",
        "absent",
        "string",
    ),
    "result with a new field": (
        lambda doc: image(doc).update(alt="a cat"),
        "answer.body.json.images[0].alt",
        "string",
        "absent",
    ),
    "result with another type": (
        lambda doc: image(doc).update(width="1024"),
        "answer.body.json.images[0].width",
        "string",
        "number",
    ),
    "result that is not JSON": (
        lambda doc: doc["answer"].update(body={"text": "done"}),
        "answer.body",
        "text",
        "json",
    ),
    "error that the emulator does not make": (
        lambda doc: doc["answer"].update(
            status=422, body={"json": {"detail": [{"loc": [], "msg": "", "type": "missing"}]}}
        ),
        "answer.status",
        "422",
        "200",
    ),
}


@pytest.fixture
async def base(caller: Caller) -> Cassette:
    """A recorded request for a picture, with the moment of its completion and its log."""
    return await queued(caller, FLUX, PROMPT)


async def test_each_alteration_of_a_recording_is_found_at_its_place(base: Cassette, tmp_path: Path) -> None:
    plain = base.to_document()
    moments = [m for m in plain["moments"] if m.get("status") == "COMPLETED" or "log" in m]
    plain["moments"] = [*moments[:1], next(m for m in moments if "log" in m)]
    names = [f"flux/{number}-1.json" for number in range(len(ALTERATIONS))]
    (tmp_path / "flux").mkdir()
    for name, (alter, *_) in zip(names, ALTERATIONS.values(), strict=True):
        document = json.loads(json.dumps(plain))
        alter(document)
        (tmp_path / name).write_text(json.dumps(document))
    report = await compared(CassetteFolder(tmp_path))
    for name, (what, (_, *expected)) in zip(names, ALTERATIONS.items(), strict=True):
        found = [
            [each.path, each.recorded, each.emulated] for file, each in report.differences if file == name
        ]
        assert expected in found, what
        # An error also has other members, and other headers than this result had.
        assert len(found) == 1 or what.startswith("error"), found


async def test_altered_events_and_errors_are_found(caller: Caller, tmp_path: Path) -> None:
    talk, error = await streamed(caller, LLM, PROMPT), await run(caller, LLM, {})
    documents = [talk.to_document(), error.to_document()]
    documents[0]["moments"][-1]["event"]["json"]["usage"] = None
    documents[1]["answer"]["body"]["json"]["detail"][0]["hint"] = ["x"]
    folder = tmp_path / "llm"
    folder.mkdir()
    for number, document in enumerate(documents):
        (folder / f"{number}.json").write_text(json.dumps(document))
    report = await compared(CassetteFolder(tmp_path))
    last = len(talk.moments) - 1
    assert sorted((each.path, each.recorded, each.emulated) for _, each in report.differences) == [
        ("answer.body.json.detail[0].hint", "array", "absent"),
        (f"moments[{last}].event.json.usage", "null", "absent"),
    ]


async def test_result_of_an_input_that_the_emulator_refuses_is_found(caller: Caller, tmp_path: Path) -> None:
    taken = await run(caller, LLM, PROMPT)
    document = {**taken.to_document(), "input": {"prompt": 7}}
    del document["digest"]
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm" / "a.json").write_text(json.dumps(document))
    ((_, found),) = (await compared(CassetteFolder(tmp_path))).differences
    assert (found.path, found.recorded, found.emulated) == ("answer.status", "200", "422")


async def test_results_of_unknown_endpoints_may_have_any_type(caller: Caller, tmp_path: Path) -> None:
    @caller.emulator.endpoint("me/bytes")
    async def data(_: Any) -> bytes:
        return b"\xff"

    @caller.emulator.endpoint("me/chunks")
    async def chunks(_: Any) -> AsyncIterator[bytes]:
        yield b"\xff"

    recorded = [await run(caller, "me/bytes", {}), await streamed(caller, "me/chunks", {})]
    assert (await compared(written(tmp_path, *recorded))).differences == ()


async def test_refused_submit_and_gateway_page_have_the_emulators_form(
    caller: Caller, tmp_path: Path
) -> None:
    caller.emulator.lock_account()
    locked = await queued(caller, FLUX, PROMPT)
    assert locked.submit is not None
    assert locked.submit.status == 403
    head = {"content-type": "text/html"}
    page = RecordedAnswer(after=1, status=502, headers=head, body=Content("text", "<html>"))
    gateway = cassette("queue", VIDEO, PROMPT, submit=page)
    assert (await compared(written(tmp_path, locked, gateway))).differences == ()


async def test_recording_of_an_impossible_endpoint_is_an_error_with_its_file(tmp_path: Path) -> None:
    answer = RecordedAnswer(after=1, status=200, headers={})
    folder = written(tmp_path, cassette("run", "me.com/x", {}, answer=answer))
    with pytest.raises(
        CassetteError, match=r"me\.com__x/44136fa355b3-1\.json: 'me\.com/x' is not an endpoint id"
    ):
        await compared(folder)


def test_files_of_a_recorded_input_are_sent_as_urls() -> None:
    file = {"$file": "ab", "content_type": "image/png"}
    assert sendable({"a": [file], "$$file": 1}) == {"a": ["https://example.com/ab.png"], "$file": 1}
