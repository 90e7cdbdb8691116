"""`find_submission`: finding the request of an uncertain submit in fal's history."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fal_async import (
    AuthenticationError,
    ClientTimeoutError,
    ConfigurationError,
    PermissionDeniedError,
    RequestHandle,
    ServerError,
    Session,
    SubmissionUncertainError,
    TransportError,
)
from fal_async.emulator import Emulator, Fault
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.transport import Transport
from tests.quick import ASK, GATE, LLM, ONCE, gate_at, session_on


async def lose(
    fal: Session, emulator: Emulator, *, taken: bool, input: Any = ASK
) -> SubmissionUncertainError:
    emulator.faults.add(Fault.reset(on="submit", taken=taken))
    with pytest.raises(SubmissionUncertainError) as caught:
        await fal.queue.submit(LLM, input)
    return caught.value


async def test_find_submission_returns_the_handle_of_a_submit_that_fal_took(
    fal: Session, emulator: Emulator
) -> None:
    error = await lose(fal, emulator, taken=True)
    handle = await fal.queue.find_submission(error)
    assert isinstance(handle, RequestHandle)
    assert [handle.request_id] == list(emulator.jobs)
    assert (await handle.wait()).data["output"]
    assert emulator.count("submit") == 1


async def test_find_submission_returns_none_for_a_submit_that_fal_did_not_take(
    fal: Session, emulator: Emulator
) -> None:
    error = await lose(fal, emulator, taken=False)
    assert await fal.queue.find_submission(error) is None
    assert len(emulator.jobs) == 0


async def test_find_submission_picks_the_request_with_the_same_input(
    fal: Session, emulator: Emulator
) -> None:
    for number in range(5):
        await fal.queue.submit(LLM, {"prompt": str(number)})
    wanted = {"prompt": "é", "temperature": 1.0, "nested": {"b": [1, None], "a": 2**60}}
    error = await lose(fal, emulator, taken=True, input=wanted)
    for number in range(5):
        await fal.queue.submit(LLM, {"prompt": str(number)})
    handle = await fal.queue.find_submission(error)
    assert handle is not None
    assert handle.request_id == list(emulator.jobs)[5]


async def test_find_submission_finds_a_request_beyond_the_first_page(
    fal: Session, emulator: Emulator
) -> None:
    error = await lose(fal, emulator, taken=True)
    await asyncio.gather(*(fal.queue.submit(LLM, {"prompt": str(number)}) for number in range(220)))
    handle = await fal.queue.find_submission(error)
    assert handle is not None
    assert handle.request_id == next(iter(emulator.jobs))
    assert emulator.count("platform") == 3


async def test_find_submission_prefers_the_equal_request_of_the_attempt_itself(
    fal: Session, emulator: Emulator
) -> None:
    before = await fal.queue.submit(LLM, ASK)
    error = await lose(fal, emulator, taken=True)
    after = await fal.queue.submit(LLM, ASK)
    found = await fal.queue.find_submission(error)
    assert found is not None
    assert found.request_id == list(emulator.jobs)[1]
    others = [found.request_id, before.request_id]
    found = await fal.queue.find_submission(error, exclude=others)
    assert found is not None
    assert found.request_id == after.request_id
    assert await fal.queue.find_submission(error, exclude=[*others, after.request_id]) is None


async def test_find_submission_ignores_other_times_and_endpoints(fal: Session, emulator: Emulator) -> None:
    handle = await fal.queue.submit(LLM, ASK)
    error = await lose(fal, emulator, taken=False)
    emulator.jobs[handle.request_id].submitted_at -= 600
    assert await fal.queue.find_submission(error) is None
    near, before = [request for request in emulator.requests if request.kind == "platform"]
    assert near.query["endpoint_id"] == LLM
    assert near.query["expand"] == "payloads"
    assert before.query["start"] < before.query["end"] == near.query["start"] < near.query["end"]


async def test_find_submission_on_a_busy_endpoint_takes_one_http_request(
    fal: Session, emulator: Emulator
) -> None:
    await asyncio.gather(*(fal.queue.submit(LLM, {"prompt": str(number)}) for number in range(90)))
    for job in emulator.jobs.values():
        job.submitted_at -= 60
    error = await lose(fal, emulator, taken=True)
    found = await fal.queue.find_submission(error)
    assert found is not None
    assert found.request_id == list(emulator.jobs)[-1]
    assert emulator.count("platform") == 1


class BusyHistory(Transport):
    """A platform API whose history never ends, as other clients keep sending requests."""

    def __init__(self) -> None:
        self.asked = 0

    async def send(self, request: HttpRequest, **_: Any) -> HttpResponse:
        self.asked += 1
        row = {"sent_at": datetime.now(UTC).isoformat(), "json_input": {"prompt": "of another"}}
        rows = [{**row, "request_id": f"r-{self.asked}-{number}"} for number in range(100)]
        body = json.dumps({"items": rows, "next_cursor": str(self.asked), "has_more": True})
        return HttpResponse(status=200, headers={}, body=body.encode())


async def test_find_submission_on_a_too_busy_endpoint_raises_after_ten_http_requests() -> None:
    history = BusyHistory()
    error = SubmissionUncertainError("x", endpoint_id=LLM, input_digest="0" * 64, started_at=time.time())
    async with Session("a:b", transport=history) as fal:
        with pytest.raises(SubmissionUncertainError, match="too many requests around that time") as caught:
            await fal.queue.find_submission(error)
    assert history.asked == 10
    assert caught.value.input_digest == error.input_digest
    assert caught.value.endpoint_id == LLM


@pytest.mark.parametrize("ahead", [3_600.0, -3_600.0])
async def test_find_submission_corrects_a_clock_that_differs_from_fals(
    fal: Session, emulator: Emulator, ahead: float
) -> None:
    emulator.history.clock_ahead = ahead
    error = await lose(fal, emulator, taken=True)
    assert await fal.queue.find_submission(error) is not None
    assert emulator.count("platform") == 2


async def test_find_submission_works_if_the_history_filters_by_the_end_of_requests(
    fal: Session, emulator: Emulator
) -> None:
    gate = gate_at(emulator)
    emulator.history.filters_by = "ended_at"
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    with pytest.raises(SubmissionUncertainError) as caught:
        await fal.queue.submit(GATE, {"n": 1})
    assert await fal.queue.find_submission(caught.value) is None
    gate.open()
    (job,) = emulator.jobs.values()
    await job.wait_for("COMPLETED")
    assert await fal.queue.find_submission(caught.value) is not None


async def test_find_submission_without_permission_to_read_requests_raises(
    fal: Session, emulator: Emulator
) -> None:
    error = await lose(fal, emulator, taken=True)
    emulator.history.permitted = False
    with pytest.raises(PermissionDeniedError, match="may not read requests"):
        await fal.queue.find_submission(error)


async def test_find_submission_does_not_find_a_request_with_store_io_false(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    with pytest.raises(SubmissionUncertainError) as caught:
        await fal.queue.submit(LLM, ASK, store_io=False)
    assert await fal.queue.find_submission(caught.value) is None


async def test_find_submission_takes_a_client_timeout_caused_by_the_uncertain_submit(
    fal: Session, emulator: Emulator
) -> None:
    gate_at(emulator)
    emulator.faults.add(Fault.stall(30, on="submit"))
    with pytest.raises(ClientTimeoutError) as caught:
        await fal.subscribe("me/gate", {"n": 1}, timeout=0.5)
    handle = await fal.queue.find_submission(caught.value)
    assert handle is not None
    assert [handle.request_id] == list(emulator.jobs)
    await handle.cancel()


async def test_find_submission_takes_an_error_that_was_pickled_in_another_process(
    fal: Session, emulator: Emulator
) -> None:
    error = await lose(fal, emulator, taken=True)
    stored = pickle.dumps(error)
    async with session_on(emulator) as again:
        assert await again.queue.find_submission(pickle.loads(stored)) is not None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("x"), "error is of type ValueError: expected a SubmissionUncertainError"),
        (5, "error is of type int"),
        (ClientTimeoutError("x", timeout=1), "or an error caused by one"),
        (SubmissionUncertainError("x", operation="run"), "about a run, which has no request handle"),
        (SubmissionUncertainError("x", endpoint_id=LLM), "the error lacks the endpoint, input or time"),
    ],
    ids=["another error", "not an error", "a timeout without a cause", "of a run", "incomplete"],
)
async def test_find_submission_refuses_errors_that_are_not_about_a_submit(
    fal: Session, emulator: Emulator, error: Any, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        await fal.queue.find_submission(error)
    assert emulator.count() == 0


async def test_find_submission_retries_and_raises_like_other_reads(fal: Session, emulator: Emulator) -> None:
    error = SubmissionUncertainError(
        "x", endpoint_id=LLM, input_digest="0" * 64, started_at=time.time(), ended_at=time.time()
    )
    async with session_on(emulator) as quick_one:
        emulator.faults.add(
            Fault.html(502, on="platform"), Fault.wrong_json(on="platform"), Fault.reset(on="platform")
        )
        assert await quick_one.queue.find_submission(error) is None
        emulator.faults.add(Fault.answer(500, on="platform"))
        with pytest.raises(ServerError):
            await quick_one.queue.find_submission(error)
        emulator.rotate_key("other:key")
        with pytest.raises(AuthenticationError):
            await quick_one.queue.find_submission(error)
    await emulator.pause()
    async with session_on(emulator, retry=ONCE) as once:
        with pytest.raises(TransportError):
            await once.queue.find_submission(error)


# Without an error, as after a process died: by what was about to be sent.


async def test_find_submission_without_an_error_searches_by_endpoint_input_and_time(
    fal: Session, emulator: Emulator
) -> None:
    since = time.time()
    first = await fal.queue.submit(LLM, ASK)
    await fal.queue.submit(LLM, ASK)
    await fal.queue.submit(LLM, {"prompt": "another"})
    found = await fal.queue.find_submission(LLM, ASK, since=since)
    assert found is not None
    assert found.request_id == first.request_id
    assert found.endpoint_id == LLM
    assert emulator.count("platform") == 1
    assert await fal.queue.find_submission(LLM, {"prompt": "none"}, since=since, until=since) is None


async def test_find_submission_without_an_error_adds_the_path(fal: Session, emulator: Emulator) -> None:
    handle = await fal.queue.submit("fal-ai/flux", {"prompt": "x"}, path="/dev")
    found = await fal.queue.find_submission("fal-ai/flux", {"prompt": "x"}, path="/dev", since=time.time())
    assert found is not None
    assert found.request_id == handle.request_id


async def test_find_submission_finds_a_request_hours_after_since(fal: Session, emulator: Emulator) -> None:
    handle = await fal.queue.submit(LLM, ASK)
    now = time.time()
    emulator.jobs[handle.request_id].submitted_at = now - 9_000
    found = await fal.queue.find_submission(LLM, ASK, since=now - 10_800)
    assert found is not None
    assert found.request_id == handle.request_id
    assert emulator.count("platform") == 5


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((LLM, {"image_url": Path("cat.png")}), {"since": 1.0}, "input.image_url is a file"),
        ((LLM, ASK), {}, "since is of type NoneType: expected Unix seconds"),
        ((LLM, ASK), {"since": datetime.now(UTC)}, "pass its .timestamp()"),
        ((LLM, ASK), {"since": time.time() * 1000}, "expected Unix seconds such as"),
        ((LLM, ASK), {"since": True}, "expected Unix seconds"),
        ((LLM, ASK), {"since": float("nan")}, "expected Unix seconds"),
        ((LLM, ASK), {"since": 5.0, "until": 4.0}, "until=4.0 is before since=5.0"),
        ((LLM, ASK), {"since": 5.0, "exclude": "r-1"}, "expected a list of request ids"),
        (("no id", ASK), {"since": 5.0}, "no id"),
        ((LLM, 5), {"since": 5.0}, "input is of type int"),
        ((SubmissionUncertainError("x"),), {"since": 5.0}, "since= can't be combined with an error"),
        ((SubmissionUncertainError("x"), ASK), {}, "input= can't be combined with an error"),
    ],
)
async def test_find_submission_refuses_wrong_arguments_before_any_request(
    fal: Session, emulator: Emulator, arguments: Any, options: Any, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        await fal.queue.find_submission(*arguments, **options)
    assert emulator.count() == 0
