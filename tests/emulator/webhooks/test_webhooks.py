"""Deliveries to a plain HTTP server; signatures are checked with the crypto library only."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fal_async.emulator import Answer, Emulator, Fault, ModelError, WebhookPolicy
from tests.emulator.caller import Caller, Reply, calling
from tests.servers.receiver import Delivery, Receiver, receiving

QUICK = WebhookPolicy(first_pause=0.5, longest_pause=1.0, max_retries=4, first_limit=0.3, retry_limit=0.3)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(speed=50, webhooks=QUICK) as emulator:

        @emulator.endpoint("me/echo")
        async def echo(input: Any) -> Any:
            return input

        @emulator.endpoint("me/broken")
        async def broken(input: Any) -> Any:
            raise ModelError(422, [{"loc": ["body", "a"], "msg": "no", "type": "value_error", "input": 1}])

        @emulator.endpoint("me/bytes")
        async def some_bytes(input: Any) -> Any:
            return b"\x00\x01"

        @emulator.endpoint("me/gone")
        async def gone(input: Any) -> Any:
            return Answer(404, {"Content-Type": "text/html"}, "<p>none</p>")

        yield emulator


async def submit(caller: Caller, receiver: Receiver, endpoint_id: str, input: Any = None) -> Reply:
    return await caller.submit(endpoint_id, input or {"a": "é"}, params={"fal_webhook": receiver.url})


async def public_keys(caller: Caller) -> list[Ed25519PublicKey]:
    answer = await caller.get("/rest.fal.ai/.well-known/jwks.json", headers={})
    assert answer.status == 200
    keys = []
    for key in answer.data["keys"]:
        assert (key["kty"], key["crv"]) == ("OKP", "Ed25519")
        keys.append(Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=")))
    return keys


def is_signed_by(key: Ed25519PublicKey, delivery: Delivery) -> bool:
    headers = delivery.headers
    lines = [
        headers["X-Fal-Webhook-Request-Id"],
        headers["X-Fal-Webhook-User-Id"],
        headers["X-Fal-Webhook-Timestamp"],
        hashlib.sha256(delivery.body).hexdigest(),
    ]
    try:
        key.verify(bytes.fromhex(headers["X-Fal-Webhook-Signature"]), "\n".join(lines).encode())
    except InvalidSignature:
        return False
    return True


async def test_a_success_is_delivered_once_with_a_valid_signature(caller: Caller, receiver: Receiver) -> None:
    submitted = await submit(caller, receiver, "me/echo")
    (attempt,) = await caller.emulator.webhooks.wait_for(1)
    (delivery,) = receiver.deliveries
    request_id = submitted.data["request_id"]
    assert json.loads(delivery.body) == {
        "request_id": request_id,
        "gateway_request_id": request_id,
        "status": "OK",
        "payload": {"a": "é"},
    }
    assert delivery.headers["Content-Type"] == "application/json"
    assert int(delivery.headers["X-Fal-Webhook-Timestamp"]) == pytest.approx(time.time(), abs=10)
    (key,) = await public_keys(caller)
    assert is_signed_by(key, delivery)
    assert (attempt.status, attempt.attempt, attempt.delivered) == (200, 1, True)
    assert "secret" not in repr(attempt)


async def test_a_submit_without_a_webhook_delivers_nothing(caller: Caller, receiver: Receiver) -> None:
    await caller.finished(await caller.submit("me/echo"))
    await caller.run("me/echo", {}, params={"fal_webhook": receiver.url})
    assert caller.emulator.webhooks.under_way == 0
    assert caller.emulator.webhooks.attempts == []


async def test_the_webhook_of_a_failed_request_contains_the_error_body(
    caller: Caller, receiver: Receiver
) -> None:
    await submit(caller, receiver, "me/broken")
    await caller.emulator.webhooks.wait_for(1)
    document = json.loads(receiver.deliveries[0].body)
    assert (document["status"], document["error"]) == ("ERROR", "Invalid status code: 422")
    assert document["payload"]["detail"][0]["msg"] == "no"


@pytest.mark.parametrize(("endpoint_id", "status"), [("me/bytes", "OK"), ("me/gone", "ERROR")])
async def test_a_webhook_leaves_out_a_payload_that_is_not_json(
    caller: Caller, receiver: Receiver, endpoint_id: str, status: str
) -> None:
    await submit(caller, receiver, endpoint_id)
    await caller.emulator.webhooks.wait_for(1)
    document = json.loads(receiver.deliveries[0].body)
    assert (document["status"], document["payload"]) == (status, None)
    assert document["payload_error"]


async def test_the_gateway_id_in_a_webhook_differs_after_a_retry_by_the_platform(
    caller: Caller, receiver: Receiver
) -> None:
    tries: list[int] = []

    @caller.emulator.endpoint("me/flaky")
    async def flaky(input: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise ModelError(503, "later", "runner_disconnected")
        return {}

    submitted = await submit(caller, receiver, "me/flaky")
    await caller.emulator.webhooks.wait_for(1)
    document = json.loads(receiver.deliveries[0].body)
    assert document["request_id"] == submitted.data["request_id"]
    assert document["gateway_request_id"] != submitted.data["request_id"]


async def test_failed_deliveries_are_retried_with_new_signatures_until_one_succeeds(
    caller: Caller, receiver: Receiver
) -> None:
    receiver.answers = [500, 404, 200]
    await submit(caller, receiver, "me/echo")
    attempts = await caller.emulator.webhooks.wait_for(3)
    assert [attempt.status for attempt in attempts] == [500, 404, 200]
    assert [attempt.attempt for attempt in attempts] == [1, 2, 3]
    assert len({delivery.body for delivery in receiver.deliveries}) == 1
    (key,) = await public_keys(caller)
    assert all(is_signed_by(key, delivery) for delivery in receiver.deliveries)


async def test_a_delivery_without_an_answer_in_time_is_retried(caller: Caller, receiver: Receiver) -> None:
    receiver.answers = [0, 200]
    await submit(caller, receiver, "me/echo")
    slow, good = await caller.emulator.webhooks.wait_for(2)
    assert slow.status is None
    assert "Timeout" in (slow.error or "")
    assert good.delivered


async def test_a_delivery_to_an_unreachable_receiver_is_tried_max_retries_times(caller: Caller) -> None:
    unreachable = "http://127.0.0.1:1/hook"
    await caller.submit("me/echo", {}, params={"fal_webhook": unreachable})
    attempts = await caller.emulator.webhooks.wait_for(1 + QUICK.max_retries)
    assert {attempt.status for attempt in attempts} == {None}
    assert all(attempt.error for attempt in attempts)


async def test_a_redirect_of_a_receiver_is_not_followed_and_not_retried(
    caller: Caller, receiver: Receiver
) -> None:
    receiver.answers = [307, 200]
    await submit(caller, receiver, "me/echo")
    await caller.emulator.webhooks.wait_for(1)
    await caller.emulator.webhooks.wait_until_idle()
    assert len(receiver.deliveries) == 1


def test_pauses_between_deliveries_grow_until_the_result_expires_or_retries_are_used_up() -> None:
    policy = WebhookPolicy()
    hour = list(policy.pauses(3600))
    assert hour[:6] == [5, 10, 20, 40, 80, 120]
    assert len(hour) == policy.max_retries == 31
    minutes = list(policy.pauses(360))
    assert sum(minutes) <= 360
    assert len(minutes) == 6
    assert [policy.limit(n) for n in (1, 2, 3)] == [15, 120, 120]


async def test_a_rotated_webhook_key_stays_in_the_key_set_until_it_is_retired(
    caller: Caller, receiver: Receiver
) -> None:
    (old,) = await public_keys(caller)
    caller.emulator.rotate_webhook_key()
    keys = await public_keys(caller)
    assert len(keys) == 2
    await submit(caller, receiver, "me/echo")
    await caller.emulator.webhooks.wait_for(1)
    assert not is_signed_by(old, receiver.deliveries[0])
    assert is_signed_by(keys[1], receiver.deliveries[0])
    caller.emulator.rotate_webhook_key(retire=True)
    (new,) = await public_keys(caller)
    assert not is_signed_by(new, receiver.deliveries[0])


async def test_the_key_set_is_also_served_by_rest_alpha_fal_ai(caller: Caller) -> None:
    older = await caller.get("/rest.alpha.fal.ai/.well-known/jwks.json", headers={})
    assert older.data == (await caller.get("/rest.fal.ai/.well-known/jwks.json", headers={})).data


async def test_deliver_sends_late_repeated_and_manipulated_deliveries_on_demand(
    caller: Caller, receiver: Receiver
) -> None:
    hooks = caller.emulator.webhooks
    hooks.automatic = False
    submitted = await submit(caller, receiver, "me/echo")
    await caller.finished(submitted)
    assert hooks.under_way == 0
    request_id = submitted.data["request_id"]
    await hooks.deliver(request_id)
    await hooks.deliver(request_id, age=1000)
    await hooks.deliver(request_id, body=b"{}", headers={"X-Extra": "1"})
    first, late, spoilt = receiver.deliveries
    (key,) = await public_keys(caller)
    assert is_signed_by(key, first)
    assert is_signed_by(key, late)
    assert int(late.headers["X-Fal-Webhook-Timestamp"]) == pytest.approx(time.time() - 1000, abs=10)
    assert (spoilt.body, spoilt.headers["X-Extra"]) == (b"{}", "1")
    assert not is_signed_by(key, spoilt)


async def test_waiting_for_deliveries_times_out_with_the_number_so_far(
    caller: Caller, receiver: Receiver
) -> None:
    receiver.answers = [0]
    await submit(caller, receiver, "me/echo")
    with pytest.raises(TimeoutError, match=r"of 9 attempts ended within 0\.05 s"):
        await caller.emulator.webhooks.wait_for(9, timeout=0.05)
    with pytest.raises(TimeoutError, match=r"after 0\.05 s, deliveries are still pending: 1"):
        await caller.emulator.webhooks.wait_until_idle(timeout=0.05)


async def test_deliver_raises_for_unknown_incomplete_or_webhookless_requests(
    caller: Caller, receiver: Receiver
) -> None:
    hooks = caller.emulator.webhooks
    with pytest.raises(KeyError):
        await hooks.deliver("unknown")
    plain = await caller.submit("me/echo")
    await caller.finished(plain)
    with pytest.raises(ValueError, match="without a webhook"):
        await hooks.deliver(plain.data["request_id"])
    assert (await hooks.deliver(plain.data["request_id"], receiver.url)).delivered

    @caller.emulator.endpoint("me/endless")
    async def endless(input: Any) -> None:
        await asyncio.Event().wait()

    running = await submit(caller, receiver, "me/endless")
    with pytest.raises(ValueError, match="not complete"):
        await hooks.deliver(running.data["request_id"])


async def test_the_admin_route_delivers_lists_and_rotates_webhooks(
    caller: Caller, receiver: Receiver
) -> None:
    await caller.call("POST", "/_emulator/webhooks/automatic", json={"automatic": False})
    submitted = await submit(caller, receiver, "me/echo")
    await caller.finished(submitted)
    wanted = {"request_id": submitted.data["request_id"], "copies": 2, "age": 5}
    assert (await caller.call("POST", "/_emulator/webhooks", json=wanted)).status == 200
    await caller.emulator.webhooks.wait_for(2)
    listed = await caller.get("/_emulator/webhooks")
    assert [attempt["status"] for attempt in listed.data] == [200, 200]
    await caller.call("POST", "/_emulator/webhooks/rotate", json={"retire": True})
    (key,) = await public_keys(caller)
    assert not is_signed_by(key, receiver.deliveries[0])
    refused = await caller.call("POST", "/_emulator/webhooks", json={"request_id": "unknown"})
    assert refused.status == 400


async def test_stop_and_a_restart_without_memory_cancel_pending_deliveries(receiver: Receiver) -> None:
    receiver.answers = [500]
    slow = WebhookPolicy(first_pause=3600)
    async with Emulator(webhooks=slow) as emulator, aiohttp.ClientSession() as http:
        caller = Caller(emulator, http)

        @emulator.endpoint("me/echo")
        async def echo(input: Any) -> Any:
            return input

        await submit(caller, receiver, "me/echo")
        await emulator.webhooks.wait_for(1)
        assert emulator.webhooks.under_way == 1
        await emulator.restart(keep_memory=False)
        await emulator.webhooks.wait_until_idle()
        await submit(caller, receiver, "me/echo")
        await emulator.webhooks.wait_for(2)
    assert emulator.webhooks.under_way == 0
    assert len(receiver.deliveries) == 2


def test_the_key_set_without_the_cryptography_package_names_the_missing_extra() -> None:
    script = """
import asyncio, sys
sys.modules["cryptography.hazmat.primitives.asymmetric.ed25519"] = None
import aiohttp
from fal_async.emulator import Emulator

async def main():
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        async with http.get(emulator.url + "/rest.fal.ai/.well-known/jwks.json") as answer:
            assert answer.status == 500
            assert "fal-async[webhooks]" in await answer.text()

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


async def test_meta_lists_loopback_as_the_webhook_ip_range(caller: Caller) -> None:
    meta = await caller.get("/api.fal.ai/v1/meta", headers={})
    assert meta.data == {"webhook_ip_ranges": ["127.0.0.1/32"]}


async def test_an_overtaken_submit_is_answered_after_its_webhook_or_its_end(
    caller: Caller, receiver: Receiver
) -> None:
    caller.emulator.faults.add(Fault.overtaken(times=2))
    taken = await submit(caller, receiver, "me/echo")
    (delivery,) = receiver.deliveries
    assert json.loads(delivery.body)["request_id"] == taken.data["request_id"]
    # Without a webhook, the answer waits for the end of the request.
    ended = await caller.submit("me/echo")
    assert caller.emulator.jobs[ended.data["request_id"]].state == "COMPLETED"
    assert caller.emulator.faults.struck == 2


async def test_at_most_a_hundred_deliveries_are_sent_at_a_time_and_the_others_wait() -> None:
    opened, together = [0], asyncio.Event()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened[0] += 1
        if opened[0] == 100:
            together.set()
        await reader.readuntil(b"\r\n\r\n")
        await together.wait()
        opened.append(opened[0])
        opened[0] -= 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(receive, "127.0.0.1") as server, calling(Emulator()) as caller:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        caller.emulator.endpoint("me/echo", runners=200)(_echo)
        for _ in range(105):
            await caller.submit("me/echo", {}, params={"fal_webhook": url})
        attempts = await caller.emulator.webhooks.wait_for(105, timeout=30)
    assert all(attempt.delivered for attempt in attempts)
    assert max(opened) == 100


async def _echo(input: Any) -> Any:
    return input
