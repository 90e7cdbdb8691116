"""A pool that closes warns of responses that were neither read nor closed, and of no others."""

from __future__ import annotations

import asyncio

import pytest

from fal_async import Session, SessionStateError
from fal_async.emulator import Emulator, Fault
from tests.quick import ASK, GATE, LLM, gate_at, pool_of, session_on


async def test_a_response_that_was_never_closed_is_warned_about_at_the_end(emulator: Emulator) -> None:
    emulator.faults.add(Fault.stall(60, on="run", where="body"))
    fal = Session(emulator.key, hosts=emulator.hosts)
    await fal.open()
    headers = {"Authorization": f"Key {emulator.key}"}
    answer = await pool_of(fal).http().post(f"{emulator.hosts.run}/{LLM}", json=ASK, headers=headers)
    with pytest.warns(ResourceWarning, match="1 responses were neither read nor closed"):
        await fal.aclose()
    answer.close()


async def test_a_response_that_is_being_read_is_not_warned_about(emulator: Emulator) -> None:
    gate = gate_at(emulator)
    async with session_on(emulator) as fal:
        call = asyncio.create_task(fal.run(GATE, ASK))
        while not gate.started:
            await asyncio.sleep(0.01)
        assert pool_of(fal).places_taken == 1
    with pytest.raises(SessionStateError):
        await call
