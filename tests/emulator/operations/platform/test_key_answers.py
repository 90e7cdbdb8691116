"""Keys of the platform API, their scopes, and repeated Idempotency-Keys (protocol 11.7, 11.11)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from fal_async.emulator import Emulator
from fal_async.emulator.accounts.kept_answers import LIFETIME, KeptAnswers
from fal_async.emulator.operations.platform.platform_operations import OPERATIONS
from fal_async.emulator.wire.answers import Answer
from tests.emulator.caller import Caller, Reply, calling
from tests.emulator.operations.platform.platform_caller import Platform, refused

LLM = "fal-ai/any-llm"


@pytest.fixture
def admin(caller: Caller) -> str:
    return caller.emulator.admin_key


async def made(platform: Platform, admin: str, alias: str = "robot") -> dict[str, Any]:
    reply = await platform.post("keys", {"alias": alias}, key=admin)
    assert reply.status == 201
    key: dict[str, Any] = reply.data
    return key


async def run_with(caller: Caller, key: str) -> Reply:
    return await caller.run(LLM, {"prompt": "x"}, headers={"Authorization": f"Key {key}"})


async def test_a_made_key_works_until_it_is_deleted(platform: Platform, admin: str) -> None:
    key = await made(platform, admin)
    assert key["key"] == f"{key['key_id']}:{key['key_secret']}"
    assert (await run_with(platform.caller, key["key"])).status == 200
    assert (await platform.call("DELETE", f"keys/{key['key_id']}", key=admin)).status == 204
    assert (await run_with(platform.caller, key["key"])).status == 401


async def test_a_key_has_the_date_of_virtual_time() -> None:
    async with calling(Emulator(clock="manual")) as caller:
        platform, admin = Platform(caller), caller.emulator.admin_key
        await caller.emulator.advance(86_400)
        await made(platform, admin)
        first, second = await platform.listed("keys", "keys", key=admin)
    days = [datetime.fromisoformat(key["created_at"]) for key in (first, second)]
    assert days[1] - days[0] == timedelta(days=1)


async def test_the_emulators_own_key_can_be_deleted_and_replaced(platform: Platform, admin: str) -> None:
    emulator = platform.caller.emulator
    await platform.call("DELETE", "keys/emulator", key=admin)
    assert (await run_with(platform.caller, emulator.key)).status == 401
    assert await platform.listed("keys", "keys", key=admin) == []
    emulator.rotate_key("emulator:other")
    assert (await run_with(platform.caller, emulator.key)).status == 200


async def test_deleting_an_unknown_key_gets_204(platform: Platform, admin: str) -> None:
    assert (await platform.call("DELETE", "keys/nothing", key=admin)).status == 204


async def test_keys_are_listed_without_secrets_and_without_admin_keys(platform: Platform, admin: str) -> None:
    key = await made(platform, admin)
    first, second = await platform.listed("keys", "keys", key=admin)
    assert (first["key_id"], second["key_id"]) == ("emulator", key["key_id"])
    assert (second["alias"], second["scope"]) == ("robot", "API")
    assert key["key_secret"] not in str([first, second])
    [_, second] = await platform.listed("keys", "keys", key=admin, expand="creator_info")
    assert (second["creator_nickname"], second["creator_email"]) == ("emulator", "emulator@example.com")


async def test_keys_are_listed_page_by_page(platform: Platform, admin: str) -> None:
    for number in range(3):
        await made(platform, admin, f"robot {number}")
    first = await platform.get("keys", key=admin, limit=3)
    second = await platform.get("keys", key=admin, limit=3, cursor=first.data["next_cursor"])
    names = [key["alias"] for key in first.data["keys"] + second.data["keys"]]
    assert names == ["emulator", "robot 0", "robot 1", "robot 2"]


@pytest.mark.parametrize("body", [{}, {"alias": ""}, {"alias": 1}, {"alias": "x" * 256}, [], None], ids=str)
async def test_a_key_without_a_usable_alias_is_not_made(platform: Platform, admin: str, body: Any) -> None:
    assert refused(await platform.post("keys", body, key=admin)) == (400, "validation_error")
    assert len(platform.caller.emulator.accounts["emulator"].api_keys) == 1


async def test_keys_belong_to_one_account(platform: Platform, admin: str) -> None:
    other = platform.caller.emulator.add_account("other:key")
    key = await made(platform, admin)
    await platform.call("DELETE", f"keys/{key['key_id']}", key=other.admin_key)
    assert (await run_with(platform.caller, key["key"])).status == 200
    [only] = await platform.listed("keys", "keys", key=other.admin_key)
    assert only["key_id"] == "other"


@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if one.admin], ids=lambda one: f"{one.method} {one.path}"
)
async def test_an_admin_operation_answers_an_api_key_with_403(platform: Platform, operation: Any) -> None:
    reply = await platform.call(operation.method, operation.path.replace("{", "a").replace("}", ""))
    assert refused(reply) == (403, "authorization_error")
    assert "admin" in reply.data["error"]["message"]


@pytest.mark.parametrize(
    "operation",
    [one for one in OPERATIONS if one.path not in ("models", "meta")],
    ids=lambda one: f"{one.method} {one.path}",
)
async def test_an_operation_without_a_key_gets_401(caller: Caller, operation: Any) -> None:
    path = operation.path.replace("{", "a").replace("}", "")
    reply = await caller.call(operation.method, f"/api.fal.ai/v1/{path}", headers={})
    assert refused(reply) == (401, "authorization_error")


async def test_a_login_and_a_caller_without_a_needed_key_may_use_admin_operations(caller: Caller) -> None:
    caller.emulator.add_login("refresh")
    form = {"grant_type": "refresh_token", "refresh_token": "refresh"}
    token = (await caller.call("POST", "/auth.fal.ai/oauth/token", data=form, headers={})).data[
        "access_token"
    ]
    reply = await caller.get("/api.fal.ai/v1/keys", headers={"Authorization": f"Bearer {token}"})
    assert reply.status == 200
    async with Emulator(require_key=False) as open_to_all:
        assert (await caller.get(f"{open_to_all.url}/api.fal.ai/v1/keys", headers={})).status == 200


async def test_the_admin_key_runs_models_too_and_can_be_changed(caller: Caller) -> None:
    emulator = caller.emulator
    assert emulator.admin_key == "emulator-admin:key"
    assert (await run_with(caller, emulator.admin_key)).status == 200
    emulator.accounts["emulator"].admin_key = "boss:secret"
    assert (await run_with(caller, "emulator-admin:key")).status == 401
    assert (await run_with(caller, "boss:secret")).status == 200
    with pytest.raises(ValueError, match="id:secret"):
        emulator.accounts["emulator"].admin_key = "boss"


async def test_the_keys_of_an_account_are_not_given_to_another(caller: Caller, admin: str) -> None:
    made_key = caller.emulator.accounts["emulator"].add_api_key("robot").key
    for key in (admin, made_key):
        with pytest.raises(ValueError, match="already exists"):
            caller.emulator.add_account(key, nickname="thief")


async def test_a_repeated_idempotency_key_gets_the_first_answer_again(platform: Platform, admin: str) -> None:
    account = platform.caller.emulator.accounts["emulator"]

    async def delete(idempotency_key: str) -> int:
        headers = {"Idempotency-Key": idempotency_key}
        return (await platform.call("DELETE", "keys/emulator", key=admin, headers=headers)).status

    assert await delete("once") == 204
    account.key = "emulator:again"
    assert await delete("once") == 204
    assert len(account.api_keys) == 1  # the answer was repeated, and nothing was deleted
    assert await delete("again") == 204
    assert account.api_keys == []


def test_an_answer_is_kept_for_ten_minutes() -> None:
    kept, answer = KeptAnswers(), Answer(204)
    name, other = ("emulator", "v1/keys", "one"), ("emulator", "v1/keys", "other")
    kept.keep(name, answer, 100.0)
    assert kept.find(name, 100.0 + LIFETIME - 1) is answer
    assert kept.find(name, 100.0 + LIFETIME) is None
    assert kept.find(other, 100.0) is None
    kept.keep(other, Answer(200), 100.0 + LIFETIME)
    assert kept.find(name, 100.0) is None
