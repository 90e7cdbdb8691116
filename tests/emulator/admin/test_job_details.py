"""`/_emulator/jobs/{id}`: one request in full."""

from __future__ import annotations

from typing import Any

from fal_async.emulator import Emulator, JobContext, ModelError
from tests.emulator.caller import Caller, calling


async def whole(caller: Caller, request_id: str) -> Any:
    return (await caller.get(f"/_emulator/jobs/{request_id}", headers={})).data


async def test_a_job_in_full_has_input_logs_timings_result_files_and_http_requests(caller: Caller) -> None:
    @caller.emulator.endpoint("me/draw", price="0.5", unit="image")
    async def draw(input: Any, job: JobContext) -> Any:
        job.log("<b>thinking</b>")
        job.log("done", "DEBUG")
        sound = await job.file(b"RIFF", "audio/wav", "a.wav")
        return {"image": await job.file(b"png", "image/png", "a.png"), "sound": [sound]}

    submitted = await caller.submit("me/draw", {"prompt": "<img src=x>"})
    await caller.finished(submitted)
    job = await whole(caller, submitted.data["request_id"])
    assert (job["state"], job["input"], job["attempts"]) == ("completed", {"prompt": "<img src=x>"}, 1)
    assert [(entry["message"], entry["level"]) for entry in job["logs"]] == [
        ("<b>thinking</b>", "INFO"),
        ("done", "DEBUG"),
    ]
    assert job["submitted_at"] <= job["started_at"] <= job["completed_at"]
    assert [(file["name"], file["content_type"]) for file in job["files"]] == [
        ("a.png", "image/png"),
        ("a.wav", "audio/wav"),
    ]
    assert job["result"]["document"]["image"]["file_name"] == "a.png"
    assert (job["cost"], job["price"]["unit"]) == (0.5, "image")
    assert [one["kind"] for one in job["requests"]] == ["submit", "status"]


async def test_a_waiting_job_has_a_position_and_a_failed_one_its_error(caller: Caller) -> None:
    @caller.emulator.endpoint("me/fails", runners=1)
    async def fails(input: Any, job: JobContext) -> Any:
        await job.sleep(input.get("seconds", 0))
        raise ModelError(422, [{"loc": ["body"], "msg": "no", "type": "bad_value"}])

    first = await caller.submit("me/fails", {"seconds": 1000})
    waiting = [await caller.submit("me/fails", {}) for _ in range(2)]
    positions = [(await whole(caller, one.data["request_id"]))["queue_position"] for one in waiting]
    assert positions == [0, 1]
    await caller.cancel(first)
    await caller.finished(waiting[0])
    failed = await whole(caller, waiting[0].data["request_id"])
    assert (failed["state"], failed["status_code"], failed["error_type"]) == ("failed", 422, "bad_value")
    assert failed["queue_position"] is None


async def test_a_job_shows_its_webhook_without_the_values_of_the_urls_query() -> None:
    async with calling(Emulator(builtins=False)) as caller:

        @caller.emulator.endpoint("me/echo")
        async def echo(input: Any) -> Any:
            return input

        hook = f"{caller.emulator.url}/hook?claim=secret"
        submitted = await caller.submit("me/echo", {}, params={"fal_webhook": hook})
        await caller.emulator.webhooks.wait_for(1)
        job = await whole(caller, submitted.data["request_id"])
        assert job["webhook"]["url"] == f"{caller.emulator.url}/hook?claim=***"
        [attempt] = job["webhook"]["attempts"]
        assert (attempt["attempt"], attempt["status"], attempt["delivered"]) == (1, 401, False)


async def test_pictures_in_data_uris_of_a_result_are_served_beside_it(caller: Caller) -> None:
    @caller.emulator.endpoint("me/inline")
    async def inline(input: Any) -> Any:
        return {"images": [{"url": "data:image/png;base64,cG5n"}, {"url": "data:text/html;base64,cG5n"}]}

    ran = await caller.run("me/inline", {})
    [file] = (await whole(caller, ran.headers["x-fal-request-id"]))["files"]
    assert (file["name"], file["content_type"], file["size"]) == ("data URI 1", "image/png", 3)
    served = await caller.get(file["url"], headers={})
    assert (served.body, served.headers["Content-Type"]) == (b"png", "image/png")
    assert served.headers["Content-Security-Policy"] == "sandbox"
    assert (await caller.get(file["url"].replace("/data/0", "/data/1"), headers={})).status == 404


async def test_an_unknown_job_is_a_404(caller: Caller) -> None:
    assert (await caller.get("/_emulator/jobs/none", headers={})).status == 404


async def test_long_texts_of_a_job_are_cut_and_its_latest_logs_are_shown(caller: Caller) -> None:
    @caller.emulator.endpoint("me/talks")
    async def talks(input: Any, job: JobContext) -> Any:
        for number in range(1500):
            job.log(f"line {number}")
        return {"text": "z" * 50_000}

    ran = await caller.run("me/talks", {"image": "a" * 50_000})
    job = await whole(caller, ran.headers["x-fal-request-id"])
    assert (job["logs_total"], len(job["logs"]), job["logs"][-1]["message"]) == (1500, 1000, "line 1499")
    assert job["input"]["image"].endswith("… (50000 characters)")
    assert job["result"]["document"]["text"].endswith("… (50000 characters)")


async def test_the_job_of_a_workflow_shows_its_steps_and_what_they_cost(caller: Caller) -> None:
    @caller.emulator.endpoint("me/draw", price="0.5")
    async def draw(input: Any) -> Any:
        return {"image": 1}

    run = {"type": "run", "app": "me/draw"}
    caller.emulator.workflow("me/two", {"nodes": {"a": run, "b": {**run, "depends": ["a"]}}, "output": {}})
    request_id = (await caller.run("workflows/me/two", {})).headers["x-fal-request-id"]
    job = await whole(caller, request_id)
    assert (job["cost"], job["workflow_request_id"]) == (0, None)
    assert [(step["node"], step["endpoint_id"], step["state"], step["cost"]) for step in job["steps"]] == [
        ("a", "me/draw", "completed", 0.5),
        ("b", "me/draw", "completed", 0.5),
    ]
    step = await whole(caller, job["steps"][1]["request_id"])
    assert (step["workflow_request_id"], step["steps"]) == (request_id, [])
