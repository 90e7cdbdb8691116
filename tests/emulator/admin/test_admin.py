"""`/_emulator`, with which tests in other processes and languages control the emulator."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from fal_async.emulator import Emulator, Fault
from tests.emulator.caller import Caller, Reply, until
from tests.emulator.gate import Gate

LLM = "fal-ai/any-llm"


async def admin(caller: Caller, method: str, path: str, **options: Any) -> Reply:
    return await caller.call(method, f"/_emulator/{path}".rstrip("/"), headers={}, **options)


async def back_again(caller: Caller) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                await admin(caller, "GET", "")
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)
            else:
                return


async def test_the_admin_summary_counts_requests_jobs_and_faults_and_jobs_are_listed(caller: Caller) -> None:
    caller.emulator.endpoint("me/gate", runners=1)(Gate())
    submitted = await caller.submit("me/gate", {"n": 1})
    await caller.run("me/nothing", {})
    caller.emulator.faults.add(Fault.html(times=2, on="status"))
    await caller.status(submitted)
    assert (await admin(caller, "GET", "")).data == {
        "counts": {"submit": 1, "run": 1, "status": 1},
        "jobs": 1,
        "states": {"IN_PROGRESS": 1},
        "faults": 1,
        "faults_struck": 1,
    }
    [job] = (await admin(caller, "GET", "jobs")).data
    assert (job["request_id"], job["endpoint_id"]) == (submitted.data["request_id"], "me/gate")
    assert (job["state"], job["input"], job["status_code"]) == ("IN_PROGRESS", {"n": 1}, None)
    await caller.cancel(submitted)
    await caller.reached(submitted, "COMPLETED")
    [job] = (await admin(caller, "GET", "jobs")).data
    assert (job["status_code"], job["error_type"], job["cancel_requests"]) == (499, "client_cancelled", 1)


async def test_the_admin_route_lists_and_clears_recorded_requests(caller: Caller) -> None:
    await caller.run("me/nothing", {"a": "\xe4"}, params={"q": "1"})
    [request] = (await admin(caller, "GET", "requests")).data
    assert (request["method"], request["path"], request["query"]) == (
        "POST",
        "/fal.run/me/nothing",
        {"q": "1"},
    )
    assert (request["kind"], request["endpoint_id"], request["status"]) == ("run", "me/nothing", 404)
    assert request["headers"]["Authorization"] == "Key emulator:***"  # without the secret
    assert json.loads(request["body"]) == {"a": "\xe4"}
    await admin(caller, "DELETE", "requests")
    assert (await admin(caller, "GET", "requests")).data == []


async def test_listing_requests_of_an_emulator_without_record_is_a_400_that_names_the_option() -> None:
    async with (
        Emulator(record=False) as emulator,
        aiohttp.ClientSession() as http,
        http.get(f"{emulator.url}/_emulator/requests") as answer,
    ):
        assert answer.status == 400
        assert "--keep-requests" in (await answer.json())["detail"]


async def test_the_admin_route_adds_lists_and_clears_faults(caller: Caller) -> None:
    added = await admin(caller, "POST", "faults", json=[{"kind": "reset"}, {"kind": "html", "times": None}])
    assert [fault["kind"] for fault in added.data] == ["reset", "html"]
    assert (await admin(caller, "GET", "faults")).data == added.data
    assert list(caller.emulator.faults) == [Fault.reset(), Fault.html(times=None)]
    await admin(caller, "DELETE", "faults")
    assert (await admin(caller, "GET", "faults")).data == []


async def test_the_admin_route_removes_one_fault_and_leaves_the_others(caller: Caller) -> None:
    caller.emulator.faults.add(Fault.reset(), Fault.html(times=None))
    wanted = {"kind": "html", "times": None}
    assert (await admin(caller, "DELETE", "faults", json=wanted)).status == 200
    assert list(caller.emulator.faults) == [Fault.reset()]


async def test_a_list_with_one_bad_fault_adds_none_of_them(caller: Caller) -> None:
    refused = await admin(caller, "POST", "faults", json=[{"kind": "reset"}, {"kind": "explode"}])
    assert refused.status == 400
    assert "explode" in refused.data["detail"]
    assert len(caller.emulator.faults) == 0


async def test_the_same_seed_over_the_admin_route_gives_the_same_faults(caller: Caller) -> None:
    caller.emulator.faults.add(Fault.html(chance=0.5, times=None, on="run"))

    async def statuses() -> list[int]:
        await admin(caller, "POST", "seed", json={"seed": 7})
        return [(await caller.run("me/nothing", {})).status for _ in range(20)]

    assert await statuses() == await statuses()


async def test_the_admin_route_sets_prices_and_balances(caller: Caller) -> None:
    await admin(
        caller, "POST", "price", json={"endpoint_id": "fal-ai/any-llm", "price": "0.3", "unit": "word"}
    )
    await admin(caller, "POST", "balance", json={"balance": 0.5})
    await caller.run("fal-ai/any-llm", {"prompt": "x"})
    assert caller.emulator.accounts["emulator"].balance == Decimal("0.2")
    [job] = caller.emulator.jobs.values()
    assert (job.cost, job.price and job.price.unit) == (Decimal("0.3"), "word")
    await admin(caller, "POST", "balance", json={"balance": None})
    assert caller.emulator.accounts["emulator"].balance is None


async def test_the_admin_route_rotates_the_key_and_locks_the_account(caller: Caller) -> None:
    await admin(caller, "POST", "key", json={"key": "new:key"})
    assert caller.emulator.key == "new:key"
    await admin(caller, "POST", "lock")
    assert (await caller.run(LLM, {"prompt": "x"})).status == 403
    await admin(caller, "POST", "unlock")
    assert (await caller.run(LLM, {"prompt": "x"})).status == 200


async def test_the_admin_route_pauses_the_server_and_restarts_it_without_memory(caller: Caller) -> None:
    caller.emulator.endpoint("me/gate")(Gate())
    submitted = await caller.submit("me/gate")
    opened = caller.emulator.connections_opened
    assert (await admin(caller, "POST", "pause", json={"seconds": 0.02})).status == 200
    await until(lambda: caller.emulator.connections_open == 0)
    await back_again(caller)
    assert caller.emulator.connections_opened > opened
    assert (await caller.status(submitted)).data["status"] == "IN_PROGRESS"
    lost = await admin(caller, "POST", "restart", json={"keep_memory": False, "downtime": 0.01})
    assert lost.status == 200
    await caller.emulator.jobs[submitted.data["request_id"]].wait_for("COMPLETED", timeout=5)
    await back_again(caller)
    assert (await caller.status(submitted)).status == 404


async def test_the_admin_route_drops_open_connections(caller: Caller) -> None:
    await admin(caller, "POST", "drop")
    await until(lambda: caller.emulator.connections_open == 0)
    assert (await admin(caller, "GET", "")).status == 200


async def test_clearing_the_record_resets_requests_and_counts(caller: Caller) -> None:
    await caller.run("me/nothing", {})
    await admin(caller, "DELETE", "requests")
    assert (caller.emulator.requests, caller.emulator.count()) == ([], 0)


async def test_an_admin_call_without_a_needed_field_names_the_field(caller: Caller) -> None:
    refused = await admin(caller, "POST", "pause", json={})
    assert refused.data["detail"] == "'seconds' is missing, or unknown to the emulator"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", b"{"),
        ("faults", b'"reset"'),
        ("pause", b"{}"),
        ("pause", b"[]"),
        ("pause", b'{"seconds": "soon"}'),
        ("seed", b'{"seed": null}'),
        ("key", b'{"key": "secret"}'),
    ],
)
async def test_a_malformed_admin_body_is_a_400_with_a_reason(caller: Caller, path: str, body: bytes) -> None:
    refused = await admin(caller, "POST", path, data=body)
    assert refused.status == 400
    assert refused.data["detail"]


async def test_an_unknown_admin_path_is_a_404_that_lists_the_known_ones(caller: Caller) -> None:
    unknown = await admin(caller, "GET", "fault")
    assert unknown.status == 404
    assert "POST /_emulator/faults" in unknown.data["detail"]


async def test_admin_calls_are_not_recorded_and_not_struck_by_faults(caller: Caller) -> None:
    caller.emulator.faults.add(Fault.reset(times=None))
    assert (await admin(caller, "GET", "")).data["counts"] == {}
    assert caller.emulator.requests == []
