"""Workflows of the emulator, as a session subscribes to, runs and streams them (protocol 15)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from fal_async import (
    Endpoint,
    EventStream,
    RequestCancelledError,
    Session,
    StreamError,
    ValidationError,
    WorkflowCompletion,
    WorkflowFailure,
    WorkflowOutput,
    WorkflowSubmit,
)
from fal_async.emulator import Emulator, Fault, JobContext, ModelError

STORY_ID = "workflows/me/story"
STORY = {
    "nodes": {
        "text": {"type": "run", "app": "me/writer", "input": {"theme": "$input.theme"}},
        "picture": {"type": "run", "app": "me/painter", "input": {"prompt": "$text.poem"}},
        "voice": {"type": "run", "app": "me/reader", "input": {"text": "$text.poem"}},
    },
    "output": {"image": "$picture.images.0.url", "sound": "$voice.audio"},
}
OUTPUT = {"image": "O sea!.png", "sound": "O sea!.wav"}
TOO_LOUD = [{"loc": ["body", "text"], "msg": "too loud", "type": "value_error"}]


@attrs.frozen
class Story:
    image: str
    sound: str


@pytest.fixture(autouse=True)
def models(emulator: Emulator) -> None:
    @emulator.endpoint("me/writer")
    async def writer(input: Any) -> Any:
        return {"poem": f"O {input['theme']}!"}

    @emulator.endpoint("me/painter")
    async def painter(input: Any) -> Any:
        return {"images": [{"url": f"{input['prompt']}.png"}]}

    @emulator.endpoint("me/reader")
    async def reader(input: Any, job: JobContext) -> Any:
        await job.sleep(0.05)
        if "war" in input["text"]:
            raise ModelError(422, TOO_LOUD)
        return {"audio": f"{input['text']}.wav"}

    emulator.workflow("me/story", STORY)


def sends(emulator: Emulator, *events: Any) -> None:
    async def story(_: Any) -> AsyncIterator[Any]:
        for event in events:
            yield event

    emulator.endpoint(STORY_ID)(story)


async def read_into(events: list[Any], stream: EventStream[Any]) -> None:
    async for event in stream:
        events.append(event)


async def test_a_workflow_is_run_and_subscribed_to_like_a_model(fal: Session) -> None:
    for call in (fal.run, fal.subscribe):
        assert (await call(STORY_ID, {"theme": "sea"})).data == OUTPUT
        result = await call(Endpoint(STORY_ID, output=Story), {"theme": "sea"})
        assert result.data == Story(**OUTPUT)


async def test_a_failed_step_of_a_workflow_raises_its_error_from_run_and_subscribe(fal: Session) -> None:
    for call in (fal.run, fal.subscribe):
        with pytest.raises(ValidationError, match="too loud") as caught:
            await call(STORY_ID, {"theme": "war"})
        assert caught.value.errors[0].loc == ("body", "text")
        assert caught.value.endpoint_id == STORY_ID


async def test_a_workflow_is_cancelled_through_its_handle_with_all_its_steps(
    fal: Session, emulator: Emulator
) -> None:
    @emulator.endpoint("me/painter")
    async def painter(_: Any) -> Any:
        await asyncio.Event().wait()

    handle = await fal.queue.submit(STORY_ID, {"theme": "sea"})
    job = emulator.jobs[handle.request_id]
    while "picture" not in job.steps:
        await asyncio.sleep(0)
    await handle.cancel()
    with pytest.raises(RequestCancelledError):
        await handle.result()
    assert {job.state for job in emulator.jobs.values()} == {"COMPLETED"}


async def test_a_stream_of_a_workflow_yields_typed_events_and_its_last_value_is_the_output(
    fal: Session, emulator: Emulator
) -> None:
    async with fal.stream(STORY_ID, {"theme": "sea"}) as stream:
        events = [event async for event in stream]
        assert await stream.last() == OUTPUT
    submits = [event for event in events if isinstance(event, WorkflowSubmit)]
    assert [(event.node_id, event.app_id) for event in submits] == [
        ("text", "me/writer"),
        ("picture", "me/painter"),
        ("voice", "me/reader"),
    ]
    step = await fal.queue.handle("me/reader", submits[2].request_id or "").result()
    assert step.data == {"audio": "O sea!.wav"}
    completions = {event.node_id: event.output for event in events if isinstance(event, WorkflowCompletion)}
    assert completions["text"] == {"poem": "O sea!"}
    assert events[-1] == WorkflowOutput(output=OUTPUT)


async def test_the_output_type_of_a_stream_is_that_of_the_workflows_output(fal: Session) -> None:
    stream = fal.stream(Endpoint(STORY_ID, output=Story), {"theme": "sea"})
    events: list[Any] = [event async for event in stream]
    assert isinstance(events[0], WorkflowSubmit)
    assert events[-1].output == Story(**OUTPUT)
    assert await stream.last() == Story(**OUTPUT)
    with pytest.raises(StreamError, match="output") as caught:
        await fal.stream(STORY_ID, {"theme": "sea"}, output_type=list[int]).last()
    assert caught.value.reason == "undecodable"


@pytest.mark.parametrize("output_type", [None, Story])
async def test_a_failed_step_of_a_workflow_raises_stream_error_with_its_status_and_body(
    fal: Session, output_type: Any
) -> None:
    stream = fal.stream(STORY_ID, {"theme": "war"}, output_type=output_type)
    events = list[Any]()
    with pytest.raises(StreamError, match="step voice failed") as caught:
        await read_into(events, stream)
    error, failure = caught.value, caught.value.detail
    assert [event.raw["type"] for event in events] == ["submit", "completion", *["submit"] * 2, "completion"]
    assert (error.reason, error.count, error.endpoint_id) == ("error", len(events), f"{STORY_ID}/stream")
    assert isinstance(failure, WorkflowFailure)
    assert (failure.node_id, failure.status, failure.body) == ("voice", 422, {"detail": TOO_LOUD})
    with pytest.raises(StreamError, match="step voice failed"):
        await stream.last()


@pytest.mark.parametrize(
    "events",
    [
        [{"type": "submit", "node_id": "a"}],
        [{"type": "progress", "progress": 1}],
        [{"type": "completion", "output": 1}, {"type": "progress"}],
        [],
    ],
    ids=str,
)
async def test_an_event_before_the_output_does_not_pass_for_the_result(
    fal: Session, emulator: Emulator, events: list[Any]
) -> None:
    sends(emulator, *events)
    with pytest.raises(StreamError, match="without its output") as caught:
        await fal.stream(STORY_ID).last()
    assert caught.value.reason == "empty"


async def test_events_of_unknown_types_and_bare_outputs_are_kept_as_they_are(
    fal: Session, emulator: Emulator
) -> None:
    progress = {"type": "progress", "progress": 0.5}
    sends(emulator, progress, {"type": "output", "output": 1}, progress)
    assert [event async for event in fal.stream(STORY_ID)] == [progress, WorkflowOutput(output=1), progress]
    assert await fal.stream(STORY_ID).last() == 1
    sends(emulator, OUTPUT)
    assert await fal.stream(STORY_ID).last() == OUTPUT


async def test_leaving_the_stream_of_a_workflow_cancels_its_steps(fal: Session, emulator: Emulator) -> None:
    stopped = asyncio.Event()

    @emulator.endpoint("me/painter")
    async def painter(_: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async for event in fal.stream(STORY_ID, {"theme": "sea"}):
        if isinstance(event, WorkflowSubmit) and event.node_id == "picture":
            break
    await asyncio.wait_for(stopped.wait(), 5)
    for job in list(emulator.jobs.values()):
        assert await job.wait_for("COMPLETED", timeout=5) == "COMPLETED"


async def test_a_workflow_stream_that_is_cut_raises_cut_and_not_a_result(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.truncate(on="stream", events=7, cut="clean"))
    with pytest.raises(StreamError) as caught:
        await fal.stream(STORY_ID, {"theme": "sea"}).last()
    assert caught.value.reason == "cut"


async def test_workflows_execute_runs_streams_and_queues_the_workflow_of_its_input(fal: Session) -> None:
    body = {"input": {"theme": "sea"}, "workflow": STORY}
    assert (await fal.run("workflows/execute", body)).data == OUTPUT
    assert (await fal.subscribe("workflows/execute", body)).data == OUTPUT
    assert await fal.stream("workflows/execute", body).last() == OUTPUT


async def test_a_workflow_that_the_client_saved_is_served_and_described(fal: Session) -> None:
    schema = {"input": {"theme": {"type": "string", "required": True}}, "output": {}}
    contents = {"name": "s", "version": "1", **STORY, "schema": schema}
    await fal.platform.workflows.create("saved", title="Saved", contents=contents)
    assert (await fal.run("workflows/emulator/saved", {"theme": "sea"})).data == OUTPUT
    described = await fal.platform.schema("workflows/emulator/saved")
    assert [field.name for field in described.input_fields()] == ["theme"]
