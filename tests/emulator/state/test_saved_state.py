"""An emulator is saved, another one is started from the folder, and clients find what they had."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fal_async import Session
from fal_async.emulator import Answer, Emulator, Fault, JobContext, ModelError, WebhookPolicy
from tests.emulator.caller import Caller, Reply, calling, until
from tests.servers.receiver import receiving

WORK = "me/work"


def serve_work(emulator: Emulator, **options: Any) -> list[Any]:
    """Serve an endpoint that works for the seconds of its input; return the inputs of the attempts."""
    begun: list[Any] = []

    @emulator.endpoint(WORK, **options)
    async def work(input: Any, job: JobContext) -> Any:
        begun.append(input["n"])
        job.log(f"attempt {job.attempt}")
        await job.sleep(input.get("seconds", 0))
        if input.get("fails"):
            raise ModelError(422, [{"loc": ["body", "n"], "msg": "no", "type": "value_error"}])
        return (
            Answer(200, {"Content-Type": "text/csv"}, b"\xff;1\n") if input.get("csv") else {"n": input["n"]}
        )

    return begun


async def again(caller: Caller, submitted: Reply, part: str = "") -> Reply:
    """Ask the loaded emulator for what an earlier one has accepted."""
    path = submitted.data["response_url"].partition("queue.fal.run")[2]
    return await caller.get(f"/queue.fal.run{path}{part}")


async def test_results_errors_and_logs_can_be_fetched_from_a_loaded_state(tmp_path: Path) -> None:
    emulator = Emulator()
    serve_work(emulator, price="0.25", log_labels=True)
    inputs: list[Any] = [{"n": 1}, {"n": 2, "fails": True}, {"n": 3, "csv": True}]
    async with calling(emulator) as caller:
        submitted = [await caller.submit(WORK, input) for input in inputs]
        statuses = [await caller.finished(one) for one in submitted]
        results = [await caller.result(one) for one in submitted]
        await emulator.save(tmp_path / "world")
    loaded = Emulator(state=tmp_path / "world")
    async with calling(loaded) as caller:
        for one, status, result in zip(submitted, statuses, results, strict=True):
            now = await again(caller, one, "/status?logs=1")
            assert now.data["logs"] == status.data["logs"] != []
            assert {**now.data, "response_url": ""} == {**status.data, "response_url": ""} | {
                name: now.data[name] for name in ("status_url", "cancel_url") if name in now.data
            }
            fetched = await again(caller, one)
            assert (fetched.status, fetched.body) == (result.status, result.body)
            assert fetched.headers["x-fal-billable-units"] == result.headers["x-fal-billable-units"]
        assert [job.cost for job in loaded.jobs.values()] == [Decimal("0.25"), Decimal(0), Decimal("0.25")]
        loaded.verify()


async def test_waiting_and_running_requests_begin_anew_in_order_and_are_billed_once(tmp_path: Path) -> None:
    emulator = Emulator(balance=10)
    serve_work(emulator, runners=1, price=1)
    async with calling(emulator) as caller:
        done = await caller.submit(WORK, {"n": 0})
        await caller.finished(done)
        submitted = [await caller.submit(WORK, {"n": n, "seconds": 3600}) for n in range(1, 5)]
        await caller.cancel(submitted[2])
        await caller.reached(submitted[0], "IN_PROGRESS")
        await emulator.save(tmp_path / "world")

    loaded = Emulator(state=tmp_path / "world", clock="auto")
    begun = serve_work(loaded, runners=1, price=1)
    async with calling(loaded) as caller:
        left = [submitted[0], submitted[1], submitted[3]]
        for one in left:
            assert (await caller.finished(await again(caller, one, "/status"))).data["status"] == "COMPLETED"
            assert (await again(caller, one)).status == 200
            logs = loaded.jobs[one.data["request_id"]].logs
            assert [entry["message"] for entry in logs] == ["attempt 1"]
        assert begun == [1, 2, 4]
        assert loaded.accounts["emulator"].balance == Decimal(6)
        assert loaded.books.total(WORK) == 5
        assert loaded.books.repeated() == []


async def test_requests_wait_until_the_endpoint_of_a_loaded_state_is_registered(tmp_path: Path) -> None:
    async with Emulator() as emulator:
        serve_work(emulator, runners=1)
        async with Session(credentials=emulator.key, hosts=emulator.hosts) as fal:
            handles = [await fal.submit(WORK, {"n": n, "seconds": 3600}) for n in range(3)]
        await emulator.save(tmp_path / "world")
    loaded = Emulator(state=tmp_path / "world", clock="auto")
    async with loaded, Session(credentials=loaded.key, hosts=loaded.hosts) as fal:
        found = [fal.queue.handle(WORK, handle.request_id) for handle in handles]
        assert [(await handle.status()).raw["queue_position"] for handle in found] == [0, 1, 2]
        await loaded.save(tmp_path / "world")  # also what still waits is saved again
        serve_work(loaded, runners=1)
        assert [(await handle.wait()).data for handle in found] == [{"n": 0}, {"n": 1}, {"n": 2}]


async def test_a_direct_call_ends_without_its_caller_when_the_state_is_loaded(tmp_path: Path) -> None:
    emulator = Emulator()
    serve_work(emulator)
    async with calling(emulator) as caller:
        running = asyncio.ensure_future(caller.run(WORK, {"n": 1, "seconds": 3600}))
        await emulator.wait_for("run")
        await emulator.save(tmp_path / "world")
        running.cancel()
    async with Emulator(state=tmp_path / "world") as loaded:
        (job,) = loaded.jobs.values()
        assert (job.state, job.error_type) == ("COMPLETED", "client_disconnected")
        assert not job.cost


async def test_keys_tokens_logins_and_locks_are_valid_in_a_loaded_state(tmp_path: Path) -> None:
    emulator = Emulator(key="mine:key")
    other = emulator.add_account("other:key", concurrency=3)
    emulator.add_login("refresh")
    emulator.rotate_key("mine:rotated")
    made = other.add_api_key("made")
    async with calling(emulator) as caller:
        admin = {"Authorization": f"Key {emulator.admin_key}"}
        form = {"grant_type": "refresh_token", "refresh_token": "refresh"}
        login = (await caller.call("POST", "/auth.fal.ai/oauth/token", data=form)).data["access_token"]
        cdn = (
            await caller.call("POST", "/rest.fal.ai/storage/auth/token?storage_type=fal-cdn-v3", json={})
        ).data
        await caller.call("POST", "/rest.fal.ai/tokens/", json={"allowed_apps": ["live"]})
        other.lock(polls=False)
        await emulator.save(tmp_path / "world")
    loaded = Emulator(state=tmp_path / "world")
    assert (loaded.key, loaded.accounts["other"].concurrency) == ("mine:rotated", 3)
    async with calling(loaded) as caller:
        for secret in (f"Key {loaded.key}", f"Key {loaded.admin_key}", f"Bearer {login}"):
            answer = await caller.get("/rest.fal.ai/users/current", headers={"Authorization": secret})
            assert answer.status == 200
        old = {"Authorization": "Key mine:key"}
        assert (await caller.get("/rest.fal.ai/users/current", headers=old)).status == 401
        assert (await caller.get("/api.fal.ai/v1/keys", headers=admin)).status == 200
        refused = await caller.submit("fal-ai/any-llm", headers={"Authorization": f"Key {made.key}"})
        assert refused.status == 403
        upload = {"Authorization": f"Bearer {cdn['token']}", "Content-Type": "text/plain"}
        stored = await caller.call("POST", "/v3.fal.media/files/upload", data=b"one", headers=upload)
        assert (await caller.get(stored.data["access_url"])).body == b"one"
        listed = (await caller.get("/_emulator/tokens")).data
        assert {kind: len(tokens) for kind, tokens in listed.items()} == {"cdn": 1, "realtime": 1, "login": 1}
        assert (await caller.call("POST", "/auth.fal.ai/oauth/token", data=form)).status == 200


async def test_files_of_results_are_read_at_the_address_of_the_loading_emulator(tmp_path: Path) -> None:
    async with Emulator(plain_pictures=True) as emulator:
        async with Session(credentials=emulator.key, hosts=emulator.hosts) as fal:
            uploaded = await fal.upload(b"mine", file_name="mine.txt", content_type="text/plain")
            shown = [await fal.queue.submit("fal-ai/flux/schnell", {"prompt": text}) for text in "abc"]
            for handle in shown:
                await handle.wait()
        await emulator.save(tmp_path / "world")
        before = emulator.url
    async with Emulator(state=tmp_path / "world") as loaded, aiohttp.ClientSession() as http:
        async with Session(credentials=loaded.key, hosts=loaded.hosts) as fal:
            for handle in shown:
                result = await fal.queue.result("fal-ai/flux/schnell", handle.request_id)
                url = result.data["images"][0]["url"]
                assert url.startswith(f"{loaded.url}/")
                async with http.get(url) as answer:
                    assert (await answer.read()).startswith(b"\x89PNG")
        async with http.get(str(uploaded).replace(before, loaded.url)) as answer:
            assert (answer.status, await answer.read(), answer.content_type) == (200, b"mine", "text/plain")
    assert (tmp_path / "world" / "state.json").exists()


async def test_lifetimes_and_acls_of_files_are_kept_under_virtual_time(tmp_path: Path) -> None:
    emulator = Emulator(clock="manual")
    async with calling(emulator) as caller:
        lifecycle = {"expiration_duration_seconds": 100, "initial_acl": {"default": "forbid", "rules": []}}
        token = (
            await caller.call("POST", "/rest.fal.ai/storage/auth/token?storage_type=fal-cdn-v3", json={})
        ).data
        headers = {
            "X-Fal-Object-Lifecycle": json.dumps(lifecycle),
            "Authorization": f"Bearer {token['token']}",
        }
        stored = await caller.call("POST", "/v3.fal.media/files/upload", data=b"one", headers=headers)
        path = stored.data["access_url"].removeprefix(emulator.url)
        await emulator.advance(60)
        saved_at = emulator.now
        await emulator.save(tmp_path / "world")
    loaded = Emulator(clock="manual", state=tmp_path / "world")
    assert loaded.now == saved_at
    async with calling(loaded) as caller:
        owner = {"Authorization": f"Bearer {token['token']}"}
        assert (await caller.get(path, headers={})).status == 403
        await loaded.advance(39)
        assert (await caller.get(path, headers=owner)).status == 200
        await loaded.advance(2)
        assert (await caller.get(path, headers=owner)).status == 404


async def test_an_upload_in_parts_is_completed_after_the_state_is_loaded(tmp_path: Path) -> None:
    emulator = Emulator()
    form = {"file_name": "big.bin", "content_type": "application/x-big"}
    async with calling(emulator) as caller:
        opened = (await caller.call("POST", "/rest.fal.ai/storage/upload/initiate-multipart", json=form)).data
        part = opened["upload_url"].removeprefix(emulator.url)
        first = (await caller.call("PUT", part.replace("?", "/1?"), data=b"one", headers={})).data
        await emulator.save(tmp_path / "world")
    async with calling(Emulator(state=tmp_path / "world")) as caller:
        second = (await caller.call("PUT", part.replace("?", "/2?"), data=b"two", headers={})).data
        done = await caller.call(
            "POST", part.replace("?", "/complete?"), json={"parts": [first, second]}, headers={}
        )
        assert done.status == 200
        whole = await caller.get(opened["file_url"].removeprefix(emulator_url(opened["file_url"])))
        assert (whole.body, whole.headers["Content-Type"]) == (b"onetwo", "application/x-big")


def emulator_url(url: str) -> str:
    return "/".join(url.split("/")[:3])


async def test_webhooks_are_tried_on_and_are_verified_with_the_saved_key(tmp_path: Path) -> None:
    policy = WebhookPolicy(first_pause=100, max_retries=3)
    emulator = Emulator(clock="manual", webhooks=policy)
    serve_work(emulator)
    async with receiving() as receiver:
        receiver.answers = [503, 503, 200]
        async with calling(emulator) as caller:
            await caller.submit(WORK, {"n": 1}, params={"fal_webhook": receiver.url})
            await emulator.webhooks.wait_for(1)
            await emulator.advance(60)
            keys = (await caller.get("/rest.fal.ai/.well-known/jwks.json", headers={})).data
            await emulator.save(tmp_path / "world")
        loaded = Emulator(clock="manual", webhooks=policy, state=tmp_path / "world")
        async with calling(loaded) as caller:
            assert (await caller.get("/rest.fal.ai/.well-known/jwks.json", headers={})).data == keys
            await loaded.advance(39)
            assert len(receiver.deliveries) == 1
            await loaded.advance(2)
            assert len(receiver.deliveries) == 2
            await loaded.advance(200)
            assert len(receiver.deliveries) == 3
            assert [attempt.attempt for attempt in loaded.webhooks.attempts] == [2, 3]
            assert loaded.webhooks.under_way == 0
            async with Session(credentials=loaded.key, hosts=loaded.hosts) as fal:
                for delivery in receiver.deliveries:
                    await fal.webhooks.verify(delivery.headers, delivery.body)


async def test_results_expire_at_their_moment_after_the_state_is_loaded(tmp_path: Path) -> None:
    emulator = Emulator(clock="auto")
    serve_work(emulator)
    async with calling(emulator) as caller:
        fetched, unread = await caller.submit(WORK, {"n": 1}), await caller.submit(WORK, {"n": 2})
        await caller.finished(fetched)
        await caller.finished(unread)
        await caller.result(fetched)
        await emulator.advance(3000)
        await emulator.save(tmp_path / "world")
    async with calling(Emulator(clock="auto", state=tmp_path / "world")) as caller:
        await caller.emulator.advance(599)
        assert (await again(caller, unread)).status == 200
        await caller.emulator.advance(2)
        assert (await again(caller, fetched)).status == 404


async def test_faults_prices_texts_and_declared_endpoints_are_those_of_the_saved_emulator(
    tmp_path: Path,
) -> None:
    emulator = Emulator()
    emulator.faults.add(
        Fault.answer(503, on="submit", times=3, after=2), Fault.reset(on="result", taken=True)
    )
    emulator.price("fal-ai/any-llm", "7.5")
    emulator.history.lag = 5
    async with calling(emulator) as caller:
        table = {"answer": {"poem": "{input.theme}"}, "price": "2"}
        added = await caller.call("POST", "/_emulator/endpoints", json={"endpoints": {"me/poet": table}})
        assert added.status == 200
        token = (
            await caller.call("POST", "/rest.fal.ai/storage/auth/token?storage_type=fal-cdn-v3", json={})
        ).data
        bearer = {"Authorization": f"Bearer {token['token']}"}
        await caller.call("PUT", "/kv.fal.media/set/db/name", data="text", headers=bearer)
        await caller.submit("fal-ai/any-llm", {"prompt": "x"})
        faults = emulator.faults.state()
        await emulator.save(tmp_path / "world")
    async with calling(Emulator(state=tmp_path / "world")) as caller:
        assert caller.emulator.faults.state() == faults
        assert caller.emulator.history.lag == 5
        caller.emulator.verify()
        caller.emulator.faults.clear()
        assert (await caller.get("/kv.fal.media/get/db/name", headers=bearer)).data == {"value": "text"}
        prices = await caller.get("/api.fal.ai/v1/models/pricing?endpoint_id=fal-ai/any-llm,me/poet")
        assert {row["endpoint_id"]: row["unit_price"] for row in prices.data["prices"]} == {
            "fal-ai/any-llm": 7.5,
            "me/poet": 2,
        }
        assert (await caller.run("me/poet", {"theme": "sea"})).data == {"poem": "sea"}
        listed = await caller.get("/_emulator/endpoints/declared")
        assert list(listed.data["endpoints"]) == ["me/poet"]


async def test_a_real_key_that_a_program_sends_is_not_saved(tmp_path: Path) -> None:
    real = "Key 12345678-abcd-4abc-8abc-123456789abc:0123456789abcdef0123456789abcdef"
    async with calling(Emulator(require_key=False)) as caller:
        await caller.submit(
            "fal-ai/any-llm", {"prompt": "x"}, headers={"Authorization": real, "Cookie": "a=b"}
        )
        await caller.emulator.save(tmp_path / "world")
    saved = b"".join(path.read_bytes() for path in (tmp_path / "world").rglob("*") if path.is_file())
    assert real.encode() not in saved
    assert b"0123456789abcdef" not in saved
    assert b"Cookie" not in saved


async def test_a_synchronous_program_saves_and_loads_from_its_own_thread(tmp_path: Path) -> None:
    def program() -> None:
        with Emulator() as emulator:
            emulator.add_account("other:key")
            asyncio.run(emulator.save(tmp_path / "world"))
        with Emulator(state=tmp_path / "world") as loaded:
            assert list(loaded.accounts) == ["emulator", "other"]

    await asyncio.to_thread(program)


async def test_an_emulator_that_is_not_started_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not started"):
        await Emulator().save(tmp_path / "world")
    assert not (tmp_path / "world").exists()


async def test_scopes_are_left_out_of_a_saved_state(tmp_path: Path) -> None:
    async with Emulator() as emulator:
        with emulator.scope() as scope:
            async with Session(credentials=scope.key, hosts=emulator.hosts) as fal:
                await fal.run("fal-ai/any-llm", {"prompt": "x"})
            await emulator.save(tmp_path / "world")
    loaded = Emulator(state=tmp_path / "world")
    assert (list(loaded.accounts), len(loaded.jobs)) == (["emulator"], 0)


async def test_queued_requests_of_a_mounted_application_begin_anew_when_it_is_mounted(tmp_path: Path) -> None:
    may_end, seen = asyncio.Event(), list[Any]()

    async def deep(request: Request) -> JSONResponse:
        seen.append(await request.json())
        await may_end.wait()
        return JSONResponse({"path": request.url.path, "id": request.headers["x-fal-request-id"]})

    application = Starlette(routes=[Route("/deep/path", deep, methods=["POST"])])
    async with calling(Emulator()) as caller:
        caller.emulator.mount("me/app", application, runners=1)
        submitted = [await caller.submit("me/app/deep/path", {"n": n}) for n in range(2)]
        await until(lambda: seen == [{"n": 0}])
        await caller.emulator.save(tmp_path / "world")
    may_end.set()
    async with calling(Emulator(state=tmp_path / "world")) as caller:
        caller.emulator.mount("me/app", application, runners=1)
        for one in submitted:
            await caller.reached(one, "COMPLETED")
            expected = {"path": "/deep/path", "id": one.data["request_id"]}
            assert (await again(caller, one)).data == expected
    assert seen == [{"n": 0}, {"n": 0}, {"n": 1}]


async def test_a_workflow_of_a_saved_state_begins_anew_with_its_steps(tmp_path: Path) -> None:
    nodes = {"one": {"type": "run", "app": WORK, "input": {"n": "$input.n", "seconds": 3600}}}
    emulator = Emulator()
    serve_work(emulator, price=1)
    workflow_id = emulator.workflow("me/flow", {"nodes": nodes, "output": {"n": "$one.n"}})
    async with calling(emulator) as caller:
        submitted = await caller.submit(workflow_id, {"n": 5})
        await until(lambda: len(emulator.jobs) == 2)
        await emulator.save(tmp_path / "world")
    loaded = Emulator(state=tmp_path / "world", clock="auto")
    serve_work(loaded, price=1)
    async with calling(loaded) as caller:
        await caller.finished(await again(caller, submitted, "/status"))
        assert (await again(caller, submitted)).data == {"n": 5}
        assert [str(job.cost) for job in loaded.jobs.values() if job.endpoint_id == WORK] == ["0", "1"]


@pytest.mark.parametrize("called", ["workflows/me/flow", "workflows/me/outer"])
async def test_finished_steps_of_an_interrupted_workflow_are_not_billed_again(
    tmp_path: Path, called: str
) -> None:
    nodes = {
        "one": {"type": "run", "app": WORK, "input": {"n": "$input.n"}},
        "two": {"type": "run", "app": WORK, "input": {"n": "$one.n", "seconds": 3600}, "depends": ["one"]},
    }
    emulator = Emulator()
    begun = serve_work(emulator, price=1)
    inner = emulator.workflow("me/flow", {"nodes": nodes, "output": {"n": "$two.n"}})
    outer = {"in": {"type": "run", "app": inner, "input": {"n": "$input.n"}}}
    emulator.workflow("me/outer", {"nodes": outer, "output": {"n": "$in.n"}})
    async with calling(emulator) as caller:
        submitted = await caller.submit(called, {"n": 5})
        await until(lambda: len(begun) == 2)
        await emulator.save(tmp_path / "world")
    loaded = Emulator(state=tmp_path / "world", clock="auto")
    begun_anew = serve_work(loaded, price=1)
    async with calling(loaded) as caller:
        await caller.finished(await again(caller, submitted, "/status"))
        assert (await again(caller, submitted)).data == {"n": 5}
    assert begun_anew == [5]
    assert [str(job.cost) for job in loaded.jobs.values() if job.endpoint_id == WORK] == ["1", "0", "1"]
