"""Scopes of one emulator: each has its own key, faults, jobs, books, requests and runners."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import attrs
import pytest

from fal_async import ApiError, Session
from fal_async.emulator import Emulator, Fault, Scope, WebhookPolicy
from tests.emulator.caller import Caller, Reply, until
from tests.emulator.gate import Gate
from tests.servers.receiver import receiving

MANY = 20
FORM = {"file_name": "a.txt", "content_type": "text/plain"}


def headers_of(scope: Scope) -> dict[str, str]:
    return {"Authorization": f"Key {scope.key}"}


async def token_of(caller: Caller, scope: Scope) -> dict[str, str]:
    granted = await caller.call(
        "POST", "/rest.fal.ai/storage/auth/token?storage_type=fal-cdn-v3", json={}, headers=headers_of(scope)
    )
    return {"Authorization": f"Bearer {granted.data['token']}"}


@pytest.fixture
async def scopes(emulator: Emulator) -> AsyncIterator[tuple[Scope, Scope]]:
    """Open two scopes of an emulator that serves `me/echo`."""

    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        return input

    async with emulator.scope("one") as one, emulator.scope("two") as two:
        yield one, two


# Many at once.


@attrs.frozen
class Seen:
    """What one of the parallel tests saw with its scope."""

    submits: int
    polls: list[int | None]
    jobs: int
    struck: int
    taken: int
    chances: list[bool]


async def _pay(emulator: Emulator, scope: Scope, number: int) -> Seen:
    """Do the same in each scope, but with another number of faults, after one that depends on the number."""
    scope.faults.add(Fault.answer(400 + number % 3, on="run", after=1, detail=scope.name))
    if failing := number % 4:
        scope.faults.add(Fault.answer(503, on="status", times=failing, retry_after=0))
    async with Session(scope.key, hosts=scope.hosts) as fal:
        await fal.run("me/echo", {"prompt": "a cat"})
        with pytest.raises(ApiError) as error:
            await fal.run("me/echo", {"prompt": "a cat"})
        assert error.value.status == 400 + number % 3
        result = await fal.subscribe("me/echo", {"prompt": "a cat"})
        assert result.request_id in scope.jobs
        scope.faults.add(Fault.answer(400, on="run", times=None, chance=0.5))
        chances = []
        for _ in range(6):
            try:
                await fal.run("me/echo", {"prompt": "a dog"})
                chances.append(False)
            except ApiError:
                chances.append(True)
    polls = [request.status for request in scope.requests if request.kind == "status"]
    taken = scope.books.taken("me/echo", {"prompt": "a cat"})
    return Seen(
        submits=scope.count("submit"),
        polls=polls[:failing],
        jobs=len(scope.jobs),
        struck=scope.faults.struck,
        taken=taken,
        chances=chances,
    )


async def test_twenty_scopes_in_parallel_with_equal_inputs_and_different_faults_are_not_mixed_up(
    emulator: Emulator,
) -> None:
    @emulator.endpoint("me/echo")
    async def echo(input: Any) -> Any:
        return input

    opened = [emulator.scope(f"test {number}") for number in range(MANY)]
    seen = await asyncio.gather(*(_pay(emulator, scope, number) for number, scope in enumerate(opened)))
    for number, one in enumerate(seen):
        strikes = sum(one.chances)
        assert one.polls == [503] * (number % 4)
        assert (one.submits, one.taken, one.jobs) == (1, 2, 2 + 6 - strikes)
        assert one.struck == 1 + number % 4 + strikes
    assert len({tuple(one.chances) for one in seen}) == 1
    assert 0 < sum(seen[0].chances) < 6
    assert emulator.faults.struck == 0
    assert emulator.count("submit") == MANY
    assert emulator.books.taken("me/echo", {"prompt": "a cat"}) == 2 * MANY
    jobs = [set(scope.jobs) for scope in opened]
    assert len(set().union(*jobs)) == sum(map(len, jobs)) == len(emulator.jobs)
    for scope in opened:
        scope.verify(faults=True, repeats=False)
        assert scope.close() == []


# What belongs to a scope.


async def test_a_scope_does_not_see_the_requests_of_other_scopes_and_of_the_emulators_own_key(
    caller: Caller, scopes: tuple[Scope, Scope]
) -> None:
    one, two = scopes
    taken = [await caller.submit("me/echo", {"a": 1}, headers=headers_of(scope)) for scope in scopes]
    await caller.submit("me/echo", {"a": 1})
    assert [list(scope.jobs) for scope in scopes] == [[each.data["request_id"]] for each in taken]
    assert [scope.count() for scope in scopes] == [1, 1]
    assert caller.emulator.count() == 3
    assert one.books.taken("me/echo", {"a": 1}) == 1
    assert two.books.repeated() == []
    foreign = await caller.get(taken[0].data["status_url"], headers=headers_of(two))
    assert foreign.status == 404
    with pytest.raises(AssertionError, match=r"checks of scope two failed:\n- GET .*: there is no request"):
        two.verify()
    one.verify()
    one.clear_requests()
    assert one.count() == 0
    assert caller.emulator.count() == 4


async def test_faults_of_a_scope_come_before_those_of_the_emulator_which_apply_to_all(
    caller: Caller, scopes: tuple[Scope, Scope]
) -> None:
    one, two = scopes
    caller.emulator.faults.add(Fault.answer(502, on="run", times=2))
    one.faults.add(Fault.answer(503, on="run"))
    assert (await caller.run("me/echo", {}, headers=headers_of(one))).status == 503
    assert (await caller.run("me/echo", {}, headers=headers_of(two))).status == 502
    assert (await caller.run("me/echo", {}, headers=headers_of(one))).status == 502
    assert (one.faults.struck, two.faults.struck, caller.emulator.faults.struck) == (1, 0, 2)


async def test_a_fault_that_would_stop_the_emulator_for_all_scopes_is_refused(
    scopes: tuple[Scope, Scope],
) -> None:
    with pytest.raises(ValueError, match=r"kind 'refuse' stops the emulator for all scopes: use Fault.reset"):
        scopes[0].faults.add(Fault.reset(on="run"), Fault.refuse(1))
    assert len(scopes[0].faults) == 0


async def test_requests_of_a_scope_do_not_wait_for_those_of_another_scope(
    caller: Caller, scopes: tuple[Scope, Scope]
) -> None:
    gates = Gate()
    caller.emulator.endpoint("me/gate", runners=1)(gates)
    taken = []
    for number, scope in enumerate([*scopes, scopes[1]]):
        answer = await caller.submit("me/gate", {"n": number}, headers=headers_of(scope))
        taken.append((answer.data["queue_position"], scope.jobs[answer.data["request_id"]].state))
    assert taken == [(0, "IN_PROGRESS"), (0, "IN_PROGRESS"), (0, "IN_QUEUE")]
    queues = (await caller.get("/_emulator/overview")).data["queues"]
    assert [(queue["scope"], queue["busy"], queue["waiting"]) for queue in queues] == [
        ("two", 1, 1),
        ("one", 1, 0),
    ]
    gates.open()


async def test_calls_with_a_cdn_token_a_presigned_url_or_a_file_url_belong_to_the_scope_that_made_it(
    caller: Caller, scopes: tuple[Scope, Scope]
) -> None:
    one, two = scopes
    for scope in scopes:
        scope.faults.add(*(Fault.answer(503, on=on) for on in ("part", "upload", "file")))
    token = {**await token_of(caller, one), "X-Fal-File-Name": "a.txt", "Content-Type": "text/plain"}
    begun = await caller.call("POST", "/v3.fal.media/files/upload/multipart", headers=token)
    part = f"{begun.data['access_url']}/multipart/{begun.data['uploadId']}/1"
    initiated = await caller.call(
        "POST", "/rest.fal.ai/storage/upload/initiate", json=FORM, headers=headers_of(one)
    )

    async def answers() -> list[int]:
        put = [await caller.call("PUT", part, data=b"a", headers=token)]
        put.append(await caller.call("PUT", initiated.data["upload_url"], data=b"a", headers={}))
        return [one.status for one in [*put, await caller.get(initiated.data["file_url"], headers={})]]

    assert await answers() == [503, 503, 404]  # there is no file yet, to which a fault could apply
    assert (await answers())[:2] == [200, 200]
    assert (await caller.get(initiated.data["file_url"], headers={})).status == 200
    assert (one.faults.struck, two.faults.struck) == (3, 0)
    assert [upload.owner for upload in one.uploads.values()] == ["one", "one"]
    assert two.uploads == {}
    assert (two.count(), one.count("part"), one.count("upload")) == (0, 2, 2)


async def test_calls_with_a_realtime_token_belong_to_the_scope_that_requested_it(
    caller: Caller, scopes: tuple[Scope, Scope]
) -> None:
    _one, two = scopes

    @caller.emulator.endpoint("me/words")
    async def words(input: Any) -> AsyncIterator[Any]:
        yield {"word": "a"}

    two.faults.add(Fault.answer(503, on="stream", times=None))
    form = {"allowed_apps": ["words"], "token_expiration": 60}
    answers = []
    for scope in scopes:
        token = (await caller.call("POST", "/rest.fal.ai/tokens/", json=form, headers=headers_of(scope))).data
        path = f"/fal.run/me/words/stream?fal_jwt_token={token}"
        answers.append((await caller.call("POST", path, json={}, headers={})).status)
    assert answers == [200, 503]
    assert [len(scope.jobs) for scope in scopes] == [1, 0]
    assert [scope.count("stream") for scope in scopes] == [1, 1]


async def test_a_poll_without_a_key_belongs_to_the_scope_of_the_request(emulator: Emulator) -> None:
    @emulator.endpoint("me/free", public=True)
    async def free(input: Any) -> Any:
        return input

    async with emulator.scope() as scope, aiohttp.ClientSession() as http:
        caller = Caller(emulator, http)
        scope.faults.add(Fault.answer(503, on="status"))
        taken = await caller.submit("me/free", headers=headers_of(scope))
        statuses = [(await caller.get(taken.data["status_url"], headers={})).status for _ in range(2)]
        assert statuses[0] == 503 != statuses[1]
        assert (scope.count("status"), scope.faults.struck) == (2, 1)


async def test_webhooks_of_a_scope_are_only_those_of_its_own_requests(
    caller: Caller, scopes: tuple[Scope, Scope]
) -> None:
    one, two = scopes
    async with receiving() as receiver:
        taken: list[Reply] = []
        for scope in scopes:
            query = {"fal_webhook": receiver.url}
            taken.append(await caller.submit("me/echo", params=query, headers=headers_of(scope)))
            [attempt] = await scope.webhooks.wait_for(1)
            assert attempt.request_id == taken[-1].data["request_id"]
        one.webhooks.automatic = False
        assert (one.webhooks.automatic, two.webhooks.automatic) == (False, True)
        again = await two.webhooks.deliver(taken[1].data["request_id"])
        assert [two.webhooks.attempts[1], len(one.webhooks.attempts)] == [again, 1]
        with pytest.raises(KeyError, match="scope one has no request"):
            await one.webhooks.deliver(taken[1].data["request_id"])
        with pytest.raises(TimeoutError, match=r"1 of 2 attempts ended within 0.01 s"):
            await one.webhooks.wait_for(2, timeout=0.01)


# Names, keys and the end.


async def test_a_closed_scopes_keys_and_tokens_get_401_and_its_name_can_be_used_again(caller: Caller) -> None:
    scope = caller.emulator.scope("checkout", key="checkout:key")
    cdn = {**await token_of(caller, scope), "X-Fal-File-Name": "a.txt", "Content-Type": "text/plain"}
    admin = {"Authorization": f"Key {scope.account.admin_key}"}
    made = await caller.call("POST", "/api.fal.ai/v1/keys", json={"alias": "more"}, headers=admin)
    further = {"Authorization": f"Key {made.data['key_id']}:{made.data['key_secret']}"}
    form = {"allowed_apps": ["any-llm"], "token_expiration": 60}
    jwt = (await caller.call("POST", "/rest.fal.ai/tokens/", json=form, headers=headers_of(scope))).data

    async def statuses() -> list[int]:
        calls = [
            caller.run("fal-ai/any-llm", {"prompt": "a"}, headers=headers_of(scope)),
            caller.run("fal-ai/any-llm", {"prompt": "a"}, headers=further),
            caller.call("POST", "/v3.fal.media/files/upload", data=b"a", headers=cdn),
            caller.call(
                "POST",
                f"/fal.run/fal-ai/any-llm/stream?fal_jwt_token={jwt}",
                json={"prompt": "a"},
                headers={},
            ),
            caller.get("/api.fal.ai/v1/keys", headers=admin),
        ]
        return [(await call).status for call in calls]

    assert await statuses() == [200] * 5
    assert scope.close() == [] == scope.close()
    assert await statuses() == [401] * 5
    assert (scope.count("run"), len(scope.jobs), caller.emulator.count("run")) == (2, 3, 4)
    with caller.emulator.scope("checkout") as again:
        assert again.key != scope.key
        assert not again.jobs
        assert again.count() == 0
        assert await statuses() == [401] * 5


async def test_closing_a_scope_cancels_what_still_runs_and_reports_it(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    emulator.endpoint("me/gate", runners=1)(gate)
    async with receiving() as receiver, aiohttp.ClientSession() as http:
        caller = Caller(emulator, http)
        with caplog.at_level(logging.WARNING), emulator.scope("left") as scope:
            query = {"fal_webhook": receiver.url}
            for number in range(2):
                await caller.submit("me/gate", {"n": number}, params=query, headers=headers_of(scope))
            with pytest.raises(AssertionError, match="is IN_QUEUE: wait for its result, or cancel it"):
                scope.verify(repeats=False)
        for job in scope.jobs.values():
            assert (await job.wait_for("COMPLETED", timeout=5), job.error_type) == (
                "COMPLETED",
                "client_cancelled",
            )
        [line] = [record.getMessage() for record in caplog.records]
        assert line.startswith(
            "scope left was closed while 2 of its requests had not ended, which are cancelled: "
        )
        assert all(request_id in line for request_id in scope.jobs)
        assert scope.key not in line
        assert gate.started == [{"n": 0}]
        assert scope.webhooks.attempts == []
        emulator.scope().close()
        assert list(emulator._core.runners) == []


async def test_closing_a_scope_ends_the_retries_of_its_webhooks() -> None:
    policy = WebhookPolicy(first_pause=3600)
    async with Emulator(webhooks=policy) as emulator, aiohttp.ClientSession() as http:
        caller = Caller(emulator, http)
        nowhere = {"fal_webhook": "http://127.0.0.1:1/"}
        async with emulator.scope() as scope:
            for headers in (headers_of(scope), caller.with_headers()):
                await caller.submit("fal-ai/any-llm", {"prompt": "a"}, params=nowhere, headers=headers)
            await emulator.webhooks.wait_for(2)
        await until(lambda: emulator.webhooks.under_way == 1)  # that of the emulator's own account


def test_a_scope_works_in_synchronous_code_and_hides_its_key_in_its_repr() -> None:
    with Emulator() as emulator, emulator.scope("sync") as scope:
        assert repr(scope) == "Scope('sync')"
        assert scope.env == {"FAL_BASE_URL": emulator.url, "FAL_KEY": scope.key}

        async def use() -> None:
            async with Session(scope.key, hosts=scope.hosts) as fal:
                await fal.run("fal-ai/any-llm", {"prompt": "why?"})

        asyncio.run(use())
        start = scope.checkpoint()
        asyncio.run(use())
        scope.verify(since=start)
        with pytest.raises(AssertionError, match="accepted the same input 2 times"):
            scope.verify()


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        ("one", None, "nickname 'one' already exists"),
        ("emulator", None, "nickname 'emulator' already exists"),
        ("new", "emulator:key", "an account with this key already exists"),
        ("", None, "name='': expected at least one character"),
        ("new", "nonsense", "expected a key of the form id:secret"),
    ],
)
async def test_a_scope_with_a_name_or_key_in_use_or_a_malformed_key_is_refused(
    emulator: Emulator, scopes: tuple[Scope, Scope], name: str, key: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        emulator.scope(name, key=key)
    assert list(emulator.accounts) == ["emulator", "one", "two"]
