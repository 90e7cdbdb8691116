"""fal's own host names over TLS, with only the name look-up configured, and the backup hosts (protocol 1.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from fal_async import Hosts, RetryPolicy, Session, SubmissionUncertainError, TransportError
from fal_async.emulator import Emulator, Fault
from tests.emulator.bent_dns import BentDns
from tests.emulator.certificates import client_side, server_side

LLM = "fal-ai/any-llm"
PROMPT = {"prompt": "a cat"}
PRIMARY = frozenset({"fal.run", "queue.fal.run"})
BACKUP = frozenset({"falrun.com", "queue.falrun.com"})


@pytest.fixture
async def emulator(no_tasks_left: None) -> AsyncIterator[Emulator]:
    async with Emulator(speed=50, ssl=server_side()) as emulator:
        yield emulator


@asynccontextmanager
async def session(
    emulator: Emulator, dead: frozenset[str] = frozenset(), *, backup: bool = True
) -> AsyncIterator[Session]:
    dns = BentDns(int(emulator.url.rpartition(":")[2]), dead)
    connector = aiohttp.TCPConnector(resolver=dns, ssl=client_side(), force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as lent,
        Session(emulator.key, hosts=Hosts(backup=backup), client_session=lent) as fal,
    ):
        yield fal


def asked(emulator: Emulator) -> set[str]:
    return {request.host_segment for request in emulator.requests}


async def test_a_session_without_hosts_uses_fals_own_host_names(emulator: Emulator) -> None:
    async with session(emulator) as fal:
        result = await fal.subscribe(LLM, PROMPT)
        direct = await fal.run(LLM, PROMPT)
    assert result.data == direct.data
    assert asked(emulator) == PRIMARY


async def test_the_backup_host_of_a_real_name_is_used_if_no_connection_is_made(emulator: Emulator) -> None:
    async with session(emulator, dead=PRIMARY) as fal:
        await fal.subscribe(LLM, PROMPT)
        await fal.run(LLM, PROMPT)
    assert asked(emulator) == BACKUP
    assert (emulator.count("submit"), emulator.count("run")) == (1, 1)


async def test_the_backup_host_of_a_real_name_is_not_used_after_sending(emulator: Emulator) -> None:
    """A request that may have been delivered is not sent to another host either."""
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    async with session(emulator) as fal:
        with pytest.raises(SubmissionUncertainError):
            await fal.subscribe(LLM, PROMPT)
    assert asked(emulator) == {"queue.fal.run"}
    assert len(emulator.jobs) == 1


async def test_hosts_backup_false_disables_the_backup_of_a_real_name(emulator: Emulator) -> None:
    async with session(emulator, dead=PRIMARY, backup=False) as fal:
        with pytest.raises(TransportError):
            await fal.with_options(retry=RetryPolicy(max_attempts=1)).run(LLM, PROMPT)
    assert emulator.requests == []
