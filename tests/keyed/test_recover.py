"""`fal.recover`: requests that earlier sessions left unfinished are followed, looked up, or counted."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from fal_async import (
    AuthenticationError,
    ConfigurationError,
    Ledger,
    PermissionDeniedError,
    Recovered,
    Session,
    SessionStateError,
    SubmissionUncertainError,
)
from fal_async.emulator import Emulator, Fault, ModelError
from fal_async.ledger.opening import Where, open_store
from fal_async.protocol.ledger.entry import Place
from fal_async.protocol.ledger.key_checks import space_of
from tests.keyed.entries import execute, is_database
from tests.ledger.samples import new_claim
from tests.quick import ASK, GATE, LLM, gate_at, session_on


async def leave(emulator: Emulator, runs: Where, *keys: str, run: str = "") -> None:
    """Submit requests to the gated endpoint, and close the session that has submitted them."""
    async with session_on(emulator, ledger=runs) as first:
        for key in keys:
            await first.queue.submit(GATE, {"key": key}, key=key, run=run)


async def test_recover_follows_the_requests_of_an_earlier_session_until_they_are_complete(
    emulator: Emulator, runs: Where
) -> None:
    gate = gate_at(emulator)
    await leave(emulator, runs, "a", "b", "c")
    gate.open()
    async with session_on(emulator, ledger=runs) as fal:
        assert await fal.recover() == Recovered(done=3)
        assert await fal.recover() == Recovered()
        assert (await fal.subscribe(GATE, {"key": "b"}, key="b")).from_ledger
    assert emulator.count("submit") == 3


async def leave_killed(emulator: Emulator, runs: Where, key: str) -> None:
    """Submit a request to the gated endpoint, as a process that is killed afterwards."""
    async with session_on(emulator) as without_ledger:
        handle = await without_ledger.queue.submit(GATE, {"key": key})
        space = space_of(without_ledger.settings.hosts, tenant="", run="")
    # As the URL differs, it has its own connections.
    store = await open_store(f"{runs}&pool_size=1" if is_database(runs) else runs)
    claim = attrs.evolve(new_claim(Place(space=space, key=key)), endpoint_id=GATE)
    hold = await store.claim(claim)
    assert hold is not None
    await store.submitted(hold, handle.request_id, 100.0)
    store.drop()


async def test_recover_waits_until_it_is_known_that_a_killed_process_is_gone(
    emulator: Emulator, runs: Where
) -> None:
    gate = gate_at(emulator)
    gate.open()
    await leave_killed(emulator, runs, "a")
    async with session_on(emulator, ledger=runs) as fal:
        recovering = asyncio.create_task(fal.recover())
        while is_database(runs) and not recovering.done():
            # In place of ten seconds with a free lock.
            await execute(runs, "UPDATE fal_async.owners SET free_since = free_since - 10")
            await asyncio.sleep(0.01)
        assert await recovering == Recovered(done=1)


async def test_recover_counts_done_failed_and_cancelled_requests(emulator: Emulator, runs: Where) -> None:
    async def model(input: dict[str, str]) -> dict[str, str]:
        await gate(input)
        if input["key"] == "bad":
            raise ModelError(422, [{"loc": ["body"], "msg": "no", "type": "value_error"}])
        return input

    gate = gate_at(emulator, "me/other")
    emulator.endpoint(GATE, runners=1)(model)
    await leave(emulator, runs, "good", "bad", "unwanted")
    unwanted = list(emulator.jobs)[-1]
    async with session_on(emulator) as without_ledger:
        await without_ledger.queue.cancel(GATE, unwanted)
    async with session_on(emulator, ledger=runs) as fal:
        gate.open()
        recovered = await fal.recover()
    assert recovered == Recovered(done=1, failed=1, cancelled=1)
    assert recovered.total == 3
    assert recovered.error is None


async def test_recover_with_a_run_follows_only_that_run(emulator: Emulator, runs: Where) -> None:
    gate_at(emulator).open()
    await leave(emulator, runs, "a", run="one")
    await leave(emulator, runs, "a", run="two")
    await leave(emulator, runs, "a")
    async with session_on(emulator, ledger=runs) as fal:
        assert (await fal.recover("one")).done == 1
        assert (await fal.recover(run="")).done == 1
        assert (await fal.recover()).done == 1


async def test_recover_looks_up_uncertain_entries_and_follows_those_it_finds(
    emulator: Emulator, runs: Where
) -> None:
    async with session_on(emulator, ledger=runs) as first:
        emulator.history.lag = 3_600.0
        emulator.faults.add(Fault.reset(on="submit", taken=True), Fault.reset(on="submit", taken=False))
        for key in "ab":
            with pytest.raises(SubmissionUncertainError):
                await first.subscribe(LLM, {"prompt": key}, key=key)
    emulator.history.lag = 0.0
    async with session_on(emulator, ledger=runs) as fal:
        assert await fal.recover() == Recovered(done=1, uncertain=1)
        assert (await fal.subscribe(LLM, {"prompt": "a"}, key="a")).from_ledger
    assert emulator.count("submit") == 2


async def test_an_unreadable_history_does_not_stop_recover(emulator: Emulator, runs: Where) -> None:
    gate_at(emulator).open()
    async with session_on(emulator, ledger=runs) as first:
        await first.queue.submit(GATE, {"key": "a"}, key="a")
        emulator.history.permitted = False
        emulator.faults.add(Fault.reset(on="submit", taken=True))
        with pytest.raises(SubmissionUncertainError):
            await first.subscribe(LLM, ASK, key="b")
    async with session_on(emulator, ledger=runs) as fal:
        recovered = await fal.recover()
    assert recovered == Recovered(done=1, uncertain=1)
    assert isinstance(recovered.error, SubmissionUncertainError)
    assert isinstance(recovered.error.__cause__, PermissionDeniedError)


async def test_recover_leaves_a_request_that_another_session_follows(emulator: Emulator, runs: Where) -> None:
    gate = gate_at(emulator)
    async with session_on(emulator, ledger=runs) as one, session_on(emulator, ledger=runs) as other:
        task = asyncio.create_task(one.subscribe(GATE, ASK, key="a"))
        await emulator.wait_for("status")
        assert await other.recover() == Recovered(running=1)
        assert await one.recover() == Recovered(running=1)
        gate.open()
        await task
        assert await other.recover() == Recovered()


async def test_recover_with_a_refused_api_key_leaves_all_entries_unchanged(
    emulator: Emulator, runs: Where
) -> None:
    gate_at(emulator).open()
    await leave(emulator, runs, "a", "b")
    async with session_on(emulator, ledger=runs, credentials="other:key") as refused:
        recovered = await refused.recover()
    assert recovered == Recovered(left=2)
    assert isinstance(recovered.error, AuthenticationError)
    async with session_on(emulator, ledger=runs) as fal:
        assert await fal.recover() == Recovered(done=2)


async def test_recover_can_be_called_again_after_it_was_cancelled(emulator: Emulator, runs: Where) -> None:
    gate = gate_at(emulator)
    await leave(emulator, runs, "a")
    async with session_on(emulator, ledger=runs) as fal:
        task = asyncio.create_task(fal.recover())
        await emulator.wait_for("status")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.open()
    async with session_on(emulator, ledger=runs) as again:
        assert (await again.recover()).total <= 1
        assert (await again.subscribe(GATE, {"key": "a"}, key="a")).data == {"key": "a"}
    assert emulator.count("submit") == 1
    assert emulator.count("cancel") == 0


async def test_closing_the_session_ends_recover_with_an_error(emulator: Emulator, runs: Where) -> None:
    gate_at(emulator)
    await leave(emulator, runs, "a")
    async with session_on(emulator, ledger=runs) as fal:
        task = asyncio.create_task(fal.recover())
        await emulator.wait_for("status")
    with pytest.raises(SessionStateError):
        await task
    assert emulator.count("cancel") == 0


async def test_recover_does_not_touch_entries_of_other_tenants_and_origins(
    emulator: Emulator, runs: Where
) -> None:
    gate_at(emulator).open()
    async with session_on(emulator, ledger=runs) as first:
        acme = first.with_options(credentials=emulator.key, tenant="acme")
        await acme.queue.submit(GATE, ASK, key="a")
        await first.queue.submit(GATE, ASK, key="a")
    async with Emulator() as other, session_on(other, ledger=runs) as elsewhere:
        assert await elsewhere.recover() == Recovered()
    async with session_on(emulator, ledger=runs) as fal:
        assert await fal.recover() == Recovered(done=1)
        assert await fal.with_options(tenant="acme").recover() == Recovered(done=1)


async def test_recover_follows_a_request_id_given_to_resolve(emulator: Emulator, runs: Where) -> None:
    async with session_on(emulator, ledger=runs) as fal, await Ledger.open(runs) as ledger:
        emulator.history.permitted = False
        emulator.faults.add(Fault.reset(on="submit", taken=True))
        with pytest.raises(SubmissionUncertainError):
            await fal.subscribe(LLM, ASK, key="a")
        (request_id,) = emulator.jobs
        assert (await ledger.resolve("a", request_id=request_id)).state == "submitted"
        assert await fal.recover() == Recovered(done=1)
        assert (await fal.subscribe(LLM, ASK, key="a")).request_id == request_id


async def test_the_next_call_submits_after_resolve_has_withdrawn_the_attempt(
    emulator: Emulator, runs: Where
) -> None:
    async with session_on(emulator, ledger=runs) as fal, await Ledger.open(runs) as ledger:
        emulator.faults.add(Fault.reset(on="submit", taken=False))
        with pytest.raises(SubmissionUncertainError):
            await fal.subscribe(LLM, ASK, key="a")
        await ledger.resolve("a", request_id=None)
        assert await fal.recover() == Recovered()
        assert (await fal.subscribe(LLM, ASK, key="a")).data["output"]
    assert emulator.count("submit") == 2


async def test_recover_without_a_ledger_is_refused(emulator: Emulator) -> None:
    async with session_on(emulator) as fal:
        with pytest.raises(ConfigurationError, match="recover needs a ledger"):
            await fal.recover()


async def test_recover_refuses_an_invalid_run(fal: Session) -> None:
    with pytest.raises(ConfigurationError, match="run"):
        await fal.recover(run=5)  # type: ignore[arg-type]
