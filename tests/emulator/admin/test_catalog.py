"""`/_emulator`: endpoints with their schemas, kinds of fault, files, uploads and tokens."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from fal_async.emulator import Emulator, Fault
from tests.emulator.caller import Caller, calling


async def got(caller: Caller, path: str) -> Any:
    return (await caller.get(f"/_emulator/{path}", headers={})).data


async def test_endpoints_are_listed_with_prices_and_shown_with_their_openapi_document(caller: Caller) -> None:
    caller.emulator.mount("me/app", "http://127.0.0.1:9")
    listed = {one["endpoint_id"]: one for one in await got(caller, "endpoints")}
    assert (listed["fal-ai/flux/dev"]["price"], listed["fal-ai/flux/dev"]["unit"]) == (0.025, "image")
    assert listed["me/app"]["is_application"]
    flux = await got(caller, "endpoints/fal-ai/flux/dev")
    assert "/fal-ai/flux/dev" in flux["openapi"]["paths"]
    assert (await caller.get("/_emulator/endpoints/me/none", headers={})).status == 404


async def test_the_paths_of_an_application_are_listed_and_shown_like_endpoints(caller: Caller) -> None:
    app = FastAPI()

    @app.post("/words")
    async def words(input: dict[str, str]) -> dict[str, str]:
        return input

    app.post("/")(words)
    app.get("/health")(words)
    caller.emulator.mount("me/app", app)
    whole = await got(caller, "endpoints/me/app")
    assert (whole["app_id"], whole["paths"]) == ("me/app", ["/words", "/"])
    path = await got(caller, "endpoints/me/app/words")
    assert path["endpoint_id"] == "me/app/words"
    assert "/me/app/words" in path["openapi"]["paths"]


async def test_every_kind_of_fault_is_listed_with_fields_that_the_emulator_accepts(caller: Caller) -> None:
    known = await got(caller, "faults/kinds")
    assert {"any", "submit", "status"} <= set(known["operations"])
    assert known["kinds"]["overtaken"]["operations"] == ["any", "submit"]
    assert known["kinds"]["html"]["fields"]["status"] == 502
    for kind, about in known["kinds"].items():
        sent = {name: value for name, value in about["fields"].items() if value is not None}
        needed: dict[str, dict[str, Any]] = {
            "redirect": {"url": "x"},
            "foreign_urls": {"url": "x"},
            "missing": {"names": ["a"]},
        }
        needed |= {"replace": {"fields": {"a": 1}}, "word": {"body": "X"}, "content_type": {"body": "a/b"}}
        needed |= {"frame": {"body": "x"}, "ws_close": {"code": 1011}, "answer": {"status": 500}}
        needed |= {name: {"seconds": 1} for name in ("refuse", "stall", "drip")}
        Fault.from_json({"kind": kind, **sent, **needed.get(kind, {})})


async def test_tokens_are_listed_without_their_text_and_revoked_by_kind() -> None:
    async with calling(Emulator()) as caller:
        caller.emulator.add_login("refresh")
        cdn = await caller.call("POST", "/rest.fal.ai/storage/auth/token?storage_type=fal-cdn-v3")
        form = {"grant_type": "refresh_token", "refresh_token": "refresh"}
        await caller.call("POST", "/auth.fal.ai/oauth/token", headers={}, data=form)
        apps = {"allowed_apps": ["flux"], "token_expiration": 60}
        await caller.call("POST", "/rest.fal.ai/tokens/", json=apps)
        answer = await caller.get("/_emulator/tokens", headers={})
        assert {kind: [one["account"] for one in valid] for kind, valid in answer.data.items()} == {
            "cdn": ["emulator"],
            "realtime": ["emulator"],
            "login": ["emulator"],
        }
        assert cdn.data["token"].encode() not in answer.body
        for kind in answer.data:
            await caller.call("POST", "/_emulator/tokens/revoke", headers={}, json={"kind": kind})
        assert await got(caller, "tokens") == {"cdn": [], "realtime": [], "login": []}


async def test_uploads_and_files_are_listed(caller: Caller) -> None:
    wanted = {"content_type": "image/png", "file_name": "a.png"}
    query = {"storage_type": "fal-cdn-v3"}
    places = await caller.call("POST", "/rest.fal.ai/storage/upload/initiate", json=wanted, params=query)
    [upload] = await got(caller, "uploads")
    assert (upload["completed"], upload["content_type"]) == (False, "image/png")
    await caller.call("PUT", places.data["upload_url"], data=b"png", headers={"Content-Type": "image/png"})
    [file] = await got(caller, "files")
    assert (file["name"], file["size"], file["owner"]) == ("a.png", 3, "emulator")
    assert (await caller.get(file["url"], headers={})).body == b"png"
    assert (await got(caller, "uploads"))[0]["completed"]
