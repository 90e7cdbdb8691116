"""Realtime connections of a session, against the emulator (protocol 6)."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import logging
import pickle
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web

from fal_async import (
    ApiError,
    AuthenticationError,
    ClientTimeoutError,
    ConfigurationError,
    File,
    Hosts,
    NotFoundError,
    PermissionDeniedError,
    RealtimeConnection,
    RealtimeError,
    Reconnect,
    Reconnected,
    Session,
    SessionStateError,
    TransportError,
)
from fal_async.emulator import Emulator, Fault, JobContext, RealtimeOptions
from tests.quick import at_once

QUICK = Reconnect(attempts=5, first_delay=0.01, max_delay=0.05)
ENDLESS = Reconnect(attempts=100, first_delay=0.001, max_delay=0.01)


def serve_models(emulator: Emulator) -> None:
    @emulator.endpoint("me/echo", runners=20)
    async def echo(input: Any) -> Any:
        return input

    @emulator.endpoint("me/json", realtime=RealtimeOptions(codec="json", timings=True))
    async def spoken(input: Any) -> Any:
        return input

    @emulator.endpoint("me/count")
    async def count(input: Any) -> AsyncIterator[int]:
        for number in range(input):
            yield number


@pytest.fixture(autouse=True)
def models(emulator: Emulator) -> None:
    serve_models(emulator)


class News:
    """An `on_reconnect` whose calls can be awaited."""

    def __init__(self) -> None:
        self.all: list[Reconnected] = []
        self._some = asyncio.Event()

    def __call__(self, news: Reconnected) -> None:
        self.all.append(news)
        self._some.set()

    async def first(self) -> Reconnected:
        await asyncio.wait_for(self._some.wait(), 10)
        return self.all[0]


async def within(work: Any) -> Any:
    return await asyncio.wait_for(work, 10)


async def drain(connection: RealtimeConnection) -> list[Any]:
    return [message async for message in connection]


# Messages.


async def test_messages_are_sent_and_received_in_order(fal: Session, emulator: Emulator) -> None:
    async with fal.realtime.connect("me/echo") as connection:
        messages: list[Any] = [{"a": b"\x00\xff", "b": [1, 2.5, None]}, [], "é", 5]
        for message in messages:
            await connection.send(message)
            assert await connection.recv() == message
        assert (connection.endpoint_id, connection.reconnects, connection.ended) == (
            "me/echo/realtime",
            0,
            False,
        )
    assert connection.ended
    [job] = emulator.jobs.values()
    assert await job.wait_for("COMPLETED", timeout=5) == "COMPLETED"


async def test_requests_of_several_tasks_take_turns(fal: Session) -> None:
    async with fal.realtime.connect("me/echo") as connection:
        answers = await asyncio.gather(*(connection.request(number) for number in range(50)))
    assert answers == list(range(50))


async def test_one_message_may_have_many_answers(fal: Session) -> None:
    async with fal.realtime.connect("me/count") as connection:
        await connection.send(4)
        assert [await connection.recv() for _ in range(4)] == [0, 1, 2, 3]


async def test_messages_may_be_attrs_values(fal: Session) -> None:
    @attrs.frozen
    class Prompt:
        prompt: str

    async with fal.realtime.connect("me/echo") as connection:
        assert await connection.request({"inner": Prompt("a")}) == {"inner": {"prompt": "a"}}
        with pytest.raises(ConfigurationError, match="can't be encoded"):
            await connection.send({"x": object()})
        assert await connection.request(1) == 1


async def test_the_emulators_image_model_answers_with_an_image(fal: Session) -> None:
    seconds: list[float] = []
    async with fal.realtime.connect("fal-ai/fast-lcm-diffusion", on_timings=seconds.append) as connection:
        for seed in range(2):
            answer = await connection.request({"prompt": "a cat", "seed": seed, "size": 64})
            assert answer["images"][0]["content"].startswith(b"\x89PNG")
    assert len(seconds) >= 1


async def test_json_codecs_exchange_text_frames(fal: Session) -> None:
    seconds: list[float] = []

    async def timings(value: float) -> None:
        seconds.append(value)

    connect = fal.realtime.connect("me/json", encode=json.dumps, decode=json.loads, on_timings=timings)
    async with connect as connection:
        for message in ([1, 2], 5, "hi", None, {"a": 1}):
            await connection.send(message)
            assert await connection.recv() == message
        await connection.request(0)
    assert len(seconds) >= 5


async def test_text_frames_are_decoded_without_a_custom_codec(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.frame("[1,2]", on="realtime"))
    async with fal.realtime.connect("me/echo") as connection:
        await connection.send(0)
        assert [await connection.recv(), await connection.recv()] == [0, [1, 2]]
    emulator.faults.add(Fault.frame("no json", on="realtime", events=0))
    async with fal.realtime.connect("me/echo") as connection:
        assert await connection.recv() == "no json"


async def test_messages_of_several_megabytes_are_exchanged(fal: Session) -> None:
    picture = bytes(range(256)) * 32 * 1024
    async with fal.realtime.connect("me/echo") as connection:
        assert (await connection.request({"image": picture}))["image"] == picture


async def test_a_message_over_the_limit_ends_the_connection(fal: Session) -> None:
    async with fal.realtime.connect("me/echo", max_message_size=1000) as connection:
        await connection.send(b"x" * 2000)
        with pytest.raises(RealtimeError) as caught:
            await within(connection.recv())
    assert caught.value.code == 1009


async def test_a_full_receive_buffer_holds_the_server_back(fal: Session, emulator: Emulator) -> None:
    sent = 0

    @emulator.endpoint("me/flood")
    async def flood(input: Any) -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(200):
            yield b"x" * 100_000
            sent += 1

    connect, echo = fal.realtime.connect("me/flood", receive_buffer=2), fal.realtime.connect("me/echo")
    async with connect as connection, echo as other:
        await connection.send(1)
        assert len(await connection.recv()) == 100_000
        before = -1
        while before != sent:  # until nothing more is sent, in the time of a hundred messages elsewhere
            before = sent
            for number in range(100):
                await other.request(number)
        assert sent < 150
        for _ in range(199):
            assert len(await within(connection.recv())) == 100_000
    assert sent == 200


async def test_a_second_task_that_receives_is_refused(fal: Session) -> None:
    async with fal.realtime.connect("me/echo") as connection:
        first = asyncio.create_task(connection.recv())
        await asyncio.sleep(0)
        with pytest.raises(SessionStateError, match="another task"):
            await connection.recv()
        await connection.send(1)
        assert await first == 1


async def test_a_cancelled_receive_loses_nothing(fal: Session) -> None:
    async with fal.realtime.connect("me/echo") as connection:
        for number in range(20):
            await connection.send(number)
        got: list[int] = []
        while len(got) < 20:
            receiving = asyncio.create_task(connection.recv())
            for _ in range(3):
                await asyncio.sleep(0)
            receiving.cancel()
            try:
                got.append(await receiving)
            except asyncio.CancelledError:
                await asyncio.sleep(0.001)
        assert got == list(range(20))


async def test_a_throttled_connection_sends_only_the_newest_message(fal: Session) -> None:
    async with fal.realtime.connect("me/echo", throttle=0.2) as connection:
        for number in range(10):
            await connection.send(number)
        assert [await within(connection.recv()) for _ in range(2)] == [0, 9]
        await connection.send("next")
        assert await within(connection.recv()) == "next"
        await connection.send("held")  # dropped when the connection closes


# Authentication.


def tokens_asked(emulator: Emulator) -> list[Any]:
    return [json.loads(request.body) for request in emulator.requests if request.kind == "realtime_token"]


async def test_one_token_serves_many_connections(fal: Session, emulator: Emulator) -> None:
    async with fal.realtime.connect("me/echo") as one, fal.realtime.connect("me/echo") as other:
        assert await one.request(1) == await other.request(1)
    assert tokens_asked(emulator) == [{"allowed_apps": ["echo"], "token_expiration": 120}]
    handshakes = [request for request in emulator.requests if request.kind == "realtime"]
    assert all("fal_jwt_token" in request.query for request in handshakes)
    assert all("Authorization" not in request.headers for request in handshakes)


async def test_a_token_is_used_for_nine_tenths_of_its_life(fal: Session, emulator: Emulator) -> None:
    connections = 0
    async with asyncio.timeout(10):
        while len(tokens_asked(emulator)) < 3:
            connections += 1
            async with fal.realtime.connect("me/echo", token_seconds=2) as connection:
                await connection.request(1)
            assert connection.reconnects == 0, "no token was too old"
    assert connections > 3, "most connections take the token that is there"


async def test_token_form_path_fetches_a_token_by_the_path(fal: Session, emulator: Emulator) -> None:
    async with fal.realtime.connect("me/echo", token_form="path") as connection:
        await connection.request(1)
    assert tokens_asked(emulator) == [{"allowed_apps": ["me/echo/realtime"], "duration": 120}]


async def test_use_token_false_sends_the_key_with_the_handshake(fal: Session, emulator: Emulator) -> None:
    async with fal.realtime.connect("me/echo", use_token=False, max_buffering=7, hint="h") as connection:
        await connection.request(1)
    [request] = emulator.requests
    assert request.headers["Authorization"] == f"Key {emulator.key}"
    assert dict(request.query) == {"max_buffering": "7"}
    assert request.headers["X-Fal-Runner-Hint"] == "h"


async def test_token_provider_provides_the_token_of_each_handshake(fal: Session, emulator: Emulator) -> None:
    asked: list[str] = []

    async def provide(app: str) -> str:
        asked.append(app)
        async with aiohttp.ClientSession() as http:
            headers = {"Authorization": f"Key {emulator.key}"}
            wanted = {"allowed_apps": ["echo"]}
            async with http.post(
                f"{emulator.url}/rest.fal.ai/tokens/", json=wanted, headers=headers
            ) as answer:
                token: str = await answer.json()
                return token

    async with fal.realtime.connect("me/echo", token_provider=provide) as connection:
        await connection.request(1)
    assert asked == ["me/echo/realtime"]
    for odd in ("", "\ud800", "a\nb"):
        with pytest.raises(ConfigurationError, match="token_provider returned"):
            await fal.realtime.connect("me/echo", token_provider=lambda _, odd=odd: odd).__aenter__()


async def test_a_failing_token_service_is_asked_once_for_all_waiting_tasks(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.answer(403, on="realtime_token", times=None))
    connections = [fal.realtime.connect("me/echo") for _ in range(10)]
    ends = await asyncio.gather(*(one.__aenter__() for one in connections), return_exceptions=True)
    assert {type(end) for end in ends} == {PermissionDeniedError}
    assert len(tokens_asked(emulator)) <= 2, "each dial tries a second token"


async def test_views_with_the_same_key_share_their_tokens(fal: Session, emulator: Emulator) -> None:
    for view in (fal, fal.with_options(tags={"who": "a"}), fal.with_options(tags={"who": "b"})):
        async with view.realtime.connect("me/echo") as connection:
            await connection.request(1)
    assert len(tokens_asked(emulator)) == 1


async def test_views_with_other_keys_have_separate_tokens(fal: Session, emulator: Emulator) -> None:
    async with fal.realtime.connect("me/echo") as connection:
        await connection.request(1)
    other = fal.with_options(credentials="other:key")
    with pytest.raises(AuthenticationError):
        await other.realtime.connect("me/echo").__aenter__()


async def test_an_expired_token_is_replaced_and_nothing_is_lost(fal: Session, emulator: Emulator) -> None:
    news = News()
    async with fal.realtime.connect("me/echo") as connection:
        await connection.request(1)
    emulator.revoke_realtime_tokens()
    async with fal.realtime.connect("me/echo", on_reconnect=news) as connection:
        assert await within(connection.request("sent with the old token")) == "sent with the old token"
    [told] = news.all
    assert told.in_flight == ()
    assert len(tokens_asked(emulator)) == 2


async def test_a_token_that_is_rejected_again_raises_realtime_error(fal: Session) -> None:
    async with fal.realtime.connect("me/echo", token_provider=lambda _: "nonsense") as connection:
        with pytest.raises(RealtimeError, match="rejected") as caught:
            await within(connection.recv())
    assert caught.value.error == "Unauthorized"


async def test_a_rejected_token_raises_if_reconnect_is_false(fal: Session) -> None:
    connect = fal.realtime.connect("me/echo", token_provider=lambda _: "nonsense", reconnect=False)
    async with connect as connection:
        with pytest.raises(RealtimeError, match="rejected"):
            await within(connection.recv())


async def test_the_token_is_in_no_log_and_no_error(
    fal: Session, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "eyJsecret.eyJsecret.secret"
    shown = ""
    for fault in (Fault.answer(503, on="realtime", times=None), Fault.reset(on="realtime", times=None)):
        emulator.faults.clear()
        emulator.faults.add(fault)
        try:
            await fal.realtime.connect("me/echo", token_provider=lambda _: secret).__aenter__()
        except (ApiError, TransportError) as error:
            shown += "".join(traceback.format_exception(error)) + repr(error) + str(error.to_dict())
    assert shown
    assert "eyJsecret" not in shown + caplog.text


# The end of a session.


async def test_a_timeout_frame_ends_the_iteration(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/idle", realtime=RealtimeOptions(session_timeout=0.5))
    async def idle(input: Any) -> Any:
        return input

    async with fal.realtime.connect("me/idle") as connection:
        await connection.send(1)
        assert [message async for message in connection] == [1]
        assert connection.ended
        assert await connection.recv() is None
        assert await within(connection.request(2)) == 2  # begins a new session
    async with fal.realtime.connect("me/idle", reconnect=False) as connection:
        assert [message async for message in connection] == []
        with pytest.raises(RealtimeError, match="ended"):
            await connection.send(1)


async def test_a_new_session_after_a_regular_end_retries_its_handshake(
    fal: Session, emulator: Emulator
) -> None:
    @emulator.endpoint("me/idle", realtime=RealtimeOptions(session_timeout=0.5))
    async def idle(input: Any) -> Any:
        return input

    async with fal.realtime.connect("me/idle", reconnect=QUICK) as connection:
        assert await drain(connection) == []
        emulator.faults.add(Fault.answer(503, on="realtime", times=2))
        assert await within(connection.request("after two refusals")) == "after two refusals"
        assert connection.reconnects == 0


async def test_close_code_1000_ends_the_iteration(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.ws_close(1000, on="realtime"))
    async with fal.realtime.connect("me/echo") as connection:
        await connection.send(1)
        assert [message async for message in connection] == [1]


async def test_a_request_raises_if_the_session_ends_before_its_answer(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.frame('{"type":"x-fal-error","error":"TIMEOUT"}', on="realtime", events=0))

    @emulator.endpoint("me/never")
    async def never(input: Any) -> Any:
        await asyncio.Event().wait()

    async with fal.realtime.connect("me/never") as connection:
        with pytest.raises(RealtimeError, match="ended before the answer") as caught:
            await within(connection.request("x"))
    assert caught.value.in_flight == ["x"]


@pytest.mark.parametrize("binary", [False, True])
async def test_an_error_frame_raises_realtime_error(fal: Session, emulator: Emulator, binary: bool) -> None:
    error = json.dumps({"type": "x-fal-error", "error": "INTERNAL_ERROR", "reason": "no such prompt"})
    emulator.faults.add(Fault.frame(error, binary=binary, on="realtime"))
    async with fal.realtime.connect("me/echo") as connection:
        await connection.send(1)
        assert await connection.recv() == 1
        with pytest.raises(RealtimeError, match="no such prompt") as caught:
            await within(connection.recv())
        with pytest.raises(RealtimeError):
            await connection.send(2)
    assert (caught.value.error, caught.value.reason) == ("INTERNAL_ERROR", "no such prompt")
    assert caught.value.endpoint_id == "me/echo/realtime"


async def test_a_failing_model_raises_realtime_error(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/fails")
    async def fails(input: Any) -> Any:
        raise ValueError("bad input")

    async with fal.realtime.connect("me/fails") as connection:
        with pytest.raises(RealtimeError, match="bad input"):
            await within(connection.request(1))


async def test_a_refusal_raises_realtime_error_with_code_and_reason(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.ws_close(4001, "no quota", on="realtime"))
    async with fal.realtime.connect("me/echo") as connection:
        await connection.send(1)
        assert await connection.recv() == 1
        with pytest.raises(RealtimeError, match="4001") as caught:
            await within(connection.recv())
    assert (caught.value.code, caught.value.reason) == (4001, "no quota")
    for twin in (pickle.loads(pickle.dumps(caught.value)), copy.deepcopy(caught.value)):
        assert (str(twin), twin.code, twin.reason) == (str(caught.value), 4001, "no quota")
    assert caught.value.to_dict()["code"] == 4001
    assert len([request for request in emulator.requests if request.kind == "realtime"]) == 1


async def test_a_frame_that_can_not_be_decoded_raises_realtime_error(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.wrong_json(on="realtime"))
    async with fal.realtime.connect("me/echo") as connection:
        await connection.send({"prompt": "abcdef"})
        with pytest.raises(RealtimeError, match="decoded") as caught:
            await within(connection.recv())
    assert caught.value.error == "UNDECODABLE"


async def test_a_failed_handshake_raises_its_own_error(fal: Session, emulator: Emulator) -> None:
    with pytest.raises(NotFoundError) as caught:
        await fal.realtime.connect("me/none").__aenter__()
    assert str(caught.value) == "404 Not Found (endpoint me/none/realtime)"
    await emulator.pause()
    with pytest.raises(TransportError):
        await fal.realtime.connect("me/echo", use_token=False).__aenter__()
    await emulator.resume()
    emulator.faults.add(Fault.stall(30, on="realtime"))
    with pytest.raises(TransportError):
        await within(fal.realtime.connect("me/echo", connect_timeout=0.2).__aenter__())


# Lost connections.


async def test_messages_flow_again_after_a_connection_was_lost_in_any_way(no_tasks_left: None) -> None:
    async def check(fault: Fault) -> None:
        news = News()
        async with Emulator() as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:
            serve_models(emulator)
            emulator.faults.add(fault)
            connect = fal.realtime.connect("me/echo", reconnect=QUICK, keep="all", on_reconnect=news)
            async with connect as connection:
                for number in range(3):
                    assert await connection.request(number) == number
                await connection.send("doomed")  # with `truncate`, the answer to this message breaks off
                told = await news.first()
                assert await within(connection.request("after")) in ("after", "doomed")
        assert connection.reconnects == 1
        assert isinstance(told.cause, RealtimeError)
        assert told.attempts >= 1
        # "doomed" was either in flight, or unsent and then resent: never both, never neither.
        assert (list(told.in_flight), told.resent) in ((["doomed"], 0), ([], 1))

    faults = [
        Fault.reset(taken=True, on="realtime", events=3),
        Fault.close(taken=True, on="realtime", events=3),
        Fault.truncate(on="realtime", events=4),
        Fault.ws_close(1012, "restart", on="realtime", events=3),
        Fault.ws_close(1001, on="realtime", events=3),
    ]
    await at_once(check, faults)


async def test_a_connection_is_replaced_after_a_server_restart(fal: Session, emulator: Emulator) -> None:
    news = News()
    async with fal.realtime.connect("me/echo", reconnect=QUICK, keep="all", on_reconnect=news) as connection:
        assert await connection.request(1) == 1
        await emulator.pause()
        for number in (2, 3, 4):
            await connection.send(number)
        await emulator.resume()
        assert [await within(connection.recv()) for _ in range(3)] == [2, 3, 4]
    told = await news.first()
    assert (told.in_flight, told.resent, told.dropped) == ((), 3, 0)


async def test_keep_latest_keeps_only_the_newest_unsent_message(fal: Session, emulator: Emulator) -> None:
    news = News()
    async with fal.realtime.connect("me/echo", reconnect=QUICK, on_reconnect=news) as connection:
        assert await connection.request(1) == 1
        await emulator.pause()
        for number in (2, 3, 4):
            await connection.send(number)
        await emulator.resume()
        assert await within(connection.recv()) == 4
    told = await news.first()
    assert (told.resent, told.dropped) == (1, 2)


async def test_keep_all_makes_senders_wait_when_max_unsent_is_reached(
    fal: Session, emulator: Emulator
) -> None:
    connect = fal.realtime.connect("me/echo", reconnect=QUICK, keep="all", max_unsent=2)
    async with connect as connection:
        assert await connection.request(0) == 0
        await emulator.pause()
        sends = [asyncio.create_task(connection.send(number)) for number in (1, 2, 3, 4)]
        await asyncio.wait(sends[:2])
        for _ in range(10):
            await asyncio.sleep(0)
        assert [task.done() for task in sends] == [True, True, False, False]
        await emulator.resume()
        assert sorted([await within(connection.recv()) for _ in range(4)]) == [1, 2, 3, 4]
        await asyncio.gather(*sends)


async def test_a_request_in_flight_when_the_connection_is_lost_raises_and_is_not_resent(
    fal: Session, emulator: Emulator
) -> None:
    working, calls = asyncio.Event(), 0

    @emulator.endpoint("me/slow", ignores_cancel=True)
    async def slow(input: Any, job: JobContext) -> Any:
        nonlocal calls
        calls += 1
        if input == "first":
            working.set()
            await asyncio.Event().wait()
        return input

    news = News()
    async with fal.realtime.connect("me/slow", reconnect=QUICK, on_reconnect=news) as connection:
        request = asyncio.create_task(connection.request("first"))
        await working.wait()
        await emulator.pause()
        with pytest.raises(RealtimeError, match="lost before the answer") as caught:
            await within(request)
        await emulator.resume()
        assert await within(connection.request("second")) == "second"
    assert caught.value.in_flight == ["first"]
    assert (await news.first()).in_flight == ("first",)
    assert calls == 2


# Without `on_reconnect`, the receiving task gets an error.


class Mute:
    """A model that answers only `str` messages, and records all messages."""

    def __init__(self, emulator: Emulator) -> None:
        self.got: asyncio.Queue[Any] = asyncio.Queue()

        @emulator.endpoint("me/mute", runners=5, realtime=RealtimeOptions(session_timeout=60))
        async def mute(input: Any) -> AsyncIterator[Any]:
            self.got.put_nowait(input)
            if isinstance(input, str):
                yield input


async def test_a_task_that_waits_for_a_lost_answer_gets_an_error_and_can_continue(
    fal: Session, emulator: Emulator
) -> None:
    mute = Mute(emulator)
    async with fal.realtime.connect("me/mute", reconnect=QUICK) as connection:
        waiting = asyncio.create_task(connection.recv())
        for number in (1, 2):
            await connection.send(number)
            await within(mute.got.get())
        emulator.drop_connections()
        with pytest.raises(
            RealtimeError, match=r"2 message\(s\) were sent and not answered.*on_reconnect="
        ) as caught:
            await within(waiting)
        assert (caught.value.in_flight, caught.value.code, connection.ended) == ([1, 2], 1006, False)
        await connection.send("after")
        assert await within(connection.recv()) == "after"
    assert connection.reconnects == 1


async def test_a_lost_answer_is_reported_once_after_the_messages_that_came_before(
    fal: Session, emulator: Emulator
) -> None:
    mute = Mute(emulator)
    async with fal.realtime.connect("me/mute", reconnect=QUICK) as connection:
        await connection.send("before")
        assert await within(mute.got.get()) == "before"
        for number in (1, 2):  # two connections are lost while no task receives
            await connection.send(number)
            assert await within(mute.got.get()) == number
            for _ in range(20):  # until the earlier answers have arrived
                await asyncio.sleep(0)
            emulator.drop_connections()
            async with asyncio.timeout(10):
                while connection.reconnects < number:
                    await asyncio.sleep(0.01)
        received = list[Any]()
        with pytest.raises(RealtimeError) as caught:
            await within(collect(connection, received))
        await connection.send("after")
        assert await within(connection.recv()) == "after"
    # Each received message counts as the answer to the oldest sent one.
    assert (received, caught.value.in_flight) == (["before"], [1, 2])


async def collect(connection: RealtimeConnection, into: list[Any]) -> None:
    async for message in connection:
        into.append(message)


async def test_a_lost_request_is_reported_only_to_its_sender(fal: Session, emulator: Emulator) -> None:
    mute = Mute(emulator)
    async with fal.realtime.connect("me/mute", reconnect=QUICK) as connection:
        request = asyncio.create_task(connection.request(1))
        await within(mute.got.get())
        emulator.drop_connections()
        with pytest.raises(RealtimeError, match="lost before the answer"):
            await within(request)
        with pytest.raises(ClientTimeoutError):
            await connection.request(2, timeout=0.1)
        emulator.drop_connections()
        async with asyncio.timeout(10):
            while connection.reconnects < 2:
                await asyncio.sleep(0.01)
        await connection.send("after")
        assert await within(connection.recv()) == "after"


async def test_a_request_is_not_disturbed_by_lost_answers_of_other_tasks(
    fal: Session, emulator: Emulator
) -> None:
    mute = Mute(emulator)
    async with fal.realtime.connect("me/mute", reconnect=QUICK, keep="all") as connection:
        await connection.send(1)
        await within(mute.got.get())
        await emulator.pause()
        request = asyncio.create_task(connection.request("asked"))
        await emulator.resume()
        assert await within(request) == "asked"
        with pytest.raises(RealtimeError) as caught:
            await within(connection.recv())
        assert await within(connection.request("again")) == "again"
    assert caught.value.in_flight == [1]


async def test_a_session_that_ends_regularly_before_its_answers_is_reported(
    fal: Session, emulator: Emulator
) -> None:
    """No task was receiving when the session ended, and a new session has begun since."""
    mute = Mute(emulator)
    emulator.faults.add(Fault.ws_close(1000, on="realtime", events=1))
    async with fal.realtime.connect("me/mute", reconnect=QUICK) as connection:
        await connection.send(1)
        await within(mute.got.get())
        await connection.send("ends it")
        async with asyncio.timeout(10):
            while not connection.ended:
                await asyncio.sleep(0.01)
        await connection.send("after")
        received = list[Any]()
        with pytest.raises(RealtimeError) as caught:
            await within(collect(connection, received))
        received.append(await within(connection.recv()))
    assert received[-1] == "after"
    assert "ends it" in [*received, *caught.value.in_flight]


async def test_a_request_that_a_newer_message_replaces_raises(fal: Session, emulator: Emulator) -> None:
    async with fal.realtime.connect("me/echo", reconnect=QUICK, keep="latest") as connection:
        assert await connection.request(0) == 0
        await emulator.pause()
        request = asyncio.create_task(connection.request(1))
        for number in (2, 3):
            await asyncio.sleep(0)
            await connection.send(number)
        await emulator.resume()
        with pytest.raises(RealtimeError, match=r"was not sent: a newer message|lost before the answer"):
            await within(request)
        assert await within(connection.recv()) == 3


async def test_a_lost_connection_raises_one_error_if_reconnect_is_false(
    fal: Session, emulator: Emulator
) -> None:
    emulator.faults.add(Fault.reset(taken=True, on="realtime"))
    async with fal.realtime.connect("me/echo", reconnect=False) as connection:
        await connection.send("sent")
        with pytest.raises(RealtimeError, match="broke") as caught:
            await within(drain(connection))
        with pytest.raises(RealtimeError):
            await connection.send(2)
    assert caught.value.code == 1006
    assert len([request for request in emulator.requests if request.kind == "realtime"]) == 1


async def test_reconnecting_raises_after_the_last_attempt(fal: Session, emulator: Emulator) -> None:
    connect = fal.realtime.connect("me/echo", reconnect=Reconnect(attempts=3, first_delay=0.01))
    async with connect as connection:
        assert await connection.request(1) == 1
        emulator.faults.add(Fault.answer(503, on="realtime", times=None))
        emulator.faults.add(Fault.reset(on="realtime_token", times=None))
        await emulator.pause()
        await emulator.resume()
        with pytest.raises(RealtimeError, match="3 attempts") as caught:
            await within(connection.recv())
    assert caught.value.code == 1006
    assert isinstance(caught.value.__cause__, RealtimeError)


async def test_a_refused_handshake_ends_reconnecting(fal: Session, emulator: Emulator) -> None:
    async with fal.realtime.connect("me/echo", reconnect=QUICK) as connection:
        assert await connection.request(1) == 1
        emulator.faults.add(Fault.answer(404, on="realtime", times=None))
        await emulator.pause()
        await emulator.resume()
        with pytest.raises(NotFoundError):
            await within(connection.recv())


async def test_a_peer_that_answers_no_ping_loses_the_connection(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.stall(60, where="body", on="realtime"))
    news = News()
    connect = fal.realtime.connect("me/echo", reconnect=QUICK, heartbeat=0.2, on_reconnect=news)
    async with connect as connection:
        assert await connection.request(1) == 1
        told = await news.first()
        assert await within(connection.request(2)) == 2
    assert "ping" in str(told.cause)


async def a_dead_peer_is_noticed(fal: Session, emulator: Emulator, *, heartbeat: float) -> None:
    """Wait for two heartbeats of another connection."""
    emulator.faults.add(Fault.stall(60, where="body", events=0, on="realtime"))
    connect = fal.realtime.connect("me/echo", reconnect=False, heartbeat=heartbeat)
    async with connect as connection:
        with pytest.raises(RealtimeError, match="ping"):
            await within(connection.recv())


async def test_heartbeats_tolerate_quiet_peers_and_slow_receivers(fal: Session, emulator: Emulator) -> None:
    @emulator.endpoint("me/flood")
    async def flood(input: Any) -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 100_000

    async with fal.realtime.connect("me/echo", heartbeat=0.2) as quiet:
        async with fal.realtime.connect("me/flood", heartbeat=0.2, receive_buffer=1) as slow:
            await slow.send(1)
            for _ in range(5):  # ten heartbeats, in which no task receives
                await a_dead_peer_is_noticed(fal, emulator, heartbeat=0.2)
            for _ in range(40):
                await within(slow.recv())
            assert slow.reconnects == 0
        assert await quiet.request(1) == 1
        assert quiet.reconnects == 0


@pytest.mark.parametrize("seed", range(3))
async def test_no_message_is_sent_twice_whatever_breaks(seed: int) -> None:
    """Most sessions break after a few messages, each in a different way, and tokens are revoked in between."""
    arrived: list[int] = []
    async with Emulator(seed=seed) as emulator, Session(emulator.key, hosts=emulator.hosts) as fal:

        @emulator.endpoint("me/echo", runners=50)
        async def echo(input: int) -> int:
            arrived.append(input)
            return input

        often: dict[str, Any] = {"on": "realtime", "times": None, "chance": 0.3}
        emulator.faults.add(
            Fault.reset(taken=True, events=3, **often),
            Fault.truncate(events=2, **often),
            Fault.answer(503, after=1, **often),
            Fault.ws_close(1012, events=4, **often),
            Fault.close(taken=True, events=1, **often),
            Fault.close(taken=True, events=5, on="realtime", times=None),
        )
        news, answered, lost = News(), list[int](), list[int]()
        connect = fal.realtime.connect("me/echo", reconnect=ENDLESS, keep="all", on_reconnect=news)
        async with connect as connection:
            for number in range(120):
                try:
                    assert await within(connection.request(number)) == number
                    answered.append(number)
                except RealtimeError as error:
                    lost += error.in_flight
                if number % 25 == 0:
                    emulator.revoke_realtime_tokens()
    assert len(set(arrived)) == len(arrived)
    assert set(answered) <= set(arrived)
    assert sorted([*answered, *lost]) == list(range(120))
    assert len(answered) > 60
    assert {number for told in news.all for number in told.in_flight} == set(lost)
    assert len(news.all) == connection.reconnects > 10


class Stop(BaseException):
    """An exception that is not an `Exception`, like that of `pytest.fail`."""


@pytest.mark.parametrize("error", [KeyError("mine"), Stop()])
async def test_a_callback_that_raises_ends_the_session(
    fal: Session, emulator: Emulator, error: BaseException
) -> None:
    def refuse(_: Reconnected) -> None:
        raise error

    async with fal.realtime.connect("me/echo", reconnect=QUICK, on_reconnect=refuse) as connection:
        assert await connection.request(1) == 1
        await emulator.pause()
        await emulator.resume()
        with pytest.raises(RealtimeError, match=f"callback failed: {type(error).__name__}") as caught:
            await within(connection.recv())
    assert caught.value.__cause__ is error


async def test_a_receiver_is_given_an_error_if_other_code_cancels_the_reading_task(fal: Session) -> None:
    async with fal.realtime.connect("me/echo", reconnect=QUICK) as connection:
        (reading,) = [task for task in asyncio.all_tasks() if task.get_name() == "fal_async realtime"]
        reading.cancel()
        with pytest.raises(RealtimeError, match="cancelled"):
            await within(connection.recv())


# Callbacks, requests that are given up, and opening and closing.


async def test_on_reconnect_may_send_a_message(fal: Session, emulator: Emulator) -> None:
    async def again(news: Reconnected) -> None:
        await connection.send("again")

    async with fal.realtime.connect("me/echo", reconnect=QUICK, on_reconnect=again) as connection:
        assert await connection.request(1) == 1
        emulator.drop_connections()
        assert await within(connection.recv()) == "again"


async def test_a_callback_that_receives_raises_instead_of_hanging(fal: Session, emulator: Emulator) -> None:
    async def ask(_: Reconnected) -> None:
        await connection.request("again")

    async with fal.realtime.connect("me/echo", reconnect=QUICK, on_reconnect=ask) as connection:
        assert await connection.request(1) == 1
        emulator.drop_connections()
        with pytest.raises(SessionStateError, match="wait for itself"):
            await within(connection.recv())


async def test_a_request_beyond_its_timeout_raises_and_later_ones_are_refused(
    fal: Session, emulator: Emulator
) -> None:
    @emulator.endpoint("me/never")
    async def never(input: Any) -> Any:
        await asyncio.Event().wait()

    async with fal.realtime.connect("me/never") as connection:
        with pytest.raises(ClientTimeoutError, match=r"0\.1 s"):
            await connection.request(1, timeout=0.1)
        with pytest.raises(RealtimeError, match="open another connection"):
            await connection.request(2)


async def test_a_request_that_was_given_up_does_not_block_a_new_connection(
    fal: Session, emulator: Emulator
) -> None:
    """Its answer can't arrive on the new connection."""

    @emulator.endpoint("me/slow", ignores_cancel=True, runners=5)
    async def slow(input: Any) -> Any:
        if input == "for ever":
            await asyncio.Event().wait()
        return input

    news = News()
    async with fal.realtime.connect("me/slow", reconnect=QUICK, on_reconnect=news) as connection:
        with pytest.raises(ClientTimeoutError):
            await connection.request("for ever", timeout=0.1)
        emulator.drop_connections()
        assert (await news.first()).in_flight == ("for ever",)
        assert await within(connection.request("soon")) == "soon"


@pytest.mark.parametrize("timeout", [0, -1, "5", True])
async def test_a_wrong_timeout_of_a_request_is_refused(fal: Session, timeout: Any) -> None:
    async with fal.realtime.connect("me/echo") as connection:
        with pytest.raises(ConfigurationError, match="timeout="):
            await connection.request(1, timeout=timeout)
        assert await connection.request(2) == 2


@pytest.mark.parametrize(
    ("encoded", "words"),
    [
        ({"a": 1}, "encode= returned a dict: expected bytes or str"),
        (None, "encode= returned a NoneType"),
        (bytearray(b"x"), "encode= returned a bytearray"),
        ("\ud800", "the message can't be encoded"),
    ],
)
async def test_an_encode_that_returns_no_frame_is_refused_and_the_connection_lives(
    fal: Session, encoded: Any, words: str
) -> None:
    def encode(message: Any) -> Any:
        return encoded if message == "odd" else json.dumps(message)

    connect = fal.realtime.connect("me/json", encode=encode, decode=json.loads)
    async with connect as connection:
        for refused in (connection.send("odd"), connection.request("odd")):
            with pytest.raises(ConfigurationError, match=words):
                await refused
        assert await within(connection.request(1)) == 1


async def test_a_file_in_a_message_is_refused(fal: Session) -> None:
    async with fal.realtime.connect("me/echo") as connection:
        with pytest.raises(ConfigurationError, match="a File: send its bytes"):
            await connection.send({"image": File(b"x")})


async def test_a_connection_outside_its_block_is_refused(fal: Session) -> None:
    connection = fal.realtime.connect("me/echo")
    for use in (connection.recv, lambda: connection.send(1), lambda: connection.request(1)):
        with pytest.raises(SessionStateError, match="async with"):
            await use()
    async with connection:
        pass
    with pytest.raises(SessionStateError, match="closed"):
        await connection.send(1)
    with pytest.raises(SessionStateError, match="once"):
        await connection.__aenter__()
    await connection.aclose()


async def test_closing_the_session_closes_its_connections(emulator: Emulator) -> None:
    async with Session(emulator.key, hosts=emulator.hosts) as fal:
        connection: RealtimeConnection = await fal.realtime.connect("me/echo").__aenter__()
        waiting = asyncio.create_task(connection.recv())
        await asyncio.sleep(0)
    assert await within(waiting) is None
    assert connection.ended


@contextlib.asynccontextmanager
async def another_server(answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> Any:
    """Serve WebSockets by a handler that does what the emulator can't, and give the hosts."""
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Hosts.local(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


async def test_closing_is_bounded_for_a_peer_that_goes_on_sending() -> None:
    async def flood(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:  # and never reads the close frame
                await socket.send_bytes(b"\xc4\x00" + bytes(10_000))
        return socket

    async with another_server(flood) as hosts, Session("a:key", hosts=hosts) as fal:
        connection = await fal.realtime.connect("me/flood", use_token=False, decode=len).__aenter__()
        assert await connection.recv() == 10_002
        await within(connection.aclose())


async def test_a_handshake_that_is_redirected_is_refused() -> None:
    async with Emulator(require_key=False) as other:

        async def elsewhere(_: web.BaseRequest) -> web.StreamResponse:
            url = f"{other.url}/fal.run/fal-ai/fast-lcm-diffusion/realtime"
            return web.Response(status=302, headers={"Location": url})

        async with another_server(elsewhere) as hosts, Session("a:key", hosts=hosts) as fal:
            with pytest.raises(TransportError, match="not followed") as caught:
                await fal.realtime.connect("me/echo", use_token=False).__aenter__()
        assert not caught.value.retryable
        assert other.requests == []


async def test_a_connection_can_be_closed_while_it_reconnects(fal: Session, emulator: Emulator) -> None:
    async with fal.realtime.connect("me/echo") as connection:
        assert await connection.request(1) == 1
        await emulator.pause()
        await connection.send(2)
    await emulator.resume()


@pytest.mark.parametrize(
    "options",
    [
        {"max_buffering": 0},
        {"max_buffering": 61},
        {"max_buffering": True},
        {"reconnect": "yes"},
        {"keep": "some"},
        {"keep": "all", "max_unsent": 0},
        {"throttle": 0},
        {"max_message_size": 0},
        {"receive_buffer": 0},
        {"heartbeat": 0},
        {"connect_timeout": -1},
        {"token_form": "other"},
        {"token_seconds": 0},
        {"use_token": False, "token_provider": str},
        {"headers": {"Authorization": "Key x"}},
        {"headers": "X: y"},
        {"path": "a b"},
        {"encode": "json"},
        {"decode": 5},
        {"token_provider": "a token"},
        {"on_reconnect": 5},
        {"on_timings": 5},
    ],
    ids=str,
)
async def test_wrong_options_of_connect_are_refused(
    fal: Session, emulator: Emulator, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError):
        fal.realtime.connect("me/echo", **options)
    assert emulator.count() == 0


async def test_connect_without_msgpack_names_the_extra(fal: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)  # as if it were not installed
    with pytest.raises(ConfigurationError, match=r"fal-async\[realtime\]"):
        fal.realtime.connect("me/echo")
    fal.realtime.connect("me/json", encode=json.dumps, decode=json.loads)
