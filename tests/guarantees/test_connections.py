"""Idle connections that were closed, servers that restart, outages, and unreadable answers while following."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web

from fal_async import (
    ApiError,
    AuthenticationError,
    BalanceExhaustedError,
    FalError,
    Hosts,
    ResultExpiredError,
    ServerError,
    Session,
    SubmissionUncertainError,
    TransportError,
    ValidationError,
)
from fal_async.emulator import Emulator, Fault
from fal_async.protocol.following import Mode
from tests.emulator.certificates import client_side, server_side
from tests.emulator.gate import Gate
from tests.quick import ASK, GATE, LLM, ONCE, at_once, gate_at, impatient, pool_of, quick, session_on
from tests.servers.loopback import crowded_port, free_port

MODES: list[Mode] = ["polling", "streaming", "auto"]


@pytest.fixture
def gate(emulator: Emulator) -> Gate:
    return gate_at(emulator)


@pytest.fixture
async def patient(emulator: Emulator) -> AsyncIterator[Session]:
    async with session_on(emulator) as fal:
        yield fal


# Idle connections.


@contextmanager
def elsewhere(**options: Any) -> Iterator[tuple[Emulator, Callable[[], None]]]:
    """Yield an emulator in a separate thread, and a function that drops its idle connections unnoticed."""
    started: Future[tuple[Emulator, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        async with Emulator(speed=50, **options) as emulator:
            stop = asyncio.Event()
            started.set_result((emulator, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    emulator, loop, stop = started.result(timeout=10)

    async def drop() -> None:
        emulator.drop_connections()
        while emulator.connections_open:
            await asyncio.sleep(0)

    def drop_meanwhile() -> None:
        asyncio.run_coroutine_threadsafe(drop(), loop).result(timeout=5)
        # Blocks the client's loop, so that it can't notice the closed connections before its next request.
        time.sleep(0.02)

    yield emulator, drop_meanwhile
    loop.call_soon_threadsafe(stop.set)
    thread.join()


@pytest.mark.parametrize("name", ["run", "submit", "status", "result", "cancel"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_an_idle_connection_closed_by_the_server_does_not_fail_the_next_request(
    name: str, tls: bool
) -> None:
    """This holds even if the loop was blocked, and could not notice it before the next request."""
    with elsewhere(ssl=server_side() if tls else None) as (emulator, drop):
        async with session_on(emulator, retry=ONCE, ssl=client_side() if tls else None) as fal:
            handle = await fal.queue.submit(LLM, ASK)
            await handle.wait()
            for jobs in (2, 3, 4):
                drop()
                if name in ("run", "submit"):
                    await (fal.run if name == "run" else fal.queue.submit)(LLM, ASK)
                    assert len(emulator.jobs) == jobs
                else:
                    await getattr(handle, name)()


async def test_many_idle_connections_closed_by_the_server_fail_no_request() -> None:
    with elsewhere() as (emulator, drop):
        async with session_on(emulator, retry=ONCE) as fal:
            for _ in range(3):
                await asyncio.gather(*(fal.queue.submit(LLM, ASK) for _ in range(30)))
                drop()
        assert emulator.count("submit") == len(emulator.jobs) == 90


async def test_sequential_calls_reuse_one_connection(fal: Session, emulator: Emulator) -> None:
    for _ in range(5):
        await fal.subscribe(LLM, ASK)
    assert emulator.connections_opened == 1


# The server goes away.


@pytest.mark.parametrize("mode", MODES)
async def test_following_survives_a_server_restart_that_keeps_requests(
    patient: Session, emulator: Emulator, gate: Gate, mode: Mode
) -> None:
    asked = [asyncio.create_task(patient.subscribe(GATE, {"n": n}, mode=mode)) for n in range(3)]
    await emulator.wait_for("status" if mode == "polling" else "status_stream", 3)
    await emulator.restart(downtime=0.1)
    gate.open()
    assert [result.data for result in await asyncio.gather(*asked)] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert (emulator.count("submit"), emulator.count("cancel")) == (3, 0)


@pytest.mark.parametrize("mode", MODES)
async def test_following_reports_requests_lost_in_a_server_restart(
    patient: Session, emulator: Emulator, gate: Gate, mode: Mode
) -> None:
    asked = asyncio.create_task(patient.subscribe(GATE, mode=mode))
    await emulator.wait_for("status" if mode == "polling" else "status_stream")
    await emulator.restart(keep_memory=False)
    with pytest.raises(ResultExpiredError, match="no longer knows this request") as caught:
        await asked
    assert caught.value.request_id in emulator.jobs
    assert emulator.count("submit") == 1


@pytest.mark.parametrize("mode", MODES)
async def test_following_survives_an_outage_longer_than_max_total(
    patient: Session, emulator: Emulator, gate: Gate, mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    """It lasts longer than the retries of a single request: `outage` limits it, not `max_total`."""
    hurried = patient.with_options(retry=quick(max_attempts=2, max_total=0.05))
    asked = asyncio.create_task(hurried.subscribe(GATE, {"n": 1}, mode=mode))
    await emulator.wait_for("status" if mode == "polling" else "status_stream")
    await emulator.pause()
    gate.open()  # it completes during the outage
    async with asyncio.timeout(10):
        while not (warnings := [record for record in caplog.records if record.levelno == logging.WARNING]):
            await asyncio.sleep(0.01)
    await emulator.resume()
    assert (await asked).data == {"n": 1}
    assert len(warnings) == 1
    assert warnings[0].getMessage().startswith("3 polls in a row failed, the last one with: no connection to")
    (request_id,) = emulator.jobs
    assert request_id in warnings[0].getMessage()


async def test_following_gives_up_when_an_outage_exceeds_its_limit(
    patient: Session, emulator: Emulator, gate: Gate
) -> None:
    hurried = patient.with_options(retry=quick(outage=0.3))
    asked = asyncio.create_task(hurried.subscribe(GATE))
    await emulator.wait_for("status")
    await emulator.pause()
    with pytest.raises(TransportError, match="no connection") as caught:
        await asked
    (job,) = emulator.jobs.values()
    assert caught.value.request_id == job.request_id
    # The request still runs, because it is billed anyway, and can be followed again by its id.
    assert job.cancel_requests == 0
    await emulator.resume()
    gate.open()
    assert (await patient.queue.handle(GATE, job.request_id).wait()).request_id == job.request_id


async def test_a_submit_after_a_server_restart_succeeds(patient: Session, emulator: Emulator) -> None:
    await patient.subscribe(LLM, ASK)
    await emulator.restart()
    await patient.subscribe(LLM, ASK)
    assert emulator.count("submit") == 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault.reset(on="status_stream", taken=True, times=None),
        Fault.close(on="status_stream", taken=True, times=None),
        Fault.truncate(on="status_stream", times=None),
    ],
    ids=["reset", "closed", "cut"],
)
async def test_status_streams_that_break_after_each_event_fall_back_to_polls(
    patient: Session, emulator: Emulator, gate: Gate, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.add(fault)
    asked = asyncio.create_task(patient.subscribe(GATE, {"n": 1}, mode="streaming", poll_interval=0.01))
    await emulator.wait_for("status", 10)
    gate.open()
    assert (await asked).data == {"n": 1}
    assert emulator.count("status_stream") == 3
    assert caplog.text.count("is followed by polls") == 1


# Storms.


async def test_following_survives_storms_of_failed_polls(no_tasks_left: None) -> None:
    async def check(fault: Fault) -> None:
        async with Emulator(speed=50) as emulator, session_on(emulator) as patient:
            emulator.faults.add(attrs.evolve(fault, times=None))
            results = await asyncio.gather(*(patient.subscribe(LLM, ASK) for _ in range(30)))
            assert len({result.request_id for result in results}) == emulator.count("submit") == 30

    faults = [
        Fault.answer(429, on="status", chance=0.7),
        Fault.answer(429, on="status", chance=0.7, retry_after=0),
        Fault.answer(503, on="status", chance=0.7),
        Fault.html(503, on="status", chance=0.7),
        Fault.reset(on="status", chance=0.5),
    ]
    await at_once(check, faults)


async def test_retry_after_delays_the_next_poll(patient: Session, emulator: Emulator, gate: Gate) -> None:
    emulator.faults.add(Fault.answer(429, on="status", retry_after=30))
    asked = asyncio.create_task(patient.subscribe(GATE, timeout=0.6))
    with pytest.raises(FalError, match=r"no result within 0\.6 s"):
        await asked
    assert emulator.count("status") == 1


# Unreadable answers.


UNREADABLE: list[Fault] = [
    Fault.answer(500),
    Fault.answer(500, fal_headers=False),
    Fault.answer(502),
    Fault.answer(504, headers={"X-Fal-Request-Timeout-Type": "user"}),
    Fault.html(200),
    Fault.html(403),
    Fault.html(404),
    Fault.html(502),
    Fault.answer(408),
    Fault.answer(200, body="null"),
    Fault.answer(200, body="[" * 100_000),
    Fault.answer(200, body='"COMPLETED"'),
    Fault.answer(204),
    Fault.redirect("https://login.example/"),
    Fault.wrong_json(),
    Fault.truncate(),
    Fault.missing("status"),
    Fault.missing("queue_position", "logs", "request_id", "status_url"),
    Fault.replace({"status": 7}),
    Fault.replace({"status": None}),
    Fault.replace({"logs": 5, "metrics": [], "queue_position": "first", "error": 0}),
    Fault.word("THINKING"),
    Fault.replace({"status": ""}),
    Fault.back(5),
    Fault.duplicate(),
    Fault.content_type("application/octet-stream"),
    Fault.answer(200, headers={"Content-Encoding": "gzip"}, body="no gzip"),
]


@pytest.mark.parametrize("mode", ["polling", "streaming"])
async def test_an_unreadable_status_of_any_kind_does_not_end_a_paid_request(
    no_tasks_left: None, mode: Mode
) -> None:
    async def check(fault: Fault) -> None:
        details = {**fault.to_json(), "times": 2}
        async with Emulator(speed=50) as emulator, session_on(emulator) as patient:
            emulator.faults.add(
                Fault.from_json({**details, "on": "status"}),
                Fault.from_json({**details, "on": "status_stream"}),
            )
            result = await patient.subscribe(LLM, ASK, mode=mode, poll_interval=0.01)
            assert result.data["output"]
            assert (emulator.count("submit"), emulator.count("cancel"), len(emulator.jobs)) == (1, 0, 1)

    await at_once(check, UNREADABLE)


async def test_unreadable_statuses_are_tolerated_up_to_the_outage_limit_with_one_warning(
    emulator: Emulator, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.add(Fault.html(200, on="status", times=None))
    async with session_on(emulator, retry=quick(outage=2.0)) as fal:
        with pytest.raises(FalError, match="is not JSON") as caught:
            await fal.subscribe(GATE)
    assert caught.value.request_id in emulator.jobs
    assert caught.value.endpoint_id == GATE
    warned = [
        record.getMessage() for record in caplog.records if "polls in a row failed" in record.getMessage()
    ]
    assert len(warned) == 1
    assert str(caught.value.request_id) in warned[0]


async def test_a_status_404_that_passes_is_tolerated(patient: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.html(502, on="status", times=2), Fault.vanish(on="status", times=2))
    emulator.faults.add(Fault.vanish(on="status", times=2, after=1))
    assert (await patient.subscribe(LLM, ASK)).data["output"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_request_that_fal_no_longer_knows_raises_result_expired(
    patient: Session, emulator: Emulator, mode: Mode
) -> None:
    emulator.faults.add(Fault.vanish(times=None, on="status"), Fault.vanish(times=None, on="status_stream"))
    with pytest.raises(ResultExpiredError) as caught:
        await patient.subscribe(LLM, ASK, mode=mode)
    assert caught.value.request_id in emulator.jobs
    assert emulator.count("status") == 3


async def test_a_queue_position_that_does_not_move_logs_one_warning(
    emulator: Emulator, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    async with session_on(emulator, retry=quick(stuck_after=0.1)) as fal:
        for _ in range(2):
            await fal.queue.submit(GATE, {"n": 0})
        asked = asyncio.create_task(fal.subscribe(GATE, {"n": 1}, poll_interval=0.02))
        await emulator.wait_for("status", 15)
        gate.open()
        await asked
    stuck = [record.getMessage() for record in caplog.records if "no change for" in record.getMessage()]
    assert len(stuck) == 1
    assert stuck[0].startswith("IN_QUEUE at position 0: no change for 0 s (request ")
    assert list(emulator.jobs)[-1] in stuck[0]


async def test_a_status_stream_warns_of_a_queue_position_that_does_not_move(
    no_tasks_left: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A stream sends no events then, only keep-alives."""
    async with (
        Emulator(keep_alive=0.02) as emulator,
        session_on(emulator, retry=quick(stuck_after=0.1)) as fal,
    ):
        gate = gate_at(emulator)
        for _ in range(2):
            await fal.queue.submit(GATE, {"n": 0})
        asked = asyncio.create_task(fal.subscribe(GATE, {"n": 1}, mode="streaming"))
        async with asyncio.timeout(10):
            while "IN_QUEUE at position 0: no change for 0 s" not in caplog.text:
                await asyncio.sleep(0.01)
        gate.open()
        await asked
    assert caplog.text.count("no change for") == 1


# The key.


@pytest.mark.parametrize("mode", MODES)
async def test_a_key_rotated_while_following_raises_with_the_request_id(
    patient: Session, emulator: Emulator, gate: Gate, mode: Mode
) -> None:
    asked = asyncio.create_task(patient.subscribe(GATE, {"n": 1}, mode=mode))
    await emulator.wait_for("status" if mode == "polling" else "status_stream")
    emulator.rotate_key("other:key")
    emulator.drop_connections()
    with pytest.raises(AuthenticationError) as caught:
        await asked
    request_id = caught.value.request_id
    assert request_id in emulator.jobs
    gate.open()
    async with session_on(emulator) as again:
        assert (await again.queue.handle(GATE, str(request_id)).wait()).data == {"n": 1}


async def test_a_credentials_function_is_called_again_after_a_401(emulator: Emulator, gate: Gate) -> None:
    keys = [emulator.key]
    asked_for = 0

    async def key() -> str:
        nonlocal asked_for
        asked_for += 1
        return keys[0]

    async with Session(key, hosts=emulator.hosts, retry=quick()) as fal:
        asked = asyncio.create_task(fal.subscribe(GATE, {"n": 1}))
        await emulator.wait_for("status")
        emulator.rotate_key("other:key")
        keys[0] = "other:key"
        gate.open()
        assert (await asked).data == {"n": 1}
        # After a second refusal it is not called again.
        keys[0] = "third:key"
        before = asked_for
        with pytest.raises(AuthenticationError):
            await fal.run(LLM, ASK)
        assert asked_for == before + 2
        with pytest.raises(AuthenticationError):
            await fal.run(LLM, ASK)
        assert asked_for == before + 3


async def test_following_survives_a_credentials_function_that_fails_for_a_while(
    emulator: Emulator, gate: Gate
) -> None:
    """If the function fails, the request is still followed, and a new submit is certainly not sent."""
    down = False

    async def key() -> str:
        if down:
            raise OSError("no vault")
        return emulator.key

    async with Session(key, hosts=emulator.hosts, retry=quick()) as fal:
        asked = asyncio.create_task(fal.subscribe(GATE, {"n": 1}, poll_interval=0.01))
        await emulator.wait_for("status")
        down = True
        for call in (fal.run, fal.queue.submit):
            with pytest.raises(
                TransportError, match=r"the credentials function failed \(OSError\)"
            ) as caught:
                await call(LLM, ASK)
            assert isinstance(caught.value.__cause__, OSError)
        assert not asked.done()
        down = False
        gate.open()
        assert (await asked).data == {"n": 1}
    assert len(emulator.jobs) == 1


async def test_a_balance_exhausted_while_following_raises_with_the_request_id(
    patient: Session, emulator: Emulator, gate: Gate
) -> None:
    asked = asyncio.create_task(patient.subscribe(GATE))
    await emulator.wait_for("status")
    emulator.lock_account()
    with pytest.raises(BalanceExhaustedError, match=r"fal\.ai/dashboard/billing") as caught:
        await asked
    assert caught.value.request_id in emulator.jobs
    emulator.unlock_account()


@pytest.fixture
async def stranger() -> AsyncIterator[tuple[str, list[Any]]]:
    """Yield the URL of a server that is not fal's, and the headers of the requests that it got."""
    came: list[Any] = []

    async def note(request: web.BaseRequest) -> web.Response:
        came.append(dict(request.headers))
        return web.json_response({"status": "COMPLETED", "request_id": "theirs"})

    server = web.Server(note)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", came
    listening.close()
    await server.shutdown(1)
    await listening.wait_closed()


@pytest.mark.parametrize("mode", MODES)
async def test_urls_on_another_host_in_answers_are_not_followed(
    patient: Session, emulator: Emulator, stranger: tuple[str, list[Any]], mode: Mode
) -> None:
    url, came = stranger
    emulator.faults.add(Fault.foreign_urls(url, times=None))
    result = await patient.subscribe(LLM, ASK, mode=mode)
    assert result.data["output"]
    assert result.request_id in emulator.jobs
    handle = await patient.queue.submit(LLM, ASK)
    await handle.cancel()
    assert came == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_key_crosses_a_redirect_to_another_host(
    patient: Session, emulator: Emulator, stranger: tuple[str, list[Any]], status: int
) -> None:
    url, came = stranger
    handle = await patient.queue.submit(LLM, ASK)
    emulator.faults.add(Fault.redirect(url, status, times=None))
    for call in (
        lambda: patient.run(LLM, ASK),
        lambda: patient.queue.submit(LLM, ASK),
        handle.status,
        handle.result,
        handle.cancel,
    ):
        with pytest.raises(ApiError, match=r"redirected to 127\.0\.0\.1:\d+, which is not followed"):
            await call()
    assert came == []
    assert len(emulator.jobs) == 1


async def test_a_redirect_of_a_read_within_its_host_is_followed(patient: Session, emulator: Emulator) -> None:
    handle = await patient.queue.submit(LLM, ASK)
    output = (await handle.wait()).data
    emulator.faults.add(Fault.redirect(handle.response_url, on="result"))
    assert (await handle.result()).data == output
    assert emulator.count("result") == 3
    emulator.faults.add(Fault.redirect(handle.status_url, on="status", times=None))
    with pytest.raises(TransportError, match="gave up after 5 redirects"):
        await handle.status()


# The fixtures check after each test what is left in the client; these tests check the server, too.


async def test_no_connection_stays_open_after_any_kind_of_end(emulator: Emulator, gate: Gate) -> None:
    emulator.faults.add(
        Fault.reset(on="status", chance=0.2, times=None),
        Fault.truncate(on="status", chance=0.2, times=None),
        Fault.stall(0.5, on="status", chance=0.05, times=None),
        Fault.reset(on="submit", chance=0.2, times=None, taken=True),
    )
    async with session_on(emulator) as fal:
        asked = [asyncio.create_task(fal.subscribe(GATE, timeout=1)) for _ in range(20)]
        asked += [asyncio.create_task(fal.subscribe(LLM, ASK)) for _ in range(20)]
        await emulator.wait_for("status", 30)
        for task in asked[:10]:
            task.cancel()
        ends = await asyncio.gather(*asked, return_exceptions=True)
    errors = [end for end in ends if isinstance(end, Exception)]
    assert all(isinstance(error, FalError) for error in errors)
    assert all(
        error.request_id or isinstance(error, SubmissionUncertainError | ServerError)
        for error in errors
        if isinstance(error, FalError)
    )
    async with asyncio.timeout(5):
        while emulator.connections_open:
            await asyncio.sleep(0)


async def test_a_101_answer_leaves_no_connection_open() -> None:
    """After a 101 aiohttp hands the connection over to the caller; this client did not ask for an upgrade."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        await reader.read()  # until the client closes it
        writer.close()
        await writer.wait_closed()
        ended.set()

    asyncio.get_running_loop().set_debug(True)  # only then aiohttp reports it
    ended = asyncio.Event()
    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
        async with Session("a:b", hosts=Hosts.local(url), retry=ONCE) as fal:
            with pytest.raises(ApiError, match="101"):
                await fal.queue.status(LLM, "some-id")
            await asyncio.wait_for(ended.wait(), 5)


async def test_a_host_name_that_cant_be_looked_up_is_a_transport_error() -> None:
    name = "\xfc" * 60  # in ASCII too long for a part of a host name
    async with Session("a:b", hosts=Hosts.local(f"http://{name}.run"), retry=ONCE) as fal:
        with pytest.raises(TransportError, match="no host or port that can be reached"):
            await fal.run(LLM, ASK)


async def _nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SSH-2.0\r\n\r\n")
    writer.close()


async def _with_causes(fal: Session, url: str) -> str:
    """Return all that a log could show of the error, causes included."""
    with pytest.raises(FalError) as caught:
        await fal.queue.submit(LLM, ASK, webhook_url=url)
    shown, error = "".join(traceback.format_exception(caught.value)), caught.value.__cause__
    assert isinstance(error, TransportError | aiohttp.ClientError | TimeoutError)
    while error is not None:
        shown, error = f"{shown} {error!r} {error.args} {vars(error)}", error.__cause__ or error.__context__
    return shown


async def test_the_causes_of_an_error_hold_no_secrets() -> None:
    hook = "https://my.app/hook?token=t0k3n"
    async with await asyncio.start_server(_nonsense, "127.0.0.1") as server:
        url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
        async with Session("id:s3cret", hosts=Hosts.local(url), retry=ONCE) as fal:
            shown = await _with_causes(fal, hook)
        assert "t0k3n" not in shown
        assert "s3cret" not in shown
    proxy = f"http://me:s3cret@127.0.0.1:{free_port()}"
    async with Session("a:b", hosts=Hosts.local(url), retry=ONCE, http_proxy=proxy) as fal:
        assert "s3cret" not in repr((await _failure(fal)).__cause__)
    with crowded_port() as port:
        hosts = Hosts.local(f"http://127.0.0.1:{port}")
        async with Session("a:b", hosts=hosts, retry=ONCE, timeout=impatient(0.2)) as fal:
            assert "t0k3n" not in await _with_causes(fal, hook)


async def _failure(fal: Session) -> FalError:
    with pytest.raises(TransportError) as caught:
        await fal.queue.submit(LLM, ASK)
    return caught.value


async def test_an_error_answer_to_a_stream_that_arrives_in_pieces_is_read_whole() -> None:
    body = b'{"detail": [{"loc": ["body", "prompt"], "msg": "too long", "type": "value_error"}]}'
    head = b"HTTP/1.1 422 Unprocessable Entity\r\nContent-Type: application/json\r\nx-fal-request-id: 1\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:30])
        await writer.drain()
        await begun.wait()
        writer.write(body[30:])
        await writer.drain()
        writer.close()

    begun = asyncio.Event()
    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
        async with Session("a:b", hosts=Hosts.local(url), retry=ONCE) as fal:
            stream = asyncio.create_task(fal.stream(LLM, ASK).last())
            while not pool_of(fal).being_read:
                await asyncio.sleep(0)
            begun.set()
            with pytest.raises(ValidationError) as caught:
                await stream
    assert [str(detail) for detail in caught.value.errors] == ["body.prompt: too long"]
