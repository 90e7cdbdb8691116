"""Workflows as a plain HTTP client sees them: run, queue, stream, cancel, and their steps (protocol 15)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import attrs
import pytest

from fal_async.emulator import Emulator, JobContext, ModelError, Polls
from tests.emulator.caller import Caller, Reply, calling
from tests.emulator.gate import Gate
from tests.emulator.operations.platform.platform_caller import Platform

STORY: dict[str, Any] = {
    "nodes": {
        "text": {"type": "run", "app": "me/writer", "input": {"theme": "$input.theme", "n": "$input.n"}},
        "picture": {"type": "run", "app": "me/painter", "depends": ["text"], "input": {"p": "$text.title"}},
        "voice": {"type": "run", "app": "me/reader", "input": {"text": "$text.lines.0", "bad": "$input.bad"}},
        "shown": {"type": "display", "fields": {"image": "$picture.images.0.url"}},
    },
    "output": {"image": "$shown.image", "sound": "$voice.audio"},
    "schema": {"input": {"theme": {"type": "string", "required": True}, "bad": {"default": False}}},
}
STORY_ID = "workflows/me/story"
OUTPUT = {"image": "sea.png", "sound": "O sea!"}
TOO_SHORT = [{"loc": ["body", "text"], "msg": "too short", "type": "value_error"}]


@attrs.frozen
class Times:
    """When the models were called, in seconds of the emulator since the first call."""

    emulator: Emulator
    began: dict[str, float] = attrs.field(factory=dict)

    def note(self, name: str) -> None:
        self.began[name] = self.emulator.now

    def after(self, name: str) -> int:
        return round(self.began[name] - min(self.began.values()))


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with calling(Emulator(clock="auto", builtins=False)) as caller:
        yield caller


@pytest.fixture(autouse=True)
def times(caller: Caller) -> Times:
    emulator, times = caller.emulator, Times(caller.emulator)

    @emulator.endpoint("me/writer", price="0.1")
    async def writer(input: Any, job: JobContext) -> Any:
        times.note("writer")
        await job.sleep(60)
        return {"title": input["theme"], "lines": [f"O {input['theme']}!"]}

    @emulator.endpoint("me/painter", price="0.2")
    async def painter(input: Any, job: JobContext) -> Any:
        times.note("painter")
        await job.sleep(600)
        return {"images": [{"url": f"{input['p']}.png"}]}

    @emulator.endpoint("me/reader", price="0.3")
    async def reader(input: Any, job: JobContext) -> Any:
        times.note("reader")
        await job.sleep(300)
        if input["bad"]:
            raise ModelError(422, TOO_SHORT)
        return {"audio": input["text"]}

    emulator.workflow("me/story", STORY)
    return times


async def events_of(caller: Caller, endpoint_id: str, input: Any) -> list[dict[str, Any]]:
    reply = await caller.run(f"{endpoint_id}/stream", input)
    assert reply.headers["Content-Type"] == "text/event-stream", reply.data
    lines = reply.body.decode().split("\n\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line]


def steps_of(caller: Caller, reply: Reply) -> dict[str, Any]:
    jobs = caller.emulator.jobs
    return {node: jobs[one] for node, one in jobs[reply.headers["x-fal-request-id"]].steps.items()}


async def test_a_workflow_that_is_run_or_queued_gives_its_output_itself(caller: Caller) -> None:
    ran = await caller.run(STORY_ID, {"theme": "sea"})
    assert (ran.status, ran.data) == (200, OUTPUT)
    submitted = await caller.submit(STORY_ID, {"theme": "sea"})
    request_id = submitted.data["request_id"]
    assert submitted.data["status_url"].endswith(f"/queue.fal.run/{STORY_ID}/requests/{request_id}/status")
    assert (await caller.finished(submitted)).status == 200
    assert (await caller.result(submitted)).data == OUTPUT


async def test_steps_begin_when_their_inputs_exist_and_branches_run_in_parallel(
    caller: Caller, times: Times
) -> None:
    began = caller.emulator.now
    await caller.run(STORY_ID, {"theme": "sea"})
    assert [times.after(name) for name in ("writer", "painter", "reader")] == [0, 60, 60]
    assert round(caller.emulator.now - began) == 660


async def test_each_step_is_a_request_of_its_own_that_is_billed_and_can_be_followed(caller: Caller) -> None:
    reply = await caller.run(STORY_ID, {"theme": "sea"})
    steps = steps_of(caller, reply)
    assert {node: job.cost for node, job in steps.items()} == {
        "text": Decimal("0.1"),
        "picture": Decimal("0.2"),
        "voice": Decimal("0.3"),
    }
    request_id = reply.headers["x-fal-request-id"]
    own = caller.emulator.jobs[request_id]
    assert (own.cost, own.billable_units) == (Decimal(), 0)
    assert {job.workflow_request_id for job in steps.values()} == {request_id}
    assert caller.emulator.books.taken("me/painter", {"p": "sea"}) == 1
    assert caller.emulator.books.total(STORY_ID) == 1
    followed = await caller.get(f"/queue.fal.run/me/painter/requests/{steps['picture'].request_id}")
    assert followed.data == {"images": [{"url": "sea.png"}]}


async def test_a_stream_has_an_event_of_each_submit_and_completion_and_the_output(caller: Caller) -> None:
    events = await events_of(caller, STORY_ID, {"theme": "sea"})
    assert [(event["type"], event.get("node_id")) for event in events] == [
        ("submit", "text"),
        ("completion", "text"),
        ("submit", "picture"),
        ("submit", "voice"),
        ("completion", "voice"),
        ("completion", "picture"),
        ("output", None),
    ]
    assert events[-1]["output"] == OUTPUT
    assert events[4]["output"] == {"audio": "O sea!"}
    jobs = caller.emulator.jobs
    assert [jobs[e["request_id"]].endpoint_id for e in events if e["type"] == "submit"] == [
        "me/writer",
        "me/painter",
        "me/reader",
    ]


async def test_a_failed_step_ends_the_workflow_and_cancels_its_other_steps(caller: Caller) -> None:
    reply = await caller.run(STORY_ID, {"theme": "sea", "bad": True})
    assert (reply.status, reply.data) == (422, {"detail": TOO_SHORT})
    states = {node: job.answer.status for node, job in steps_of(caller, reply).items()}
    assert states == {"text": 200, "picture": 499, "voice": 422}
    submitted = await caller.submit(STORY_ID, {"theme": "sea", "bad": True})
    assert (await caller.finished(submitted)).data["error_type"] == "value_error"
    assert (await caller.result(submitted)).status == 422
    assert caller.emulator.jobs[submitted.data["request_id"]].attempts == 1


async def test_the_stream_of_a_failed_workflow_ends_with_the_error_of_the_step(caller: Caller) -> None:
    events = await events_of(caller, STORY_ID, {"theme": "sea", "bad": True})
    assert [event["type"] for event in events] == ["submit", "completion", "submit", "submit", "error"]
    error, step = events[-1], events[-2]["request_id"]
    assert error["node_id"] == "voice"
    assert error["error"] == {"status": 422, "body": {"detail": TOO_SHORT}}
    assert step in error["message"]
    [own] = [job for job in caller.emulator.jobs.values() if job.endpoint_id == STORY_ID]
    assert own.failed


async def test_a_step_is_retried_by_the_queue_without_starting_the_workflow_again(caller: Caller) -> None:
    @caller.emulator.endpoint("me/reader")
    async def reader(input: Any, job: JobContext) -> Any:
        if job.attempt < 3:
            raise ModelError(503, "busy")
        return {"audio": "third"}

    submitted = await caller.submit(STORY_ID, {"theme": "sea"})
    await caller.finished(submitted)
    assert (await caller.result(submitted)).data["sound"] == "third"
    assert caller.emulator.books.total("me/writer") == 1


async def test_a_step_of_an_endpoint_whose_states_depend_on_polls_ends_by_itself(caller: Caller) -> None:
    @caller.emulator.endpoint("me/reader", polls=Polls(queued=2))
    async def reader(input: Any) -> Any:
        return {"audio": "read"}

    assert (await caller.run(STORY_ID, {"theme": "sea"})).data["sound"] == "read"


async def test_cancelling_a_workflow_cancels_the_steps_that_run(caller: Caller) -> None:
    gate = Gate()
    caller.emulator.endpoint("me/painter")(gate.__call__)
    submitted = await caller.submit(STORY_ID, {"theme": "sea"})
    jobs = caller.emulator.jobs
    async with asyncio.timeout(5):
        while not gate.started:
            await asyncio.sleep(0)
    assert (await caller.cancel(submitted)).status == 202
    status = await caller.finished(submitted)
    assert status.data["error_type"] == "client_cancelled"
    await jobs[jobs[submitted.data["request_id"]].steps["picture"]].wait_for("COMPLETED", timeout=5)
    assert {job.state for job in jobs.values()} == {"COMPLETED"}


async def test_a_node_chooses_the_failure_of_its_step_in_its_input(caller: Caller) -> None:
    chosen = {"__emulator__": {"fail": 429, "delay": 3600, "needs_retry": False}, "p": "x"}
    nodes = {**STORY["nodes"], "picture": {"app": "me/painter", "input": chosen, "depends": ["voice"]}}
    began = caller.emulator.now
    reply = await caller.run(
        "workflows/execute", {"input": {"theme": "sea", "bad": False}, "workflow": nodes}
    )
    assert (reply.status, round(caller.emulator.now - began)) == (429, 3960)
    assert steps_of(caller, reply)["picture"].input == {"p": "x"}
    wrong = {"a": {"app": "me/painter", "input": {"__emulator__": "fial=1"}}}
    reply = await caller.run("workflows/execute", {"workflow": wrong})
    assert (reply.status, "unknown word 'fial'" in reply.data["detail"]) == (400, True)


async def test_an_account_with_one_place_can_run_a_workflow(caller: Caller) -> None:
    other = caller.emulator.add_account("other:key", concurrency=1)
    headers = {"Authorization": f"Key {other.key}"}
    reply = await caller.run(STORY_ID, {"theme": "sea"}, headers=headers)
    assert reply.data == OUTPUT
    assert {job.account for job in steps_of(caller, reply).values()} == {other}


async def test_an_exhausted_balance_refuses_the_next_step(caller: Caller) -> None:
    caller.emulator.accounts["emulator"].balance = Decimal("0.05")
    reply = await caller.run(STORY_ID, {"theme": "sea"})
    assert reply.status == 403
    assert "Exhausted balance" in reply.data["detail"]


async def test_an_unknown_endpoint_of_a_node_is_an_error_before_any_step(caller: Caller) -> None:
    nodes = {**STORY["nodes"], "extra": {"type": "run", "app": "me/none"}}
    caller.emulator.workflow("me/longer", {**STORY, "nodes": nodes})
    for path in ("workflows/me/longer", "workflows/me/longer/stream"):
        reply = await caller.run(path, {"theme": "sea"})
        assert reply.status == 404
        assert "none' not found, which the node extra of workflows/me/longer calls" in reply.data["detail"]
    assert caller.emulator.books.total("me/writer") == 0


async def test_a_mounted_application_can_be_a_step(caller: Caller) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode(): text.decode() for name, text in scope["headers"]}
        body = json.loads((await receive())["body"])
        answer = {"path": scope["path"], "got": body, "key": headers.get("authorization")}
        billed = [(b"content-type", b"application/json"), (b"x-fal-billable-units", b"3")]
        await send({"type": "http.response.start", "status": 200 + 222 * ("bad" in body), "headers": billed})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    caller.emulator.mount("me/app", app, price="0.5")
    node = {"app": "me/app/sub path", "input": {"x": "$input.x", "bad": "$input.bad"}}
    workflow = {"nodes": {"a": node}, "output": {"all": "$a"}}
    reply = await caller.run("workflows/execute", {"input": {"x": 1}, "workflow": workflow})
    assert reply.data == {"all": {"path": "/sub path", "got": {"x": 1}, "key": None}}
    assert steps_of(caller, reply)["a"].cost == Decimal("1.5")
    failed = await caller.run("workflows/execute", {"input": {"x": 1, "bad": 1}, "workflow": workflow})
    assert (failed.status, failed.data["got"]) == (422, {"x": 1, "bad": 1})


async def test_a_reference_without_a_value_fails_the_step_that_needs_it(caller: Caller) -> None:
    output = {"image": "$picture.images.1.url"}
    caller.emulator.workflow("me/second", {**STORY, "output": output})
    reply = await caller.run("workflows/me/second", {"theme": "sea"})
    assert reply.status == 422
    assert reply.data["detail"][0]["msg"].startswith("$picture.images.1.url has no value")


async def test_workflows_may_call_workflows_but_not_themselves(caller: Caller) -> None:
    emulator = caller.emulator
    inner = {"type": "run", "app": STORY_ID, "input": {"theme": "$input.theme"}}
    emulator.workflow("me/outer", {"nodes": {"inner": inner}, "output": {"all": "$inner"}})
    assert (await caller.run("workflows/me/outer", {"theme": "sea"})).data == {"all": OUTPUT}
    circle = {"type": "run", "app": "workflows/me/circle"}
    emulator.workflow("me/circle", {"nodes": {"again": circle}, "output": {}})
    reply = await caller.run("workflows/me/circle", {})
    assert (reply.status, "it would never end" in reply.data["detail"]) == (422, True)


@pytest.mark.parametrize("input", [{}, [], {"theme": 1}], ids=str)
async def test_an_input_that_does_not_fit_the_schema_gets_422(caller: Caller, input: Any) -> None:
    assert (await caller.run(STORY_ID, input)).status == 422
    assert caller.emulator.books.total("me/writer") == 0


async def test_workflows_execute_runs_the_workflow_in_its_input(caller: Caller) -> None:
    nodes = STORY["nodes"]
    shown = {"image": "sea.png"}
    for workflow, output in ((STORY, OUTPUT), (nodes, shown)):
        body = {"input": {"theme": "sea", "bad": False}, "workflow": workflow}
        assert (await caller.run("workflows/execute", body)).data == output
        assert (await events_of(caller, "workflows/execute", body))[-1] == {
            "type": "output",
            "output": output,
        }
        submitted = await caller.submit("workflows/execute", body)
        await caller.finished(submitted)
        assert (await caller.result(submitted)).data == output


@pytest.mark.parametrize(
    "body",
    [{}, {"workflow": 1}, {"workflow": {"a": {"depends": ["b"]}}}, {"input": 1, "workflow": {}}],
    ids=str,
)
async def test_workflows_execute_refuses_a_wrong_definition(caller: Caller, body: Any) -> None:
    reply = await caller.run("workflows/execute", body)
    assert (reply.status, type(reply.data["detail"])) == (422, list)


async def test_a_workflow_saved_over_the_platform_api_is_served_to_its_owner(caller: Caller) -> None:
    platform = Platform(caller)
    contents = {"name": "s", "version": "1", **STORY, "schema": {"input": {}, "output": {}}}
    body = {"name": "saved", "title": "Saved", "contents": contents}
    assert (await platform.post("workflows", body)).status == 201
    input = {"theme": "sea", "bad": False}
    assert (await caller.run("workflows/emulator/saved", input)).data == OUTPUT
    other = caller.emulator.add_account("other:key")
    headers = {"Authorization": f"Key {other.key}"}
    assert (await caller.run("workflows/emulator/saved", input, headers=headers)).status == 404
    assert (await caller.run("workflows/emulator/none", input)).status == 404


async def test_a_workflow_is_described_by_its_schema_and_read_over_the_platform_api(caller: Caller) -> None:
    query = {"endpoint_id": STORY_ID}
    document = (await caller.get("/fal.ai/api/openapi/queue/openapi.json", params=query)).data
    schemas = document["components"]["schemas"]
    assert [s["required"] for s in schemas.values() if "theme" in s.get("properties", {})] == [["theme"]]
    read = (await Platform(caller).get("workflows/me/story")).data["workflow"]
    assert (read["title"], read["contents"]["nodes"]) == ("story", STORY["nodes"])


@pytest.mark.parametrize("workflow_id", ["story", "me/a/b", "me/a b"])
def test_a_workflow_id_of_another_form_is_refused(workflow_id: str) -> None:
    with pytest.raises(
        ValueError, match=f"^'{workflow_id}' is not the id of a workflow: expected owner/name"
    ):
        Emulator(builtins=False).workflow(workflow_id, STORY)


async def test_a_workflow_has_no_realtime_sessions(caller: Caller) -> None:
    url = f"{caller.emulator.url}/fal.run/{STORY_ID}/realtime"
    with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
        await caller.http.ws_connect(url, headers=caller.with_headers())


async def test_an_exception_of_a_step_is_its_500_and_the_workflows(caller: Caller) -> None:
    @caller.emulator.endpoint("me/painter")
    async def painter(input: Any) -> Any:
        raise RuntimeError("out of paint")

    reply = await caller.run(STORY_ID, {"theme": "sea"})
    assert (reply.status, reply.headers["X-Fal-Needs-Retry"]) == (500, "0")


@pytest.mark.parametrize("contents", [[], {"nodes": 1}, {"nodes": {}, "schema": 1}], ids=str)
def test_contents_of_another_form_are_refused_when_they_are_registered(contents: Any) -> None:
    with pytest.raises(ValueError, match="expected an object"):
        Emulator(builtins=False).workflow("me/story", contents)
