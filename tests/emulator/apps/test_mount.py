"""Mounted applications: one in process and one on its own port behave the same."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import aiohttp.web
import attrs
import pytest
from aiohttp import WSMsgType
from fastapi import BackgroundTasks, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiMapping
from starlette.middleware.gzip import GZipMiddleware

from fal_async.emulator import Emulator, Fault
from fal_async.emulator.wire.sse import by_event
from tests.emulator.caller import Caller, Reply, calling, lines_of, until
from tests.emulator.sample_apps import METHODS, REFUSAL, Notes, on_aiohttp, on_starlette, served

APP = "me/my-app"


@attrs.frozen
class Studio(Caller):
    notes: Notes
    target: Any
    """The application or URL that is mounted."""

    @property
    def key(self) -> dict[str, str]:
        return {"Authorization": f"Key {self.emulator.key}"}

    async def done(self, path: str, input: Any = None) -> Reply:
        """Submit to a path of the app, wait, and return the result."""
        submitted = await self.submit(APP + path, input)
        await self.reached(submitted, "COMPLETED")
        return await self.result(submitted)

    def connect(self, path: str, **options: Any) -> Any:
        options.setdefault("headers", self.key)
        return self.http.ws_connect(f"{self.emulator.url}/fal.run/{APP}{path}", autoping=False, **options)


def several(reply: Reply, name: str) -> list[str]:
    assert isinstance(reply.headers, MultiMapping)
    return list(reply.headers.getall(name))


@pytest.fixture(params=["in process", "by URL"])
async def studio(request: pytest.FixtureRequest, emulator: Emulator) -> AsyncIterator[Studio]:
    notes = Notes()
    async with aiohttp.ClientSession() as http:
        if request.param == "in process":
            app = on_starlette(notes)
            emulator.mount(APP, app, runners=2)
            yield Studio(emulator, http, notes, app)
        else:
            async with served(on_aiohttp(notes)) as url:
                emulator.mount(APP, url, runners=2)
                yield Studio(emulator, http, notes, url)


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


# The queue.


async def test_a_submit_to_a_mounted_app_becomes_a_post_with_fals_headers(studio: Studio) -> None:
    submitted = await studio.submit(APP, {"prompt": "a"}, headers=studio.with_headers(x_mine="1"))
    assert submitted.data["response_url"].endswith(
        f"/queue.fal.run/{APP}/requests/{submitted.data['request_id']}"
    )
    status = await studio.finished(submitted)
    assert (status.data["status"], status.data["metrics"]["inference_time"] > 0) == ("COMPLETED", True)
    result = await studio.result(submitted)
    assert result.status == 200
    assert result.data == {
        "input": {"prompt": "a"},
        "x-fal-request-id": submitted.data["request_id"],
        "x-fal-endpoint": f"{APP}/",
        "x-fal-caller-user-id": "emulator|user",
        "authorization": None,
        "x-mine": "1",
    }
    assert result.headers["Content-Type"].startswith("application/json")
    assert result.headers["x-fal-request-id"] == submitted.data["request_id"]
    assert result.headers["x-fal-billable-units"] == "1"


async def test_a_submit_below_the_app_id_reaches_the_sub_path_of_the_application(studio: Studio) -> None:
    submitted = await studio.submit(f"{APP}/any/Sub/p%C3%A4th/", {"a": 1}, params={"q": "1 2"})
    await studio.finished(submitted)
    result = await studio.result(submitted)
    assert (result.status, result.headers["X-Own"]) == (201, "yes")
    assert [text.partition(";")[0] for text in several(result, "Set-Cookie")] == ["a=1", "b=2"]
    assert result.data == {
        "method": "POST",
        "path": "/any/Sub/p%C3%A4th/",
        "query": "q=1+2",
        "body": '{"a": 1}',
        "model": "ready",
    }
    job = studio.emulator.jobs[submitted.data["request_id"]]
    assert (job.endpoint_id, job.input) == (f"{APP}/any/Sub/päth", {"a": 1})


async def test_queue_options_in_the_query_are_not_passed_to_the_application(studio: Studio) -> None:
    studio.emulator.webhooks.automatic = False
    query = {"fal_webhook": "http://127.0.0.1:9/?secret=1", "fal_max_queue_length": "5", "x": "y"}
    submitted = await studio.submit(f"{APP}/any/a", {}, params=query)
    await studio.finished(submitted)
    assert (await studio.result(submitted)).data["query"] == "x=y"


async def test_an_error_answer_of_a_mounted_app_is_the_requests_result(studio: Studio) -> None:
    submitted = await studio.submit(f"{APP}/fail")
    status = await studio.finished(submitted)
    assert (status.data["error"], status.data["error_type"]) == ("Invalid status code: 422", "missing")
    result = await studio.result(submitted)
    assert (result.status, result.data) == (422, REFUSAL)
    assert result.headers["x-fal-billable-units"] == "0"


async def test_an_unknown_path_of_a_mounted_app_gets_the_applications_own_404(studio: Studio) -> None:
    result = await studio.done("/nowhere")
    direct = await studio.run(f"{APP}/nowhere", {})
    assert result.status == direct.status == 404
    assert b"Not Found" in result.body
    assert b"Not Found" in direct.body


async def test_a_503_of_a_mounted_app_is_retried_in_the_queue_but_not_in_a_direct_call(
    studio: Studio,
) -> None:
    studio.notes.failures = 2
    submitted = await studio.submit(f"{APP}/flaky")
    await studio.finished(submitted)
    assert (await studio.result(submitted)).data == {"failed": False}
    assert studio.emulator.jobs[submitted.data["request_id"]].attempts == 3
    studio.notes.failures = 1
    assert (await studio.run(f"{APP}/flaky", {})).status == 503


async def test_an_answer_of_a_mounted_app_that_breaks_off_is_retried(studio: Studio) -> None:
    submitted = await studio.submit(
        f"{APP}/cut", headers=studio.with_headers(X_Fal_Retry_Config='{"server_error": {"retries": 1}}')
    )
    status = await studio.finished(submitted)
    assert status.data["error_type"] == "runner_incomplete_response"
    assert (await studio.result(submitted)).status == 502
    assert studio.emulator.jobs[submitted.data["request_id"]].attempts == 2


async def test_the_billable_units_header_of_a_mounted_app_replaces_the_default(studio: Studio) -> None:
    assert several(await studio.done("/bill"), "x-fal-billable-units") == ["7.5"]


async def test_a_mounted_app_gets_a_body_that_is_not_json_and_the_job_has_no_input(studio: Studio) -> None:
    reply = await studio.call("POST", f"/queue.fal.run/{APP}/any/form", data=b"--not json")
    assert reply.status == 200
    await studio.reached(reply, "COMPLETED")
    assert (await studio.result(reply)).data["body"] == "--not json"
    assert studio.emulator.jobs[reply.data["request_id"]].input is None


async def test_all_paths_of_a_mounted_app_share_its_runners(studio: Studio) -> None:
    first = [await studio.submit(f"{APP}/long", {"n": n}) for n in range(3)]
    other = await studio.submit(f"{APP}/any/x")
    await until(lambda: studio.notes.working == 2)
    positions = [(await studio.status(s)).data.get("queue_position") for s in (*first, other)]
    assert positions == [None, None, 0, 1]
    studio.notes.go_on.set()
    for submitted in (*first, other):
        await studio.reached(submitted, "COMPLETED")
    assert [(await studio.result(s)).data for s in first] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert studio.notes.at_once == 2


async def test_forty_concurrent_submits_to_a_mounted_app_get_their_own_results(studio: Studio) -> None:
    results = await asyncio.gather(*(studio.done("", {"n": n}) for n in range(40)))
    assert [result.data["input"]["n"] for result in results] == list(range(40))
    assert len({result.data["x-fal-request-id"] for result in results}) == 40


# Cancelling.


async def test_a_cancel_of_a_waiting_request_is_not_sent_to_the_application(studio: Studio) -> None:
    first = [await studio.submit(f"{APP}/long") for _ in range(2)]
    waiting = await studio.submit(f"{APP}/polite")
    assert (await studio.cancel(waiting)).data == {"status": "OK"}
    studio.notes.go_on.set()
    for submitted in first:
        await studio.reached(submitted, "COMPLETED")
    assert not studio.notes.notified.is_set()


async def test_a_cancel_cuts_off_an_application_without_a_cancel_path(studio: Studio) -> None:
    submitted = await studio.submit(f"{APP}/long")
    await studio.notes.started.wait()
    assert (await studio.cancel(submitted)).data == {"status": "CANCELLATION_REQUESTED"}
    await studio.notes.cut_off.wait()
    status = await studio.finished(submitted)
    assert status.data["error_type"] == "client_cancelled"
    assert (await studio.result(submitted)).status == 499


async def test_an_application_with_a_cancel_path_ends_the_call_with_its_own_answer(studio: Studio) -> None:
    submitted = await studio.submit(f"{APP}/polite")
    await studio.notes.started.wait()
    assert (await studio.cancel(submitted)).status == 202
    status = await studio.finished(submitted)
    assert studio.notes.seen == [submitted.data["request_id"]]
    assert status.data["error_type"] == "client_cancelled"
    result = await studio.result(submitted)
    assert (result.status, result.data) == (499, {"by": "the app"})


async def test_an_application_mounted_with_ignores_cancel_completes_after_a_cancel(studio: Studio) -> None:
    studio.emulator.mount("me/stubborn", studio.target, ignores_cancel=True)
    submitted = await studio.submit("me/stubborn/long", {"n": 1})
    await studio.notes.started.wait()
    assert (await studio.cancel(submitted)).status == 202
    studio.notes.go_on.set()
    await studio.finished(submitted)
    assert (await studio.result(submitted)).data == {"n": 1}
    assert not studio.notes.cut_off.is_set()


@pytest.mark.parametrize("path", ["/long", "/words/stream"])
async def test_a_direct_call_of_a_mounted_app_is_cut_off_when_its_caller_leaves(
    studio: Studio, path: str
) -> None:
    call = asyncio.create_task(studio.run(APP + path, {}))
    await studio.notes.started.wait()
    call.cancel()
    await studio.notes.cut_off.wait()
    (job,) = studio.emulator.jobs.values()
    await job.wait_for("COMPLETED", timeout=5)
    assert job.error_type == "client_disconnected"


async def test_a_mounted_app_gets_a_cancel_when_the_caller_of_a_direct_call_leaves(studio: Studio) -> None:
    call = asyncio.create_task(studio.run(f"{APP}/polite", {}))
    await studio.notes.started.wait()
    call.cancel()
    await studio.notes.notified.wait()
    (job,) = studio.emulator.jobs.values()
    assert studio.notes.seen == [job.request_id]


async def test_stopping_the_emulator_cuts_off_running_calls_of_a_mounted_app() -> None:
    notes = Notes()
    async with calling(Emulator(speed=50)) as caller:
        caller.emulator.mount(APP, on_starlette(notes))
        submitted = await caller.submit(f"{APP}/long")
        await notes.started.wait()
    assert notes.cut_off.is_set()
    assert caller.emulator.jobs[submitted.data["request_id"]].error_type == "runner_disconnected"
    assert notes.life == ["up", "down"]


# Direct calls.


@pytest.mark.parametrize("method", METHODS)
async def test_a_direct_call_of_a_mounted_app_keeps_method_path_query_and_cookies(
    studio: Studio, method: str
) -> None:
    body = b"" if method == "GET" else b"a=1&b=2"
    reply = await studio.call(
        method, f"/fal.run/{APP}/any/x//y", data=body, params={"q": "ä", "fal_jwt_token": "secret"}
    )
    assert (reply.status, reply.headers["X-Own"]) == (201, "yes")
    assert [text.partition(";")[0] for text in several(reply, "Set-Cookie")] == ["a=1", "b=2"]
    assert reply.data == {
        "method": method,
        "path": "/any/x//y",
        "query": "q=%C3%A4",
        "body": body.decode(),
        "model": "ready",
    }
    (job,) = studio.emulator.jobs.values()
    assert (reply.headers["x-fal-request-id"], reply.headers["x-fal-billable-units"]) == (job.request_id, "1")
    assert reply.headers["X-Fal-Served-From"] == "runner-me-my-app"
    assert (job.via, job.endpoint_id) == ("run", f"{APP}/any/x/y")


async def test_a_head_reaches_a_mounted_app_by_direct_call_but_not_by_submit(studio: Studio) -> None:
    assert (await studio.call("HEAD", f"/fal.run/{APP}/any/x")).status == 201
    assert (await studio.call("HEAD", f"/queue.fal.run/{APP}/any/x")).status == 405


async def test_options_are_answered_by_the_gateway_and_do_not_reach_a_mounted_app(studio: Studio) -> None:
    assert (await studio.call("OPTIONS", f"/fal.run/{APP}/any/x")).status == 204
    assert studio.emulator.jobs == {}


async def test_a_call_with_fal_run_as_host_header_reaches_the_mounted_app(studio: Studio) -> None:
    headers = {**studio.key, "Host": "fal.run"}
    reply = await studio.call("POST", f"/{APP}/any/x", data=b"1", headers=headers)
    assert (reply.status, reply.data["path"]) == (201, "/any/x")


async def test_an_exception_in_a_mounted_app_is_a_500_and_a_lost_connection_a_503(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    reply = await studio.run(f"{APP}/broken", {})
    in_process = not isinstance(studio.target, str)
    assert reply.status == (500 if in_process else 503)
    assert ("no GPU here" in caplog.text) is in_process
    if not in_process:
        assert reply.data["error_type"] == "runner_disconnected"


async def test_a_direct_answer_of_a_mounted_app_that_breaks_off_is_cut_for_the_caller(studio: Studio) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await studio.run(f"{APP}/cut", {})


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_mounted_apps_events_reach_the_caller_as_they_are_made(studio: Studio, method: str) -> None:
    url = f"{studio.emulator.url}/fal.run/{APP}/words/stream"
    async with studio.http.request(method, url, headers=studio.key) as response:
        assert response.content_type == "text/event-stream"
        assert response.headers["x-fal-request-id"] in studio.emulator.jobs
        assert response.headers["X-Fal-Served-From"] == "runner-me-my-app"
        lines = lines_of(response)
        assert await anext(lines) == 'data: {"word":"one"}'
        assert not studio.notes.go_on.is_set()
        studio.notes.go_on.set()
        assert [line async for line in lines] == ['data: {"word":"zwölf"}']
    (job,) = studio.emulator.jobs.values()
    assert (await job.wait_for("COMPLETED", timeout=5), job.error) == ("COMPLETED", None)


async def test_a_stream_of_a_mounted_app_through_the_queue_is_stored_as_a_whole(studio: Studio) -> None:
    studio.notes.go_on.set()
    result = await studio.done("/words/stream")
    assert result.body.decode() == 'data: {"word":"one"}\n\ndata: {"word":"zwölf"}\n\n'
    assert result.headers["Content-Type"].startswith("text/event-stream")


async def test_a_mounted_app_may_answer_in_one_piece_to_a_caller_that_accepts_events(studio: Studio) -> None:
    headers = {**studio.key, "Accept": "text/event-stream"}
    reply = await studio.run(f"{APP}/fail", {}, headers=headers)
    assert (reply.status, reply.data) == (422, REFUSAL)
    assert reply.headers["x-fal-billable-units"] == "0"


async def test_a_mounted_app_serves_plain_answers_and_streams_over_a_websocket(studio: Studio) -> None:
    studio.notes.go_on.set()
    url = f"{studio.emulator.url}/ws.fal.run/{APP}"
    async with studio.http.ws_connect(url, headers=studio.key) as socket:
        await socket.send_json({"prompt": "a"})
        start = await socket.receive_json()
        body = json.loads(await socket.receive_bytes())
        assert (start["status"], body["input"]) == (200, {"prompt": "a"})
        assert body["x-fal-request-id"] == start["request_id"] == (await socket.receive_json())["request_id"]
    async with studio.http.ws_connect(f"{url}/words/stream", headers=studio.key) as socket:
        await socket.send_json({})
        assert (await socket.receive_json())["type"] == "start"
        body = b""
        while (message := await socket.receive()).type is WSMsgType.BINARY:
            body += message.data
        assert body.decode() == 'data: {"word":"one"}\n\ndata: {"word":"zwölf"}\n\n'
        assert json.loads(message.data)["type"] == "end"


# Keys.


async def test_the_emulator_checks_the_key_and_does_not_pass_it_to_a_mounted_app(studio: Studio) -> None:
    wrong = {"Authorization": "Key wrong:key"}
    assert (await studio.run(APP, {}, headers=wrong)).status == 401
    assert (await studio.submit(f"{APP}/any/x", {}, headers=wrong)).status == 401
    assert (await studio.run(f"{APP}/words/stream", {}, headers=wrong)).status == 401
    assert studio.emulator.jobs == {}
    forged = studio.with_headers(x_fal_request_id="mine", x_fal_caller_user_id="root", cookie="c=1")
    reply = await studio.run(APP, {}, headers=forged)
    assert reply.data["x-fal-caller-user-id"] == "emulator|user"
    (seen,) = studio.notes.seen
    assert seen["x-fal-request-id"] == reply.headers["x-fal-request-id"] != "mine"
    assert "authorization" not in seen
    assert seen["cookie"] == "c=1"


async def test_a_public_mounted_app_serves_callers_without_a_key(studio: Studio) -> None:
    studio.emulator.mount("me/open", studio.target, public=True)
    assert (await studio.run("me/open", {}, headers={})).status == 200
    submitted = await studio.submit("me/open/any/x", {}, headers={})
    await studio.reached(submitted, "COMPLETED")
    assert (await studio.call("GET", submitted.data["status_url"], headers={})).status == 200
    assert (await studio.call("GET", submitted.data["response_url"], headers={})).status == 201
    assert (await studio.run(APP, {}, headers={})).status == 401


# Faults, webhooks, the books.


async def test_faults_replace_cut_or_change_answers_of_a_mounted_app(studio: Studio) -> None:
    emulator = studio.emulator
    emulator.faults.add(
        Fault.answer(503, on="run", endpoint_id=f"{APP}/any/x"),
        Fault.truncate(on="run", after=1),
    )
    assert (await studio.run(f"{APP}/any/x", {})).status == 503
    assert emulator.jobs == {}
    assert (await studio.run(f"{APP}/any/x", {})).status == 201
    with pytest.raises(aiohttp.ClientPayloadError):
        await studio.run(APP, {})
    emulator.faults.add(Fault.content_type("text/plain", on="run"))
    assert several(await studio.run(APP, {}), "Content-Type") == ["text/plain"]


async def test_faults_strike_between_the_events_of_a_mounted_app(studio: Studio) -> None:
    studio.notes.go_on.set()
    studio.emulator.faults.add(Fault.event("[DONE]", on="stream"), Fault.close(on="stream", taken=True))
    reply = await studio.run(f"{APP}/words/stream", {})
    one, zwölf = 'data: {"word":"one"}', 'data: {"word":"zwölf"}'
    assert reply.body.decode().split("\n\n") == [one, "data: [DONE]", zwölf, ""]
    with pytest.raises(aiohttp.ClientPayloadError):
        await studio.run(f"{APP}/words/stream", {})


async def test_a_fault_on_run_changes_a_streamed_answer_to_a_direct_get(studio: Studio) -> None:
    studio.notes.go_on.set()
    studio.emulator.faults.add(Fault.wrong_json("{", on="run"))
    reply = await studio.get(f"/fal.run/{APP}/words/stream")
    assert (reply.status, reply.body) == (200, b"{")


async def test_a_webhook_delivers_the_answer_of_a_mounted_app(studio: Studio) -> None:
    received = asyncio.get_running_loop().create_future()

    async def hook(request: aiohttp.web.Request) -> aiohttp.web.Response:
        received.set_result(await request.json())
        return aiohttp.web.Response()

    app = aiohttp.web.Application()
    app.router.add_post("/hook", hook)
    async with served(app) as url:
        await studio.submit(f"{APP}/fail", params={"fal_webhook": f"{url}/hook"})
        event = await received
    assert (event["status"], event["payload"]) == ("ERROR", REFUSAL)


async def test_requests_of_a_mounted_app_are_recorded_and_listed_in_the_history(studio: Studio) -> None:
    await studio.done("/any/x", {"a": 1})
    submit = next(request for request in studio.emulator.requests if request.kind == "submit")
    assert (submit.endpoint_id, submit.body) == (f"{APP}/any/x", b'{"a": 1}')
    assert APP in (await studio.get("/")).data["endpoints"]
    query = {"endpoint_id": f"{APP}/any/x", "expand": "payloads"}
    (item,) = (await studio.get("/api.fal.ai/v1/models/requests/by-endpoint", params=query)).data["items"]
    assert (item["json_input"], item["json_output"]["path"]) == ({"a": 1}, "/any/x")


# Realtime.


async def test_websocket_frames_pass_unchanged_between_caller_and_mounted_app(studio: Studio) -> None:
    async with studio.connect("/realtime", params={"max_buffering": "5"}) as socket:
        await socket.send_str("hällo")
        assert await socket.receive_str() == "hällo"
        await socket.send_bytes(b"\x00\xff")
        assert await socket.receive_bytes() == b"\x00\xff"
        await socket.ping(b"?")
        assert (await socket.receive()).type is WSMsgType.PONG
        (job,) = studio.emulator.jobs.values()
        assert (job.via, job.endpoint_id, job.state) == ("realtime", APP, "IN_PROGRESS")
        await socket.close(code=4000, message=b"enough")
    await studio.notes.left.wait()
    seen, left = studio.notes.seen
    assert (seen["path"], seen["query"]) == ("/realtime", "max_buffering=5")
    assert (seen["x-fal-request-id"], seen["x-fal-endpoint"]) == (job.request_id, f"{APP}/realtime")
    assert "authorization" not in seen
    assert left == (4000, "enough")
    await job.wait_for("COMPLETED", timeout=5)
    assert job.error is None


async def test_the_close_code_of_a_mounted_app_reaches_the_caller(studio: Studio) -> None:
    async with studio.connect("/realtime") as socket:
        await socket.send_str("bye")
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4321, "so long")


async def test_a_mounted_app_gets_a_disconnect_when_the_callers_connection_is_lost(studio: Studio) -> None:
    socket = await studio.connect("/realtime")
    await socket.send_str("hello")
    assert await socket.receive_str() == "hello"
    studio.emulator.drop_connections()
    await studio.notes.left.wait()
    code, _ = studio.notes.seen[-1]
    assert code in (1001, 1006)
    await socket.close()


async def test_the_mounted_app_chooses_the_websocket_subprotocol(studio: Studio) -> None:
    async with studio.connect("/realtime", protocols=("one", "two")) as socket:
        assert socket.protocol == "two"


async def test_a_websocket_that_the_mounted_app_refuses_gets_its_status(studio: Studio) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await studio.connect("/closed")
    assert refused.value.status == 403


async def test_the_emulator_checks_realtime_tokens_for_mounted_apps_and_does_not_pass_them_on(
    studio: Studio,
) -> None:
    body = {"allowed_apps": ["my-app"], "token_expiration": 60}
    token = (await studio.call("POST", "/rest.fal.ai/tokens/", json=body)).data
    async with studio.connect("/realtime", headers={}, params={"fal_jwt_token": token}) as socket:
        await socket.send_str("in")
        assert await socket.receive_str() == "in"
    assert studio.notes.seen[0]["query"] == ""
    async with studio.connect("/realtime", headers={}, params={"fal_jwt_token": "none"}) as socket:
        assert await socket.receive_json() == {"status": "error", "error": "Unauthorized"}
    with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
        await studio.connect("/realtime", headers={})
    assert len(studio.emulator.jobs) == 1


async def test_faults_insert_frames_and_close_sessions_of_a_mounted_app(studio: Studio) -> None:
    studio.emulator.faults.add(
        Fault.frame("extra", on="realtime", events=0), Fault.ws_close(4999, on="realtime", events=1)
    )
    async with studio.connect("/realtime") as socket:
        assert await socket.receive_str() == "extra"
    async with studio.connect("/realtime") as socket:
        await socket.send_str("1")
        assert await socket.receive_str() == "1"
        assert (await socket.receive()).data == 4999


async def test_a_websocket_session_of_a_mounted_app_occupies_a_runner(studio: Studio) -> None:
    studio.emulator.mount("me/one", studio.target, runners=1)
    async with studio.http.ws_connect(f"{studio.emulator.url}/fal.run/me/one/realtime", headers=studio.key):
        submitted = await studio.submit("me/one/any/x")
        assert (await studio.status(submitted)).data["queue_position"] == 0
    await studio.reached(submitted, "COMPLETED")


# Several apps and endpoints.


async def test_an_endpoint_with_the_exact_id_takes_precedence_over_a_mounted_app(studio: Studio) -> None:
    @studio.emulator.endpoint(f"{APP}/any/special")
    async def special(input: Any) -> Any:
        return {"special": input}

    @studio.emulator.endpoint(f"{APP}/count")
    async def count(_: Any) -> AsyncIterator[int]:
        yield 1

    assert (await studio.done("/any/special", {"a": 1})).data == {"special": {"a": 1}}
    assert (await studio.run(f"{APP}/any/special/more", {})).data["path"] == "/any/special/more"
    assert (await studio.run(f"{APP}/count/stream", {})).body == b"data: 1\n\n"
    assert (await studio.run(APP, {"a": 1})).data["input"] == {"a": 1}


async def test_a_mounted_app_serves_the_stream_path_of_an_endpoint_that_does_not_stream(
    studio: Studio,
) -> None:
    @studio.emulator.endpoint(f"{APP}/words")
    async def words(_: Any) -> Any:
        return "an endpoint's"

    studio.notes.go_on.set()
    assert (await studio.run(f"{APP}/words", {})).body == b"an endpoint's"
    assert (await studio.run(f"{APP}/words/stream", {})).body.startswith(b'data: {"word"')


async def test_several_mounted_apps_and_endpoints_are_served_side_by_side(studio: Studio) -> None:
    @studio.emulator.endpoint("me/model")
    async def model(input: Any) -> Any:
        return input

    other = FastAPI()
    other.add_api_route("/", lambda: {"other": True}, methods=["POST"])
    studio.emulator.mount("workflows/me/other", other)
    assert (await studio.run("workflows/me/other", {})).data == {"other": True}
    assert (await studio.run("me/model", {"a": 1})).data == {"a": 1}
    assert (await studio.run(APP, {})).status == 200
    assert (await studio.run("me/nothing", {})).data == {"detail": "Application 'nothing' not found"}
    studio.emulator.mount(APP, other)
    assert (await studio.run(APP, {})).data == {"other": True}


# In process: lifespan, and ASGI details.


async def test_a_mounted_app_starts_and_stops_once_with_the_emulator() -> None:
    notes = Notes()
    emulator = Emulator()
    app = on_starlette(notes)
    emulator.mount(APP, app)
    emulator.mount("me/again", app)
    assert notes.life == []
    for times in (1, 2):
        async with calling(emulator) as caller:
            assert notes.life == ["up", "down"] * (times - 1) + ["up"]
            assert (await caller.run("me/again/any/x", {})).data["model"] == "ready"
        assert notes.life == ["up", "down"] * times


def with_lifespan(start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await start()
        yield
        await stop()

    app = FastAPI(lifespan=lifespan)
    app.add_api_route("/", lambda: {"up": True}, methods=["POST"])
    return app


async def nothing() -> None:
    return None


async def no_weights() -> None:
    raise RuntimeError("the weights are missing")


async def test_the_first_request_waits_for_an_app_that_is_mounted_late_to_start(caller: Caller) -> None:
    ready = asyncio.Event()

    async def start() -> None:
        await ready.wait()

    caller.emulator.mount(APP, with_lifespan(start, nothing))
    submitted = await caller.submit(APP)
    await caller.reached(submitted, "IN_PROGRESS")
    ready.set()
    await caller.reached(submitted, "COMPLETED")
    assert (await caller.result(submitted)).data == {"up": True}


async def test_start_raises_if_a_mounted_app_fails_to_start_and_stops_the_others() -> None:
    notes = Notes()
    emulator = Emulator()
    emulator.mount("me/good", on_starlette(notes))
    emulator.mount(APP, with_lifespan(no_weights, nothing))
    with pytest.raises(RuntimeError, match="failed to start: RuntimeError: the weights are missing"):
        await emulator.start()
    assert notes.life == ["up", "down"]


async def test_an_app_that_is_mounted_late_and_fails_to_start_answers_500_and_is_logged(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caller.emulator.mount(APP, with_lifespan(no_weights, nothing))
    assert (await caller.run(APP, {})).status == 500
    assert "the weights are missing" in caplog.text


async def test_a_mounted_app_that_fails_to_shut_down_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    emulator = Emulator()
    emulator.mount(APP, with_lifespan(nothing, no_weights))
    async with emulator:
        pass
    assert "the weights are missing" in caplog.text


async def test_mounted_apps_are_stopped_again_if_the_port_is_in_use() -> None:
    notes = Notes()
    async with Emulator() as first:
        second = Emulator(port=int(first.url.rpartition(":")[2]))
        second.mount(APP, on_starlette(notes))
        with pytest.raises(OSError, match="in use"):
            await second.start()
    assert notes.life == ["up", "down"]


async def raw_socket(scope: Any, receive: Any, send: Any) -> None:
    """Refuse, close or fail, depending on the path, and check the disconnect message."""
    assert scope["type"] == "websocket"
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] == "/why":
        start = {"type": "websocket.http.response.start", "status": 418, "headers": [(b"x-why", b"tea")]}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": b"no"})
        return
    await send({"type": "websocket.accept"})
    if scope["path"] == "/fails":
        raise RuntimeError("no frames today")
    await send({"type": "websocket.close", "code": 4001})
    assert (await receive()) == {"type": "websocket.disconnect", "code": 4001, "reason": ""}


async def test_an_asgi_websocket_can_refuse_close_or_fail_and_the_caller_sees_which(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caller.emulator.mount(APP, raw_socket)
    url, key = f"{caller.emulator.url}/fal.run/{APP}", {"Authorization": f"Key {caller.emulator.key}"}
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await caller.http.ws_connect(f"{url}/why", headers=key)
    assert refused.value.headers is not None
    assert (refused.value.status, refused.value.headers["x-why"]) == (418, "tea")
    async with caller.http.ws_connect(f"{url}/closes", headers=key) as socket:
        assert (await socket.receive()).data == 4001
    assert caplog.text == ""
    async with caller.http.ws_connect(f"{url}/fails", headers=key) as socket:
        assert (await socket.receive()).data == 1001  # uvicorn closes the connection without a code
    assert "no frames today" in caplog.text


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Answer, or not, depending on the path; without a lifespan and a framework."""
    assert scope["type"] == "http"
    if scope["path"] == "/silent":
        return
    if scope["path"] == "/cancelled":
        raise asyncio.CancelledError
    if scope["path"] == "/waits":
        while (await receive())["type"] != "http.disconnect":
            pass
        scope["state"]["left"] = True
        raise ConnectionError("the caller left")
    status = 404 if scope["path"].endswith("/cancel") else 204
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-own", b"yes")]})
    await send({"type": "http.response.body"})


async def test_an_asgi_app_that_ends_without_an_answer_or_is_cancelled_from_within_is_a_500(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caller.emulator.mount(APP, bare)
    reply = await caller.run(APP, {})
    assert (reply.status, reply.headers["x-own"], reply.body) == (204, "yes", b"")
    assert (await caller.run(f"{APP}/silent", {})).status == 500
    assert "returned without starting response" in caplog.text
    assert (await caller.run(f"{APP}/cancelled", {})).status == 500
    assert "CancelledError" in caplog.text


async def test_an_asgi_app_receives_http_disconnect_when_its_request_is_cancelled(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caller.emulator.mount(APP, bare)
    submitted = await caller.submit(f"{APP}/waits")
    await caller.reached(submitted, "IN_PROGRESS")
    await caller.cancel(submitted)
    assert (await caller.finished(submitted)).data["error_type"] == "client_cancelled"
    await until(lambda: "the caller left" in caplog.text)


async def test_background_work_continues_after_the_answer_and_does_not_occupy_the_runner(
    caller: Caller,
) -> None:
    app, begun, go_on, done = FastAPI(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def later() -> None:
        begun.set()
        await go_on.wait()
        done.set()

    async def root(tasks: BackgroundTasks) -> dict[str, bool]:
        tasks.add_task(later)
        return {"taken": True}

    app.add_api_route("/", root, methods=["POST"])
    caller.emulator.mount(APP, app, runners=1)
    assert (await caller.run(APP, {})).data == {"taken": True}
    await begun.wait()
    assert (await caller.run(APP, {})).data == {"taken": True}
    go_on.set()
    await done.wait()


async def test_a_large_body_of_an_asgi_app_is_produced_only_as_fast_as_it_is_read(caller: Caller) -> None:
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        for _ in range(64):
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    caller.emulator.mount(APP, app)
    url, key = f"{caller.emulator.url}/fal.run/{APP}", {"Authorization": f"Key {caller.emulator.key}"}
    async with caller.http.post(url, headers=key) as response:
        await response.content.readany()
        assert sent < 64
        size = 0
        async for piece in response.content.iter_any():
            size += len(piece)
    assert sent == 64
    assert 63 << 20 < size <= 64 << 20


async def test_the_answer_of_a_mounted_app_is_stored_uncompressed(caller: Caller) -> None:
    """The job store, webhooks and clients read it again."""
    app = FastAPI()
    app.add_middleware(GZipMiddleware, minimum_size=1)
    app.add_api_route("/", lambda: {"text": "a" * 5000}, methods=["POST"])
    caller.emulator.mount(APP, app)
    submitted = await caller.submit(APP, headers=caller.with_headers(accept_encoding="gzip"))
    await caller.reached(submitted, "COMPLETED")
    job = caller.emulator.jobs[submitted.data["request_id"]]
    assert job.answer is not None
    assert job.answer.document() == {"text": "a" * 5000}


@given(
    st.lists(
        st.sampled_from([b"data: 1", b"data: \xc3\xa4", b"\n", b"\n\n", b"\r\n", b"\r\n\r\n"]), max_size=12
    )
)
async def test_events_are_split_correctly_whatever_the_pieces_in_which_they_arrive(
    pieces: list[bytes],
) -> None:
    async def come() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    events = [event async for event in by_event(come())]
    assert b"".join(events) == b"".join(pieces)
    assert all(event.endswith((b"\n\n", b"\r\n\r\n")) for event in events[:-1])


# By URL.


async def test_a_submit_to_a_url_without_a_server_is_retried_until_the_server_starts(
    caller: Caller, unused_port: int
) -> None:
    caller.emulator.mount(APP, f"http://127.0.0.1:{unused_port}/base/")
    reply = await caller.run(APP, {})
    assert (reply.status, reply.data["error_type"]) == (503, "runner_connection_refused")
    submitted = await caller.submit(f"{APP}/x")
    job = caller.emulator.jobs[submitted.data["request_id"]]
    await until(lambda: job.attempts >= 2)
    paths = []

    async def any_path(request: aiohttp.web.Request) -> aiohttp.web.Response:
        paths.append(request.path)
        return aiohttp.web.json_response({"up": True})

    app = aiohttp.web.Application()
    app.router.add_post("/{path:.*}", any_path)
    async with served(app, port=unused_port):
        await caller.reached(submitted, "COMPLETED")
        assert (await caller.result(submitted)).data == {"up": True}
    assert paths == ["/base/x"]


async def test_a_mounted_url_gets_the_decoded_body_and_its_encoded_answer_passes_unchanged(
    caller: Caller,
) -> None:
    async def zipped(request: aiohttp.web.Request) -> aiohttp.web.Response:
        body = gzip.compress(await request.read())
        return aiohttp.web.Response(
            body=body, headers={"Content-Encoding": "gzip", "Content-Type": "text/plain"}
        )

    app = aiohttp.web.Application()
    app.router.add_post("/", zipped)
    async with served(app) as url:
        caller.emulator.mount(APP, url)
        packed = gzip.compress(b"hello")
        headers = caller.with_headers(content_encoding="gzip")
        reply = await caller.call("POST", f"/fal.run/{APP}", data=packed, headers=headers)
    assert (reply.body, reply.headers["Content-Encoding"]) == (b"hello", "gzip")


async def test_a_redirect_of_a_mounted_url_is_passed_to_the_caller(caller: Caller) -> None:
    async def elsewhere(_: aiohttp.web.Request) -> aiohttp.web.Response:
        raise aiohttp.web.HTTPTemporaryRedirect("/elsewhere")

    app = aiohttp.web.Application()
    app.router.add_post("/", elsewhere)
    async with served(app) as url:
        caller.emulator.mount(APP, url)
        reply = await caller.run(APP, {})
    assert (reply.status, reply.headers["Location"]) == (307, "/elsewhere")


# What cannot be mounted.


@pytest.mark.parametrize("app_id", ["", "app", "me/app/path", "me.x/app", "workflows/me", "me/", "me/a b"])
def test_mount_refuses_a_malformed_app_id(app_id: str) -> None:
    with pytest.raises(ValueError, match="is not an app id: expected owner/app, such as me/my-app"):
        Emulator().mount(app_id, bare)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "localhost",
        "ftp://host",
        "http://",
        "http://host:99999",
        "http://[host",
        "http://host/?a=s3cret",
        "",
    ],
)
def test_mount_refuses_a_malformed_base_url_without_repeating_its_query(url: str) -> None:
    with pytest.raises(
        ValueError, match="is not the base URL of an application: expected http://"
    ) as refused:
        Emulator().mount(APP, url)
    assert "s3cret" not in str(refused.value)


def test_mount_refuses_a_url_with_a_password_without_repeating_it() -> None:
    with pytest.raises(ValueError, match="contains a user name") as refused:
        Emulator().mount(APP, "http://me:s3cret@host")
    assert "s3cret" not in str(refused.value)


def wsgi(environ: Any, start_response: Any) -> Any:
    return []


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (None, "a value of type NoneType is not an application"),
        (42, "a value of type int is not an application"),
        (b"http://host", "a value of type bytes is not an application"),
        (FastAPI, "FastAPI is a class"),
        (wsgi, r"wsgi does not take \(scope, receive, send\), .* a2wsgi\.WSGIMiddleware\(app\)"),
        (nothing, r"nothing does not take \(scope, receive, send\)"),
    ],
)
def test_mount_refuses_objects_that_are_not_asgi_applications(target: Any, said: str) -> None:
    with pytest.raises(TypeError, match=f"{said}: expected an ASGI application"):
        Emulator().mount(APP, target)


def test_mount_refuses_fewer_than_one_runner() -> None:
    with pytest.raises(ValueError, match="runners=0: expected an int >= 1"):
        Emulator().mount(APP, bare, runners=0)
