"""A request's own choice: `X-Fal-Emulator` and `__emulator__`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fal_async import RateLimitError, ServerError, Session, StreamError, ValidationError
from fal_async.emulator import Emulator, JobContext
from fal_async.emulator.faults.choice import WORDS
from tests.emulator.caller import Caller, calling, lines_of
from tests.quick import ONCE

SEEN = "me/seen"
WORDS_ID = "me/words"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(clock="auto") as emulator:
        register(emulator)
        yield emulator


def register(emulator: Emulator) -> None:
    @emulator.endpoint(SEEN)
    async def seen(input: Any) -> Any:
        return {"input": input}

    @emulator.endpoint(WORDS_ID)
    async def words(_: Any) -> AsyncIterator[Any]:
        for number in range(3):
            yield {"number": number}


def choosing(caller: Caller, text: str) -> dict[str, str]:
    return caller.with_headers(X_Fal_Emulator=text)


async def collect(response: aiohttp.ClientResponse, seen: list[str]) -> None:
    async for line in lines_of(response):
        seen.append(line)


WAYS_TO_SAY = [
    ("fail=422; type=content_policy_violation", None),
    ('{"fail": 422, "type": "content_policy_violation"}', None),
    (None, {"fail": 422, "type": "content_policy_violation"}),
    (None, "type=content_policy_violation"),
    ("fail=500", {"fail": 422, "type": "content_policy_violation"}),
]


@pytest.mark.parametrize(("header", "member"), WAYS_TO_SAY)
async def test_header_and_input_member_choose_the_failure_of_a_run_in_every_form(
    caller: Caller, header: str | None, member: Any
) -> None:
    headers = caller.with_headers() if header is None else choosing(caller, header)
    input = {"prompt": "x"} if member is None else {"prompt": "x", "__emulator__": member}
    for reply in (
        await caller.run(SEEN, input, headers=headers),
        await caller.call("POST", f"/fal.run/{WORDS_ID}/stream", json=input, headers=headers),
    ):
        assert reply.status == 422
        entry = reply.data["detail"][0]
        assert (entry["loc"], entry["type"]) == (["body"], "content_policy_violation")
        job = caller.emulator.jobs[reply.headers["x-fal-request-id"]]
        assert (job.input, job.billable_units) == ({"prompt": "x"}, 0)


async def test_the_model_never_sees_the_input_member_and_other_members_are_unchanged(caller: Caller) -> None:
    input = {"seed": 2**60, "text": "\u00e9\ud83d", "__emulator__": {"logs": ["a", "b"]}}
    reply = await caller.run(SEEN, input)
    assert reply.data == {"input": {"seed": 2**60, "text": "\u00e9\ud83d"}}
    [job] = caller.emulator.jobs.values()
    assert [entry["message"] for entry in job.logs] == ["a", "b"]
    assert b"__emulator__" in caller.emulator.requests[-1].body


@pytest.mark.parametrize(
    ("text", "status", "error_type"),
    [
        ("type=runner_disconnected", 503, "runner_disconnected"),
        ("type=generation_timeout", 504, None),
        ("fail=500", 500, "internal_error"),
        ("fail=418; detail=no; type=bad_request", 418, "bad_request"),
    ],
)
async def test_an_error_type_has_its_own_status_and_form(
    caller: Caller, text: str, status: int, error_type: str | None
) -> None:
    reply = await caller.run(SEEN, {}, headers=choosing(caller, text))
    assert (reply.status, reply.headers.get("X-Fal-Error-Type")) == (status, error_type)


async def test_a_chosen_failure_of_a_queued_request_is_that_of_its_run(caller: Caller) -> None:
    began = caller.emulator.now
    text = "type=no_media_generated; delay=30; cold_start=600; logs=loading"
    submitted = await caller.submit(SEEN, headers=choosing(caller, text))
    assert (submitted.status, submitted.data["status"]) == (200, "IN_QUEUE")
    status = await caller.finished(submitted)
    assert (status.data["error_type"], status.data["logs"][0]["message"]) == ("no_media_generated", "loading")
    assert (await caller.result(submitted)).status == 422
    job = caller.emulator.jobs[submitted.data["request_id"]]
    assert (job.started_at or 0) - began == pytest.approx(600, abs=5)
    assert (job.completed_at or 0) - (job.started_at or 0) == pytest.approx(30, abs=5)


async def test_a_cold_start_longer_than_the_start_timeout_is_not_waited_for(caller: Caller) -> None:
    headers = {**choosing(caller, "cold_start=60"), "X-Fal-Request-Start-Timeout": "5"}
    reply = await caller.run(SEEN, {}, headers=headers)
    assert (reply.status, reply.headers["X-Fal-Request-Timeout-Type"]) == (504, "user")


async def test_a_request_can_be_cancelled_during_its_cold_start(caller: Caller) -> None:
    async with calling(Emulator(clock="manual")) as other:
        register(other.emulator)
        submitted = await other.submit(SEEN, headers=choosing(other, "cold_start=60"))
        assert (await other.status(submitted)).data["status"] == "IN_QUEUE"
        assert (await other.cancel(submitted)).data == {"status": "OK"}
        assert (await other.result(submitted)).status == 499


async def test_a_server_error_of_a_queued_request_is_retried_as_on_fal(caller: Caller) -> None:
    headers = {**choosing(caller, "fail=503"), "X-Fal-Retry-Config": '{"server_error": {"retries": 2}}'}
    submitted = await caller.submit(SEEN, headers=headers)
    await caller.finished(submitted)
    assert caller.emulator.jobs[submitted.data["request_id"]].attempts == 3
    assert (await caller.result(submitted)).status == 503


# Faults of the calls.


async def test_a_fault_strikes_the_result_of_its_queued_request_and_no_other(caller: Caller) -> None:
    chosen = await caller.submit(SEEN, headers=choosing(caller, "fault=answer; status=502; detail=lost"))
    plain = await caller.submit(SEEN)
    for submitted in (chosen, plain):
        await caller.finished(submitted)
    assert (await caller.result(plain)).status == 200
    assert [(await caller.result(chosen)).status for _ in range(2)] == [502, 200]
    assert caller.emulator.faults.struck == 1


async def test_a_fault_strikes_the_call_of_the_request_that_on_names(caller: Caller) -> None:
    text = "fault=answer; status=503; on=status; times=2; after=1"
    submitted = await caller.submit(SEEN, headers=choosing(caller, text))
    await caller.reached(submitted, "COMPLETED")
    assert [(await caller.status(submitted)).status for _ in range(4)] == [200, 503, 503, 200]


async def test_the_answer_to_a_submit_is_lost_although_the_request_exists(caller: Caller) -> None:
    with pytest.raises(aiohttp.ClientError):
        await caller.submit(SEEN, headers=choosing(caller, "fault=reset; on=submit; taken=true"))
    assert len(caller.emulator.jobs) == 1


async def test_a_stream_breaks_off_after_the_chosen_event(caller: Caller) -> None:
    url = f"{caller.emulator.url}/fal.run/{WORDS_ID}/stream"
    headers = choosing(caller, "fault=close; taken=true; events=2")
    seen: list[str] = []
    async with caller.http.post(url, json={}, headers=headers) as response:
        with pytest.raises(aiohttp.ClientError):
            await collect(response, seen)
    assert [json.loads(line.removeprefix("data: "))["number"] for line in seen] == [0, 1]


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("fault=missing; names=input, other", 200, {}),
        ('{"fault": "replace", "fields": {"input": 1}}', 200, {"input": 1}),
        ("fault=answer; status=429; retry_after=7", 429, None),
        ("fault=vanish", 404, {"status": "NOT_FOUND"}),
        ("fail=429; retry_after=7; needs_retry=true", 429, None),
        ("fail=400; body=oops", 400, None),
    ],
)
async def test_a_direct_call_gets_the_chosen_fault(caller: Caller, text: str, status: int, said: Any) -> None:
    reply = await caller.run(SEEN, {}, headers=choosing(caller, text))
    assert reply.status == status
    if "retry_after" in text:
        assert reply.headers["Retry-After"] == "7"
    if "body" in text:
        assert reply.body == b"oops"
    assert said is None or reply.data == said
    assert (await caller.run(SEEN, {})).status == 200


REFUSED = [
    ("fial=422", "unknown word 'fial'"),
    ("fail", "expected word=value"),
    ("fail=200", "fail=200"),
    ("fail=soon", "fail='soon'"),
    ("delay=-1", "delay=-1"),
    ("delay=inf", "delay='inf'"),
    ("fault=nothing", "kind='nothing'"),
    ("fault=refuse; seconds=3", "hits other requests"),
    ("fault=answer; status=503; on=file", "on='file'"),
    ("status=503", "needs fault="),
    ("fault=answer; events=2; status=500", "no field 'events'"),
    ("[1]", "expected word=value"),
    ("{", "'{': expected a JSON object: Expecting property name"),
    ('{"logs": [1]}', "logs=[1]"),
    ('{"type": 3}', "type=3"),
    ('{"fail": 422, "detail": 3}', "detail=3"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
async def test_a_choice_that_cannot_be_read_is_a_400_which_says_why(
    caller: Caller, text: str, said: str
) -> None:
    for reply in (
        await caller.run(SEEN, {}, headers=choosing(caller, text)),
        await caller.submit(SEEN, {"__emulator__": text}),
    ):
        assert (reply.status, reply.data["error_type"]) == (400, "bad_request")
        assert reply.data["detail"].startswith("X-Fal-Emulator: ")
        assert said in reply.data["detail"]
    assert not caller.emulator.jobs


async def test_an_unknown_word_is_answered_with_the_known_ones(caller: Caller) -> None:
    reply = await caller.run(SEEN, {"__emulator__": {"wait": 3}})
    assert all(word in reply.data["detail"] for word in WORDS)
    assert (await caller.run(SEEN, {"__emulator__": [3]})).status == 400


async def test_calls_that_make_no_request_ignore_the_header(caller: Caller) -> None:
    submitted = await caller.submit(SEEN)
    await caller.finished(submitted)
    for text in ("fail=500", "nonsense"):
        reply = await caller.get(submitted.data["status_url"], headers=choosing(caller, text))
        assert reply.status == 200


# Sessions and mounted applications.


async def test_a_session_gets_the_fault_that_its_handshake_has_chosen(caller: Caller) -> None:
    url = f"{caller.emulator.url}/fal.run/{SEEN}/realtime"
    headers = choosing(caller, "fault=ws_close; code=1011; events=0")
    async with caller.http.ws_connect(url, headers=headers) as session:
        assert (await session.receive()).data == 1011
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await caller.http.ws_connect(url, headers=choosing(caller, "fail=500"))
    assert refused.value.status == 400


async def test_a_payload_over_a_websocket_gets_the_failure_that_its_handshake_has_chosen(
    caller: Caller,
) -> None:
    url = f"{caller.emulator.url}/ws.fal.run/{SEEN}"
    async with caller.http.ws_connect(url, headers=choosing(caller, "fail=418")) as calls:
        await calls.send_str("{}")
        assert (await calls.receive_json())["status"] == 418


async def test_a_mounted_application_neither_sees_the_member_nor_a_failed_call(caller: Caller) -> None:
    seen: list[Any] = []

    async def answer(request: Request) -> Response:
        seen.append(await request.json())
        return JSONResponse({})

    caller.emulator.mount("me/app", Starlette(routes=[Route("/", answer, methods=["POST"])]))
    assert (await caller.run("me/app", {"a": 1, "__emulator__": {"logs": "x"}})).status == 200
    assert (await caller.run("me/app", {"a": 2, "__emulator__": {"fail": 503}})).status == 503
    assert seen == [{"a": 1}]


@pytest.mark.parametrize("body", [b'{"__emulator__":', b"{"])
async def test_a_body_that_is_not_json_or_nested_too_deeply_is_a_422(caller: Caller, body: bytes) -> None:
    for data in (body, body + b"[" * 100_000):
        reply = await caller.call("POST", f"/fal.run/{SEEN}", data=data)
        assert (reply.status, reply.data["detail"][0]["type"]) == (422, "json_invalid")


# With this package's client.


async def test_the_client_raises_the_error_that_its_request_has_chosen(emulator: Emulator) -> None:
    async with Session(emulator.key, hosts=emulator.hosts) as fal:
        with pytest.raises(ValidationError) as refused:
            await fal.subscribe(SEEN, {"__emulator__": {"type": "content_policy_violation"}})
        assert [entry.type for entry in refused.value.errors] == ["content_policy_violation"]
        with pytest.raises(ServerError):
            await fal.run(SEEN, headers={"X-Fal-Emulator": "fail=500"})
        with pytest.raises(RateLimitError) as caught:
            await fal.with_options(retry=ONCE).run(
                SEEN, headers={"X-Fal-Emulator": "fail=429; retry_after=9"}
            )
        assert caught.value.retry_after == 9
        with pytest.raises(StreamError):
            await fal.stream(WORDS_ID, {"__emulator__": "fault=truncate; events=2"}).last()
        result = await fal.subscribe(SEEN, {"a": 1, "__emulator__": {"fault": "reset"}})
        assert result.data == {"input": {"a": 1}}
        assert emulator.count("result") == 3  # one of the failed request, and two of this one


async def test_concurrent_requests_get_only_what_each_has_chosen(emulator: Emulator) -> None:
    @emulator.endpoint("me/slow", runners=20)
    async def slow(input: Any, job: JobContext) -> Any:
        await job.sleep(5)
        return input

    async with Session(emulator.key, hosts=emulator.hosts) as fal:
        inputs = [{"n": n, **({"__emulator__": "fail=422"} if n % 3 == 0 else {})} for n in range(12)]
        ended = await asyncio.gather(
            *(fal.subscribe("me/slow", input) for input in inputs), return_exceptions=True
        )
    assert [isinstance(end, ValidationError) for end in ended] == [n % 3 == 0 for n in range(12)]
