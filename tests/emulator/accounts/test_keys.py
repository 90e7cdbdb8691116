from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from fal_async.emulator import Emulator
from tests.emulator.caller import Caller

PROBE = "/queue.fal.run/fal-ai/flux/requests/00000000-0000-0000-0000-000000000000/status"


@pytest.mark.parametrize(
    ("authorization", "word"),
    [
        (None, "Authentication is required"),
        ("Key wrong:key", "No user found"),
        ("Key wrong", "expected the form"),
        ("Basic abc:def", "expected the form"),
        ("Bearer emulator:key", "issuer"),
        ("Key schlüssel:wert", "No user found"),
    ],
)
@pytest.mark.parametrize("path", ["/fal.run/fal-ai/flux/dev", "/queue.fal.run/fal-ai/flux/dev"])
async def test_a_missing_or_wrong_key_gets_401_with_a_reason(
    caller: Caller, path: str, authorization: str | None, word: str
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    refused = await caller.call("POST", path, json={"prompt": "x"}, headers=headers)
    assert refused.status == 401
    assert word in refused.data["detail"]
    assert not caller.emulator.jobs


@pytest.mark.parametrize("path", ["v1/models/requests/by-endpoint?endpoint_id=a/b", "v1/storage/settings"])
async def test_the_platform_api_refuses_a_wrong_key_with_its_own_error_body(
    caller: Caller, path: str
) -> None:
    refused = await caller.get(f"/api.fal.ai/{path}", headers={"Authorization": "Key wrong:key"})
    assert refused.status == 401
    assert refused.data["error"]["type"] == "authorization_error"
    assert "No user found" in refused.data["error"]["message"]


async def test_a_status_request_for_an_unknown_id_tells_a_good_key_from_a_bad_one(caller: Caller) -> None:
    """404 NOT_FOUND means that the key is good, 401 that it is bad (protocol 1.2)."""
    good = await caller.get(PROBE)
    assert (good.status, good.data) == (404, {"status": "NOT_FOUND"})
    assert (await caller.get(PROBE, headers={"Authorization": "Key a:b"})).status == 401


async def test_a_public_endpoint_needs_no_key_but_checks_one_that_is_given(caller: Caller) -> None:
    @caller.emulator.endpoint("me/open", public=True)
    async def model(input: Any) -> Any:
        return input

    assert (await caller.run("me/open", {"a": 1}, headers={})).data == {"a": 1}
    assert (await caller.run("me/open", {}, headers={"Authorization": "Key a:b"})).status == 401
    submitted = await caller.submit("me/open", headers={})
    assert (await caller.get(submitted.data["status_url"], headers={})).status in (200, 202)
    unknown = "/queue.fal.run/me/open/requests/none/status"
    assert (await caller.get(unknown, headers={})).status == 404


async def test_without_require_key_calls_with_no_key_or_any_key_are_served() -> None:
    import aiohttp

    async with Emulator(require_key=False, speed=50) as emulator, aiohttp.ClientSession() as http:
        caller = Caller(emulator, http)
        assert (await caller.run("fal-ai/any-llm", {"prompt": "x"}, headers={})).status == 200
        assert (await caller.get(PROBE, headers={"Authorization": "Key a:b"})).status == 404


async def test_rotating_the_key_refuses_the_old_key_with_401(caller: Caller) -> None:
    old = caller.with_headers()
    caller.emulator.rotate_key("new:key")
    assert caller.emulator.key == "new:key"
    assert (await caller.get(PROBE, headers=old)).status == 401
    assert (await caller.get(PROBE)).status == 404


async def test_a_locked_account_gets_403_on_all_calls_or_only_on_paid_ones(caller: Caller) -> None:
    caller.emulator.lock_account()
    for refused in (await caller.get(PROBE), await caller.submit("fal-ai/any-llm", {"prompt": "x"})):
        assert refused.status == 403
        assert "Exhausted balance" in refused.data["detail"]
    caller.emulator.lock_account(polls=False)
    assert (await caller.get(PROBE)).status == 404
    assert (await caller.run("fal-ai/any-llm", {"prompt": "x"})).status == 403
    caller.emulator.unlock_account()
    assert (await caller.run("fal-ai/any-llm", {"prompt": "x"})).status == 200


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


@pytest.mark.parametrize("body", ["data", "json"])
async def test_access_tokens_of_a_login_are_valid_until_they_expire_or_are_revoked(
    caller: Caller, body: str
) -> None:
    caller.emulator.add_login("refresh-1", expires_in=600)
    form = {"grant_type": "refresh_token", "client_id": "cli", "refresh_token": "refresh-1"}
    granted = await caller.call("POST", "/auth.fal.ai/oauth/token", headers={}, **{body: form})
    token = granted.data["access_token"]
    assert granted.data["token_type"] == "Bearer"
    assert claims_of(token)["exp"] == pytest.approx(time.time() + 600, abs=5)
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await caller.get(PROBE, headers=bearer)).status == 404
    caller.emulator.revoke_tokens()
    assert (await caller.get(PROBE, headers=bearer)).status == 401
    caller.emulator.add_login("refresh-1", expires_in=-1)
    expired = await caller.call("POST", "/auth.fal.ai/oauth/token", headers={}, data=form)
    bearer = {"Authorization": f"Bearer {expired.data['access_token']}"}
    assert (await caller.get(PROBE, headers=bearer)).status == 401


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "refresh_token", "refresh_token": "unknown"}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
async def test_the_token_endpoint_refuses_unknown_logins_grants_methods_and_paths(
    caller: Caller, form: dict[str, str], error: str
) -> None:
    refused = await caller.call("POST", "/auth.fal.ai/oauth/token", headers={}, data=form)
    assert (refused.status, refused.data["error"]) == (403, error)
    assert (await caller.get("/auth.fal.ai/oauth/token", headers={})).status == 405
    assert (await caller.get("/auth.fal.ai/else", headers={})).status == 404
    broken = await caller.call("POST", "/auth.fal.ai/oauth/token", headers={}, json=[])
    assert broken.data["error"] == "invalid_request"
