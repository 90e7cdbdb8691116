"""The backup domain (protocol 1.1), over TLS and with fal's host names: used only if no connection was made."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
import trustme

from fal_async import (
    Hosts,
    ServerError,
    Session,
    SubmissionUncertainError,
    Timeouts,
    TransportError,
)
from fal_async.emulator import Emulator, Fault
from tests.emulator.certificates import server_side
from tests.quick import ASK, LLM, ONCE, quick
from tests.servers.loopback import NOWHERE, Directory, a_client, all_at, crowded_port, free_port, port_of


@pytest.fixture
async def fals(no_tasks_left: None) -> AsyncIterator[Emulator]:
    """The emulator behind fal.run and queue.fal.run."""
    async with Emulator(speed=50, ssl=server_side()) as emulator:
        yield emulator


@pytest.fixture
async def backup(no_tasks_left: None) -> AsyncIterator[Emulator]:
    """The emulator behind falrun.com and queue.falrun.com."""
    async with Emulator(speed=50, ssl=server_side()) as emulator:
        yield emulator


@asynccontextmanager
async def session_in(directory: Directory, *, hosts: Hosts | None = None) -> AsyncIterator[Session]:
    async with (
        a_client(directory) as http,
        Session(
            "emulator:key",
            hosts=hosts or Hosts(),
            client_session=http,
            retry=ONCE,
            timeout=Timeouts(connect=5, first_byte=1, total=2, run=2),
        ) as fal,
    ):
        yield fal


def directory(fals: Emulator | int, backup: Emulator | int) -> Directory:
    first, second = (port_of(at.url) if isinstance(at, Emulator) else at for at in (fals, backup))
    return Directory(dict(all_at(first, falrun__com=second, queue__falrun__com=second)))


async def test_the_backup_host_is_not_used_while_the_primary_works(fals: Emulator, backup: Emulator) -> None:
    names = directory(fals, backup)
    async with session_in(names) as fal:
        assert (await fal.run(LLM, ASK)).data["output"]
        assert (await fal.subscribe(LLM, ASK)).data["output"]
    assert set(names.asked) == {"fal.run", "queue.fal.run"}
    assert backup.connections_opened == 0
    assert {request.headers["Host"] for request in fals.requests} == {"fal.run", "queue.fal.run"}


@pytest.mark.parametrize("dead", [NOWHERE, 0], ids=["no such name", "refused"])
async def test_the_backup_host_is_used_if_the_primary_refuses_connections(
    backup: Emulator, dead: int
) -> None:
    names = directory(dead or free_port(), backup)
    async with session_in(names) as fal:
        assert (await fal.run(LLM, ASK)).data["output"]
        assert (await fal.subscribe(LLM, ASK)).data["output"]
    assert len(backup.jobs) == 2
    run, submit, *later = backup.requests
    # "port, path, query, headers, body, key all unchanged; the Host header becomes the backup host"
    assert (run.headers["Host"], submit.headers["Host"]) == ("falrun.com", "queue.falrun.com")
    assert run.headers["Authorization"] == submit.headers["Authorization"] == "Key emulator:key"
    # Each later call tries the primary host first again: the URLs still name queue.fal.run.
    assert {request.headers["Host"] for request in later} == {"queue.falrun.com"}
    assert names.asked[:2] == ["fal.run", "falrun.com"]


async def test_the_backup_host_is_used_if_connecting_times_out(backup: Emulator) -> None:
    with crowded_port() as port:
        async with session_in(directory(port, backup)) as fal:
            hurried = fal.with_options(timeout=Timeouts(connect=0.2))
            assert (await hurried.run(LLM, ASK)).data["output"]
    assert len(backup.jobs) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.reset(), SubmissionUncertainError),
        (Fault.close(), SubmissionUncertainError),
        (Fault.reset(taken=True), SubmissionUncertainError),
        (Fault.stall(30), SubmissionUncertainError),
        (Fault.truncate(), SubmissionUncertainError),
        (Fault.html(502), SubmissionUncertainError),
        (Fault.html(503), ServerError),
        (Fault.answer(503), ServerError),
    ],
    ids=["reset", "close", "reset once taken", "stall", "truncate", "page 502", "page 503", "503"],
)
@pytest.mark.parametrize("name", ["run", "submit"])
async def test_the_backup_host_is_not_used_after_the_request_may_have_arrived(
    fals: Emulator, backup: Emulator, name: str, fault: Fault, kind: type[Exception]
) -> None:
    async with session_in(directory(fals, backup)) as fal:
        call = fal.run if name == "run" else fal.queue.submit
        if fault.kind == "stall":
            # An attempt's time limit covers the TLS handshake too. On a connection that is already open, the
            # limit can only pass after the request was sent, even if the machine is busy.
            await call(LLM, ASK)
            limited = fal.with_options(timeout=0.3)
            call = limited.run if name == "run" else limited.queue.submit
        earlier, opened = fals.count(name), fals.connections_opened
        fals.faults.add(Fault.from_json({**fault.to_json(), "on": name, "times": None}))
        with pytest.raises(kind):
            await call(LLM, ASK)
        assert fals.count(name) == earlier + 1
        if fault.kind == "stall":
            assert fals.connections_opened == opened
    assert backup.connections_opened == 0


async def test_if_both_hosts_are_unreachable_the_error_names_the_primary() -> None:
    names = directory(NOWHERE, free_port())
    async with session_in(names) as fal:
        with pytest.raises(TransportError, match=r"the host name queue\.fal\.run can't be resolved"):
            await fal.subscribe(LLM, ASK)
    assert names.asked == ["queue.fal.run", "queue.falrun.com"]


async def test_if_the_backup_host_connects_and_fails_its_own_error_is_raised(backup: Emulator) -> None:
    backup.faults.add(Fault.reset(on="submit", taken=True))
    async with session_in(directory(NOWHERE, backup)) as fal:
        with pytest.raises(SubmissionUncertainError) as caught:
            await fal.subscribe(LLM, ASK)
    assert isinstance(caught.value.__cause__, TransportError)
    assert not isinstance(caught.value.__cause__.__cause__, aiohttp.ClientConnectorError)
    assert len(backup.jobs) == 1


async def test_each_attempt_tries_the_backup_host_once(fals: Emulator) -> None:
    names = directory(NOWHERE, NOWHERE)
    async with session_in(names) as fal:
        with pytest.raises(TransportError):
            await fal.with_options(retry=quick(max_attempts=3)).run(LLM, ASK)
    assert names.asked == ["fal.run", "falrun.com"] * 3


async def test_hosts_backup_false_disables_the_backup_host(backup: Emulator) -> None:
    names = directory(NOWHERE, backup)
    async with session_in(names, hosts=Hosts(backup=False)) as fal:
        with pytest.raises(TransportError, match="can't be resolved"):
            await fal.run(LLM, ASK)
    assert names.asked == ["fal.run"]
    assert backup.connections_opened == 0


@pytest.mark.parametrize(
    "hosts",
    [
        Hosts(run="https://falrun.com", queue="https://queue.falrun.com"),
        Hosts(run="https://fal.run:8443", queue="https://queue.fal.run:8443"),
        Hosts(run="https://eu.fal.run", queue="https://fal.run.example"),
        Hosts(run="http://fal.run", queue="http://queue.fal.run"),
    ],
    ids=["the backup itself", "another port", "other hosts", "no TLS"],
)
async def test_only_the_two_exact_host_names_have_a_backup(backup: Emulator, hosts: Hosts) -> None:
    names = Directory(dict.fromkeys(all_at(0), NOWHERE))
    async with session_in(names, hosts=hosts) as fal:
        for call in (fal.run, fal.subscribe):
            with pytest.raises(TransportError):
                await call(LLM, ASK)
    assert len(names.asked) == 2


async def test_a_wrong_certificate_does_not_lead_to_the_backup_host(backup: Emulator) -> None:
    """If a stranger answers at fal.run, neither key nor request go to another host, and nothing is retried."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("fal.run", "queue.fal.run").configure_cert(context)
    async with Emulator(ssl=context) as impostor:
        names = directory(impostor, backup)
        async with session_in(names) as fal:
            with pytest.raises(TransportError, match=r"certificate of fal\.run is not trusted") as caught:
                await fal.with_options(retry=quick()).run(LLM, ASK)
        assert not caught.value.retryable
        assert impostor.count() == 0
        # The server notices a refused handshake a little later.
        async with asyncio.timeout(5):
            while impostor.connections_open:
                await asyncio.sleep(0)
    assert names.asked == ["fal.run"]
    assert backup.connections_opened == 0


async def test_a_changed_dns_name_is_followed_by_the_next_connection(
    fals: Emulator, backup: Emulator
) -> None:
    """After a change of DNS, the next connection goes to the new address."""
    names = directory(fals, NOWHERE)
    async with session_in(names) as fal:
        await fal.subscribe(LLM, ASK)
        names.ports |= dict(all_at(port_of(backup.url)))
        await fals.pause()
        await fal.subscribe(LLM, ASK)
    assert (len(fals.jobs), len(backup.jobs)) == (1, 1)
