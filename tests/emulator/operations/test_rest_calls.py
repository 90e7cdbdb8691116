"""The small calls of rest.fal.ai: the user, an app's queue, a request by its id (protocol 11.5)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.caller import Caller
from tests.emulator.gate import Gate

LLM = "fal-ai/any-llm"


@pytest.fixture
def other(caller: Caller) -> dict[str, str]:
    return {"Authorization": f"Key {caller.emulator.add_account('other:key').key}"}


async def test_users_current_names_the_account_of_the_key(caller: Caller, other: dict[str, str]) -> None:
    assert (await caller.get("/rest.fal.ai/users/current")).data["nickname"] == "emulator"
    assert (await caller.get("/rest.alpha.fal.ai/users/current", headers=other)).data["nickname"] == "other"
    assert (await caller.get("/rest.fal.ai/users/current", headers={})).status == 401
    assert (await caller.call("POST", "/rest.fal.ai/users/current")).status == 405


async def test_users_current_tells_whether_the_account_is_locked_and_why(caller: Caller) -> None:
    async def state() -> tuple[bool, str | None]:
        user = (await caller.get("/rest.fal.ai/users/current")).data
        assert user["is_personal"]
        return user["is_locked"], user["lock_reason"]

    assert await state() == (False, None)
    caller.emulator.accounts["emulator"].lock(polls=False)
    assert await state() == (True, "Exhausted balance. Top up your balance at fal.ai/dashboard/billing")


@pytest.fixture
async def waiting(caller: Caller, other: dict[str, str]) -> list[str]:
    """Return the ids of three waiting requests of `me/gate/sub`, of which the second is another account's."""
    caller.emulator.endpoint("me/gate/sub", runners=1)(Gate())
    submits: tuple[dict[str, Any], ...] = ({}, {}, {"headers": other}, {})
    submitted = [await caller.submit("me/gate/sub", **options) for options in submits]
    return [reply.data["request_id"] for reply in submitted[1:]]


async def states(caller: Caller, ids: list[str]) -> list[str]:
    return [caller.emulator.jobs[one].state for one in ids]


async def test_the_queue_of_an_app_tells_how_many_requests_wait(caller: Caller, waiting: list[str]) -> None:
    path = "/rest.fal.ai/applications/me/gate/queue"
    assert (await caller.get(path)).data == {"size": len(waiting)}
    by_user = (await caller.get(path, params={"by_user": "true"})).data
    assert by_user == {"size": 3, "by_user": {"emulator": 2, "other": 1}}
    assert (await caller.get("/rest.fal.ai/applications/me/nothing/queue")).status == 404
    assert (await caller.call("PUT", path)).status == 405


@pytest.mark.parametrize(
    ("query", "flushed"),
    [
        ({}, [True, True, True]),
        ({"caller_user_id": "emulator"}, [True, False, True]),
        ({"limit": "1"}, [True, False, False]),
        ({"caller_user_id": "other", "limit": "5"}, [False, True, False]),
        ({"limit": "0"}, [False, False, False]),
    ],
    ids=str,
)
async def test_flushing_the_queue_of_an_app_cancels_waiting_requests(
    caller: Caller, waiting: list[str], query: dict[str, str], flushed: list[bool]
) -> None:
    reply = await caller.call("DELETE", "/rest.fal.ai/applications/me/gate/queue", params=query)
    assert reply.status == 200
    assert await states(caller, waiting) == ["COMPLETED" if one else "IN_QUEUE" for one in flushed]


async def test_a_wrong_limit_flushes_nothing(caller: Caller, waiting: list[str]) -> None:
    path = "/rest.fal.ai/applications/me/gate/queue"
    assert (await caller.call("DELETE", path, params={"limit": "all"})).status == 400
    assert await states(caller, waiting) == ["IN_QUEUE"] * 3


async def test_a_request_is_found_by_its_id_alone_and_its_cost_after_the_lag(
    caller: Caller, other: dict[str, str]
) -> None:
    run = await caller.run(LLM, {"prompt": "x"})
    path = f"/rest.fal.ai/requests/{run.headers['x-fal-request-id']}"
    found = (await caller.get(path)).data
    assert (found["endpoint_id"], found["billing_status"], found["cost"]) == (LLM, "BILLED", 0.001)
    assert found["cost_estimate_nano_usd"] == 1_000_000
    caller.emulator.history.lag = 60.0
    found = (await caller.get(path)).data
    assert (found["billing_status"], found["cost"], found["billable_units"]) == ("PENDING", None, None)
    assert (await caller.get(path, headers=other)).status == 404
