"""Lists of `/_emulator`: filtered, searched and paged on the server, without secrets, also with 10,000 jobs."""

from __future__ import annotations

from typing import Any

import pytest

from fal_async.emulator import Emulator, ModelError
from tests.emulator.caller import Caller, Reply, calling
from tests.emulator.gate import Gate

REAL_KEY = "0f3b4e1a-9d2c-4b7e-8a55-c1d2e3f4a5b6:00112233445566778899aabbccddeeff"


async def listed(caller: Caller, path: str, **query: Any) -> Reply:
    params = {name: str(value) for name, value in query.items()}
    return await caller.get(f"/_emulator/{path}", headers={}, params=params)


async def echo(input: Any) -> Any:
    if isinstance(input, dict) and input.get("fail"):
        raise ModelError(422, "no", "bad_value")
    return input


@pytest.fixture
def filled(caller: Caller) -> Caller:
    caller.emulator.endpoint("me/echo")(echo)
    caller.emulator.endpoint("me/other")(echo)
    caller.emulator.endpoint("me/gate", runners=1)(Gate())
    return caller


async def prompts(caller: Caller, **query: Any) -> list[str]:
    return [job["summary"] for job in (await listed(caller, "jobs", brief=1, **query)).data]


async def test_jobs_are_paged_from_the_newest_and_later_pages_do_not_move(filled: Caller) -> None:
    for number in range(5):
        await filled.run("me/echo", {"prompt": f"n{number}"})
    first = await listed(filled, "jobs", order="newest", limit=2)
    assert first.headers["X-Total-Count"] == "5"
    assert [job["input"]["prompt"] for job in first.data] == ["n4", "n3"]
    through = first.data[0]["request_id"]
    await filled.run("me/echo", {"prompt": "later"})
    page = {"order": "newest", "limit": 2, "offset": 2, "through": through}
    assert await prompts(filled, **page) == ["n2", "n1"]
    assert await prompts(filled, **{**page, "through": "deleted"}) == ["n3", "n2"]
    assert await prompts(filled) == ["n0", "n1", "n2", "n3", "n4", "later"]


async def test_jobs_are_filtered_by_endpoint_and_state_and_searched_by_text(filled: Caller) -> None:
    await filled.run("me/echo", {"prompt": "A Cat", "more": [{"name": "Whiskers"}]})
    await filled.run("me/other", {"prompt": "a dog", "seed": 4711})
    await filled.run("me/other", {"prompt": "broken", "fail": True})
    running = await filled.submit("me/gate", {"prompt": "first"})
    waiting = await filled.submit("me/gate", {"prompt": "second"})
    await filled.reached(running, "IN_PROGRESS")
    assert await prompts(filled, endpoint="me/other") == ["a dog", "broken"]
    assert await prompts(filled, state="completed") == ["A Cat", "a dog"]
    assert await prompts(filled, state="failed") == ["broken"]
    assert await prompts(filled, state="running") == ["first"]
    assert await prompts(filled, state="queued") == ["second"]
    assert await prompts(filled, text="whiskers") == ["A Cat"]
    assert await prompts(filled, text="4711", endpoint="me/other") == ["a dog"]
    assert await prompts(filled, text=waiting.data["request_id"]) == ["second"]
    await filled.cancel(waiting)
    assert await prompts(filled, state="cancelled") == ["second"]


@pytest.mark.parametrize("query", [{"state": "done"}, {"limit": "-1"}, {"offset": "x"}, {"order": "up"}])
async def test_a_bad_query_of_a_list_is_a_400_that_names_the_value(
    filled: Caller, query: dict[str, str]
) -> None:
    refused = await listed(filled, "jobs", **query)
    assert refused.status == 400
    assert next(iter(query.values())) in refused.data["detail"]


async def test_http_requests_are_searched_and_shown_without_secrets(filled: Caller) -> None:
    headers = {"Authorization": f"Key {REAL_KEY}", "Cookie": "a=b", "X-Custom": "seen"}
    await filled.call("POST", "/fal.run/me/echo", headers=headers, json={"token": REAL_KEY, "say": "whale"})
    await filled.call("POST", "/auth.fal.ai/oauth/token", headers={}, data={"refresh_token": "very-secret"})
    await filled.get("/fal.run/me/none", params={"fal_jwt_token": "jwt-secret", "a": "1"})
    [found] = (await listed(filled, "requests", text="whale")).data
    assert found["headers"]["Authorization"] == f"Key {REAL_KEY.partition(':')[0]}:***"
    assert (found["headers"]["Cookie"], found["headers"]["X-Custom"]) == ("***", "seen")
    [login] = (await listed(filled, "requests", kind="token")).data
    assert login["body"] == "***"
    [called] = (await listed(filled, "requests", text="fal_jwt_token")).data
    assert called["query"] == {"fal_jwt_token": "***", "a": "1"}
    whole = await listed(filled, f"requests/{found['number']}")
    everything = b"".join([(await listed(filled, "requests")).body, whole.body])
    everything += (await listed(filled, "jobs")).body
    for secret in (REAL_KEY.partition(":")[2], "very-secret", "jwt-secret"):
        assert secret.encode() not in everything
    assert (await listed(filled, "requests", text="very-secret")).data == []


async def test_the_number_of_an_http_request_stays_when_older_ones_are_deleted() -> None:
    async with calling(Emulator(keep_requests=2, builtins=False)) as caller:
        for path in ("/a/a", "/b/b", "/c/c"):
            await caller.get(path)
        assert [one["number"] for one in (await listed(caller, "requests", brief=1)).data] == [1, 2]
        assert (await listed(caller, "requests/2")).data["path"] == "/c/c"
        assert (await listed(caller, "requests/0")).status == 404


async def test_lists_of_ten_thousand_jobs_stay_small_and_complete() -> None:
    async with calling(Emulator(record=False, builtins=False)) as caller:
        caller.emulator.endpoint("me/echo")(echo)
        await caller.run("me/echo", {"prompt": "x" * 100_000, "image": "data:" + "y" * 100_000})
        [job] = caller.emulator.jobs.values()
        store = caller.emulator._core.jobs
        for number in range(10_000):
            input = {"prompt": f"number {number}", "seed": number}
            store.open(job.served, "me/echo", input, via="queue", headers={}, credential=job.credential)
        page = await listed(caller, "jobs", brief=1, order="newest", limit=50)
        assert (len(page.data), page.headers["X-Total-Count"]) == (50, "10001")
        assert len(page.body) < 40_000
        found = await listed(caller, "jobs", brief=1, text="number 1234", limit=50)
        assert found.headers["X-Total-Count"] == "1"
        overview = await caller.get("/_emulator/overview", headers={})
        assert overview.data["jobs"]["accepted"] == 10_001
        assert len(overview.body) < 5_000
        first = await listed(caller, "jobs", brief=1, limit=1)
        assert len(first.body) < 2_000
        whole = await listed(caller, f"jobs/{job.request_id}")
        assert len(whole.body) < 150_000
