"""kv.fal.media, wma.fal.run, and names of fal that the emulator does not serve (protocol 1.1, 6.6, 7.7)."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.emulator.caller import Caller, Reply


async def cdn_token(caller: Caller, key: str | None = None) -> dict[str, str]:
    headers = {"Authorization": f"Key {key or caller.emulator.key}"}
    granted = await caller.call("POST", "/rest.fal.ai/storage/auth/token", json={}, headers=headers)
    return {"Authorization": f"Bearer {granted.data['token']}"}


async def kv(caller: Caller, method: str, path: str, headers: dict[str, str], **options: Any) -> Reply:
    return await caller.call(method, f"/kv.fal.media/{path}", headers=headers, **options)


async def test_a_text_is_stored_read_replaced_and_deleted_by_its_name(caller: Caller) -> None:
    token = await cdn_token(caller)
    for text in ("über", "next"):
        assert (await kv(caller, "PUT", "set/db/a/key", token, data=text.encode())).status == 200
        assert (await kv(caller, "GET", "get/db/a/key", token)).data == {"value": text}
    for _ in range(2):
        assert (await kv(caller, "DELETE", "delete/db/a/key", token)).status == 200
    gone = await kv(caller, "GET", "get/db/a/key", token)
    assert (gone.status, set(gone.data)) == (404, {"error"})


async def test_a_text_belongs_to_one_account_and_one_database(caller: Caller) -> None:
    caller.emulator.add_account("other:key")
    await kv(caller, "PUT", "set/db/key", await cdn_token(caller), data=b"x")
    for token, path in (
        (await cdn_token(caller, "other:key"), "get/db/key"),
        (await cdn_token(caller), "get/other/key"),
    ):
        assert (await kv(caller, "GET", path, token)).status == 404


@pytest.mark.parametrize("ttl", ["59", "2592001", "x", "-60", ""])
async def test_a_lifetime_out_of_range_is_refused_with_an_error(caller: Caller, ttl: str) -> None:
    refused = await kv(caller, "PUT", f"set/db/key?ttl={ttl}", await cdn_token(caller), data=b"x")
    assert (refused.status, set(refused.data)) == (422, {"error"})
    token = await cdn_token(caller)
    assert (await kv(caller, "PUT", "set/db/key?ttl=60", token, data=b"x")).status == 200
    assert (await kv(caller, "PUT", "set/db/key", token, data=b"\xff")).status == 422


async def test_the_store_takes_a_cdn_token_and_no_key(caller: Caller) -> None:
    for headers in ({}, caller.with_headers(), {"Authorization": "Bearer other"}):
        refused = await kv(caller, "GET", "get/db/key", headers)
        assert (refused.status, set(refused.data)) == (401, {"error"})
    token = await cdn_token(caller)
    for method, path in (("POST", "set/db/key"), ("GET", "get/db"), ("GET", "list/db/key"), ("GET", "")):
        assert (await kv(caller, method, path, token)).status == 404


async def test_wma_refuses_callers_without_a_key_or_an_app_as_fal_does(caller: Caller) -> None:
    for path in ("ice", "session", "session/heartbeat"):
        refused = await caller.call("POST", f"/wma.fal.run/{path}", json={}, headers={})
        assert (refused.status, set(refused.data)) == (401, {"error"})
        refused = await caller.call("POST", f"/wma.fal.run/{path}", json={"type": 1})
        assert (refused.status, refused.headers["Content-Type"]) == (422, "text/plain")
        assert (await caller.get(f"/wma.fal.run/{path}")).status == 405


async def test_wma_has_no_apps_and_no_sessions_and_starts_no_model(caller: Caller) -> None:
    offer = {"app_id": "fal-ai/flux/dev", "sdp": "v=0", "type": "offer"}
    for path in ("ice", "session"):
        refused = await caller.call("POST", f"/wma.fal.run/{path}", json=offer)
        assert (refused.status, set(refused.data)) == (404, {"error"})
    beat = await caller.call("POST", "/wma.fal.run/session/heartbeat", json={"session_id": "x"})
    assert (beat.status, beat.data) == (200, {"alive": False})
    assert (await caller.call("POST", "/wma.fal.run/fal-ai/flux/dev", json={})).status == 404
    assert len(caller.emulator.jobs) == 0


@pytest.mark.parametrize(
    "host", ["mcp.fal.ai", "gateway.fal.run", "api.alpha.fal.ai", "v9.falrun.com", "cdn.fal.media:443"]
)
async def test_a_name_of_fal_that_is_not_served_gets_404_and_runs_nothing(caller: Caller, host: str) -> None:
    headers = {"Host": host, **caller.with_headers()}
    for path in ("/fal-ai/any-llm", "/mcp-relay", "/"):
        url = caller.emulator.url + path
        async with caller.http.post(url, json={"prompt": "x"}, headers=headers) as answer:
            assert answer.status == 404
            assert host.partition(":")[0] in (await answer.json())["detail"]
    assert len(caller.emulator.jobs) == 0


async def test_the_old_file_host_serves_the_same_files(caller: Caller) -> None:
    token = {**await cdn_token(caller), "Content-Type": "text/plain"}
    sent = await caller.call("POST", "/v3.fal.media/files/upload", data=b"meow", headers=token)
    path = sent.data["access_url"].partition("/v3b.fal.media/")[2]
    headers = {"Host": "fal.media"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{caller.emulator.url}/{path}", headers=headers) as got,
    ):
        assert (got.status, await got.read()) == (200, b"meow")
