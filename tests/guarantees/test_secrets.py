"""No error carries a secret: not in its text, its causes, or the local variables of its frames."""

from __future__ import annotations

import asyncio
import json
import re
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import fal_async
from fal_async import ConfigurationError, FalError, Hosts, Session
from fal_async.emulator import Emulator, Fault
from fal_async.emulator.wire.recorder import RecordedRequest
from tests.quick import ASK, LLM, ONCE, impatient
from tests.servers.loopback import free_port

KEY = "kid:n0t-a-real-key"
REFRESH = "refresh-n0t-a-real-token"
HOOK = "https://my.app/hook?token=h00k-secret"
REALTIME = "fal-ai/fast-lcm-diffusion"
LIMIT, SILENCE = 0.2, 1.0
"""Seconds: the limits of a session, and a stall that exceeds them."""

GATEWAY = {"X-Gateway": "g4teway-secret", "Cookie": "session=c00kie-secret"}


def shown(error: BaseException) -> str:
    """Return all that error tracking prints of an error and its causes, without frames of this file."""
    texts: list[str] = []
    todo, seen = [error], set()
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        frames = traceback.TracebackException.from_exception(one, capture_locals=True).stack
        texts += [str(frame.locals) for frame in frames if frame.filename != __file__]
        texts += [str(one), repr(one), str(one.args), str(vars(one))]
        todo += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
        if isinstance(one, BaseExceptionGroup):
            todo += one.exceptions
    return "".join(texts)


def secrets_of(request: RecordedRequest) -> Iterator[str]:
    """Yield the keys, tokens and signatures that a request carried."""
    yield from re.findall(r"\S{6,}$", request.headers.get("Authorization", ""))
    yield from (value for value in request.query.values() if len(value) > 12 and "://" not in value)


async def _talk(fal: Session, **options: Any) -> None:
    async with fal.realtime.connect(REALTIME, reconnect=False, **options) as connection:
        await connection.send(ASK)
        await connection.recv()


async def _call_over_websocket(fal: Session) -> None:
    async with fal.websocket(LLM) as connection:
        await connection.run(ASK)


async def _download(fal: Session) -> None:
    file = await fal.storage.upload(b"abc", file_name="a.txt")
    await fal.storage.download(await fal.storage.sign(file, expires_in=60), "/nonexistent/x")


PARTS: Mapping[str, Any] = {"file_name": "a.txt", "multipart_above": 3, "part_size": 3}
WAYS: Mapping[str, Callable[[Session], Awaitable[Any]]] = {
    "run": lambda fal: fal.run(LLM, ASK),
    "submit": lambda fal: fal.queue.submit(LLM, ASK, webhook_url=HOOK),
    "status": lambda fal: fal.queue.status(LLM, "r-1"),
    "status_stream": lambda fal: fal.subscribe(LLM, ASK, mode="streaming", timeout=2),
    "result": lambda fal: fal.queue.result(LLM, "r-1"),
    "cancel": lambda fal: fal.queue.cancel(LLM, "r-1"),
    "stream": lambda fal: fal.stream(LLM, ASK).last(),
    "realtime": _talk,
    "realtime_token": _talk,
    "websocket": _call_over_websocket,
    "cdn_token": lambda fal: fal.storage.upload(b"abc", file_name="a.txt"),
    "upload": lambda fal: fal.storage.upload(b"abc", file_name="a.txt"),
    "multipart": lambda fal: fal.storage.upload(b"abcdef", **PARTS),
    "part": lambda fal: fal.storage.upload(b"abcdef", **PARTS),
    "complete": lambda fal: fal.storage.upload(b"abcdef", **PARTS),
    "file": _download,
    "key_set": lambda fal: fal.webhooks.fetch_keys(),
}
MENDED = frozenset({"status_stream", "cdn_token", "upload", "multipart", "part", "complete"})
"""Operations whose failure the client works around."""
FAULTS: Mapping[str, Callable[[str], Fault]] = {
    "reset": lambda on: Fault.reset(on=on, times=None),
    "silence": lambda on: Fault.stall(SILENCE, on=on, times=None),
    "cut": lambda on: Fault.truncate(on=on, times=None),
    "no JSON": lambda on: Fault.wrong_json(on=on, times=None),
    "a page": lambda on: Fault.html(200, on=on, times=None),
    "redirect": lambda on: Fault.redirect("https://login.example/?t=1", on=on, times=None),
    "401": lambda on: Fault.answer(401, on=on, times=None),
    "422": lambda on: Fault.answer(422, on=on, times=None),
    "500": lambda on: Fault.answer(500, on=on, times=None),
}


async def fails(fal: Session, way: Callable[[Session], Awaitable[Any]]) -> str:
    """Return what is shown of the error; empty if the call succeeds in spite of the fault."""
    try:
        await way(fal)
    except FalError as error:
        return shown(error)
    return ""


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("operation", WAYS)
async def test_no_secret_is_in_a_frame_of_an_error(no_tasks_left: None, operation: str, fault: str) -> None:
    async with Emulator(speed=50, key=KEY) as emulator:
        try:
            emulator.faults.add(FAULTS[fault](operation))
        except ValueError:
            pytest.skip("nothing that this fault could do")
        async with Session(KEY, hosts=emulator.hosts, retry=ONCE, timeout=impatient(LIMIT)) as fal:
            text = await fails(fal, WAYS[operation])
        if fault in ("reset", "500"):
            assert text or operation in MENDED
        secrets = {secret for request in emulator.requests for secret in secrets_of(request)} | {KEY, HOOK}
    assert [secret for secret in secrets if secret in text or json.dumps(secret) in text] == []


@pytest.mark.parametrize("operation", WAYS)
async def test_no_secret_is_in_a_frame_of_an_error_without_a_connection(operation: str) -> None:
    hosts = Hosts.local(f"http://127.0.0.1:{free_port()}")
    async with Session(KEY, hosts=hosts, retry=ONCE, http_proxy=None) as fal:
        text = await fails(fal, WAYS[operation])
    assert text
    assert KEY not in text
    assert "h00k-secret" not in text


@pytest.mark.parametrize("fault", ["reset", "silence", "401", "no JSON"])
@pytest.mark.parametrize("operation", ["run", "status", "stream", "upload", "realtime", "websocket"])
async def test_no_key_or_header_is_in_a_frame_of_an_error_with_debug_logs(
    no_tasks_left: None, caplog: pytest.LogCaptureFixture, operation: str, fault: str
) -> None:
    caplog.set_level("DEBUG", logger="fal_async")
    async with Emulator(speed=50, key=KEY) as emulator:
        try:
            emulator.faults.add(FAULTS[fault](operation))
        except ValueError:
            pytest.skip("nothing that this fault could do")
        async with Session(
            KEY, hosts=emulator.hosts, retry=ONCE, timeout=impatient(LIMIT), headers=GATEWAY
        ) as fal:
            text = await fails(fal, WAYS[operation])
    for secret in (KEY, *GATEWAY.values()):
        assert secret not in text
        assert secret not in caplog.text


@pytest.mark.parametrize(
    "operation",
    ["run", "submit", "status", "upload", "part", "realtime", "realtime_token", "websocket", "file"],
)
async def test_no_secret_is_in_a_frame_of_a_cancellation(no_tasks_left: None, operation: str) -> None:
    async with Emulator(speed=50, key=KEY) as emulator:
        emulator.faults.add(Fault.stall(9, on=operation, times=None))
        async with Session(KEY, hosts=emulator.hosts, headers=GATEWAY) as fal:
            call = asyncio.ensure_future(WAYS[operation](fal))
            while not emulator.count(operation):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await call
        secrets = {secret for request in emulator.requests for secret in secrets_of(request)}
    text = shown(caught.value)
    assert [secret for secret in {*secrets, KEY, HOOK, *GATEWAY.values()} if secret in text] == []


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_token_of_the_login_is_in_a_frame_of_an_error(
    no_tasks_left: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    (tmp_path / "auth0_token").write_text(f"{REFRESH}\naccess-n0t-a-real-token")
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    async with Emulator(speed=50) as emulator:
        emulator.add_login(REFRESH)
        emulator.faults.add(FAULTS[fault]("token"))
        async with Session(hosts=emulator.hosts, retry=ONCE, timeout=impatient(LIMIT)) as fal:
            text = await fails(fal, WAYS["run"])
    assert text
    assert "n0t-a-real-token" not in text


@pytest.mark.parametrize(
    "body", ['{"access_token": "n0t-a-real-token", ', '{"access_token": 7, "id_token": "n0t-a-real-token"}']
)
@pytest.mark.parametrize("operation", ["token", "realtime_token", "cdn_token", "initiate"])
async def test_a_token_in_an_unreadable_answer_is_in_no_error(
    no_tasks_left: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, body: str
) -> None:
    (tmp_path / "auth0_token").write_text(REFRESH)
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    async with Emulator(speed=50, key=KEY) as emulator:
        emulator.add_login(REFRESH)
        emulator.faults.add(Fault.answer(200, body=body, on=operation, times=None))
        for other in {"cdn_token", "initiate"} - {operation}:
            emulator.faults.add(Fault.answer(404, on=other, times=None))
        key = None if operation == "token" else KEY
        async with Session(key, hosts=emulator.hosts, retry=ONCE) as fal:
            text = await fails(fal, WAYS["realtime" if operation == "realtime_token" else "upload"])
    assert text
    assert "n0t-a-real-token" not in text


@pytest.mark.parametrize("key", ["n0t-a-real-key", "FAL_KEY=kid:n0t-a-real-key", "kid:kid:n0t-a-real-key"])
async def test_a_malformed_key_is_in_no_frame_of_its_error(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("FAL_BASE_URL", "http://127.0.0.1:1")
    session = Session(KEY)
    monkeypatch.setenv("FAL_KEY", key)
    texts = []
    ways: list[Callable[[], Any]] = [
        Session,
        lambda: Session(key),
        lambda: session.with_options(credentials=key),
    ]
    for make in ways:
        try:
            make()
        except ConfigurationError as error:
            texts.append(shown(error))
    try:
        await fal_async.run(LLM, ASK)
    except ConfigurationError as error:
        texts.append(shown(error))
    assert len(texts) == 4
    assert [text for text in texts if "n0t-a-real-key" in text] == []


async def test_the_environment_is_in_no_frame_of_an_error_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", KEY)
    monkeypatch.setenv("FAL_BASE_URL", "nonsense")
    with pytest.raises(ConfigurationError) as caught:
        Session()
    assert "n0t-a-real-key" not in shown(caught.value)
