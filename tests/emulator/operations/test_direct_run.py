"""Direct calls, `POST fal.run/{id}` (protocol 3), and the values that an endpoint may return."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from fal_async.emulator import Answer, JobContext
from tests.emulator.caller import Caller, until
from tests.emulator.gate import Gate


async def test_the_answer_to_a_direct_run_has_fals_headers(caller: Caller) -> None:
    @caller.emulator.endpoint("me/model", billable_units=2.5)
    async def model(input: Any, job: JobContext) -> Any:
        return {"id": job.request_id, "header": job.headers["X-My-Own"], "input": input}

    headers = caller.with_headers(X_My_Own="mine", X_Fal_Runner_Hint="lora-7")
    run = await caller.run("me/model", {"a": [1, None, "ü"]}, headers=headers)
    assert run.status == 200
    assert run.data == {
        "id": run.headers["x-fal-request-id"],
        "header": "mine",
        "input": {"a": [1, None, "ü"]},
    }
    assert run.headers["x-fal-billable-units"] == "2.5"
    assert run.headers["X-Fal-Runner-Hints"] == "lora-7"
    assert run.headers["X-Fal-Served-From"]
    assert caller.emulator.jobs[run.data["id"]].via == "run"


@pytest.mark.parametrize(
    "path", ["/fal.run/me/model", "/falrun.com/me/model", "/me/model", "/fal.run/me/model/"]
)
async def test_an_endpoint_is_reached_by_all_spellings_of_its_direct_url(caller: Caller, path: str) -> None:
    @caller.emulator.endpoint("me/model")
    async def model(input: Any) -> Any:
        return input

    assert (await caller.call("POST", path, json={"a": 1})).data == {"a": 1}


async def test_with_get_the_input_is_the_query(caller: Caller) -> None:
    @caller.emulator.endpoint("me/model")
    async def model(input: Any) -> Any:
        return input

    assert (await caller.get("/fal.run/me/model", params={"prompt": "a cat"})).data == {"prompt": "a cat"}


@pytest.mark.parametrize(
    ("produced", "content_type", "body"),
    [
        ({"a": 1}, "application/json", b'{"a":1}'),
        (None, "application/json", b"null"),
        ([1], "application/json", b"[1]"),
        ("text ü", "text/plain; charset=utf-8", "text ü".encode()),
        (b"\x00\xff", "application/octet-stream", b"\x00\xff"),
        (Answer(201, {"Content-Type": "text/html"}, "<p>"), "text/html", b"<p>"),
    ],
    ids=["dict", "None", "list", "str", "bytes", "Answer"],
)
async def test_endpoints_answer_with_json_text_bytes_or_their_own_content_type(
    caller: Caller, produced: Any, content_type: str, body: bytes
) -> None:
    @caller.emulator.endpoint("me/model")
    async def model(input: Any) -> Any:
        return produced

    run = await caller.run("me/model", {})
    submitted = await caller.submit("me/model")
    await caller.reached(submitted, "COMPLETED")
    for answer in (run, await caller.result(submitted)):
        assert answer.status in (200, 201)
        assert (answer.headers["Content-Type"], answer.body) == (content_type, body)


@pytest.mark.parametrize(
    "produced", [object(), float("nan"), {"a": float("inf")}, {1, 2}], ids=["object", "nan", "inf", "set"]
)
async def test_what_json_cannot_carry_is_a_server_error(caller: Caller, produced: Any) -> None:
    @caller.emulator.endpoint("me/model")
    async def model(input: Any) -> Any:
        return produced

    assert (await caller.run("me/model", {})).data == {"detail": "Internal Server Error"}


async def test_a_redirect_of_an_endpoint_is_passed_to_the_caller(caller: Caller) -> None:
    """The platform does not follow an app's 3xx (protocol 3.2)."""

    @caller.emulator.endpoint("me/model")
    async def model(input: Any) -> Any:
        return Answer(307, {"Location": "https://elsewhere.example/"})

    run = await caller.run("me/model", {})
    assert (run.status, run.headers["Location"]) == (307, "https://elsewhere.example/")


async def test_a_direct_run_is_stopped_when_its_caller_leaves(caller: Caller) -> None:
    gate = Gate()
    caller.emulator.endpoint("me/gate", runners=1)(gate)
    for running in (True, False):
        # The second caller leaves while it waits for the runner of a queued request.
        if not running:
            await caller.submit("me/gate", {"n": "queued"})
        run = asyncio.create_task(caller.run("me/gate", {"n": "direct"}))
        await caller.emulator.wait_for("run", 1 if running else 2)
        job = [job for job in caller.emulator.jobs.values() if job.via == "run"][-1]
        run.cancel()
        assert await job.wait_for("COMPLETED", timeout=5) == "COMPLETED"
        assert job.error_type == "client_disconnected"
        assert job.attempts == (1 if running else 0)


async def test_an_endpoint_with_ignores_cancel_completes_after_its_caller_has_left(caller: Caller) -> None:
    gate = Gate()
    caller.emulator.endpoint("me/gate", ignores_cancel=True)(gate)
    run = asyncio.create_task(caller.run("me/gate", {"n": 1}))
    await caller.emulator.wait_for("run")
    [job] = caller.emulator.jobs.values()
    run.cancel()
    await until(lambda: not caller.emulator.connections_open)
    gate.open()
    await job.wait_for("COMPLETED", timeout=5)
    assert job.error is None


@pytest.mark.parametrize("host", ["fal.run", "queue.fal.run"])
@pytest.mark.parametrize(
    ("endpoint_id", "detail"),
    [
        ("me/nothing", "Application 'nothing' not found"),
        ("nothing", "Application 'nothing' not found"),
        ("fal-ai/flux/nothing", "Path /nothing not found"),
    ],
)
async def test_an_unknown_application_or_path_gets_404_and_costs_nothing(
    caller: Caller, host: str, endpoint_id: str, detail: str
) -> None:
    unknown = await caller.call("POST", f"/{host}/{endpoint_id}", json={})
    assert (unknown.status, unknown.data) == (404, {"detail": detail})
    assert unknown.headers["x-fal-billable-units"] == "0"


@pytest.mark.parametrize("host", ["fal.run", "queue.fal.run"])
@pytest.mark.parametrize("body", [b"{", b"prompt=x", b"\xff", b'{"a": NaN}', b"[-Infinity]"])
async def test_a_body_that_is_not_json_is_refused_with_422(caller: Caller, host: str, body: bytes) -> None:
    refused = await caller.call("POST", f"/{host}/fal-ai/any-llm", data=body)
    assert refused.status == 422
    [entry] = refused.data["detail"]
    assert (entry["loc"][0], entry["type"]) == ("body", "json_invalid")
    assert not caller.emulator.jobs


async def test_a_direct_run_without_a_body_has_an_empty_input(caller: Caller) -> None:
    @caller.emulator.endpoint("me/model")
    async def model(input: Any) -> Any:
        return {"input": input}

    assert (await caller.call("POST", "/fal.run/me/model")).data == {"input": {}}


async def test_unknown_hosts_and_paths_get_404_and_wrong_methods_405(caller: Caller) -> None:
    for path in ("/example.com/x", "/queue.fal.run/me/app/requests/1/other"):
        unknown = await caller.get(path)
        assert unknown.status == 404
        assert "not served by the emulator" in unknown.data["detail"]
    assert (await caller.get("/queue.fal.run/fal-ai/any-llm")).status == 405
    assert (await caller.call("DELETE", "/v3.fal.media/files/b/x/y", headers={})).status == 405


async def test_a_large_body_with_expect_100_continue_is_read(caller: Caller) -> None:
    """A client such as curl sends `Expect: 100-continue` with large bodies."""

    @caller.emulator.endpoint("me/length")
    async def model(input: Any) -> Any:
        return len(input["text"])

    size = 3 * 1024 * 1024
    body = io.BytesIO(json.dumps({"text": "x" * size}).encode())
    run = await caller.call("POST", "/fal.run/me/length", data=body, expect100=True)
    assert run.data == size
