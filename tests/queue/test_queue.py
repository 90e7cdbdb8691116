"""The queue and `subscribe` over a working network: results, and errors of the model or the caller (protocol 4)."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from collections import Counter
from contextlib import aclosing
from typing import Any

import attrs
import pytest

from fal_async import (
    ApiError,
    CancelOutcome,
    Completed,
    ConfigurationError,
    ContentPolicyError,
    InProgress,
    NotFoundError,
    Queued,
    QueueStatus,
    RateLimitError,
    RequestCancelledError,
    RequestFailedError,
    RequestHandle,
    ResultExpiredError,
    ServerError,
    Session,
    UnknownStatus,
    ValidationError,
)
from fal_async.emulator import Answer, Emulator, Fault, JobContext, ModelError
from fal_async.protocol.following import Mode
from tests.quick import GATE, gate_at

LLM = "fal-ai/any-llm"
ASK = {"prompt": "x"}
MODES: list[Mode] = ["polling", "streaming", "auto"]


@attrs.frozen
class Image:
    url: str
    width: int
    height: int


@attrs.frozen
class Pictures:
    images: list[Image]
    seed: int


# Subscribe.


@pytest.mark.parametrize("mode", MODES)
async def test_subscribe_goes_through_the_queue(fal: Session, emulator: Emulator, mode: Mode) -> None:
    ids: list[str] = []
    updates: list[QueueStatus] = []
    result = await fal.subscribe(
        "fal-ai/flux/schnell",
        {"prompt": "a cat", "num_images": 2, "image_size": {"width": 64, "height": 32}},
        logs=True,
        on_enqueue=ids.append,
        on_queue_update=updates.append,
        mode=mode,
        output_type=Pictures,
    )
    assert [(image.width, image.height) for image in result.data.images] == [(64, 32)] * 2
    assert ids == [result.request_id]
    assert isinstance(updates[-1], Completed)
    assert result.status is updates[-1]
    assert result.metrics["inference_time"] > 0
    assert result.billable_units == 2
    assert result.attempts["submit"] == result.attempts["result"] == 1
    assert result.attempts["status"] == emulator.count("status") + emulator.count("status_stream")
    assert [log.message for log in result.logs][-1].startswith("100%")
    assert result.logs == tuple(log for update in updates for log in update.new_logs)
    assert emulator.count("submit") == emulator.count("result") == 1


async def test_callbacks_of_subscribe_may_be_async(fal: Session) -> None:
    seen: list[Any] = []

    async def note(value: Any) -> None:
        await asyncio.sleep(0)
        seen.append(value)

    result = await fal.subscribe(LLM, ASK, on_enqueue=note, on_queue_update=note)
    assert seen[0] == result.request_id
    assert isinstance(seen[-1], Completed)


@pytest.mark.parametrize("mode", MODES)
async def test_queue_positions_are_in_the_updates(fal: Session, emulator: Emulator, mode: Mode) -> None:
    release = asyncio.Event()

    @emulator.endpoint("me/busy", runners=1)
    async def busy(input: Any) -> Any:
        await release.wait()
        return input

    first = await fal.queue.submit("me/busy", {"n": 1})
    second = await fal.queue.submit("me/busy", {"n": 2})
    seen: list[QueueStatus] = []

    def note(status: QueueStatus) -> None:
        seen.append(status)
        release.set()

    third = await fal.subscribe("me/busy", {"n": 3}, on_queue_update=note, mode=mode)
    assert third.data == {"n": 3}
    assert isinstance(seen[0], Queued)
    assert seen[0].position == 1
    assert str(seen[0]) == "IN_QUEUE at position 1"
    assert (await first.wait()).data == {"n": 1}
    assert (await second.wait()).data == {"n": 2}


@pytest.mark.parametrize("mode", MODES)
async def test_each_log_line_of_a_moving_window_is_reported_once(
    fal: Session, emulator: Emulator, mode: Mode
) -> None:
    @emulator.endpoint("me/talker", log_window=3, log_labels=True)
    async def talker(input: Any, job: JobContext) -> str:
        for number in range(12):
            job.log(f"line {number}", level="WARN")
            await job.sleep(2)
        return "done"

    result = await fal.subscribe("me/talker", logs=True, mode=mode, poll_interval=0.05)
    lines = [log.message for log in result.logs]
    assert lines == [f"line {number}" for number in range(12)]
    assert {(log.level, log.source) for log in result.logs} == {("WARN", "USER")}


async def test_logs_are_not_requested_by_default(fal: Session, emulator: Emulator) -> None:
    result = await fal.subscribe(LLM, ASK)
    assert result.logs == ()
    assert all("logs" not in request.query for request in emulator.requests)


async def test_each_option_is_sent_as_its_header_or_query_parameter(fal: Session, emulator: Emulator) -> None:
    await fal.subscribe(
        LLM,
        ASK,
        priority="low",
        no_retry=True,
        max_queue_length=7,
        webhook_url="https://example.com/hook?secret=a&b=ü",
        hint="me",
        headers={"Idempotency-Key": "k"},
    )
    submit = emulator.requests[0]
    assert submit.headers["X-Fal-Queue-Priority"] == "low"
    assert submit.headers["X-Fal-No-Retry"] == "1"
    assert submit.headers["X-Fal-Runner-Hint"] == "me"
    assert submit.headers["Idempotency-Key"] == "k"
    assert dict(submit.query) == {
        "fal_webhook": "https://example.com/hook?secret=a&b=ü",
        "fal_max_queue_length": "7",
    }


async def test_a_queue_longer_than_max_queue_length_raises_without_a_retry(
    fal: Session, emulator: Emulator
) -> None:
    @emulator.endpoint("me/busy", runners=1)
    async def busy(input: Any, job: JobContext) -> None:
        await job.sleep(1000)

    handles = [await fal.queue.submit("me/busy") for _ in range(3)]
    with pytest.raises(RateLimitError):
        await fal.queue.submit("me/busy", max_queue_length=1)
    assert emulator.count("submit") == 4
    for handle in handles:
        await handle.cancel()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"mode": "pushing"}, "mode='pushing'"),
        ({"poll_interval": 0}, "poll_interval=0"),
        ({"timeout": -1}, "timeout=-1"),
        ({"priority": "high"}, "priority='high'"),
        ({"start_timeout": 0.1}, r"start_timeout=0\.1"),
        ({"webhook_url": "ftp://x"}, "webhook_url='ftp://x'"),
        ({"max_queue_length": -1}, "max_queue_length=-1"),
        ({"hint": "a\nb"}, "hint="),
    ],
)
async def test_wrong_options_are_refused_before_anything_is_sent(
    fal: Session, emulator: Emulator, option: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        await fal.subscribe(LLM, ASK, **option)
    assert emulator.count() == 0


# Errors of the model.


def failing(error: Exception) -> Any:
    async def model(input: Any) -> Any:
        raise error

    return model


MODEL_ERROR = {"loc": ["body", "prompt"], "msg": "Flagged", "type": "content_policy_violation"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("failure", "error", "error_type", "words"),
    [
        (
            ModelError(422, [MODEL_ERROR]),
            ContentPolicyError,
            "content_policy_violation",
            "body.prompt: Flagged",
        ),
        (
            ModelError(
                422, [{**MODEL_ERROR, "type": "image_too_small", "input": "data:x/y;base64," + "A" * 300_000}]
            ),
            ValidationError,
            "image_too_small",
            "Flagged",
        ),
        (ModelError(400, "no", "bad_request"), ApiError, "bad_request", "no"),
        (ValueError("a secret of the app"), ServerError, "runner_server_error", "Internal Server Error"),
        (ModelError(500, "gpu", "downstream_service_error"), ServerError, "downstream_service_error", "gpu"),
    ],
    ids=["content policy", "422 with a large input", "400", "crash", "500"],
)
async def test_a_failed_request_raises_the_models_own_error(
    fal: Session,
    emulator: Emulator,
    failure: Exception,
    error: type[ApiError],
    error_type: str,
    words: str,
    mode: Mode,
) -> None:
    emulator.endpoint("me/failing")(failing(failure))
    with pytest.raises(error, match=words) as caught:
        await fal.subscribe("me/failing", mode=mode, no_retry=True)
    assert type(caught.value) is error
    assert caught.value.error_type == error_type
    assert caught.value.request_id in emulator.jobs
    assert caught.value.endpoint_id == "me/failing"
    assert len(str(caught.value)) < 300
    assert emulator.count("result") == 1
    assert emulator.count("cancel") == 0


async def test_a_failure_without_a_body_raises_request_failed_error(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/mute")
    async def mute(input: Any) -> Answer:
        return Answer(500, {"Content-Type": "text/plain"}, b"")

    with pytest.raises(RequestFailedError, match="Invalid status code: 500") as caught:
        await fal.subscribe("me/mute")
    assert caught.value.error_type == "runner_server_error"
    assert caught.value.request_id in emulator.jobs


async def test_a_request_that_the_platform_retries_goes_back_to_the_queue(
    fal: Session, emulator: Emulator
) -> None:
    @emulator.endpoint("me/flaky")
    async def flaky(input: Any, job: JobContext) -> str:
        await job.sleep(10)
        if job.attempt == 1:
            raise ModelError(503, "not now")
        return "done"

    seen: list[str] = []
    result = await fal.subscribe(
        "me/flaky", on_queue_update=lambda status: seen.append(status.headline), mode="streaming"
    )
    assert result.data == "done"
    assert [seen[0], seen[-2], seen[-1]] == ["IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]
    assert any(word.startswith("IN_QUEUE") for word in seen)


# Updates.


async def test_following_tolerates_unknown_statuses_and_missing_fields(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(
        Fault.word("WARMING_UP", on="status"),
        Fault.missing("logs", "metrics", "request_id", "status_url", on="status"),
        Fault.back(7, on="status"),
        Fault.duplicate(on="status"),
    )
    may_end = asyncio.Event()

    @emulator.endpoint("me/logging")
    async def logging(input: dict[str, Any], job: JobContext) -> dict[str, Any]:
        for number in range(5):
            job.log(f"step {number}")
        await may_end.wait()
        return {}

    handle = await fal.queue.submit("me/logging")
    seen = []
    async with aclosing(handle.updates(logs=True, poll_interval=0.02)) as updates:
        async for status in updates:
            seen.append(status)
            if len(seen) == 4:
                may_end.set()
    assert isinstance(seen[0], UnknownStatus)
    assert seen[0].status == "WARMING_UP"
    assert isinstance(seen[1], InProgress)
    assert isinstance(seen[2], Queued)
    assert seen[2].position == 7
    logs = [log for status in seen for log in status.new_logs]
    assert len(set(logs)) == 5
    assert set(Counter(logs).values()) <= {1, 2}, "an answer that has each of them twice is shown as it is"
    assert all(status.request_id == handle.request_id for status in seen)


async def test_leaving_the_updates_early_does_not_cancel_the_request(
    fal: Session, emulator: Emulator
) -> None:
    handle = await fal.queue.submit("fal-ai/flux/schnell", {"prompt": "x", "image_size": "square"})
    async with aclosing(fal.queue.updates(handle.endpoint_id, handle.request_id)) as updates:
        async for _ in updates:
            break
    assert (await handle.wait()).data["images"]
    assert emulator.count("cancel") == 0


async def test_a_handle_uses_the_urls_of_the_submit_response(fal: Session, emulator: Emulator) -> None:
    base = f"{emulator.url}/queue.fal.run/fal-ai/flux/schnell/requests"

    handle = await fal.queue.submit("fal-ai/flux/schnell", {"prompt": "x", "image_size": "square"})
    assert (
        handle.status_url == f"{emulator.url}/queue.fal.run/fal-ai/flux/requests/{handle.request_id}/status"
    )
    emulator.faults.add(Fault.replace({"response_url": f"{base}/none/response"}, on="submit"))
    other = await fal.queue.submit("fal-ai/flux/schnell", {"prompt": "x", "image_size": "square"})
    assert other.response_url == f"{base}/none/response"
    emulator.faults.add(Fault.missing("response_url", "status_url", "cancel_url", on="submit"))
    rebuilt = await fal.queue.submit("fal-ai/flux/schnell", {"prompt": "x", "image_size": "square"})
    assert (await rebuilt.wait()).data["images"]


# Result.


async def test_queue_result_fetches_a_result_by_its_id(fal: Session, emulator: Emulator) -> None:
    handle = await fal.queue.submit(LLM, ASK)
    await emulator.jobs[handle.request_id].wait_for("COMPLETED", timeout=5)
    status = await fal.queue.status(LLM, handle.request_id)
    assert isinstance(status, Completed)
    result = await fal.queue.result(LLM, handle.request_id, output_type=dict)
    assert result.data["output"]
    assert result.status is None
    slow = await fal.queue.submit("fal-ai/flux-lora-fast-training", {"images_data_url": "u"})
    with pytest.raises(ApiError, match="still in progress"):
        await slow.result()
    await slow.cancel()


async def test_an_expired_result_raises_result_expired_error(fal: Session, emulator: Emulator) -> None:
    handle = await fal.queue.submit(LLM, ASK)
    async with aclosing(handle.updates()) as updates:
        async for _ in updates:
            pass
    emulator.faults.add(Fault.vanish(on="result"))
    with pytest.raises(ResultExpiredError, match="6 minutes") as caught:
        await handle.result()
    assert caught.value.request_id == handle.request_id


async def test_an_unknown_request_raises_not_found_error(fal: Session) -> None:
    with pytest.raises(NotFoundError) as caught:
        await fal.queue.status(LLM, "0b5f0a4e-unknown")
    assert caught.value.request_id == "0b5f0a4e-unknown"
    with pytest.raises(NotFoundError, match="check the endpoint id and the request id") as caught:
        await fal.queue.result(LLM, "0b5f0a4e-unknown")
    assert not isinstance(caught.value, ResultExpiredError)
    assert await fal.queue.cancel(LLM, "0b5f0a4e-unknown") is CancelOutcome.NOT_FOUND
    for wrong in ("", "a/b", "..", "a?b", "x" * 300):
        with pytest.raises(ConfigurationError, match="request id"):
            fal.queue.handle(LLM, wrong)


@pytest.mark.parametrize("mode", ["polling", "streaming"])
async def test_a_submit_that_is_answered_in_progress_is_followed_to_its_result(
    fal: Session, emulator: Emulator, mode: Mode
) -> None:
    emulator.faults.add(Fault.word("IN_PROGRESS", on="submit", times=None))
    seen: list[str] = []
    result = await fal.subscribe(LLM, ASK, mode=mode, on_enqueue=seen.append)
    assert (seen, result.status is not None) == ([result.request_id], True)
    handle = await fal.queue.submit(LLM, ASK)
    assert (await handle.wait()).data == result.data
    assert emulator.faults.struck == 2


@pytest.mark.parametrize("endpoint_id", ["comfy/me/graph", "comfy/me/graph/draft"])
async def test_a_comfy_id_keeps_its_namespace_in_every_url_of_its_request(
    fal: Session, emulator: Emulator, endpoint_id: str
) -> None:
    @emulator.endpoint(endpoint_id)
    async def graph(input: Any) -> Any:
        yield {"step": 1}
        yield input

    assert (await fal.run(endpoint_id, ASK)).data == ASK
    assert [event async for event in fal.stream(endpoint_id, ASK)] == [{"step": 1}, ASK]
    handle = await fal.queue.submit(endpoint_id, ASK)
    own = f"/queue.fal.run/comfy/me/graph/requests/{handle.request_id}"
    assert [url.removeprefix(emulator.url) for url in (handle.response_url, handle.status_url)] == [
        own,
        f"{own}/status",
    ]
    assert handle.cancel_url.endswith(f"{own}/cancel")
    assert (await handle.wait()).data == ASK
    rebuilt = fal.queue.handle(endpoint_id, handle.request_id)
    assert rebuilt.status_url == handle.status_url
    assert (await rebuilt.result()).data == ASK
    assert await rebuilt.cancel() is CancelOutcome.ALREADY_COMPLETED


# Cancel.


async def test_cancel_returns_each_outcome_of_fal(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/busy", runners=1)
    async def busy(input: Any, job: JobContext) -> str:
        await job.sleep(input.get("seconds", 1000))
        return "done"

    running = await fal.queue.submit("me/busy")
    waiting = await fal.queue.submit("me/busy")
    assert await waiting.cancel() is CancelOutcome.CANCELLED
    assert await running.cancel() is CancelOutcome.CANCELLATION_REQUESTED
    for handle in (waiting, running):
        with pytest.raises(RequestCancelledError) as caught:
            await handle.wait()
        assert caught.value.request_id == handle.request_id
    done = await fal.queue.submit("me/busy", {"seconds": 0})
    await done.wait()
    assert await fal.queue.cancel("me/busy", done.request_id) is CancelOutcome.ALREADY_COMPLETED


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ('{"success": true}', CancelOutcome.CANCELLATION_REQUESTED),
        ('{"success": false}', CancelOutcome.REFUSED),
        ("", CancelOutcome.CANCELLED),
        ("[]", CancelOutcome.CANCELLED),
    ],
)
async def test_cancel_understands_other_forms_of_the_response(
    fal: Session, emulator: Emulator, body: str, outcome: CancelOutcome
) -> None:
    emulator.faults.add(Fault.answer(200, body=body, on="cancel"))
    assert await fal.queue.cancel(LLM, "some-id") is outcome


@pytest.mark.parametrize("status", [400, 409, 422])
async def test_a_refused_cancel_is_an_outcome_and_the_request_continues(
    fal: Session, emulator: Emulator, status: int
) -> None:
    gate = gate_at(emulator)
    handle = await fal.queue.submit(GATE, ASK)
    await emulator.jobs[handle.request_id].wait_for("IN_PROGRESS", timeout=5)
    emulator.faults.add(Fault.answer(status, on="cancel", detail="The request can't be cancelled"))
    assert await handle.cancel() is CancelOutcome.REFUSED
    assert emulator.jobs[handle.request_id].cancel_requests == 0
    gate.open()
    assert (await handle.wait()).request_id == handle.request_id
    assert handle.attempts["cancel"] == 1


# Handles.


async def test_a_stored_handle_continues_in_another_session(fal: Session, emulator: Emulator) -> None:
    stored = (await fal.queue.submit(LLM, ASK)).to_json()
    async with Session(emulator.key, hosts=emulator.hosts) as other:
        handle = RequestHandle.from_json(stored, other)
        assert (await handle.wait()).data["output"]
        assert handle.to_json() == stored
    foreign = json.loads(stored)
    foreign["urls"]["status"] = "https://evil.example.com/status"
    assert "evil" not in RequestHandle.from_json(json.dumps(foreign), fal).status_url
    for wrong in ("", "[]", "{}", '{"endpoint_id": "a/b", "request_id": "../x"}', '{"endpoint_id": 1}'):
        with pytest.raises(ConfigurationError):
            RequestHandle.from_json(wrong, fal)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="to_json"):
            attempt(handle)


async def test_a_workflow_request_is_followed_under_its_namespace(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("workflows/me/flow")
    async def flow(input: Any) -> Any:
        return input

    result = await fal.subscribe("workflows/me/flow", {"a": 1})
    assert result.data == {"a": 1}
    assert emulator.requests[-1].path.startswith("/queue.fal.run/workflows/me/flow/requests/")


# Many requests.


async def test_a_hundred_subscriptions_at_once_all_get_their_results(
    fal: Session, emulator: Emulator
) -> None:
    @emulator.endpoint("me/many", runners=50)
    async def many(input: Any, job: JobContext) -> Any:
        await job.sleep(5)
        return input

    results = await asyncio.gather(*(fal.subscribe("me/many", {"n": n}) for n in range(100)))
    assert [result.data["n"] for result in results] == list(range(100))
    assert emulator.count("submit") == emulator.count("result") == 100
    assert emulator.connections_opened <= 100


async def test_mode_auto_polls_endpoints_that_are_known_to_be_quick(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/quick")
    async def quick(input: Any) -> str:
        return "done"

    streams = 0
    while not emulator.count("status"):  # on a busy machine the first requests may be slow
        streams = emulator.count("status_stream")
        await fal.subscribe("me/quick", mode="auto")
    assert streams >= 1
    assert emulator.count("status_stream") == streams
    await fal.subscribe("me/quick", mode="streaming")
    assert emulator.count("status_stream") == streams + 1
    assert emulator.count("status") == 1


async def test_a_result_has_each_log_line_once_even_if_followed_twice(
    fal: Session, emulator: Emulator
) -> None:

    @emulator.endpoint("me/talker")
    async def talker(input: Any, job: JobContext) -> Any:
        job.log("one")
        job.log("two")
        return {}

    handle = await fal.queue.submit("me/talker")
    async with aclosing(handle.updates(logs=True)) as updates:
        first = [line.message async for status in updates for line in status.new_logs]
    result = await handle.wait(logs=True, mode="streaming")
    assert first == [line.message for line in result.logs] == ["one", "two"]
