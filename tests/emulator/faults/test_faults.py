"""Each kind of fault, added in Python and over the admin route."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from fal_async.emulator import Fault
from fal_async.emulator.faults.kinds import KINDS
from tests.emulator.caller import Caller, Reply, lines_of
from tests.emulator.gate import Gate

Ask = Callable[[Fault], Awaitable[None]]
LLM = "fal-ai/any-llm"
PROMPT = {"prompt": "x"}


@pytest.fixture(params=["python", "admin"])
def ask(request: pytest.FixtureRequest, caller: Caller) -> Ask:
    async def add(fault: Fault) -> None:
        if request.param == "python":
            caller.emulator.faults.add(fault)
        else:
            added = await caller.call("POST", "/_emulator/faults", headers={}, json=fault.to_json())
            assert (added.status, added.data) == (200, [fault.to_json()])

    return add


async def finished_job(caller: Caller) -> Reply:
    submitted = await caller.submit(LLM, PROMPT)
    await caller.reached(submitted, "COMPLETED")
    return submitted


def jobs(caller: Caller) -> int:
    return len(caller.emulator.jobs)


def is_json(text: bytes | str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


# The connection.


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize(
    ("make", "error"),
    [(Fault.reset, aiohttp.ClientOSError), (Fault.close, aiohttp.ServerDisconnectedError)],
    ids=["reset", "close"],
)
async def test_a_submit_that_is_reset_or_closed_gets_no_answer_and_runs_only_with_taken(
    caller: Caller, ask: Ask, make: Any, error: type[Exception], taken: bool
) -> None:
    await ask(make(on="submit", taken=taken))
    with pytest.raises(error):
        await caller.submit(LLM, PROMPT)
    assert jobs(caller) == taken
    [recorded] = caller.emulator.requests
    assert (recorded.kind, recorded.status) == ("submit", None)
    assert (recorded.request_id is not None) == taken
    assert (await caller.submit(LLM, PROMPT)).status == 200


async def test_a_cancel_whose_answer_is_reset_takes_effect_with_taken(caller: Caller, ask: Ask) -> None:
    caller.emulator.endpoint("me/gate")(Gate())
    submitted = await caller.submit("me/gate")
    # Twice, since aiohttp repeats a PUT when a reused connection breaks.
    await ask(Fault.reset(on="cancel", taken=True, times=2))
    with pytest.raises(aiohttp.ClientOSError):
        await caller.cancel(submitted)
    assert (await caller.finished(submitted)).data["error_type"] == "client_cancelled"


async def test_a_refuse_fault_takes_the_whole_server_away_for_a_while(caller: Caller, ask: Ask) -> None:
    """The test checks that the server comes back, but not how soon."""
    await ask(Fault.refuse(0.05, on="status"))
    submitted = await caller.submit(LLM, PROMPT)
    url = submitted.data["status_url"]
    with pytest.raises(aiohttp.ClientOSError):
        async with aiohttp.ClientSession() as other, other.get(url):
            pass
    with pytest.raises(aiohttp.ClientConnectorError):
        async with aiohttp.ClientSession() as other, other.get(url):
            pass
    async with asyncio.timeout(5):
        while True:
            try:
                back = await caller.status(submitted)
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)
            else:
                break
    assert back.status in (200, 202)


@pytest.mark.parametrize("where", ["headers", "body"])
async def test_a_stalled_submit_is_answered_after_the_silence(caller: Caller, ask: Ask, where: str) -> None:
    await ask(Fault.stall(0.02, where=where, on="submit"))
    assert (await caller.submit(LLM, PROMPT)).data["request_id"]
    assert jobs(caller) == 1


@pytest.mark.parametrize(
    ("fault", "taken"),
    [
        (Fault.stall(60), True),
        (Fault.stall(60, taken=False), False),
        (Fault.stall(60, where="body"), True),
    ],
    ids=["before the headers", "not taken", "in the body"],
)
async def test_a_long_stall_exceeds_the_callers_time_limit(
    caller: Caller, ask: Ask, fault: Fault, taken: bool
) -> None:
    await ask(fault)
    impatient = aiohttp.ClientTimeout(total=0.5)
    with pytest.raises(TimeoutError):
        await caller.submit(LLM, PROMPT, timeout=impatient)
    assert jobs(caller) == taken


async def test_a_stall_that_is_not_taken_closes_the_connection_after_the_silence(
    caller: Caller, ask: Ask
) -> None:
    await ask(Fault.stall(0.02, taken=False, on="submit"))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await caller.submit(LLM, PROMPT)
    assert jobs(caller) == 0


async def test_a_drip_fault_sends_the_whole_result_byte_by_byte(caller: Caller, ask: Ask) -> None:
    await ask(Fault.drip(0, on="result"))
    submitted = await finished_job(caller)
    assert (await caller.result(submitted)).data == (await caller.result(submitted)).data


async def test_a_truncate_fault_cuts_the_body_of_one_result(caller: Caller, ask: Ask) -> None:
    await ask(Fault.truncate(on="result"))
    submitted = await finished_job(caller)
    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.result(submitted)
    assert (await caller.result(submitted)).status == 200


# Other answers.


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 422, 429, 499, 500, 502, 503, 504])
async def test_an_answer_fault_has_fals_body_and_headers(caller: Caller, ask: Ask, status: int) -> None:
    await ask(Fault.answer(status))
    answer = await caller.submit(LLM, PROMPT)
    assert answer.status == status
    assert "detail" in answer.data
    assert answer.headers["x-fal-request-id"]
    assert answer.data.get("error_type") == answer.headers.get("X-Fal-Error-Type")
    assert "Retry-After" not in answer.headers
    assert jobs(caller) == 0


@pytest.mark.parametrize("status", [200, 500, 502, 503, 504, 599])
async def test_an_html_fault_has_nginxs_page_and_none_of_fals_headers(
    caller: Caller, ask: Ask, status: int
) -> None:
    for fault in (Fault.answer(status, fal_headers=False), Fault.html(status)):
        await ask(fault)
        answer = await caller.submit(LLM, PROMPT)
        assert (answer.status, answer.headers["Content-Type"]) == (status, "text/html")
        assert b"nginx" in answer.body
        assert not [name for name in answer.headers if name.lower().startswith("x-fal")]


async def test_an_answer_fault_sends_the_given_detail_type_headers_and_body(caller: Caller, ask: Ask) -> None:
    await ask(
        Fault.answer(
            429,
            retry_after=2.5,
            needs_retry=True,
            detail="Too many",
            error_type="concurrent_requests_limit",
            headers={"X-Other": "1"},
            on="run",
        )
    )
    answer = await caller.run(LLM, PROMPT)
    assert answer.data == {"detail": "Too many", "error_type": "concurrent_requests_limit"}
    said = {name: answer.headers[name] for name in ("Retry-After", "X-Fal-Needs-Retry", "X-Other")}
    assert said == {"Retry-After": "2.5", "X-Fal-Needs-Retry": "1", "X-Other": "1"}
    await ask(Fault.answer(503, body="no JSON", needs_retry=False))
    answer = await caller.run(LLM, PROMPT)
    assert (answer.body, answer.headers["X-Fal-Needs-Retry"]) == (b"no JSON", "0")


@pytest.mark.parametrize(
    ("retry_after", "text"),
    [
        (3, "3"),
        ("soon", "soon"),
        (datetime(2026, 11, 24, 12, 0, 5, tzinfo=UTC), "Tue, 24 Nov 2026 12:00:05 GMT"),
    ],
)
async def test_an_answer_fault_sends_retry_after_as_seconds_date_or_text(
    caller: Caller, ask: Ask, retry_after: Any, text: str
) -> None:
    await ask(Fault.answer(503, retry_after=retry_after))
    assert (await caller.submit(LLM, PROMPT)).headers["Retry-After"] == text


async def test_an_answer_fault_with_taken_answers_an_error_but_keeps_the_job(
    caller: Caller, ask: Ask
) -> None:
    await ask(Fault.answer(504, taken=True, fal_headers=False))
    assert (await caller.submit(LLM, PROMPT)).status == 504
    await ask(Fault.answer(500, taken=True))
    broken = await caller.submit(LLM, PROMPT)
    assert broken.headers["x-fal-request-id"] in caller.emulator.jobs
    assert jobs(caller) == 2


async def test_a_balance_fault_answers_403_exhausted_balance(caller: Caller, ask: Ask) -> None:
    await ask(Fault.balance(on="status"))
    submitted = await finished_job(caller)
    locked = await caller.status(submitted)
    assert locked.status == 403
    assert "Exhausted balance" in locked.data["detail"]


async def test_a_vanish_fault_answers_404_not_found(caller: Caller, ask: Ask) -> None:
    await ask(Fault.vanish(on="result"))
    submitted = await finished_job(caller)
    gone = await caller.result(submitted)
    assert (gone.status, gone.data) == (404, {"status": "NOT_FOUND"})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_fault_answers_with_status_and_location(
    caller: Caller, ask: Ask, status: int
) -> None:
    await ask(Fault.redirect("https://evil.example/x", status))
    elsewhere = await caller.submit(LLM, PROMPT)
    assert (elsewhere.status, elsewhere.headers["Location"]) == (status, "https://evil.example/x")


# The real answer, changed.


async def test_a_wrong_json_fault_sends_broken_json_in_a_complete_answer(caller: Caller, ask: Ask) -> None:
    submitted = await finished_job(caller)
    url = submitted.data["status_url"]
    for fault, body in ((Fault.wrong_json(), None), (Fault.wrong_json("[1"), b"[1")):
        await ask(fault)
        async with caller.http.get(url, headers=caller.with_headers()) as answer:
            spoilt = await answer.read()
            assert (answer.status, answer.content_type) == (200, "application/json")
        assert not is_json(spoilt)
        assert body is None or body == spoilt


async def test_a_content_type_fault_changes_only_the_content_type(caller: Caller, ask: Ask) -> None:
    await ask(Fault.content_type("text/plain", on="status"))
    answer = await caller.status(await finished_job(caller))
    assert answer.headers["Content-Type"] == "text/plain"
    assert json.loads(answer.body)["status"] == "COMPLETED"


async def test_missing_and_replace_faults_change_top_level_fields(caller: Caller, ask: Ask) -> None:
    await ask(Fault.missing("status", "metrics", on="status"))
    await ask(Fault.replace({"logs": "none", "extra": [1]}, on="status"))
    submitted = await finished_job(caller)
    less = await caller.status(submitted)
    assert not {"status", "metrics"} & set(less.data)
    other = await caller.status(submitted)
    assert (other.data["logs"], other.data["extra"], other.data["status"]) == ("none", [1], "COMPLETED")


async def test_word_and_back_faults_change_one_status_each(caller: Caller, ask: Ask) -> None:
    await ask(Fault.word("PAUSED", on="status"))
    await ask(Fault.back(7, on="status"))
    submitted = await finished_job(caller)
    assert (await caller.status(submitted)).data["status"] == "PAUSED"
    back = await caller.status(submitted)
    assert (back.data["status"], back.data["queue_position"]) == ("IN_QUEUE", 7)
    assert "metrics" not in back.data
    assert (await caller.status(submitted)).data["status"] == "COMPLETED"


async def test_a_duplicate_fault_repeats_each_log_entry_of_a_status(caller: Caller, ask: Ask) -> None:
    await ask(Fault.duplicate(on="status"))
    submitted = await finished_job(caller)
    twice = (await caller.status(submitted, "1")).data["logs"]
    once = (await caller.status(submitted, "1")).data["logs"]
    assert twice == [entry for entry in once for _ in range(2)]


@pytest.mark.parametrize("on", ["submit", "status"])
async def test_a_foreign_urls_fault_moves_the_three_urls_to_another_base(
    caller: Caller, ask: Ask, on: str
) -> None:
    await ask(Fault.foreign_urls("https://evil.example/base/", on=on))
    submitted = await caller.submit(LLM, PROMPT)
    request_id = submitted.data["request_id"]
    own = f"{caller.emulator.url}/queue.fal.run/{LLM}/requests/{request_id}/status"
    elsewhere = submitted if on == "submit" else await caller.get(own)
    base = f"https://evil.example/base/{LLM}/requests/{request_id}"
    assert [elsewhere.data[name] for name in ("response_url", "status_url", "cancel_url")] == [
        base,
        f"{base}/status",
        f"{base}/cancel",
    ]


async def test_a_missing_fault_does_not_change_answers_that_are_not_json_objects(
    caller: Caller, ask: Ask
) -> None:
    @caller.emulator.endpoint("me/text")
    async def text(input: Any) -> Any:
        return input.get("answer", "plain")

    await ask(Fault.missing("x", times=2))
    assert (await caller.run("me/text", {})).body == b"plain"
    assert (await caller.run("me/text", {"answer": [1]})).data == [1]


# Other operations.


async def raw_stream(caller: Caller, submitted: Reply) -> tuple[str, list[str], bool]:
    """Return content type, lines, and whether the stream broke off."""
    lines: list[str] = []
    url = submitted.data["status_url"] + "/stream?logs=1"
    async with caller.http.get(url, headers=caller.with_headers()) as response:
        try:
            async for line in lines_of(response):
                lines.append(line)
        except aiohttp.ClientError:
            return response.content_type, lines, True
    return response.content_type, lines, False


@pytest.mark.parametrize(
    ("fault", "lines_left", "broken_off"),
    [
        (Fault.duplicate(), 2, False),
        (Fault.close(taken=True), 1, True),
        (Fault.drip(0), 1, False),
        (Fault.stall(0.01), 1, False),
        (Fault.stall(0.01, where="body"), 1, False),
    ],
    ids=["duplicate", "close", "drip", "stall before the headers", "stall in the body"],
)
async def test_a_fault_in_the_middle_of_a_status_stream_keeps_events_intact(
    caller: Caller, ask: Ask, fault: Fault, lines_left: int, broken_off: bool
) -> None:
    submitted = await finished_job(caller)
    await ask(fault)
    content_type, lines, broken = await raw_stream(caller, submitted)
    assert (content_type, broken) == ("text/event-stream", broken_off)
    assert len(lines) == lines_left
    assert {json.loads(line.removeprefix("data: "))["status"] for line in lines} == {"COMPLETED"}


async def test_reset_and_truncate_faults_break_off_a_status_stream(caller: Caller, ask: Ask) -> None:
    submitted = await finished_job(caller)
    await ask(Fault.reset(taken=True))
    _, _, broken_off = await raw_stream(caller, submitted)
    assert broken_off
    await ask(Fault.truncate())
    _, _, broken_off = await raw_stream(caller, submitted)
    assert broken_off


async def test_a_word_fault_changes_status_events_but_not_the_completed_one(caller: Caller, ask: Ask) -> None:
    gate = Gate()
    caller.emulator.endpoint("me/gate", runners=1)(gate)
    await ask(Fault.word("PAUSED", on="status_stream"))
    submitted = await caller.submit("me/gate")
    following = asyncio.create_task(raw_stream(caller, submitted))
    await caller.emulator.wait_for("status_stream")
    gate.open()
    _, lines, _ = await following
    words = [json.loads(line.removeprefix("data: "))["status"] for line in lines]
    assert words == ["PAUSED", "COMPLETED"]


async def test_faults_can_replace_a_status_stream_by_something_else(caller: Caller, ask: Ask) -> None:
    submitted = await finished_job(caller)
    await ask(Fault.content_type("text/html"))
    assert (await raw_stream(caller, submitted))[0] == "text/html"
    await ask(Fault.answer(503))
    refused = await caller.get(submitted.data["status_url"] + "/stream")
    assert refused.status == 503
    await ask(Fault.wrong_json())
    _, [line], _ = await raw_stream(caller, submitted)
    assert not is_json(line.removeprefix("data: "))
    await ask(Fault.vanish())
    assert (await caller.get(submitted.data["status_url"] + "/stream")).data == {"status": "NOT_FOUND"}


@pytest.mark.parametrize(
    ("on", "method", "path"),
    [
        ("file", "GET", "/v3.fal.media/files/b/0/x"),
        ("platform", "GET", "/api.fal.ai/v1/models"),
        ("token", "POST", "/auth.fal.ai/oauth/token"),
        ("rest", "POST", "/rest.fal.ai/tokens/"),
        ("openapi", "GET", "/fal.ai/api/openapi/queue/openapi.json"),
    ],
)
async def test_an_answer_fault_strikes_operations_of_every_host(
    caller: Caller, ask: Ask, on: str, method: str, path: str
) -> None:
    await ask(Fault.answer(503, on=on))
    assert (await caller.submit(LLM, PROMPT)).status == 200
    assert (await caller.call(method, path)).status == 503


async def test_a_truncate_fault_breaks_off_a_download(caller: Caller, ask: Ask) -> None:
    picture = await caller.run("fal-ai/flux/dev", {"prompt": "x", "image_size": "square"})
    url = picture.data["images"][0]["url"]
    await ask(Fault.truncate(on="file"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.get(url, headers={})
    assert (await caller.get(url, headers={})).status == 200


def test_every_kind_of_fault_has_a_constructor() -> None:
    assert {kind for kind in KINDS if not callable(getattr(Fault, kind, None))} == set()
