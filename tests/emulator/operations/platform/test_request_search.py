"""Searching past requests, and deleting what is stored of them (protocol 11.10)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from fal_async.emulator import JobContext
from tests.emulator.caller import Caller, Reply
from tests.emulator.gate import Gate
from tests.emulator.operations.platform.platform_caller import Platform, refused

SEARCH, LLM = "models/requests/search", "fal-ai/any-llm"


async def prompts(platform: Platform, **query: Any) -> list[Any]:
    return [row["json_input"]["prompt"] for row in await platform.listed(SEARCH, "results", **query)]


async def test_a_search_without_words_lists_the_whole_account_newest_first(platform: Platform) -> None:
    platform.caller.emulator.endpoint("me/gate")(Gate())
    await platform.caller.run(LLM, {"prompt": "old"})
    await platform.caller.submit("me/gate", {"prompt": "waits"})
    [running, done] = await platform.listed(SEARCH, "results")
    assert (running["endpoint_id"], running["json_input"]) == ("me/gate", {"prompt": "waits"})
    assert "ended_at" not in running
    assert (done["status_code"], "similarity" in done) == (200, False)


async def test_a_text_finds_inputs_with_its_words_most_similar_first(platform: Platform) -> None:
    for prompt in ("a red cat", "a dog", "a cat", "red paint"):
        await platform.caller.run(LLM, {"prompt": prompt})
    query = {"query": "red CAT"}
    assert (await prompts(platform, **query))[0] == "a red cat"
    assert set(await prompts(platform, **query)) == {"a red cat", "a cat", "red paint"}
    assert await prompts(platform, **query, min_similarity=0.6) == ["a red cat"]
    [first, *_] = await platform.listed(SEARCH, "results", **query)
    assert first["similarity"] == 1
    assert await prompts(platform, query="zebra") == []


@pytest.mark.parametrize("name", ["image_url", "video_url"])
async def test_the_url_of_a_picture_finds_the_requests_in_which_it_occurs(
    platform: Platform, name: str
) -> None:
    url = "https://v3.fal.media/files/b/0a8c11ef/Cat.png"
    await platform.caller.run(LLM, {"prompt": f"what is {url}?"})
    await platform.caller.run(LLM, {"prompt": "other"})
    assert await prompts(platform, **{name: url}) == [f"what is {url}?"]


async def test_a_search_is_filtered_by_endpoint_and_by_the_kind_of_caller(platform: Platform) -> None:
    emulator = platform.caller.emulator
    emulator.endpoint("me/gate")(Gate())
    await platform.caller.submit("me/gate", {"prompt": "gate"})
    emulator.add_login("refresh")
    form = {"grant_type": "refresh_token", "refresh_token": "refresh"}
    login = await platform.caller.call("POST", "/auth.fal.ai/oauth/token", data=form, headers={})
    bearer = {"Authorization": f"Bearer {login.data['access_token']}"}
    await platform.caller.run(LLM, {"prompt": "by login"}, headers=bearer)
    for query, found in (
        ({"endpoint_id": f"me/gate,{LLM}"}, ["by login", "gate"]),
        ({"endpoint": LLM}, ["by login"]),
        ({"endpoint": LLM, "endpoint_id": "me/gate"}, ["gate"]),
        ({"exclude_api_requests": "true"}, ["by login"]),
        ({"only_api_requests": "true"}, ["gate"]),
        ({"limit": "1"}, ["by login"]),
        ({"limit": "1", "cursor": "Mg=="}, ["gate"]),
    ):
        assert await prompts(platform, **query) == found


async def test_a_search_follows_the_switches_of_the_history(platform: Platform) -> None:
    history = platform.caller.emulator.history
    await platform.caller.run(LLM, {"prompt": "x"})
    history.payloads = False
    [row] = await platform.listed(SEARCH, "results")
    assert not {"json_input", "json_output"} & set(row)
    history.lag = 60.0
    assert await platform.listed(SEARCH, "results") == []
    history.permitted = False
    assert refused(await platform.get(SEARCH)) == (403, "authorization_error")


@pytest.mark.parametrize(
    "query",
    [
        {"query": "a", "image_url": "https://a/b"},
        {"exclude_api_requests": "true", "only_api_requests": "true"},
        {"only_api_requests": "maybe"},
        {"query": "a", "min_similarity": "2"},
        {"query": "a", "min_similarity": "much"},
    ],
    ids=str,
)
async def test_a_wrong_search_gets_400(platform: Platform, query: dict[str, str]) -> None:
    assert refused(await platform.get(SEARCH, **query)) == (400, "validation_error")


# Deleting payloads.


@pytest.fixture
def admin(caller: Caller) -> str:
    @caller.emulator.endpoint("me/copy")
    async def copy(input: Any, job: JobContext) -> Any:
        made = [await job.file(b"data", "text/plain", name) for name in ("a.txt", "b.txt")]
        return {"source": input.get("source"), "files": made, "again": made[0]["url"], "word": "x"}

    return caller.emulator.admin_key


async def delete(platform: Platform, request_id: str, **options: Any) -> Reply:
    key = platform.caller.emulator.admin_key
    return await platform.call("DELETE", f"models/requests/{request_id}/payloads", key=key, **options)


async def test_deleting_payloads_removes_input_output_and_the_files_of_the_output_only(
    platform: Platform, admin: str
) -> None:
    caller = platform.caller
    source = (await caller.run("me/copy", {})).data["again"]
    submitted = await caller.submit("me/copy", {"source": source})
    await caller.reached(submitted, "COMPLETED")
    urls = [made["url"] for made in (await caller.result(submitted)).data["files"]]
    request_id = submitted.data["request_id"]
    deleted = await delete(platform, request_id)
    assert deleted.data["cdn_delete_results"] == [{"link": url, "exception": None} for url in urls]
    assert [(await caller.get(url)).status for url in urls] == [404, 404]
    assert (await caller.get(source)).status == 200
    assert (await caller.result(submitted)).status == 404
    assert (await caller.status(submitted)).data["status"] == "COMPLETED"
    query = {"endpoint_id": "me/copy", "request_id": request_id, "expand": "payloads"}
    [item] = await platform.listed("models/requests/by-endpoint", "items", **query)
    assert item["status_code"] == 200
    assert not {"json_input", "json_output"} & set(item)
    assert (await delete(platform, request_id)).data == {"cdn_delete_results": []}


async def test_a_file_that_is_gone_already_is_told_in_its_row(platform: Platform, admin: str) -> None:
    run = await platform.caller.run("me/copy", {})
    platform.caller.emulator.expire_files(run.data["files"][1]["url"])
    deleted = await delete(platform, run.headers["x-fal-request-id"])
    assert [row["exception"] for row in deleted.data["cdn_delete_results"]] == [None, "File not found"]


async def test_a_repeated_deletion_with_the_same_idempotency_key_gets_the_same_answer(
    platform: Platform, admin: str
) -> None:
    request_id = (await platform.caller.run("me/copy", {})).headers["x-fal-request-id"]
    first, again = [await delete(platform, request_id, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert len(first.data["cdn_delete_results"]) == 2
    assert again.data == first.data


@pytest.mark.usefixtures("admin")
async def test_payloads_of_unknown_foreign_and_running_requests_are_not_deleted(platform: Platform) -> None:
    caller = platform.caller
    caller.emulator.endpoint("me/gate")(Gate())
    running = (await caller.submit("me/gate")).data["request_id"]
    other = caller.emulator.add_account("other:key")
    foreign = (await caller.run("me/copy", {}, headers={"Authorization": f"Key {other.key}"})).headers
    for request_id, answer in (
        (str(uuid.uuid4()), (404, "not_found")),
        (foreign["x-fal-request-id"], (404, "not_found")),
        (running, (400, "validation_error")),
        ("1", (400, "validation_error")),
    ):
        assert refused(await delete(platform, request_id)) == answer
