"""The questions of `doctor --live`: against the emulator, and against servers that answer differently."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import fal_async
from fal_async import Hosts
from fal_async.cli.doctor.live.live_plan import INPUTS, plan_of
from fal_async.cli.doctor.live.live_requests import LiveRequests
from fal_async.cli.doctor.live.not_seen import NotSeenError
from fal_async.cli.doctor.live.observations import Observations
from fal_async.cli.doctor.live.question import Answer, Verdict
from fal_async.cli.doctor.live.questions import MOST_REQUESTS, QUESTIONS, answers_to
from fal_async.cli.doctor.wire import open_wire
from fal_async.emulator import Emulator, Fault, RequestHistory
from fal_async.environment import Environment
from fal_async.errors import ConfigurationError
from tests.servers.raw import answer
from tests.servers.raw_fal import ID, Replaced, raw_fal

BY_NAME = {question.name: question for question in QUESTIONS}
LLM = "fal-ai/any-llm"


@asynccontextmanager
async def observing(
    hosts: Hosts, key: str, endpoint: str = LLM, patience: float = 20.0
) -> AsyncIterator[Observations]:
    plan = plan_of(endpoint, None)
    async with open_wire(Environment(key=key, hosts=hosts), 10.0) as wire:
        yield Observations(LiveRequests(wire, plan.endpoint, plan.body, patience))


async def ask(seen: Observations, *names: str) -> dict[str, Answer]:
    asked = [BY_NAME[name] for name in names] or list(QUESTIONS)
    return {each.question.name: each for each in await answers_to(seen, asked)}


@asynccontextmanager
async def differing(**on: Replaced) -> AsyncIterator[Observations]:
    async with raw_fal(**on) as fal, observing(Hosts.local(fal.url), "id:secret", patience=0.3) as seen:
        yield seen


def test_each_question_has_its_own_name_and_a_section_of_the_sheet() -> None:
    sheet = (Path(fal_async.__file__).parent / "protocol" / "README.md").read_text()
    sections = set(re.findall(r"^### (\d+\.\d+) ", sheet, re.M))
    sections |= {f"14, no. {number}" for number in re.findall(r"^\| (\d+) \|", sheet, re.M)}
    assert len(BY_NAME) == len(QUESTIONS)
    assert {question.section for question in QUESTIONS} - sections == set()


async def test_emulator_agrees_with_the_sheet_and_every_request_has_ended(emulator: Emulator) -> None:
    async with observing(emulator.hosts, emulator.admin_key, "fal-ai/flux/schnell") as seen:
        answers = await ask(seen)
        assert await seen.requests.end_all() == []
    wrong = {name: each.seen for name, each in answers.items() if each.verdict is Verdict.DIFFERS}
    assert wrong == {}
    assert answers["history-time"].seen.startswith("sent_at")
    assert {job.state for job in emulator.jobs.values()} == {"COMPLETED"}
    assert emulator.count("submit") <= MOST_REQUESTS


async def test_a_request_that_waits_in_the_queue_is_cancelled_with_200(emulator: Emulator) -> None:
    release = asyncio.Event()

    @emulator.endpoint("me/slow", runners=1)
    async def slow(_: dict[str, object]) -> dict[str, object]:
        await release.wait()
        return {}

    async with open_wire(Environment(key=emulator.key, hosts=emulator.hosts), 10.0) as wire:
        plan = plan_of("me/slow", "{}")
        requests = LiveRequests(wire, plan.endpoint, plan.body, 20.0)
        await requests.accepted()  # takes the only runner
        answers = await ask(Observations(requests), "cancel-queued", "cancel-queued-result")
        release.set()
        assert await requests.end_all() == []
    assert answers["cancel-queued"].seen == "200 OK"
    assert answers["cancel-queued"].verdict is Verdict.AGREES
    assert answers["cancel-queued-result"].verdict is Verdict.ANSWERED


@pytest.mark.parametrize(
    ("only_ended", "said"),
    [(False, "listed while it was IN_QUEUE"), (True, "not listed while it was IN_QUEUE (perhaps it lags)")],
)
async def test_history_is_asked_about_a_request_while_it_waits(
    only_ended: bool, said: str, emulator: Emulator
) -> None:
    emulator.history.only_ended = only_ended
    release = asyncio.Event()

    @emulator.endpoint("me/slow", runners=1)
    async def slow(_: dict[str, object]) -> dict[str, object]:
        await release.wait()
        return {}

    async with open_wire(Environment(key=emulator.key, hosts=emulator.hosts), 10.0) as wire:
        plan = plan_of("me/slow", "{}")
        requests = LiveRequests(wire, plan.endpoint, plan.body, 20.0)
        await requests.accepted()  # takes the only runner
        asked = asyncio.ensure_future(ask(Observations(requests), "history-queued"))
        while not emulator.count("status"):
            await asyncio.sleep(0.01)
        release.set()
        assert (await asked)["history-queued"].seen == said
        assert await requests.end_all() == []


async def test_history_that_filters_by_the_end_and_hides_inputs_is_described_so(emulator: Emulator) -> None:
    emulator.history.filters_by, emulator.history.payloads = "ended_at", False
    async with observing(emulator.hosts, emulator.key) as seen:
        answers = await ask(seen, "history-time", "history-input", "billing-lag")
    assert answers["history-time"].seen == "ended_at"
    assert answers["history-input"].seen == "no input shown"
    assert answers["billing-lag"].verdict is Verdict.UNKNOWN


async def test_history_that_a_key_may_not_read_leaves_its_questions_unknown() -> None:
    async with Emulator(speed=50, history=RequestHistory(permitted=False)) as emulator:
        async with observing(emulator.hosts, emulator.key) as seen:
            answers = await ask(seen, "cancel-running", "history-lag", "history-input", "history-running")
        assert answers.pop("cancel-running").verdict is Verdict.AGREES
        assert {each.verdict for each in answers.values()} == {Verdict.UNKNOWN}
        assert "403" in answers["history-lag"].seen


@pytest.mark.parametrize("lag", [0.0, 2.0])
async def test_lag_of_the_history_is_measured_unless_the_first_look_finds_the_record(lag: float) -> None:
    async with Emulator(speed=50, history=RequestHistory(lag=lag)) as emulator:
        async with observing(emulator.hosts, emulator.key) as seen:
            answers = await ask(seen, "history-lag")
        assert answers["history-lag"].seen.startswith("at most") == (lag == 0)


async def test_history_that_lags_longer_than_the_patience_is_unknown() -> None:
    async with Emulator(speed=50, history=RequestHistory(lag=3600)) as emulator:
        async with observing(emulator.hosts, emulator.key, patience=0.5) as seen:
            answers = await ask(seen, "history-lag")
        assert answers["history-lag"].seen == "not within 0.5 s"


@pytest.mark.parametrize(("fault", "said"), [(None, "accepted"), ("lie", "refused by a frame Unauthorized")])
async def test_realtime_sessions_are_opened_with_each_token_and_closed(
    emulator: Emulator, fault: str | None, said: str
) -> None:
    plan = plan_of(LLM, None, "fal-ai/fast-lcm-diffusion")
    if fault is not None:
        emulator.faults.add(
            Fault.answer(
                200, on="realtime_token", body='"not-a-token"', headers={"Content-Type": "application/json"}
            )
        )
    async with open_wire(Environment(key=emulator.key, hosts=emulator.hosts), 10.0) as wire:
        seen = Observations(LiveRequests(wire, plan.endpoint, plan.body, 0.2, plan.realtime))
        answers = await ask(seen, "realtime-alias", "realtime-path")
    assert answers["realtime-alias"].seen == said
    assert answers["realtime-path"].seen == "accepted"
    assert emulator.count("realtime") == 2


def always(body: object, status: int = 200, **headers: str) -> Replaced:
    return lambda _: answer(body, status, **headers)


def first(body: object, status: int, **headers: str) -> Replaced:
    return lambda n: answer(body, status, **headers) if n == 1 else None


URLS = {"status_url": "x", "response_url": "https://queue.fal.run/a/b/requests/1/response", "cancel_url": "x"}


@pytest.mark.parametrize(
    ("name", "on", "said", "verdict"),
    [
        (
            "submit",
            {"submit": always({"request_id": ID, "status": "ACCEPTED"}, 202)},
            "202 ACCEPTED",
            "differs",
        ),
        (
            "submit",
            {"submit": always({"request_id": ID, "status": "IN_PROGRESS"})},
            "200 IN_PROGRESS",
            "agrees",
        ),
        (
            "submit-position",
            {"submit": always({"request_id": ID, "status": "IN_QUEUE"})},
            "IN_QUEUE, without a position",
            "differs",
        ),
        ("response-url", {"submit": always({"request_id": ID, **URLS})}, "ends in /response", "answered"),
        ("submit-id", {"submit": always({"request_id": ID})}, "no such header", "differs"),
        (
            "submit-id",
            {"submit": always({"request_id": ID}, 200, x_fal_request_id="b")},
            "another id",
            "differs",
        ),
        ("poll-before-end", {"status": first({"status": "IN_PROGRESS"}, 200)}, "200 IN_PROGRESS", "differs"),
        ("poll-at-end", {"status": always({"status": "COMPLETED"}, 203)}, "203 COMPLETED", "differs"),
        ("metrics", {}, "none", "differs"),
        ("early-result", {"result": first({"detail": "wait"}, 425)}, "425 detail 'wait'", "differs"),
        ("wrong-input", {"result": always({"detail": []}, 422)}, "422, units not told", "differs"),
        ("cancel-done", {"cancel": always({"detail": "done"}, 400)}, "400 detail 'done'", "differs"),
        ("cancel-unknown", {"cancel": always({"success": False})}, "200 success=false", "differs"),
        ("status-unknown", {"status": always({"detail": "no"}, 401)}, "401 detail 'no'", "differs"),
        ("status-without-key", {"status": always({"detail": "no"}, 401)}, "401 detail 'no'", "agrees"),
        ("result-unknown", {"result": always(b"<p>gone</p>", 410)}, "410 (11 bytes, not JSON)", "differs"),
        ("result-id", {"result": always({}, 200, x_fal_request_id="b")}, "another id", "differs"),
        ("billable-units", {"result": always({}, 200, x_fal_billable_units="1.5")}, "1.5", "agrees"),
        ("billable-units", {}, "no such header", "differs"),
        ("cdn-token", {"result": always({}, 200, x_fal_cdn_token="s3cret")}, "sent", "answered"),
        (
            "rate-limits",
            {"status": always({"status": "COMPLETED"}, 200, x_ratelimit_remaining="9")},
            "x-ratelimit-remaining (status)",
            "differs",
        ),
        (
            "other-headers",
            {"result": always({}, 200, x_fal_mood="good")},
            "x-fal-mood (read, result)",
            "differs",
        ),
        (
            "retry-hints",
            {"result": always({}, 422, x_fal_needs_retry="0")},
            "x-fal-needs-retry: 0",
            "answered",
        ),
        ("start-timeout", {}, "200: accepted", "differs"),
        (
            "start-timeout-old",
            {"submit": always({}, 400, x_fal_error_type="bad_request")},
            "400 bad_request",
            "agrees",
        ),
        ("token-alias", {"submit": always("token-text", 201)}, "201, a JSON string", "agrees"),
        ("token-path", {"submit": always({"jwt": "s3cret"})}, "200, an object with jwt", "differs"),
        ("cancel-running", {}, "the request completed before it was seen running", "unknown"),
        (
            "execute",
            {"run": always({"detail": [{"loc": ["body", "endpoint"]}]}, 422)},
            "422 body.endpoint",
            "answered",
        ),
        ("execute", {"run": always({"detail": "no"}, 404)}, "404 detail 'no'", "answered"),
        ("key-set", {"other": always({"keys": [{"kty": "RSA"}]})}, "200, 1 keys: RSA None", "differs"),
        ("key-set", {"other": always([], 404)}, "404 (list)", "unknown"),
        (
            "platform-document",
            {"other": always({"paths": {"/a": {"get": {}, "summary": ""}}})},
            "1 operations on 1 paths",
            "answered",
        ),
        ("history-lag", {}, "the answer of the platform API has no items", "unknown"),
    ],
)
async def test_server_that_answers_differently_is_reported_with_what_was_seen(
    name: str, on: dict[str, Replaced], said: str, verdict: str, no_tasks_left: None
) -> None:
    async with differing(**on) as seen:
        answers = await ask(seen, name)
        await seen.requests.end_all(0.2)
    assert (answers[name].seen, answers[name].verdict.value) == (said, verdict)


def words(*running: int) -> Replaced:
    """Answer IN_PROGRESS to the polls with these numbers, and COMPLETED to all others."""
    return lambda n: answer({"status": "IN_PROGRESS"}, 202) if n in running else None


@pytest.mark.parametrize(
    ("running", "said", "verdict"),
    [
        ((2,), "400 ALREADY_COMPLETED, but perhaps it had completed by then", Verdict.UNKNOWN),
        ((2, 3), "400 ALREADY_COMPLETED", Verdict.DIFFERS),
    ],
)
async def test_refused_cancel_counts_only_if_the_request_still_ran_after_it(
    running: tuple[int, ...], said: str, verdict: Verdict
) -> None:
    # The first poll belongs to the request that is cancelled at once.
    async with differing(status=words(*running)) as seen:
        answers = await ask(seen, "cancel-running")
    assert (answers["cancel-running"].seen, answers["cancel-running"].verdict) == (said, verdict)


async def test_request_that_runs_at_its_submit_answers_for_a_running_one() -> None:
    submit = always({"request_id": ID, "status": "IN_PROGRESS"})
    async with differing(submit=submit, status=words(1), cancel=always({"detail": "no"}, 409)) as seen:
        answers = await ask(seen, "cancel-queued", "cancel-running", "cancel-running-result")
        assert len(seen.requests.submitted) == 1
    assert answers["cancel-queued"].verdict is Verdict.UNKNOWN
    assert answers["cancel-running"].seen == "409 detail 'no'"
    assert answers["cancel-running-result"].seen == "200 with picture"


async def test_server_that_accepts_everything_gets_no_more_requests_than_were_announced() -> None:
    async with raw_fal() as fal, observing(Hosts.local(fal.url), "id:secret", patience=0.3) as seen:
        await ask(seen)
        assert len(seen.requests.submitted) == MOST_REQUESTS
        assert await seen.requests.end_all() == []


async def test_failed_observation_is_not_repeated_by_the_next_question(emulator: Emulator) -> None:
    emulator.faults.add(Fault.answer(500, on="submit", times=None))
    async with observing(emulator.hosts, emulator.key) as seen:
        answers = await ask(seen, "submit", "poll-at-end", "result-id", "cancel-done")
    assert {each.seen for each in answers.values()} == {"fal refused the submit with 500"}
    assert emulator.count("submit") == 1


@pytest.mark.parametrize(
    "fault",
    [Fault.reset(on="submit", taken=True), Fault.html(on="submit", taken=True)],
    ids=["reset", "gateway"],
)
async def test_submit_that_may_have_been_accepted_is_not_repeated_and_is_noted(
    emulator: Emulator, fault: Fault
) -> None:
    emulator.faults.add(fault)
    async with observing(emulator.hosts, emulator.key) as seen:
        answers = await ask(seen, "submit", "cancel-done")
        assert len(seen.requests.uncertain) == 1
    assert {each.verdict for each in answers.values()} == {Verdict.UNKNOWN}
    assert emulator.count("submit") == 1


async def test_polls_that_fail_for_a_while_do_not_lose_the_request(emulator: Emulator) -> None:
    emulator.faults.add(Fault.reset(on="status", times=2))
    emulator.faults.add(Fault.answer(503, on="status", times=1))
    async with observing(emulator.hosts, emulator.key) as seen:
        answers = await ask(seen, "poll-at-end")
    assert answers["poll-at-end"].verdict is Verdict.AGREES


async def test_request_that_never_ends_is_cancelled_and_reported_as_still_running(
    no_tasks_left: None,
) -> None:
    running: Callable[[int], bytes] = lambda _: answer({"status": "IN_PROGRESS"}, 202)  # noqa: E731
    async with raw_fal(status=running) as fal, observing(Hosts.local(fal.url), "a:b", patience=0.1) as seen:
        answers = await ask(seen, "poll-at-end")
        assert await seen.requests.end_all(0.2) == [ID]
        assert fal.seen["cancel"] == 1
    assert answers["poll-at-end"].seen == "the request was IN_PROGRESS for 0.1 s"


async def test_cancelled_submit_waits_for_its_id_so_that_the_request_is_ended(emulator: Emulator) -> None:
    emulator.faults.add(Fault.stall(0.3, on="submit"))
    async with observing(emulator.hosts, emulator.key) as seen:
        task = asyncio.ensure_future(seen.completed())
        while not emulator.jobs:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await seen.requests.end_all() == []
    assert emulator.count("cancel") == 1
    assert seen.requests.uncertain == []


@pytest.mark.parametrize(("endpoint", "input"), [("me/other", None), ("flux", None), (LLM, "[]"), (LLM, "{")])
def test_plan_with_an_unknown_endpoint_or_a_bad_input_is_refused(endpoint: str, input: str | None) -> None:
    with pytest.raises(ConfigurationError):
        plan_of(endpoint, input)


@pytest.mark.parametrize("endpoint", INPUTS)
async def test_known_inputs_are_accepted_by_their_endpoints(endpoint: str, emulator: Emulator) -> None:
    async with observing(emulator.hosts, emulator.key, endpoint) as seen:
        assert (await seen.completed()).result.status == 200


async def test_question_that_cannot_be_asked_says_why() -> None:
    async with differing(submit=always({"detail": "no"}, 403)) as seen:
        with pytest.raises(NotSeenError, match="403"):
            await seen.completed()
