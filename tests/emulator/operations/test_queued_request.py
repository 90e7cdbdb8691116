"""Following a request: status, logs, metrics, result, cancel, retention (protocol 4.2, 4.4, 4.5)."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from fal_async.emulator import Emulator, JobContext
from tests.emulator.caller import Caller, Reply, calling
from tests.emulator.gate import Gate

NOT_FOUND = {"status": "NOT_FOUND"}


def serve_talker(emulator: Emulator, **options: Any) -> tuple[asyncio.Event, asyncio.Event]:
    """Serve a model that logs three lines, sets `said`, waits for `go_on`, and logs a last line."""
    said, go_on = asyncio.Event(), asyncio.Event()

    @emulator.endpoint("me/talker", **options)
    async def talker(input: Any, job: JobContext) -> Any:
        for number in range(3):
            job.log(f"line {number}", "STDOUT")
        said.set()
        await go_on.wait()
        job.log("the end", "ERROR")
        return {}

    return said, go_on


async def logs_of(caller: Caller, submitted: Reply, asked: str | None = "1") -> Any:
    return (await caller.status(submitted, asked)).data["logs"]


@pytest.mark.parametrize(
    ("asked", "shown"), [("1", True), ("true", True), ("0", False), ("false", False), (None, False)]
)
async def test_a_status_has_logs_only_if_the_query_asks_for_them(
    caller: Caller, asked: str | None, shown: bool
) -> None:
    said, _ = serve_talker(caller.emulator)
    submitted = await caller.submit("me/talker")
    await said.wait()
    logs = await logs_of(caller, submitted, asked)
    assert ([entry["message"] for entry in logs] == ["line 0", "line 1", "line 2"]) if shown else logs is None


async def test_logs_grow_while_a_request_runs_and_remain_after_its_end(caller: Caller) -> None:
    said, go_on = serve_talker(caller.emulator)
    submitted = await caller.submit("me/talker")
    await said.wait()
    before = await logs_of(caller, submitted)
    go_on.set()
    finished = await caller.finished(submitted)
    assert finished.data["logs"][:3] == before
    last = finished.data["logs"][3]
    assert (last["message"], last["level"], last["source"]) == ("the end", "ERROR", "USER")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", last["timestamp"])


async def test_an_endpoint_with_log_window_2_shows_only_the_latest_two_entries(caller: Caller) -> None:
    said, go_on = serve_talker(caller.emulator, log_window=2)
    submitted = await caller.submit("me/talker")
    await said.wait()
    assert [entry["message"] for entry in await logs_of(caller, submitted)] == ["line 1", "line 2"]
    go_on.set()
    finished = await caller.finished(submitted)
    assert [entry["message"] for entry in finished.data["logs"]] == ["line 2", "the end"]


async def test_an_endpoint_with_log_labels_sends_labels_instead_of_flat_fields(caller: Caller) -> None:
    _, go_on = serve_talker(caller.emulator, log_labels=True)
    go_on.set()
    finished = await caller.finished(await caller.submit("me/talker"))
    entry = finished.data["logs"][3]
    assert entry["labels"] == {"level": "ERROR", "source": "USER"}
    assert set(entry) == {"message", "timestamp", "labels"}


async def test_inference_time_is_in_emulated_seconds_whatever_the_speed(caller: Caller) -> None:
    """The speed of 50 does not change it."""

    @caller.emulator.endpoint("me/slow")
    async def slow(input: Any, job: JobContext) -> Any:
        await job.sleep(1)

    finished = await caller.finished(await caller.submit("me/slow"))
    assert finished.data["metrics"]["inference_time"] >= 1
    assert "error" not in finished.data
    assert "queue_position" not in finished.data


async def test_a_status_has_the_same_id_and_urls_as_the_submit_answer(caller: Caller) -> None:
    submitted = await caller.submit("fal-ai/flux/dev", {"prompt": "x", "image_size": "square"})
    status = await caller.status(submitted)
    for name in ("request_id", "status_url", "response_url", "cancel_url"):
        assert status.data[name] == submitted.data[name]
    assert status.headers["x-fal-request-id"] == submitted.data["request_id"]


@pytest.mark.parametrize("app", ["fal-ai/any-llm", "fal-ai/any-llm/"])
@pytest.mark.parametrize("tail", ["", "/", "/response"])
async def test_a_result_can_be_fetched_by_all_spellings_of_its_url(
    caller: Caller, app: str, tail: str
) -> None:
    submitted = await caller.submit("fal-ai/any-llm", {"prompt": "x"})
    await caller.reached(submitted, "COMPLETED")
    path = f"/queue.fal.run/{app.rstrip('/')}/requests/{submitted.data['request_id']}{tail}"
    result = await caller.get(path)
    assert (result.status, result.data["partial"]) == (200, False)
    assert result.headers["x-fal-billable-units"] == "1"
    assert result.headers["X-Fal-Served-From"]


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("app", ["fal-ai/fast-sdxl", "fal-ai/flux-pro/v1.1"])
async def test_a_request_is_followed_under_its_full_id_and_with_trailing_slashes(
    caller: Caller, app: str, end: str
) -> None:
    small = {"prompt": "x", "image_size": {"width": 8, "height": 8}}
    submitted = await caller.submit(app + end, small)
    url = f"/queue.fal.run/{app}/requests/{submitted.data['request_id']}"
    assert (await caller.get(f"{url}/status{end}")).status == 202
    assert (await caller.get(url + end)).data == {"detail": "Request is still in progress"}
    await caller.reached(submitted, "COMPLETED")
    status = await caller.get(f"{url}/status{end}")
    assert (status.status, status.data["status"]) == (200, "COMPLETED")
    assert len((await caller.get(url + end)).data["images"]) == 1
    assert (await caller.call("PUT", f"{url}/cancel{end}")).data == {"status": "ALREADY_COMPLETED"}


async def test_the_result_of_a_request_that_is_not_complete_is_a_400(caller: Caller) -> None:
    caller.emulator.endpoint("me/gate", runners=1)(Gate())
    for _ in ("running", "waiting"):
        early = await caller.result(await caller.submit("me/gate"))
        assert (early.status, early.data) == (400, {"detail": "Request is still in progress"})


async def test_another_apps_path_or_an_unknown_id_is_not_found(caller: Caller) -> None:
    submitted = await caller.submit("fal-ai/flux/dev", {"prompt": "x", "image_size": "square"})
    request_id = submitted.data["request_id"]
    for path in (f"me/gate/requests/{request_id}", "fal-ai/flux/requests/none"):
        for method, tail in (("GET", ""), ("GET", "/status"), ("GET", "/status/stream"), ("PUT", "/cancel")):
            answer = await caller.call(method, f"/queue.fal.run/{path}{tail}")
            assert (answer.status, answer.data) == (404, NOT_FOUND)
    under_its_full_id = await caller.get(f"/queue.fal.run/fal-ai/flux/dev/requests/{request_id}/status")
    assert under_its_full_id.status in (200, 202)


async def test_the_id_of_a_direct_run_is_unknown_to_the_queue(caller: Caller) -> None:
    run = await caller.run("fal-ai/any-llm", {"prompt": "x"})
    request_id = run.headers["x-fal-request-id"]
    assert (await caller.get(f"/queue.fal.run/fal-ai/any-llm/requests/{request_id}")).data == NOT_FOUND


async def test_a_cancel_of_a_waiting_request_answers_ok_and_it_never_starts(caller: Caller) -> None:
    gate = Gate()
    caller.emulator.endpoint("me/gate", runners=1)(gate)
    await caller.submit("me/gate", {"n": 0})
    waiting = await caller.submit("me/gate", {"n": 1})
    cancelled = await caller.cancel(waiting)
    assert (cancelled.status, cancelled.data) == (200, {"status": "OK"})
    finished = await caller.finished(waiting)
    assert finished.data["error_type"] == "client_cancelled"
    assert finished.data["metrics"] == {"inference_time": None}
    result = await caller.result(waiting)
    assert (result.status, result.data["error_type"]) == (499, "client_cancelled")
    assert result.headers["X-Fal-Error-Type"] == "client_cancelled"
    assert gate.started == [{"n": 0}]


async def test_a_cancel_of_a_running_request_answers_202_and_ends_it_with_499(caller: Caller) -> None:
    caller.emulator.endpoint("me/gate", runners=1)(Gate())
    running = await caller.submit("me/gate")
    cancelled = await caller.cancel(running)
    assert (cancelled.status, cancelled.data) == (202, {"status": "CANCELLATION_REQUESTED"})
    assert (await caller.finished(running)).data["error_type"] == "client_cancelled"
    assert (await caller.result(running)).status == 499


async def test_a_second_cancel_while_the_endpoint_cleans_up_answers_202(caller: Caller) -> None:
    cleaned_up = asyncio.Event()

    @caller.emulator.endpoint("me/slow-to-end")
    async def model(input: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await cleaned_up.wait()

    running = await caller.submit("me/slow-to-end")
    assert [(await caller.cancel(running)).status for _ in range(2)] == [202, 202]
    cleaned_up.set()
    assert (await caller.finished(running)).data["error_type"] == "client_cancelled"
    assert caller.emulator.jobs[running.data["request_id"]].cancel_requests == 2


async def test_an_endpoint_with_ignores_cancel_completes_after_a_cancel(caller: Caller) -> None:
    gate = Gate()
    caller.emulator.endpoint("me/gate", ignores_cancel=True)(gate)
    running = await caller.submit("me/gate", {"n": 1})
    assert (await caller.cancel(running)).status == 202
    gate.open()
    assert "error" not in (await caller.finished(running)).data
    assert (await caller.result(running)).data == {"n": 1}


async def test_a_cancel_of_an_ended_request_gets_400_and_of_an_unknown_one_404(caller: Caller) -> None:
    submitted = await caller.submit("fal-ai/any-llm", {"prompt": "x"})
    await caller.reached(submitted, "COMPLETED")
    late = await caller.cancel(submitted)
    assert (late.status, late.data) == (400, {"status": "ALREADY_COMPLETED"})
    unknown = await caller.call("PUT", "/queue.fal.run/fal-ai/any-llm/requests/none/cancel")
    assert (unknown.status, unknown.data) == (404, NOT_FOUND)
    wrong = await caller.call("POST", submitted.data["cancel_url"])
    assert wrong.status == 405


def serve_sized(emulator: Emulator) -> None:
    @emulator.endpoint("me/sized")
    async def sized(input: Any) -> Any:
        return "x" * input["size"]


@pytest.mark.parametrize(("size", "kept"), [(10 * 1024 - 1, 3600), (10 * 1024, 360)])
async def test_results_are_kept_for_an_hour_and_large_ones_for_six_minutes(size: int, kept: float) -> None:
    emulator = Emulator(clock="manual")
    serve_sized(emulator)
    async with calling(emulator) as caller:
        submitted = await caller.submit("me/sized", {"size": size})
        await caller.reached(submitted, "COMPLETED")
        await emulator.advance(kept - 30)
        assert (await caller.result(submitted)).status == 200
        await emulator.advance(30)
        for gone in (
            await caller.result(submitted),
            await caller.status(submitted),
            await caller.cancel(submitted),
        ):
            assert (gone.status, gone.data) == (404, NOT_FOUND)
        assert submitted.data["request_id"] in emulator.jobs


async def test_a_request_expires_at_its_end_with_retention_0() -> None:
    async with calling(Emulator(retention=0, speed=50)) as caller:
        submitted = await caller.submit("fal-ai/any-llm", {"prompt": "x"})
        await caller.reached(submitted, "COMPLETED")
        assert (await caller.status(submitted)).status == 404


async def test_keep_jobs_drops_the_jobs_that_ended_first() -> None:
    async with calling(Emulator(keep_jobs=2, speed=50)) as caller:
        submitted = []
        for _ in range(4):
            submitted.append(await caller.submit("fal-ai/any-llm", {"prompt": "x"}))
            await caller.reached(submitted[-1], "COMPLETED")
        assert list(caller.emulator.jobs) == [one.data["request_id"] for one in submitted[2:]]
