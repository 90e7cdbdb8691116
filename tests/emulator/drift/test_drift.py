"""Recordings of an emulator do not differ from it, and each alteration of one is found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fal_async.emulator import Emulator, Fault
from fal_async.emulator.cassettes.cassette import RecordedAnswer
from fal_async.emulator.cassettes.cassette_folder import CassetteFolder
from fal_async.emulator.cassettes.content import Content
from fal_async.emulator.drift.drift_report import DriftReport, drift
from fal_async.emulator.drift.emulated_calls import sendable
from tests.emulator.drift.recorded_calls import add_own, cassette, documents_in, queued, recorder, streamed
from tests.emulator.recordings.real_fal import play, real_fal, recording, whole_day
from tests.servers.receiver import receiving

FLUX, LLM, WHISPER, VIDEO = "fal-ai/flux/dev", "fal-ai/any-llm", "fal-ai/whisper", "fal-ai/veo3"
PROMPT = {"prompt": "a cat"}


async def compared(
    folder: CassetteFolder, prepare: Callable[[Emulator], None] = lambda _: None
) -> DriftReport:
    return await drift(folder, prepare)


async def test_recordings_of_an_emulator_have_no_differences(tmp_path: Path) -> None:
    async with recorder(tmp_path) as caller:
        calls = [
            queued(caller, FLUX, PROMPT),
            queued(caller, FLUX, {}),
            caller.run(FLUX, {"image_size": 7}),
            queued(caller, WHISPER, {"audio_url": "https://example.com/a.mp3"}),
            queued(caller, VIDEO, PROMPT),
            caller.run(LLM, PROMPT),
            streamed(caller, LLM, PROMPT),
            streamed(caller, FLUX, PROMPT),
            queued(caller, "me/missing", {}),
            queued(caller, "me/poet", {}),
            queued(caller, "me/poet", {"type": "content_policy_violation"}),
            caller.run("me/poet", {"type": "missing"}),
            queued(caller, "me/poet", {"status": 500}),
            streamed(caller, "me/talk", {}),
            caller.run("me/bytes", {}),
            streamed(caller, "me/chunks", {}),
        ]
        await asyncio.gather(*calls)
    folder = CassetteFolder(tmp_path)
    report = await compared(folder)
    unknown = {"me/bytes", "me/chunks", "me/poet", "me/talk"}
    assert (report.calls, set(report.unknown), report.differences) == (len(calls), unknown, ())
    report = await compared(folder, add_own)
    assert (report.calls, report.unknown, report.differences) == (len(calls), (), ())


async def test_recorded_fallback_chains_are_compared_with_and_without_their_models(tmp_path: Path) -> None:
    flux, poet = {"endpoint": FLUX, "input": PROMPT}, {"endpoint": "me/poet", "input": {}}
    failing = {"endpoint": "me/poet", "input": {"status": 500}}
    chains: list[Any] = [flux, {**failing, "fallback": flux}, poet, failing, {"endpoint": 7}, []]
    async with recorder(tmp_path) as caller:
        for chain in chains:
            await caller.run("execute", chain)
    folder = CassetteFolder(tmp_path)
    report = await compared(folder, add_own)
    assert (report.calls, report.unknown, report.differences) == (len(chains), (), ())
    report = await compared(folder)
    assert (report.unknown, report.differences) == (("execute",), ())


async def test_a_recorded_day_has_no_differences(tmp_path: Path) -> None:
    async with receiving() as receiver, real_fal() as real, recording(tmp_path, real) as caller:
        real.faults.add(Fault.answer(429, on="submit", endpoint_id="me/read"))
        await whole_day(caller, receiver)
    folder = CassetteFolder(tmp_path)
    assert (await compared(folder)).differences == ()
    # The files of inputs are not recorded, so a model that reads them fails.
    differences = (await compared(folder, play)).differences
    assert {name.partition("/")[0] for name, _ in differences} == {"me__read"}


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


async def test_each_alteration_of_a_recording_is_found_at_its_place(tmp_path: Path) -> None:
    async with recorder(tmp_path) as caller:
        await queued(caller, FLUX, PROMPT)
    (plain,) = documents_in(tmp_path)
    completed = next(moment for moment in plain["moments"] if moment.get("status") == "COMPLETED")
    plain["moments"] = [completed, next(moment for moment in plain["moments"] if "log" in moment)]
    plain["moments"][1]["after"] = completed["after"]
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


async def test_altered_events_and_errors_are_found(tmp_path: Path) -> None:
    async with recorder(tmp_path) as caller:
        await streamed(caller, LLM, PROMPT)
        await caller.run(LLM, {})
    talk, error = sorted(documents_in(tmp_path), key=lambda document: -len(document["moments"]))
    talk["moments"][-1]["event"]["json"]["usage"] = None
    error["answer"]["body"]["json"]["detail"][0]["hint"] = ["x"]
    for number, document in enumerate((talk, error)):
        (tmp_path / "fal-ai__any-llm" / f"{number}.json").write_text(json.dumps(document))
    report = await compared(CassetteFolder(tmp_path))
    assert sorted((each.path, each.recorded, each.emulated) for _, each in report.differences) == [
        ("answer.body.json.detail[0].hint", "array", "absent"),
        (f"moments[{len(talk['moments']) - 1}].event.json.usage", "null", "absent"),
    ]


async def test_result_of_an_input_that_the_emulator_refuses_is_found(tmp_path: Path) -> None:
    async with recorder(tmp_path) as caller:
        await caller.run(LLM, PROMPT)
    (document,) = documents_in(tmp_path)
    document["input"] = {"prompt": 7}
    del document["digest"]
    (tmp_path / "fal-ai__any-llm" / "a.json").write_text(json.dumps(document))
    ((_, found),) = (await compared(CassetteFolder(tmp_path))).differences
    assert (found.path, found.recorded, found.emulated) == ("answer.status", "200", "422")


async def test_refused_submit_and_gateway_page_have_the_emulators_form(tmp_path: Path) -> None:
    async with recorder(tmp_path, Emulator.lock_account) as caller:
        await queued(caller, FLUX, PROMPT)
    head = {"content-type": "text/html"}
    page = RecordedAnswer(after=1, status=502, headers=head, body=Content("text", "<html>"))
    folder = CassetteFolder(tmp_path)
    folder.add(cassette("queue", VIDEO, page))
    report = await compared(folder)
    assert (report.calls, report.differences) == (2, ())


async def test_a_workflow_with_a_step_that_the_emulator_lacks_is_compared_in_part(tmp_path: Path) -> None:
    step = {"type": "run", "app": "me/poet", "input": {}}
    input = {"input": {}, "workflow": {"nodes": {"poem": step}, "output": {"poem": "$poem.poem"}}}
    async with recorder(tmp_path) as caller:
        await caller.run("workflows/execute", input)
        await queued(caller, "workflows/execute", input)
        await streamed(caller, "workflows/execute", input)
    report = await compared(CassetteFolder(tmp_path))
    assert (report.unknown, report.differences) == (("workflows/execute",), ())
    report = await compared(CassetteFolder(tmp_path), add_own)
    assert (report.unknown, report.differences) == ((), ())


async def test_calls_of_impossible_endpoints_are_compared_since_fal_records_their_404(tmp_path: Path) -> None:
    async with recorder(tmp_path) as caller:
        for endpoint_id in ("nope", "me.com/x"):
            assert (await caller.run(endpoint_id, {})).status == 404
    folder = CassetteFolder(tmp_path)
    folder.add(cassette("run", "me.com/y", RecordedAnswer(after=1, status=200)))
    report = await compared(folder)
    assert report.calls == 3
    assert {name.partition("/")[0] for name, _ in report.differences} == {"me.com__y"}


def test_files_of_a_recorded_input_are_sent_as_urls() -> None:
    file = {"$file": "ab", "content_type": "image/png"}
    assert sendable({"a": [file], "$$file": 1}) == {"a": ["https://example.com/ab.png"], "$file": 1}
