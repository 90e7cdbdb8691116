"""Virtual time: what moves it, what passes along with it, and what never ends before a client's turn."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import aiohttp
import pytest

from fal_async import InProgress, Queued, QueueStatus, Session
from fal_async.emulator import Emulator, JobContext, RealtimeOptions, WebhookPolicy
from tests.emulator.caller import Caller, calling
from tests.servers.receiver import receiving

WORK = "me/work"


def serve_work(emulator: Emulator, **options: Any) -> None:
    """Serve an endpoint that works for the seconds that its input says."""

    @emulator.endpoint(WORK, **options)
    async def work(input: Any, job: JobContext) -> Any:
        await job.sleep(float(input["seconds"]))
        return {"seconds": input["seconds"]}


async def submitted(caller: Caller, seconds: float, **headers: str) -> Any:
    answer = await caller.submit(WORK, {"seconds": seconds}, headers=caller.with_headers(**headers))
    assert answer.status == 200
    return answer


async def many_turns() -> None:
    """Let the event loop go on for longer than the time waits until it moves."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_a_training_of_ten_minutes_takes_ten_minutes_of_virtual_time() -> None:
    emulator = Emulator(clock="auto")
    serve_work(emulator)
    async with calling(emulator) as caller:
        began = emulator.now
        done = await caller.finished(await submitted(caller, 600))
        assert emulator.now - began == pytest.approx(600)
        assert done.data["metrics"]["inference_time"] == pytest.approx(600)


async def test_waiting_requests_start_one_after_the_other_as_time_moves() -> None:
    emulator = Emulator(clock="auto")
    serve_work(emulator, runners=2)
    async with calling(emulator) as caller:
        began = emulator.now
        all_of_them = await asyncio.gather(*(submitted(caller, 100) for _ in range(10)))
        for one in all_of_them:
            await caller.finished(one)
        ends = sorted(round(job.completed_at - began) for job in emulator.jobs.values() if job.completed_at)
        assert ends == [100, 100, 200, 200, 300, 300, 400, 400, 500, 500]


@pytest.mark.parametrize(("limit", "status"), [("599", 504), ("601", 200)])
async def test_a_start_timeout_strikes_on_the_way_to_the_end_of_longer_work(limit: str, status: int) -> None:
    emulator = Emulator(clock="auto")
    serve_work(emulator, runners=1)
    async with calling(emulator) as caller:
        first = await submitted(caller, 600)
        second = await submitted(caller, 1, X_Fal_Request_Timeout=limit)
        await caller.finished(first)
        await caller.finished(second)
        assert (await caller.result(second)).status == status


async def test_what_ends_never_moves_the_time_by_itself() -> None:
    emulator = Emulator(clock="auto")
    serve_work(emulator, runners=1)
    async with calling(emulator) as caller:
        began = emulator.now
        await caller.submit(WORK, {"seconds": "inf"})
        waiting = await submitted(caller, 1, X_Fal_Request_Timeout="30")
        await many_turns()
        assert emulator.now == began
        await emulator.advance(30)
        assert (await caller.result(waiting)).status == 504


async def test_work_beyond_the_last_date_never_ends() -> None:
    emulator = Emulator(clock="auto")
    serve_work(emulator)
    async with calling(emulator) as caller:
        began = emulator.now
        forever = await submitted(caller, 1e12)
        await many_turns()
        await emulator.advance(86_400)
        assert emulator.now == began + 86_400
        assert (await caller.status(forever)).data["status"] == "IN_PROGRESS"


async def test_a_subscriber_in_the_same_loop_streams_each_position_and_each_log_line() -> None:
    seen: list[str] = []

    def note(status: QueueStatus) -> None:
        lines = ",".join(entry.message for entry in status.logs) if isinstance(status, InProgress) else ""
        seen.append(f"queued {status.position}" if isinstance(status, Queued) else lines or "done")

    async with Emulator(clock="auto") as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:

        @emulator.endpoint("me/training", runners=1)
        async def training(input: Any, job: JobContext) -> Any:
            for minute in range(3):
                job.log(f"minute {minute}")
                await job.sleep(60)

        for _ in range(2):
            await fal.queue.submit("me/training", {})
        await fal.subscribe("me/training", {}, logs=True, mode="streaming", on_queue_update=note)
        assert seen == ["queued 1", "queued 0", "minute 0", "minute 1", "minute 2", "done"]


async def test_time_stands_still_while_a_request_does_anything_but_sleep() -> None:
    emulator, release = Emulator(clock="auto"), asyncio.Event()
    serve_work(emulator)

    @emulator.endpoint("me/busy")
    async def busy(input: Any) -> Any:
        await release.wait()
        return {}

    async with calling(emulator) as caller:
        began = emulator.now
        one = await caller.submit("me/busy")
        other = await submitted(caller, 600)
        await many_turns()
        assert emulator.now == began
        release.set()
        await caller.finished(one)
        await caller.finished(other)
        assert emulator.now - began == pytest.approx(600)


async def test_a_request_that_waits_for_a_test_lets_the_time_move() -> None:
    emulator, release = Emulator(clock="auto"), asyncio.Event()
    serve_work(emulator)

    @emulator.endpoint("me/waits")
    async def waits(input: Any, job: JobContext) -> Any:
        return {"said": await job.wait_for(release.wait())}

    async with calling(emulator) as caller:
        one = await caller.submit("me/waits")
        await caller.finished(await submitted(caller, 600))
        release.set()
        await caller.finished(one)
        assert (await caller.result(one)).data == {"said": True}


async def test_two_sleeps_of_one_request_at_the_same_time_end_in_order() -> None:
    emulator = Emulator(clock="auto")
    ends: list[tuple[str, float]] = []

    @emulator.endpoint("me/two")
    async def two(input: Any, job: JobContext) -> Any:
        began = emulator.now

        async def part(name: str, seconds: float) -> None:
            await job.sleep(seconds)
            ends.append((name, round(emulator.now - began)))

        await asyncio.gather(part("long", 60), part("short", 10))
        return {}

    async with calling(emulator) as caller:
        await caller.finished(await caller.submit("me/two"))
    assert ends == [("short", 10), ("long", 60)]


async def test_a_result_that_nobody_has_fetched_outlasts_the_work_of_others() -> None:
    emulator = Emulator(clock="auto")
    serve_work(emulator, runners=2)
    async with calling(emulator) as caller:
        short, long = await asyncio.gather(submitted(caller, 1), submitted(caller, 36_000))
        await caller.finished(long)
        assert (await caller.status(short)).data["status"] == "COMPLETED"
        assert (await caller.result(short)).data == {"seconds": 1}
        assert (await caller.result(short)).status == 200


async def test_a_fetched_result_expires_an_hour_after_its_end_as_others_work() -> None:
    emulator = Emulator(clock="auto")
    serve_work(emulator, runners=2)
    async with calling(emulator) as caller:
        short = await submitted(caller, 1)
        await caller.finished(short)
        assert (await caller.result(short)).status == 200
        await caller.finished(await submitted(caller, 3_598))
        assert (await caller.result(short)).status == 200
        await caller.finished(await submitted(caller, 3))
        assert (await caller.result(short)).status == 404


@pytest.mark.parametrize("clock", ["auto", "manual"])
async def test_a_result_expires_when_time_is_moved_by_hand_and_not_before(clock: Any) -> None:
    emulator = Emulator(clock=clock)
    serve_work(emulator)
    async with calling(emulator) as caller:
        one = await submitted(caller, 60)
        if clock == "manual":
            await emulator.advance(60)
        assert (await caller.finished(one)).data["status"] == "COMPLETED"
        await emulator.advance(3_599)
        assert (await caller.status(one)).status == 200
        await emulator.advance(1)
        assert (await caller.status(one)).status == 404


async def test_a_file_expires_when_time_is_moved_by_hand_and_not_before() -> None:
    emulator = Emulator(clock="auto", file_lifetime=600)
    serve_work(emulator)

    @emulator.endpoint("me/draws")
    async def draws(input: Any, job: JobContext) -> Any:
        return await job.file(b"x", "image/png", "x.png")

    async with calling(emulator) as caller:
        url, other = [(await caller.run("me/draws", {})).data["url"] for _ in range(2)]
        await caller.finished(await submitted(caller, 6_000))
        assert (await caller.get(url)).status == 200
        await emulator.advance(600)
        assert (await caller.get(other)).status == 404


async def test_an_access_token_ends_when_time_passes_its_moment_and_not_before() -> None:
    emulator = Emulator(clock="manual")
    emulator.add_login("refresh", expires_in=600)
    serve_work(emulator)
    form = {"grant_type": "refresh_token", "refresh_token": "refresh"}
    async with calling(emulator) as caller:
        token = (await caller.call("POST", "/auth.fal.ai/oauth/token", data=form)).data["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        await emulator.advance(599)
        assert (await caller.submit(WORK, {"seconds": 1}, headers=bearer)).status == 200
        await emulator.advance(1)
        assert (await caller.submit(WORK, {"seconds": 1}, headers=bearer)).status == 401


async def test_a_realtime_session_without_input_ends_when_its_limit_has_passed() -> None:
    emulator = Emulator(clock="manual")

    @emulator.endpoint("me/live", realtime=RealtimeOptions(codec="json", session_timeout=60))
    async def live(input: Any) -> Any:
        return {"echo": input}

    async with calling(emulator) as caller:
        url = f"{emulator.url}/fal.run/me/live/realtime"
        async with caller.http.ws_connect(url, headers=caller.with_headers()) as connection:
            await connection.send_str('{"n": 1}')
            assert (await connection.receive_json(timeout=5))["echo"] == {"n": 1}
            await emulator.advance(59)
            await connection.send_str('{"n": 2}')
            assert (await connection.receive_json(timeout=5))["echo"] == {"n": 2}
            await emulator.advance(60)
            assert (await connection.receive_json(timeout=5))["type"] == "x-fal-error"


async def one_hour(clock: Any, requests: int) -> list[str]:
    """Return what happened in an hour with requests, of which each fifth has a webhook that fails at first."""
    emulator = Emulator(clock=clock, webhooks=WebhookPolicy(first_pause=30))
    serve_work(emulator, runners=7)
    async with receiving() as receiver, calling(emulator) as caller:
        receiver.answers = [503] * (requests * 3 // 10) + [200]
        query = {"fal_webhook": receiver.url}
        began = emulator.now
        for number in range(requests):
            await caller.submit(WORK, {"seconds": 20 + number % 9}, params={} if number % 5 else query)
        if clock == "manual":
            await emulator.advance(3_600)
        numbers = {request_id: number for number, request_id in enumerate(emulator.jobs)}
        for job in emulator.jobs.values():
            await job.wait_for("COMPLETED", timeout=20)
        await emulator.webhooks.wait_until_idle(timeout=20)
        assert emulator.now - began < 7_200
        ends = [f"{(job.completed_at or 0) - began:.3f}" for job in emulator.jobs.values()]
        return ends + [
            f"{numbers[attempt.request_id]} {attempt.status} {attempt.at - began:.3f}"
            for attempt in emulator.webhooks.attempts
        ]


@pytest.mark.parametrize(("clock", "requests"), [("auto", 500), ("manual", 100)])
async def test_an_hour_of_requests_and_webhook_retries_has_the_same_order_again(
    clock: str, requests: int
) -> None:
    first = await one_hour(clock, requests)
    assert len(first) == requests * 3 // 2
    assert await one_hour(clock, requests) == first


async def test_stopping_leaves_nothing_of_requests_that_sleep() -> None:
    emulator = Emulator(clock="manual")
    serve_work(emulator)
    async with calling(emulator) as caller:
        await submitted(caller, 600)
        await many_turns()
    async with calling(emulator) as caller:
        await caller.finished(await submitted(caller, 0))


def test_time_of_an_emulator_in_a_thread_is_moved_from_any_loop() -> None:
    async def expired(emulator: Emulator) -> int:
        async with aiohttp.ClientSession() as http:
            caller = Caller(emulator, http)
            one = await submitted(caller, 60)
            await emulator.advance(3_660)
            return (await caller.status(one)).status

    emulator = Emulator(clock="manual")
    serve_work(emulator)
    with emulator:
        assert [asyncio.run(expired(emulator)) for _ in range(2)] == [404, 404]


async def test_real_time_can_not_be_moved_by_hand(emulator: Emulator) -> None:
    with pytest.raises(RuntimeError, match='clock="auto"'):
        await emulator.advance(1)


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan, 1e12])
async def test_time_is_not_moved_back_nor_without_end(seconds: float) -> None:
    async with Emulator(clock="manual") as emulator:
        with pytest.raises(ValueError, match="up to the year 9999"):
            await emulator.advance(seconds)


async def test_time_is_moved_over_http_and_says_where_it_is() -> None:
    async with calling(Emulator(clock="manual")) as caller:
        began = (await caller.get("/_emulator/clock")).data["now"]
        moved = await caller.call("POST", "/_emulator/clock", json={"seconds": 90})
        assert moved.data == {"kind": "manual", "now": began + 90}
        wrong = await caller.call("POST", "/_emulator/clock", json={"seconds": -1})
        assert wrong.status == 400
        assert "up to the year 9999" in wrong.data["detail"]
        for body in ({"second": 1}, {"seconds": "1 h"}, {"seconds": True}, [60]):
            wrong = await caller.call("POST", "/_emulator/clock", json=body)
            assert (wrong.status, wrong.data["detail"]) == (
                400,
                'expected {"seconds": number}, such as {"seconds": 3600}',
            )


async def test_moving_real_time_over_http_is_a_conflict_with_a_way_out(caller: Caller) -> None:
    refused = await caller.call("POST", "/_emulator/clock", json={"seconds": 1})
    assert refused.status == 409
    assert 'clock="manual"' in refused.data["detail"]


def test_an_unknown_clock_and_a_speed_of_virtual_time_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one of real, auto, manual"):
        Emulator(clock="fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no speed"):
        Emulator(clock="auto", speed=50)
