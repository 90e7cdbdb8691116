"""Accounts do not see each other's requests and files, and each runs a limited number of requests at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fal_async.emulator import Account, Emulator, JobContext, ModelError
from tests.emulator.caller import Caller, Reply, calling, until
from tests.emulator.gate import Gate

HISTORY = "/api.fal.ai/v1/models/requests/by-endpoint?endpoint_id=me/gate"


@pytest.fixture
async def other(caller: Caller) -> dict[str, str]:
    """Serve `me/gate`, add another account, and return its headers."""
    caller.emulator.endpoint("me/gate", runners=3)(Gate())
    account = caller.emulator.add_account("other:key")
    return {"Authorization": f"Key {account.key}"}


async def test_a_request_of_another_account_answers_404_and_cannot_be_cancelled(
    caller: Caller, other: dict[str, str]
) -> None:
    taken = await caller.submit("me/gate")
    for url in ("status_url", "response_url"):
        unknown = await caller.get(taken.data[url], headers=other)
        assert (unknown.status, unknown.data) == (404, {"status": "NOT_FOUND"})
    assert (await caller.call("PUT", taken.data["cancel_url"], headers=other)).status == 404
    (job,) = caller.emulator.jobs.values()
    assert (job.account.nickname, job.cancel_requests) == ("emulator", 0)
    assert (await caller.cancel(taken)).status == 202


async def test_the_request_history_lists_only_requests_of_the_callers_account(
    caller: Caller, other: dict[str, str]
) -> None:
    own = await caller.submit("me/gate")
    theirs = await caller.submit("me/gate", headers=other)
    for headers, taken in ((caller.with_headers(), own), (other, theirs)):
        (row,) = (await caller.get(HISTORY, headers=headers)).data["items"]
        assert row["request_id"] == taken.data["request_id"]


async def test_locking_one_account_does_not_lock_the_others(caller: Caller, other: dict[str, str]) -> None:
    caller.emulator.accounts["other"].lock(polls=False)
    assert (await caller.submit("me/gate", headers=other)).status == 403
    assert (await caller.submit("me/gate")).status == 200
    caller.emulator.accounts["other"].unlock()
    assert (await caller.submit("me/gate", headers=other)).status == 200


async def _uploaded(caller: Caller, headers: dict[str, str], default: str, **rule: str) -> str:
    """Upload a file with this ACL, and return its URL."""
    acl = {"default": default, "rules": [rule] if rule else []}
    form = {"file_name": "a.txt", "content_type": "text/plain"}
    begun = await caller.call("POST", "/rest.fal.ai/storage/upload/initiate", json=form, headers=headers)
    await caller.call("PUT", begun.data["upload_url"], data=b"abc", headers={})
    url: str = begun.data["file_url"]
    changed = await caller.call(
        "PUT", "/api.fal.ai/v1/storage/files/acl", params={"url": url}, json=acl, headers=headers
    )
    assert changed.status == 200
    return url


async def _token(caller: Caller, headers: dict[str, str]) -> dict[str, str]:
    granted = await caller.call("POST", "/rest.fal.ai/storage/auth/token", json={}, headers=headers)
    return {"Authorization": f"Bearer {granted.data['token']}"}


async def test_a_restricted_file_is_readable_only_by_its_owner_and_accounts_with_an_allow_rule(
    caller: Caller, other: dict[str, str]
) -> None:
    mine = caller.with_headers()
    hidden = await _uploaded(caller, mine, "hide")
    shared = await _uploaded(caller, mine, "forbid", user="other", decision="allow")
    tokens = {"own": await _token(caller, mine), "other": await _token(caller, other), "anonymous": {}}

    async def statuses(url: str) -> dict[str, int]:
        return {name: (await caller.get(url, headers=token)).status for name, token in tokens.items()}

    assert await statuses(hidden) == {"own": 200, "other": 404, "anonymous": 404}
    assert await statuses(shared) == {"own": 200, "other": 200, "anonymous": 403}
    for path in ("acl", "sign"):
        how: Any = {"params": {"url": shared}, "headers": other, "json": {"expiration_seconds": 60}}
        method = "POST" if path == "sign" else "GET"
        assert (await caller.call(method, f"/api.fal.ai/v1/storage/files/{path}", **how)).status == 404
    signed = await caller.call("POST", f"{hidden}/sign", json={}, headers=tokens["other"])
    assert signed.status == 404


async def test_upload_defaults_of_one_account_do_not_change_those_of_another(
    caller: Caller, other: dict[str, str]
) -> None:
    settings = "/api.fal.ai/v1/storage/settings"
    await caller.call("PUT", settings, json={"expiration_duration_seconds": 60}, headers=other)
    kept = [(await caller.get(settings, headers=who)).data for who in (other, caller.with_headers())]
    assert [defaults["expiration_duration_seconds"] for defaults in kept] == [60, None]


async def test_a_call_with_a_realtime_token_belongs_to_the_account_of_the_token(
    caller: Caller, other: dict[str, str]
) -> None:
    @caller.emulator.endpoint("me/words")
    async def words(input: Any) -> AsyncIterator[Any]:
        yield input

    given = await caller.call("POST", "/rest.fal.ai/tokens/", json={"allowed_apps": ["words"]}, headers=other)
    await caller.call(
        "POST", f"/fal.run/me/words/stream?fal_jwt_token={given.data}", json={"a": 1}, headers={}
    )
    (job,) = caller.emulator.jobs.values()
    assert job.account.nickname == "other"


@pytest.mark.parametrize("key", ["emulator:else", "new:key"])
def test_add_account_refuses_a_nickname_or_key_that_is_already_in_use(key: str) -> None:
    emulator = Emulator(key="emulator:key")
    emulator.add_account("new:key")
    with pytest.raises(ValueError, match="nickname"):
        emulator.add_account(key)
    with pytest.raises(ValueError, match="id:secret"):
        emulator.add_account("new")
    assert list(emulator.accounts) == ["emulator", "new"]


async def test_the_admin_route_adds_locks_and_lists_accounts_and_rotates_their_keys(caller: Caller) -> None:
    made = await caller.call("POST", "/_emulator/accounts", json={"key": "a:b", "concurrency": 2}, headers={})
    assert made.data == {
        "nickname": "a",
        "key": "a:b",
        "admin_key": "a-admin:b",
        "concurrency": 2,
        "running": 0,
        "balance": None,
        "locked": False,
    }
    assert (await caller.call("POST", "/_emulator/lock", json={"account": "a"}, headers={})).status == 200
    assert (await caller.submit("fal-ai/any-llm", headers={"Authorization": "Key a:b"})).status == 403
    await caller.call("POST", "/_emulator/key", json={"account": "a", "key": "a:c"}, headers={})
    assert (await caller.submit("fal-ai/any-llm", headers={"Authorization": "Key a:b"})).status == 401
    assert (await caller.submit("fal-ai/any-llm", headers={"Authorization": "Key a:c"})).status == 403
    accounts = (await caller.call("GET", "/_emulator/accounts", headers={})).data
    assert [account["nickname"] for account in accounts] == ["emulator", "a"]
    assert (await caller.call("POST", "/_emulator/lock", json={"account": "x"}, headers={})).status == 400


# Limits of concurrent requests.


async def test_requests_above_the_accounts_limit_wait_whatever_their_endpoint() -> None:
    async with calling(Emulator(concurrency=2)) as caller:
        gates = {name: Gate() for name in ("me/a", "me/b")}
        for name, gate in gates.items():
            caller.emulator.endpoint(name, runners=10)(gate)
        taken = [await caller.submit(name) for name in ("me/a", "me/a", "me/b", "me/a", "me/b")]

        async def states() -> list[str]:
            return [(await caller.status(reply)).data["status"] for reply in taken]

        running, waiting = ["IN_PROGRESS"] * 2, ["IN_QUEUE"] * 3
        assert await states() == running + waiting
        assert caller.emulator.accounts["emulator"].running == 2
        await caller.cancel(taken[0])
        await caller.reached(taken[0], "COMPLETED")
        # The request that has waited longest, although it is for another endpoint.
        assert await states() == ["COMPLETED", "IN_PROGRESS", "IN_PROGRESS", "IN_QUEUE", "IN_QUEUE"]
        for gate in gates.values():
            gate.open()
        for reply in taken:
            await caller.reached(reply, "COMPLETED")
        assert caller.emulator.accounts["emulator"].running == 0


async def test_an_account_at_its_limit_does_not_delay_other_accounts() -> None:
    async with calling(Emulator(concurrency=1)) as caller:
        caller.emulator.endpoint("me/gate", runners=2)(Gate())
        other = caller.emulator.add_account("other:key", concurrency=1)
        first, second = await caller.submit("me/gate"), await caller.submit("me/gate")
        theirs = await caller.submit("me/gate", headers={"Authorization": f"Key {other.key}"})
        jobs = [caller.emulator.jobs[reply.data["request_id"]].state for reply in (first, second, theirs)]
        assert jobs == ["IN_PROGRESS", "IN_QUEUE", "IN_PROGRESS"]
        assert (await caller.status(second)).data["queue_position"] == 0


@pytest.mark.parametrize("path", ["", "/stream"])
async def test_a_direct_call_above_the_limit_is_refused_with_429(path: str) -> None:
    async with calling(Emulator(concurrency=1)) as caller:
        gate = Gate()
        caller.emulator.endpoint("me/gate", runners=5)(gate)

        @caller.emulator.endpoint("me/words")
        async def words(_: Any, job: JobContext) -> AsyncIterator[str]:
            yield "word"

        taken = await caller.submit("me/gate")
        refused = await caller.run(f"me/words{path}", {})
        assert (refused.status, refused.data["error_type"]) == (429, "concurrent_requests_limit")
        assert refused.headers["X-Fal-Needs-Retry"] == "1"
        gate.open()
        await caller.reached(taken, "COMPLETED")
        assert (await caller.run(f"me/words{path}", {})).status == 200


async def quick(_: Any) -> str:
    return "done"


async def held_stream(_: Any) -> AsyncIterator[str]:
    yield "first"
    await asyncio.Event().wait()


async def hold(_: Request) -> Response:
    await asyncio.Event().wait()
    return Response()


ROUTES = [Route("/long", hold, methods=["POST"])]


@pytest.mark.parametrize("way", ["run", "stream", "realtime", "websocket", "mounted run", "mounted queue"])
async def test_each_way_of_running_takes_a_place_of_the_account_and_frees_it(way: str) -> None:
    async with calling(Emulator(concurrency=1)) as caller:
        caller.emulator.endpoint("me/gate")(Gate())
        caller.emulator.endpoint("me/words")(held_stream)
        caller.emulator.endpoint("me/session")(quick)
        caller.emulator.endpoint("me/quick")(quick)
        caller.emulator.mount("me/app", Starlette(routes=ROUTES))
        holding = asyncio.create_task(_hold(caller, way))
        account = caller.emulator.accounts["emulator"]
        await until(lambda: account.running == 1)
        waiting = await caller.submit("me/quick")
        for path in ("me/quick", "me/app/long", "me/words/stream"):
            assert (await caller.run(path, {})).status == 429
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await caller.http.ws_connect(
                f"{caller.emulator.url}/fal.run/me/session/realtime", headers=caller.with_headers()
            )
        assert refused.value.status == 429
        assert (await caller.status(waiting)).data["status"] == "IN_QUEUE"
        if way == "mounted queue":
            await caller.cancel(holding.result())
        holding.cancel()
        await caller.reached(waiting, "COMPLETED")
        await asyncio.wait([holding])
        assert account.running == 0


async def _hold(caller: Caller, way: str) -> Any:
    """Occupy a place until the task is cancelled; a queued request is returned."""
    if way == "mounted queue":
        return await caller.submit("me/app/long")
    if way in ("realtime", "websocket"):
        path = "fal.run/me/session/realtime" if way == "realtime" else "ws.fal.run/me/gate"
        limit = aiohttp.ClientWSTimeout(ws_close=0.05)  # then the connection is closed, as if the caller died
        url, headers = f"{caller.emulator.url}/{path}", caller.with_headers()
        async with caller.http.ws_connect(url, headers=headers, timeout=limit) as session:
            await session.send_str("{}")
            await asyncio.Event().wait()
    path = {"run": "me/gate", "stream": "me/words/stream", "mounted run": "me/app/long"}[way]
    return await caller.run(path, {})


async def test_a_request_that_fails_or_pauses_before_a_retry_frees_its_place() -> None:
    async with calling(Emulator(clock="manual", concurrency=1)) as caller:

        @caller.emulator.endpoint("me/broken")
        async def broken(_: Any) -> None:
            raise ModelError(503, "The runner is broken")

        @caller.emulator.endpoint("me/bad")
        async def bad(_: Any) -> None:
            raise ModelError(422, "Bad")

        caller.emulator.endpoint("me/quick")(quick)
        retried, failing, last = [await caller.submit(name) for name in ("me/broken", "me/bad", "me/quick")]
        for reply in (failing, last):  # they start while the first one pauses, since manual time stands still
            await caller.reached(reply, "COMPLETED")
        assert (await caller.status(retried)).data["status"] == "IN_QUEUE"
        assert caller.emulator.accounts["emulator"].running == 0


async def test_waiting_requests_of_all_endpoints_start_after_the_limit_was_lifted() -> None:
    async with calling(Emulator(concurrency=1)) as caller:
        gate = Gate()
        caller.emulator.endpoint("me/gate")(gate)
        caller.emulator.endpoint("me/quick")(quick)
        first, second = await caller.submit("me/gate"), await caller.submit("me/quick")
        caller.emulator.accounts["emulator"].concurrency = None
        gate.open()
        for reply in (first, second):
            await caller.reached(reply, "COMPLETED")


async def test_requests_of_an_account_start_in_the_order_of_their_arrival_over_all_endpoints() -> None:
    async with calling(Emulator(concurrency=1)) as caller:
        gates = {name: Gate() for name in ("me/hold", "me/a", "me/b", "me/c")}
        for name, gate in gates.items():
            caller.emulator.endpoint(name, runners=5)(gate)
        held = await caller.submit("me/hold")
        names = ["me/b", "me/a", "me/c", "me/a", "me/b", "me/c", "me/c", "me/a"]
        taken = [await caller.submit(name) for name in names]
        await caller.cancel(taken.pop(2))
        for gate in gates.values():
            gate.open()
        for reply in (held, *taken):
            await caller.reached(reply, "COMPLETED")
        jobs = [caller.emulator.jobs[reply.data["request_id"]] for reply in taken]
        starts = [job.started_at or 0 for job in jobs]
        assert starts == sorted(starts)


async def test_two_hundred_requests_of_an_account_never_exceed_its_concurrency_limit() -> None:
    most, now = 0, 0

    async def counted(_: Any) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1

    async with calling(Emulator(concurrency=3)) as caller:
        for name in ("me/a", "me/b"):
            caller.emulator.endpoint(name, runners=100)(counted)

        async def one(number: int) -> Reply:
            reply = await caller.submit(f"me/{'ab'[number % 2]}")
            await caller.reached(reply, "COMPLETED")
            return reply

        await asyncio.gather(*(one(number) for number in range(200)))
        assert most == 3


@pytest.mark.parametrize("concurrency", [0, True])
def test_a_concurrency_limit_below_one_is_refused(concurrency: int) -> None:
    with pytest.raises(ValueError, match="concurrency"):
        Emulator(concurrency=concurrency)
    account = Account(nickname="a", key="a:b")
    with pytest.raises(ValueError, match="concurrency"):
        account.concurrency = concurrency
