"""The session: its life cycle, views, hosts, options, logs and shortcuts."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import pickle
import ssl
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import fal_async
from fal_async import (
    CancelOutcome,
    ConfigurationError,
    Hosts,
    NotFoundError,
    RetryPolicy,
    Session,
    SessionStateError,
    Timeouts,
    TransportError,
)
from fal_async.emulator import Emulator, Fault
from tests.quick import GATE, ONCE, gate_at, pool_of

LLM = "fal-ai/any-llm"
ASK = {"prompt": "x"}


# The life cycle.


async def test_a_session_is_created_opened_and_closed(emulator: Emulator) -> None:
    session = Session(emulator.key, hosts=emulator.hosts)
    assert "created" in repr(session)
    assert (await session.open()) is session
    await session.run(LLM, ASK)
    assert "open" in repr(session)
    await session.aclose()
    await session.aclose()
    assert "closed" in repr(session)
    assert session.closed
    assert emulator.key not in repr(session)
    for call in (session.run(LLM, ASK), session.subscribe(LLM, ASK), session.open()):
        with pytest.raises(SessionStateError, match="closed"):
            await call


async def test_a_session_opens_on_its_first_request(emulator: Emulator) -> None:
    session = Session(emulator.key, hosts=emulator.hosts)
    assert (await session.run(LLM, ASK)).data
    await session.aclose()


def test_using_a_session_in_another_event_loop_is_refused_at_once() -> None:
    async def main() -> Session:
        async with Emulator() as emulator:
            session = Session(emulator.key, hosts=emulator.hosts)
            await session.open()
            return session

    async def elsewhere(session: Session) -> None:
        for call in (session.run(LLM, ASK), session.subscribe(LLM, ASK)):
            with pytest.raises(SessionStateError, match="another event loop"):
                await call

    async def end(session: Session) -> None:
        await session.aclose()

    session = asyncio.run(main())
    asyncio.run(elsewhere(session))
    asyncio.run(end(session))


async def test_a_call_in_another_event_loop_is_refused_without_waiting_for_a_connection(
    emulator: Emulator,
) -> None:
    gate = gate_at(emulator)
    async with Session(emulator.key, hosts=emulator.hosts, max_connections=2) as fal:
        busy = asyncio.create_task(fal.run(GATE))  # takes the only place for a request of this kind
        await emulator.wait_for("run")

        def elsewhere() -> None:
            with pytest.raises(SessionStateError, match="another event loop"):
                asyncio.run(asyncio.wait_for(fal.run(GATE), 5))

        await asyncio.to_thread(elsewhere)
        gate.open()
        await busy


async def test_closing_a_session_in_another_loop_is_refused_while_its_own_loop_lives(
    emulator: Emulator,
) -> None:
    async with Session(emulator.key, hosts=emulator.hosts) as fal:
        await fal.run(LLM, ASK)

        def elsewhere() -> None:
            with pytest.raises(SessionStateError, match="another event loop"):
                asyncio.run(fal.aclose())

        await asyncio.to_thread(elsewhere)
        assert (await fal.run(LLM, ASK)).data


async def test_a_session_that_is_collected_while_open_warns(emulator: Emulator) -> None:
    session = Session(emulator.key, hosts=emulator.hosts)
    await session.open()
    http = pool_of(session).http()
    reference = [session]
    del session
    with pytest.warns(ResourceWarning, match="unclosed <Session open"):
        reference.clear()
    await http.close()


async def test_a_handle_keeps_the_connections_of_a_dropped_session_without_a_warning(
    emulator: Emulator,
) -> None:
    session = Session(emulator.key, hosts=emulator.hosts)
    handle = await session.queue.submit(LLM, ASK)
    http = pool_of(session).http()
    del session
    gc.collect()
    assert (await handle.wait()).data
    del handle
    with pytest.warns(ResourceWarning, match="unclosed <Session open"):
        gc.collect()
    await http.close()


async def test_a_view_of_a_subclass_keeps_the_attributes_of_the_subclass() -> None:
    class Tenant(Session):
        def __init__(self, name: str) -> None:
            super().__init__("a:b")
            self.name = name

    view = Tenant("acme").with_options(tags={"a": "b"})
    assert isinstance(view, Tenant)
    assert view.name == "acme"


async def test_a_session_that_was_never_opened_does_not_warn() -> None:
    session = Session("a:b")
    session.queue.handle(LLM, "some-id")
    del session
    gc.collect()


async def test_a_borrowed_client_session_is_used_and_left_open(emulator: Emulator) -> None:
    async with aiohttp.ClientSession() as http:
        async with Session(emulator.key, hosts=emulator.hosts, client_session=http) as fal:
            assert (await fal.subscribe(LLM, ASK)).data
        assert not http.closed
    late = Session(emulator.key, hosts=emulator.hosts, client_session=http)
    with pytest.raises(SessionStateError, match="borrowed"):
        await late.open()
    with pytest.raises(ConfigurationError, match=r"expected aiohttp\.ClientSession"):
        await Session(client_session=3).open()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "option",
    [
        {"keepalive_timeout": 5},
        {"ssl": ssl.create_default_context()},
        {"http_proxy": "http://127.0.0.1:1"},
        {"trace_configs": [aiohttp.TraceConfig()]},
    ],
)
async def test_pool_options_beside_a_borrowed_client_session_are_refused(option: dict[str, Any]) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(ConfigurationError, match=f"{next(iter(option))} can't be combined"):
            Session("a:b", client_session=http, **option)
        Session("a:b", client_session=http, max_connections=3)


async def test_a_borrowed_client_session_may_have_raise_for_status(emulator: Emulator) -> None:
    async with aiohttp.ClientSession(raise_for_status=True) as http:
        fal = Session(emulator.key, hosts=emulator.hosts, client_session=http)
        for call in (fal.run, fal.queue.submit):
            with pytest.raises(NotFoundError, match="Application 'other' not found"):
                await call("me/other", ASK)
        assert await fal.queue.cancel(LLM, "unknown") is CancelOutcome.NOT_FOUND


async def test_a_borrowed_client_session_of_another_event_loop_is_refused(emulator: Emulator) -> None:
    def elsewhere() -> aiohttp.ClientSession:
        async def make() -> aiohttp.ClientSession:
            return aiohttp.ClientSession()

        return asyncio.run(make())

    http = await asyncio.to_thread(elsewhere)
    with pytest.raises(SessionStateError, match="client_session belongs to another event loop"):
        await Session(emulator.key, hosts=emulator.hosts, client_session=http).run(LLM, ASK)
    await http.close()


def test_a_session_cannot_be_pickled_or_copied() -> None:
    session = Session("a:b")
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="create one where it is used"):
            attempt(session)


# Views.


async def test_views_share_the_pool_but_not_their_settings(emulator: Emulator) -> None:
    async with Session("wrong:key", hosts=emulator.hosts, tags={"app": "a"}, headers={"X-A": "1"}) as fal:
        tenant = fal.with_options(
            credentials=emulator.key, tags={"user": "u"}, headers={"X-B": "2"}, timeout=5, retry=RetryPolicy()
        )
        assert not await fal.verify_credentials()
        assert await tenant.verify_credentials()
        assert tenant.queue is not fal.queue
        await tenant.run(LLM, ASK)
        await tenant.aclose()
        assert not await fal.verify_credentials()
    sent = next(request for request in emulator.requests if request.kind == "run").headers
    assert sent["X-Fal-Tags"] == "app=a,user=u"
    assert (sent["X-A"], sent["X-B"]) == ("1", "2")
    assert emulator.connections_opened == 1
    with pytest.raises(SessionStateError, match="closed"):
        await tenant.run(LLM, ASK)


async def test_a_view_with_an_invalid_option_leaves_nothing_behind(fal: Session) -> None:
    wrong: list[dict[str, Any]] = [
        {"timeout": 0},
        {"retry": 3},
        {"headers": {"a": "b\n"}},
        {"tags": ["a"]},
        {"credentials": ""},
    ]
    for options in wrong:
        with pytest.raises(ConfigurationError):
            fal.with_options(**options)
    gc.collect()  # a half-made view must not warn about a session that was left open: it would be an error here


async def test_a_view_keeps_its_session_alive(emulator: Emulator) -> None:
    session = Session(emulator.key, hosts=emulator.hosts)
    view, kept = session.with_options(tags={"a": "b"}), weakref.ref(session)
    del session
    gc.collect()
    await view.run(LLM, ASK)
    root = kept()
    assert root is not None
    await root.aclose()


# Hosts.


def test_a_session_takes_its_hosts_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_RUN_HOST", "fal.example.com")
    assert "queue=https://queue.fal.example.com" in repr(Session())
    monkeypatch.setenv("FAL_BASE_URL", "http://127.0.0.1:1")
    assert "queue=http://127.0.0.1:1/queue.fal.run" in repr(Session())
    monkeypatch.setenv("FAL_BASE_URL", "127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="expected http"):
        Session()


async def test_a_refused_connection_raises_transport_error_with_the_host() -> None:
    async with Session(
        "a:b", hosts=Hosts.local("http://127.0.0.1:9"), retry=RetryPolicy(max_attempts=1)
    ) as fal:
        with pytest.raises(
            TransportError, match=r"no connection to 127\.0\.0\.1:9: Connection refused"
        ) as caught:
            await fal.run(LLM, ASK)
    assert isinstance(caught.value.__cause__, aiohttp.ClientConnectorError)
    assert caught.value.endpoint_id == LLM


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": 0}, "timeout=0: expected a positive number"),
        ({"timeout": "5"}, "timeout='5'"),
        ({"headers": {"Authorization": "Key a:b"}}, "pass keys as credentials="),
        ({"headers": {"X-A": "a\nb"}}, "'X-A' has characters"),
        ({"tags": {"fal.x": "1"}}, "prefix 'fal.'"),
        ({"credentials": 3}, "credentials is of type int"),
        ({"max_connections": 0}, "max_connections=0"),
        ({"keepalive_timeout": -1}, "keepalive_timeout=-1"),
        ({"proxy_url": "proxy.example.com"}, "proxy_url='proxy.example.com'"),
        ({"proxy_url": "http://[::1"}, "proxy_url='http"),
        ({"hosts": "http://127.0.0.1:8765"}, r"hosts is of type str: expected Hosts\(...\), or Hosts.local"),
        ({"retry": 3}, r"retry is of type int: expected RetryPolicy\(...\)"),
        ({"retry": 0}, r"retry is of type int: expected RetryPolicy\(...\)"),
        ({"ssl": "ca.pem"}, r"ssl is of type str: expected an ssl.SSLContext"),
        ({"headers": {"X-A": None}}, "the value of 'X-A' is of type NoneType: expected str"),
        ({"tags": {"user": b"me"}}, "the value of 'user' is of type bytes: expected str"),
    ],
)
def test_an_invalid_session_option_is_refused_with_its_name(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Session(**options)


@pytest.mark.parametrize("traces", [["x"], 5, None])
async def test_invalid_trace_configs_are_refused_with_the_expected_type(traces: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"expected a list of aiohttp\.TraceConfig"):
        await Session("a:b", trace_configs=traces).open()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"on_enqueue": 5}, "on_enqueue is of type int: expected a function"),
        ({"on_queue_update": "print"}, "on_queue_update is of type str: expected a function"),
        ({"retry": 3}, "retry is of type int"),
        ({"output_type": object}, "output_type=object"),
    ],
)
async def test_an_invalid_option_of_a_call_is_refused_before_anything_is_sent(
    fal: Session, emulator: Emulator, option: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        await fal.subscribe(LLM, ASK, **option)
    if "output_type" in option or "retry" in option:
        with pytest.raises(ConfigurationError, match=words):
            await fal.run(LLM, ASK, **option)
        with pytest.raises(ConfigurationError, match=words):
            fal.stream(LLM, ASK, **option)
    if "retry" in option:
        with pytest.raises(ConfigurationError, match=words):
            await fal.queue.submit(LLM, ASK, **option)
    else:
        handle = fal.queue.handle(LLM, "some-id")
        if "on_enqueue" not in option:
            with pytest.raises(ConfigurationError, match=words):
                await handle.wait(**option)
        if "output_type" in option:
            with pytest.raises(ConfigurationError, match=words):
                await handle.result(**option)
    assert emulator.requests == []


async def test_trace_configs_of_a_session_are_called(emulator: Emulator) -> None:
    seen = []
    trace = aiohttp.TraceConfig()

    async def started(_: Any, __: Any, params: aiohttp.TraceRequestStartParams) -> None:
        seen.append(params.method)

    trace.on_request_start.append(started)
    async with Session(
        emulator.key, hosts=emulator.hosts, timeout=Timeouts(connect=1), trace_configs=[trace]
    ) as fal:
        await fal.run(LLM, ASK)
    assert seen == ["POST"]


async def test_requests_are_sent_through_the_given_http_proxy(emulator: Emulator) -> None:
    # An HTTP proxy gets the whole URL in the request line; the emulator answers as if it were the target.
    hosts = Hosts.local("http://fal.invalid")
    async with Session(emulator.key, hosts=hosts, http_proxy=emulator.url) as fal:
        assert await fal.verify_credentials()


# A server-side proxy (protocol 10).


async def test_the_key_of_the_environment_is_not_sent_to_a_server_side_proxy(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_KEY", emulator.key)
    async with Session.with_proxy(f"{emulator.url}/fal.run/{LLM}") as fal:
        await asyncio.gather(fal.run("fal-ai/other", ASK), return_exceptions=True)
    sent = emulator.requests[0]
    assert sent.headers["x-fal-target-url"] == "https://fal.run/fal-ai/other"
    assert "Authorization" not in sent.headers
    async with Session(emulator.key, proxy_url=f"{emulator.url}/fal.run/{LLM}") as fal:
        assert (await fal.run("fal-ai/other", ASK)).data["output"]
    assert emulator.requests[-1].headers["Authorization"] == f"Key {emulator.key}"


# Logs.


async def test_fal_log_turns_on_readable_logs_without_secrets(emulator: Emulator) -> None:
    script = (
        "import asyncio, fal_async\n"
        "async def main():\n"
        "    await fal_async.subscribe('fal-ai/any-llm', {'prompt': 'my words'}, webhook_url='http://h/x?token=t0k3n')\n"
        "asyncio.run(main())\n"
    )
    environment = {"FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key}
    alone = (
        "import asyncio, fal_async\n"
        "async def main():\n"
        "    fal = fal_async.Session()\n"  # opened by its first request
        "    await fal.run('fal-ai/any-llm', {'prompt': 'my words'})\n"
        "    await fal.aclose()\n"
        "asyncio.run(main())\n"
    )
    for code, level, wanted in ((script, "debug", True), (alone, "debug", True), (script, "", False)):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-X", "dev", "-W", "error", "-c", code,
            env={**environment, "FAL_LOG": level, "PYTHONPATH": str(Path(fal_async.__file__).parents[1])},
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, err = await process.communicate()
        text = err.decode()
        assert process.returncode == 0, text
        assert ("fal_async" in text) is wanted
        assert all(secret not in text for secret in (emulator.key, "t0k3n", "my words"))


def test_an_unknown_fal_log_level_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_LOG", "loud")
    with pytest.raises(ConfigurationError, match="FAL_LOG='loud': expected one of debug, info"):
        asyncio.run(Session("a:b").open())


async def test_closing_a_session_ends_a_call_that_reads_a_response(emulator: Emulator) -> None:
    """The first bytes of the response have arrived, the others never do."""
    emulator.faults.add(Fault.stall(60, where="body", on="status"))
    async with Session(emulator.key, hosts=emulator.hosts, retry=ONCE) as session:
        handle = await session.queue.submit(LLM, ASK)
        reading = asyncio.create_task(handle.status())
        await emulator.wait_for("status")
        async with asyncio.timeout(5):
            while not pool_of(session).being_read:
                await asyncio.sleep(0)
    with pytest.raises(TransportError):
        await asyncio.wait_for(reading, 5)


# Shortcuts.


async def test_shortcuts_replace_their_session_if_it_was_closed(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fal_async.session.shortcuts import current_session

    monkeypatch.setenv("FAL_BASE_URL", emulator.url)
    monkeypatch.setenv("FAL_KEY", emulator.key)
    assert (await fal_async.run(LLM, ASK)).data
    first = await current_session()
    assert await current_session() is first
    await first.aclose()
    assert await current_session() is not first


def test_shortcuts_work_across_event_loops_and_with_a_changed_key() -> None:
    script = """
import asyncio, os, sys, threading
import fal_async
from fal_async.emulator import Emulator, Fault
from tests.quick import GATE, gate_at

LLM = "fal-ai/any-llm"

async def both():
    async with Emulator(key="b:b", speed=50) as other:
        assert (await fal_async.run(LLM, {"prompt": "x"})).data
        handle = await fal_async.submit(LLM, {"prompt": "x"})
        assert (await handle.wait()).data
        os.environ["FAL_KEY"], os.environ["FAL_BASE_URL"] = other.key, other.url
        assert (await fal_async.subscribe(LLM, {"prompt": "x"})).data
        assert {r.headers["Authorization"] for r in other.requests} == {"Key b:b"}

async def main():
    async with Emulator(speed=50) as emulator:
        os.environ["FAL_KEY"], os.environ["FAL_BASE_URL"] = emulator.key, emulator.url
        await both()

for _ in range(3):
    asyncio.run(main())
thread = threading.Thread(target=lambda: asyncio.run(main()))
thread.start()
thread.join()
"""
    subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        check=True,
        timeout=60,
        env={"PYTHONPATH": str(Path(fal_async.__file__).parents[1])},
    )


def test_shortcuts_keep_no_reference_to_a_closed_loop() -> None:
    script = """
import asyncio, gc, os, weakref
import fal_async
from fal_async.emulator import Emulator

ended = []

async def main():
    ended.append(weakref.ref(asyncio.get_running_loop()))
    async with Emulator(speed=50) as emulator:
        os.environ["FAL_KEY"], os.environ["FAL_BASE_URL"] = emulator.key, emulator.url
        assert (await fal_async.run("fal-ai/any-llm", {"prompt": "x"})).data

for _ in range(3):
    asyncio.run(main())
gc.collect()
assert [loop() for loop in ended] == [None] * 3
"""
    subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        check=True,
        timeout=60,
        env={"PYTHONPATH": str(Path(fal_async.__file__).parents[1])},
    )


def test_the_level_of_the_logger_is_unset_by_default() -> None:
    assert logging.getLogger("fal_async").level == logging.NOTSET


async def test_submit_and_upload_of_a_session_use_its_queue_and_storage(
    fal: Session, emulator: Emulator
) -> None:
    handle = await fal.submit(LLM, ASK, priority="low")
    assert (await handle.wait()).request_id == handle.request_id
    assert (await fal.upload(b"meow", content_type="text/plain")).startswith(emulator.url)
    assert (emulator.count("submit"), emulator.count("upload")) == (1, 1)


@pytest.mark.parametrize("name", ["key", "api_key", "credential", "base_url", "timeouts", "proxy"])
def test_an_unknown_session_argument_raises_with_the_one_that_was_meant(name: str) -> None:
    meant = {"credential": "credentials", "base_url": "hosts", "timeouts": "timeout", "proxy": "http_proxy"}
    said = rf"unexpected keyword argument '{name}': did you mean '{meant.get(name, 'credentials')}'\?"
    with pytest.raises(TypeError, match=said):
        Session(**{name: "x"})  # type: ignore[arg-type]
