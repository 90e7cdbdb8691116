"""Scopes by plain HTTP, as tests in other processes and languages use them."""

from __future__ import annotations

from typing import Any

import pytest

from fal_async.emulator import Emulator
from tests.emulator.caller import Caller, Reply
from tests.emulator.gate import Gate
from tests.servers.receiver import receiving

LLM, ASK = "fal-ai/any-llm", {"prompt": "why?"}


class Admin:
    """Calls `/_emulator` without a key."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def call(self, method: str, path: str, document: Any = None, **query: str) -> Reply:
        sent = {} if document is None else {"json": document}
        return await self._caller.call(method, f"/_emulator/{path}", params=query, headers={}, **sent)

    async def get(self, path: str, **query: str) -> Any:
        answer = await self.call("GET", path, **query)
        assert answer.status == 200, answer
        return answer.data


async def test_a_scope_over_http_has_its_own_key_faults_books_and_lists(caller: Caller) -> None:
    admin = Admin(caller)
    opened = await admin.call("POST", "scopes", {"name": "checkout"})
    assert opened.status == 201
    scope = opened.data
    assert (scope["url"], scope["env"]["FAL_BASE_URL"]) == (caller.emulator.url,) * 2
    assert scope["env"]["FAL_KEY"] == scope["key"] != caller.emulator.key
    fault = {"kind": "answer", "on": "run", "status": 503, "times": 2}
    assert (await admin.call("POST", "faults", fault, scope="checkout")).status == 200
    headers = {"Authorization": f"Key {scope['key']}"}
    answers = [
        (await caller.run(LLM, ASK, headers=given)).status for given in [None, *[headers] * 4] if given
    ]
    answers.append((await caller.run(LLM, ASK)).status)
    assert answers == [503, 503, 200, 200, 200]
    async with receiving() as receiver:
        for given in (headers, caller.with_headers()):
            await caller.submit(LLM, ASK, params={"fal_webhook": receiver.url}, headers=given)
        await caller.emulator.webhooks.wait_for(2)
    own: dict[str, str] = {"scope": "checkout"}
    every: dict[str, str] = {}
    sizes = {
        path: [len(await admin.get(path, **query)) for query in (own, every)]
        for path in ("jobs", "requests", "webhooks", "faults")
    }
    assert sizes == {"jobs": [3, 5], "requests": [5, 7], "webhooks": [1, 2], "faults": [0, 0]}
    assert [(await admin.get("books", **query))[LLM]["taken"] for query in (own, every)] == [3, 5]
    assert [(await admin.get("books/inputs", **query))[0]["taken"] for query in (own, every)] == [3, 5]
    assert [(await admin.get("", **query))["faults_struck"] for query in (own, every)] == [2, 0]
    assert {job["account"] for job in await admin.get("jobs", **own)} == {"checkout"}
    kinds = [entry["kind"] for entry in await admin.get("requests", kind="submit", **own)]
    assert kinds == ["submit"]
    [listed] = await admin.get("scopes")
    assert listed["counts"] == {"run": 4, "submit": 1}
    assert (listed["jobs"], listed["running"], listed["faults_struck"]) == (3, [], 2)
    assert listed["problems"][0].startswith(f"{LLM} accepted the same input 3 times, and fal bills each")


async def test_chance_faults_of_a_scope_are_repeated_by_its_own_seed(caller: Caller) -> None:
    admin = Admin(caller)
    seen = []
    for name in ("one", "two"):
        scope = (await admin.call("POST", "scopes", {"name": name})).data
        await admin.call("POST", "seed", {"seed": 7}, scope=name)
        fault = {"kind": "answer", "on": "run", "status": 503, "times": None, "chance": 0.5}
        await admin.call("POST", "faults", fault, scope=name)
        headers = {"Authorization": f"Key {scope['key']}"}
        seen.append([(await caller.run(LLM, ASK, headers=headers)).status for _ in range(12)])
        assert (await admin.call("DELETE", "faults", scope=name)).status == 200
        assert await admin.get("faults", scope=name) == []
    assert seen[0] == seen[1]
    assert set(seen[0]) == {200, 503}


async def test_deleting_a_scope_reports_what_still_runs_and_its_key_gets_401(
    caller: Caller, emulator: Emulator
) -> None:
    emulator.endpoint("me/gate")(Gate())
    admin = Admin(caller)
    scope = (await admin.call("POST", "scopes")).data
    headers = {"Authorization": f"Key {scope['key']}"}
    taken = (await caller.submit("me/gate", headers=headers)).data["request_id"]
    path = f"scopes/{scope['name']}"
    closed = await admin.call("DELETE", path)
    assert (closed.data["running"], closed.data["counts"]) == ([taken], {"submit": 1})
    way_out = "wait for its result, or cancel it"
    assert closed.data["problems"] == [f"request {taken} of me/gate is IN_PROGRESS: {way_out}"]
    assert await emulator.jobs[taken].wait_for("COMPLETED", timeout=5) == "COMPLETED"
    assert (await caller.submit("me/gate", headers=headers)).status == 401
    for method in ("GET", "DELETE"):
        assert (await admin.call(method, path)).status == 404
    assert await admin.get("scopes") == []


@pytest.mark.parametrize("path", ["jobs", "requests", "webhooks", "books", "books/inputs", "faults", ""])
async def test_a_list_of_a_scope_that_is_not_open_is_refused(caller: Caller, path: str) -> None:
    answer = await Admin(caller).call("GET", path, scope="chekout")
    assert (answer.status, answer.data["detail"]) == (
        400,
        "'scope chekout' is missing, or unknown to the emulator",
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([1], "ValueError: expected a JSON object with name and key, or no body"),
        ({"nam": "a"}, "ValueError: nam: expected only name and key"),
        ({"name": 1}, "ValueError: name=1: expected a str, or null"),
        ({"key": "secret"}, "ValueError: expected a key of the form id:secret, such as emulator:key"),
        (
            {"name": "emulator"},
            "ValueError: an account with the nickname 'emulator' already exists",
        ),
    ],
)
async def test_a_scope_with_bad_fields_is_refused_with_the_reason(
    caller: Caller, document: Any, message: str
) -> None:
    answer = await Admin(caller).call("POST", "scopes", document)
    assert answer.status == 400
    assert answer.data["detail"].startswith(message)


@pytest.mark.parametrize(("method", "path"), [("GET", "accounts"), ("POST", "lock"), ("GET", "jobs/1")])
async def test_a_scope_for_a_call_that_is_not_about_one_is_refused(
    caller: Caller, method: str, path: str
) -> None:
    caller.emulator.scope("one")
    answer = await Admin(caller).call(method, path, scope="one")
    assert answer.status == 400
    assert answer.data["detail"].startswith(f"scope= has no effect on {path}, only on books, books/inputs, ")
    assert not caller.emulator.accounts["emulator"].locked


async def test_files_uploads_and_automatic_webhooks_of_a_scope_are_its_own(caller: Caller) -> None:
    admin = Admin(caller)
    scope = (await admin.call("POST", "scopes", {"name": "one"})).data
    headers = {"Authorization": f"Key {scope['key']}"}
    form = {"file_name": "a.txt", "content_type": "text/plain"}
    for given in (headers, caller.with_headers()):
        begun = await caller.call("POST", "/rest.fal.ai/storage/upload/initiate", json=form, headers=given)
        await caller.call("PUT", begun.data["upload_url"], data=b"a", headers={})
    for path in ("files", "uploads"):
        assert [entry["owner"] for entry in await admin.get(path, scope="one")] == ["one"]
        assert len(await admin.get(path)) == 2
    assert (await admin.call("POST", "webhooks/automatic", {"automatic": False}, scope="one")).status == 200
    async with receiving() as receiver:
        for given in (headers, caller.with_headers()):
            taken = await caller.submit(LLM, ASK, params={"fal_webhook": receiver.url}, headers=given)
            await caller.reached(taken, "COMPLETED")
        await caller.emulator.webhooks.wait_until_idle()
    assert await admin.get("webhooks", scope="one") == []
    assert len(await admin.get("webhooks")) == 1


async def test_a_page_of_another_origin_cannot_open_a_scope(caller: Caller) -> None:
    answer = await caller.call("POST", "/_emulator/scopes", headers={"Origin": "https://example.com"})
    assert answer.status == 403
    assert list(caller.emulator.accounts) == ["emulator"]
