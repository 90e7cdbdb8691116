"""Verifying, receiving and waiting for webhook deliveries, with the emulator's real signatures."""

from __future__ import annotations

import asyncio
import hmac
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from email.message import Message
from typing import Any

import attrs
import pytest
from multidict import CIMultiDict

from fal_async import (
    ApiError,
    Claim,
    Completed,
    ConfigurationError,
    FalError,
    InProgress,
    MemoryStore,
    QueueStatus,
    Receipt,
    RetryPolicy,
    ServerError,
    Session,
    SessionStateError,
    StartTimeoutError,
    TransportError,
    ValidationError,
    WebhookEvent,
    WebhookReceiver,
    WebhookVerificationError,
    WebhookVerifier,
)
from fal_async.emulator import Emulator, Fault, ModelError, WebhookPolicy
from fal_async.emulator.webhooks.signing import WebhookKeys
from tests.quick import GATE, gate_at
from tests.servers.serving import listening, receiver_app

ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"
OTHER_ID = "00000000-b745-4b3e-ae38-1200304cf45b"
BODY = json.dumps({"request_id": ID, "gateway_request_id": ID, "status": "OK", "payload": {"a": 1}}).encode()
Headers = Mapping[str, str]


@pytest.fixture
async def emulator(no_tasks_left: None) -> AsyncIterator[Emulator]:
    quick = WebhookPolicy(first_pause=0.5, longest_pause=0.5)
    async with Emulator(speed=50, webhooks=quick) as emulator:

        @emulator.endpoint("me/echo", runners=50)
        async def echo(input: Any) -> Any:
            return input

        yield emulator


def signed(emulator: Emulator, body: bytes = BODY, age: float = 0, request_id: str = ID) -> dict[str, str]:
    return emulator.webhooks.keys.signed_headers(request_id, body, timestamp=int(time.time() - age))


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def verifier_of(fal: Session, clock: Callable[[], float]) -> WebhookVerifier:
    return WebhookVerifier(fal.webhooks.fetch_keys, clock=clock)


# Verification.


async def test_a_genuine_delivery_is_verified_without_sending_the_key(
    emulator: Emulator, fal: Session
) -> None:
    event = await fal.webhooks.verify(signed(emulator), BODY)
    assert (event.request_id, event.ok, event.payload) == (ID, True, {"a": 1})
    # The key set is public: it is fetched without the API key.
    assert all("Authorization" not in request.headers for request in emulator.requests)


def changed(headers: dict[str, str], **values: str | None) -> dict[str, str]:
    named = {f"X-Fal-Webhook-{name.replace('_', '-')}": value for name, value in values.items()}
    merged = {**headers, **named}
    return {name: value for name, value in merged.items() if value is not None}


def flip(text: str) -> str:
    return ("0" if text[0] != "0" else "1") + text[1:]


def signature_of(headers: Headers) -> str:
    return headers["X-Fal-Webhook-Signature"]


def swapped(headers: dict[str, str], one: str, other: str) -> dict[str, str]:
    return changed(
        headers, **{one: headers[f"X-Fal-Webhook-{other}"], other: headers[f"X-Fal-Webhook-{one}"]}
    )


def hmac_signed(headers: dict[str, str]) -> dict[str, str]:
    """Sign with HMAC, as one of the hand-written verifiers in circulation expects."""
    digest = hmac.new(b"secret", BODY, "sha512").hexdigest()
    return changed(headers, Signature=digest)


def wrongly_keyed(_: dict[str, str]) -> dict[str, str]:
    return WebhookKeys().signed_headers(ID, BODY)


def two_lines(headers: dict[str, str]) -> dict[str, str]:
    """Move a line of the signed message into the header before it."""
    user, moment = headers["X-Fal-Webhook-User-Id"], headers["X-Fal-Webhook-Timestamp"]
    return changed(headers, **{"Request-Id": f"{ID}\n{user}", "User-Id": moment})


Attack = Callable[[dict[str, str]], tuple[dict[str, str], bytes]]
ATTACKS: dict[str, Attack] = {
    "tampered body": lambda h: (h, BODY.replace(b"1", b"2")),
    "longer body": lambda h: (h, BODY + b" "),
    "empty body": lambda h: (h, b""),
    "re-encoded body": lambda h: (h, json.dumps(json.loads(BODY), separators=(",", ":")).encode()),
    "other request id": lambda h: (changed(h, Request_Id=OTHER_ID), BODY),
    "other user": lambda h: (changed(h, User_Id="github|2"), BODY),
    "swapped ids": lambda h: (swapped(h, "Request-Id", "User-Id"), BODY),
    "swapped timestamp and user": lambda h: (swapped(h, "Timestamp", "User-Id"), BODY),
    "other timestamp": lambda h: (changed(h, Timestamp=str(int(time.time()) - 5)), BODY),
    "lines moved": lambda h: (two_lines(h), BODY),
    "flipped signature": lambda h: (changed(h, Signature=flip(signature_of(h))), BODY),
    "zero signature": lambda h: (changed(h, Signature="00" * 64), BODY),
    "short signature": lambda h: (changed(h, Signature=signature_of(h)[:-2]), BODY),
    "long signature": lambda h: (changed(h, Signature=signature_of(h) + "00"), BODY),
    "base64 signature": lambda h: (changed(h, Signature="q" * 86 + "=="), BODY),
    "HMAC": lambda h: (hmac_signed(h), BODY),
    "algorithm prefix": lambda h: (changed(h, Signature="v1=" + signature_of(h)), BODY),
    "wrong key": lambda h: (wrongly_keyed(h), BODY),
    "no headers": lambda _: ({}, BODY),
    "no request id": lambda h: (changed(h, Request_Id=None), BODY),
    "no user id": lambda h: (changed(h, User_Id=None), BODY),
    "no timestamp": lambda h: (changed(h, Timestamp=None), BODY),
    "no signature": lambda h: (changed(h, Signature=None), BODY),
    "empty signature": lambda h: (changed(h, Signature=""), BODY),
    "huge body": lambda h: (h, b"x" * (17 * 1024 * 1024)),
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_a_forged_or_altered_delivery_is_refused(emulator: Emulator, fal: Session, name: str) -> None:
    headers, body = ATTACKS[name](signed(emulator))
    with pytest.raises(WebhookVerificationError) as refused:
        await fal.webhooks.verify(headers, body)
    # At most the fetch of the keys that every first delivery needs; the error quotes nothing of the delivery.
    assert emulator.count("key_set") <= 1
    assert ID not in str(refused.value)


CHEAP = ["no headers", "no signature", "short signature", "algorithm prefix", "lines moved", "huge body"]


@pytest.mark.parametrize("name", CHEAP)
async def test_a_malformed_or_too_large_delivery_is_refused_without_a_fetch(
    emulator: Emulator, fal: Session, name: str
) -> None:
    headers, body = ATTACKS[name](signed(emulator))
    with pytest.raises(WebhookVerificationError):
        await fal.webhooks.verify(headers, body)
    assert emulator.count() == 0


@pytest.mark.parametrize("body", [BODY.decode(), json.loads(BODY), None], ids=["str", "parsed JSON", "None"])
async def test_a_body_that_is_not_raw_bytes_raises_a_configuration_error(fal: Session, body: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"of type {type(body).__name__}: .*raw bytes"):
        await fal.webhooks.verify({}, body)


async def test_headers_in_the_types_of_other_servers_are_accepted(emulator: Emulator, fal: Session) -> None:
    headers = emulator.webhooks.keys.signed_headers(ID, BODY)
    message = Message()  # of http.server
    for name, value in headers.items():
        message[name] = value
    for form in (headers, list(headers.items()), message, CIMultiDict(headers)):
        assert (await fal.webhooks.verify(form, bytearray(BODY))).request_id == ID


class Broken:
    """Headers of a framework that can't be read after the end of the request."""

    def items(self) -> Any:
        raise RuntimeError("the request is over")


def good_shapes(good: dict[str, str]) -> dict[str, Any]:
    return {
        "lists, as from gateways": {name: [value] for name, value in good.items()},
        "tuples": {name: (value,) for name, value in good.items()},
        "bytes": {name.encode(): value.encode() for name, value in good.items()},
        "pairs in lists": [[name, value] for name, value in good.items()],
        "a generator of pairs": ((name, value) for name, value in good.items()),
        "other headers of odd types": {
            **good,
            "x-none": None,
            "x-list": ["a", "b"],
            "x-number": 1,
            5: 6,
            None: "",
        },
        "a repetition that is None": [*good.items(), ("x-fal-webhook-request-id", None)],
    }


@pytest.mark.parametrize("shape", good_shapes({}))
async def test_headers_of_every_readable_shape_are_accepted(
    emulator: Emulator, fal: Session, shape: str
) -> None:
    headers = good_shapes(signed(emulator))[shape]
    assert (await fal.webhooks.verify(headers, BODY)).request_id == ID


def wrong_shapes(good: dict[str, str]) -> dict[str, Any]:
    return {
        "None for all": dict.fromkeys(good),
        "one value missing": {
            name: None if "user" in name.lower() else value for name, value in good.items()
        },
        "an empty list": {name: [] for name in good},
        "two values in a list": {name: [value, value] for name, value in good.items()},
        "lists in lists": {name: [[value]] for name, value in good.items()},
        "numbers": dict.fromkeys(good, 1),
        "objects": {name: object() for name in good},
        "a lone surrogate": {
            name: "\ud800" if "request" in name.lower() else value for name, value in good.items()
        },
        "an empty mapping": {},
        "an empty list of pairs": [],
    }


@pytest.mark.parametrize("shape", wrong_shapes({}))
async def test_headers_that_are_incomplete_or_repeated_are_refused(
    emulator: Emulator, fal: Session, shape: str
) -> None:
    headers = wrong_shapes(signed(emulator))[shape]
    with pytest.raises(WebhookVerificationError):
        await fal.webhooks.verify(headers, BODY)
    with pytest.raises(WebhookVerificationError):
        await fal.webhooks.attach("https://me.example/hook").receive(headers, BODY)


@pytest.mark.parametrize(
    "headers",
    [None, 5, object(), "x-fal-webhook-request-id: a", ["abc"], [None], Broken()],
    ids=["None", "int", "object", "str", "list of str", "list of None", "unreadable"],
)
async def test_values_that_are_not_headers_raise_a_configuration_error(fal: Session, headers: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"headers is of type .*: expected a mapping, or pairs"):
        await fal.webhooks.verify(headers, BODY)


@pytest.mark.parametrize(
    ("age", "word"), [(301, "old"), (86_400, "old"), (-302, "future"), (-86_400, "future")]
)
async def test_old_and_future_deliveries_are_refused_without_a_fetch(
    emulator: Emulator, fal: Session, age: float, word: str
) -> None:
    with pytest.raises(WebhookVerificationError, match=word):
        await fal.webhooks.verify(signed(emulator, age=age), BODY)
    assert emulator.count() == 0


@pytest.mark.parametrize("age", [295, -295])
async def test_a_timestamp_up_to_five_minutes_off_is_accepted(
    emulator: Emulator, fal: Session, age: float
) -> None:
    assert (await fal.webhooks.verify(signed(emulator, age=age), BODY)).ok


async def test_a_signed_body_about_another_request_is_refused(emulator: Emulator, fal: Session) -> None:
    headers = signed(emulator, request_id=OTHER_ID)
    with pytest.raises(WebhookVerificationError, match="request_id"):
        await fal.webhooks.verify(headers, BODY)


async def test_a_delivery_with_a_big_body_is_verified(emulator: Emulator, fal: Session) -> None:
    body = json.dumps({"request_id": ID, "status": "OK", "payload": "x" * 2_000_000}).encode()
    assert (await fal.webhooks.verify(signed(emulator, body), body)).ok


async def test_a_big_body_is_verified_if_no_thread_can_be_started(emulator: Emulator, fal: Session) -> None:
    body = json.dumps({"request_id": ID, "status": "OK", "payload": "x" * 2_000_000}).encode()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert (await fal.webhooks.verify(signed(emulator, body), body)).ok


# The key set.


async def test_concurrent_deliveries_share_one_fetch_of_the_keys(emulator: Emulator, fal: Session) -> None:
    events = await asyncio.gather(*(fal.webhooks.verify(signed(emulator), BODY) for _ in range(100)))
    assert all(event.ok for event in events)
    assert emulator.count("key_set") == 1


async def test_a_cancelled_verification_does_not_end_the_fetch_for_others(
    emulator: Emulator, fal: Session
) -> None:
    emulator.faults.add(Fault.stall(on="key_set", seconds=0.2))
    first = asyncio.ensure_future(fal.webhooks.verify(signed(emulator), BODY))
    second = asyncio.ensure_future(fal.webhooks.verify(signed(emulator), BODY))
    await emulator.wait_for("key_set")
    first.cancel()
    assert (await second).ok
    assert emulator.count("key_set") == 1


async def test_the_key_set_is_fetched_again_for_a_rotated_key_once_a_minute(
    emulator: Emulator, fal: Session
) -> None:
    clock = Clock()
    verifier = verifier_of(fal, clock)
    await verifier.verify(signed(emulator), BODY)
    emulator.rotate_webhook_key(retire=True)
    for _ in range(5):
        with pytest.raises(WebhookVerificationError):
            await verifier.verify(signed(emulator), BODY)
    assert emulator.count("key_set") == 1
    clock.now += 60
    assert (await verifier.verify(signed(emulator), BODY)).ok
    assert emulator.count("key_set") == 2
    with pytest.raises(WebhookVerificationError):
        await verifier.verify(wrongly_keyed({}), BODY)
    assert emulator.count("key_set") == 2


async def test_every_key_of_the_key_set_is_tried(emulator: Emulator, fal: Session) -> None:
    old = signed(emulator)
    emulator.rotate_webhook_key()
    emulator.rotate_webhook_key()
    assert (await fal.webhooks.verify(old, BODY)).ok
    assert (await fal.webhooks.verify(signed(emulator), BODY)).ok


async def test_a_key_set_of_thirteen_hours_is_used_while_its_host_is_down(
    emulator: Emulator, fal: Session
) -> None:
    clock = Clock()
    verifier = verifier_of(fal, clock)
    await verifier.verify(signed(emulator), BODY)
    headers = signed(emulator, age=-13 * 3600)
    await emulator.pause()
    clock.now += 13 * 3600
    assert (await verifier.verify(headers, BODY)).ok
    await verifier.aclose()
    await emulator.resume()


async def test_a_key_set_older_than_a_day_is_not_used(emulator: Emulator) -> None:
    clock = Clock()
    async with Session(emulator.key, hosts=emulator.hosts, retry=RetryPolicy(max_attempts=1)) as fal:
        verifier = verifier_of(fal, clock)
        await verifier.verify(signed(emulator), BODY)
        headers = signed(emulator, age=-25 * 3600)
        await emulator.pause()
        clock.now += 25 * 3600
        # Not refused as forged: it can't be checked, so fal must deliver it again.
        with pytest.raises(TransportError):
            await verifier.verify(headers, BODY)
        await emulator.resume()
        assert (await verifier.verify(headers, BODY)).ok


async def test_a_key_set_older_than_half_a_day_is_renewed_in_the_background(
    emulator: Emulator, fal: Session
) -> None:
    clock = Clock()
    verifier = verifier_of(fal, clock)
    await verifier.verify(signed(emulator), BODY)
    clock.now += 13 * 3600
    headers = signed(emulator, age=-13 * 3600)
    assert (await verifier.verify(headers, BODY)).ok
    await emulator.wait_for("key_set", 2)
    await verifier.verify(headers, BODY)
    assert emulator.count("key_set") == 2


async def test_a_broken_key_set_does_not_replace_a_good_key_set(emulator: Emulator, fal: Session) -> None:
    clock = Clock()
    verifier = verifier_of(fal, clock)
    await verifier.verify(signed(emulator), BODY)
    emulator.faults.add(Fault.answer(200, on="key_set", body='{"keys": []}'))
    clock.now += 61
    with pytest.raises(WebhookVerificationError):
        await verifier.verify(wrongly_keyed({}), BODY)
    assert (await verifier.verify(signed(emulator), BODY)).ok


async def test_closing_the_session_ends_a_running_fetch_of_the_keys(emulator: Emulator, fal: Session) -> None:
    emulator.faults.add(Fault.stall(on="key_set", seconds=30))
    waiting = asyncio.ensure_future(fal.webhooks.verify(signed(emulator), BODY))
    await emulator.wait_for("key_set")
    await fal.aclose()
    with pytest.raises(SessionStateError):
        await waiting


# The sender's address.


async def test_a_verifier_with_check_address_refuses_other_senders(emulator: Emulator, fal: Session) -> None:
    verifier = fal.webhooks.make_verifier(check_address=True)
    assert (await verifier.verify(signed(emulator), BODY, client="127.0.0.1")).ok
    assert (await verifier.verify(signed(emulator), BODY, client="::ffff:127.0.0.1")).ok
    for client in ("127.0.0.2", "::1", "", None):
        with pytest.raises(WebhookVerificationError, match="address"):
            await verifier.verify(signed(emulator), BODY, client=client)
    assert emulator.count("platform") == 1
    await verifier.aclose()


def test_attach_without_the_extra_webhooks_names_the_extra() -> None:
    script = (
        "import sys\n"
        "sys.modules['cryptography.exceptions'] = None\n"
        "import fal_async\n"
        "session = fal_async.Session('a:b')\n"
        "try:\n"
        "    session.webhooks.attach('https://me.example/hook')\n"
        "except fal_async.ConfigurationError as error:\n"
        "    assert 'fal-async[webhooks]' in str(error), error\n"
        "else:\n"
        "    raise SystemExit('attached without the extra')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


# The result of an event, compared with the queue's.


@attrs.frozen
class Typed:
    a: int


async def delivered(emulator: Emulator, fal: Session, endpoint_id: str) -> WebhookEvent:
    """Return the event of a real delivery by the emulator."""
    events: list[WebhookEvent] = []
    receiver = fal.webhooks.attach("http://127.0.0.1/unused", on_event=events.append)
    async with listening(receiver_app(receiver)) as url:
        handle = await fal.queue.submit(endpoint_id, {"a": 1}, webhook_url=url)
        await emulator.webhooks.wait_until_idle(timeout=10)
        await fal.queue.handle(endpoint_id, handle.request_id).status()
    return events[0]


async def test_the_result_of_a_delivery_equals_that_of_the_queue(emulator: Emulator, fal: Session) -> None:
    event = await delivered(emulator, fal, "me/echo")
    by_queue = await fal.queue.result("me/echo", event.request_id, output_type=Typed)
    by_event = event.result("me/echo", output_type=Typed)
    assert by_event.data == by_queue.data == Typed(1)
    assert by_event.request_id == by_queue.request_id


FAILURES = {
    "validation": ModelError(422, [{"loc": ["body", "a"], "msg": "no", "type": "value_error", "input": 1}]),
    "policy": ModelError(422, [{"loc": ["body"], "msg": "no", "type": "content_policy_violation"}]),
    "bad request": ModelError(400, "bad", "bad_request"),
    "server": ModelError(500, "boom", "runner_server_error"),
    "forbidden": ModelError(403, "not yours"),
    "unavailable": ModelError(503, "later", "runner_disconnected", {"X-Fal-Needs-Retry": "0"}),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_the_error_of_a_delivery_equals_that_of_the_queue(
    emulator: Emulator, fal: Session, name: str
) -> None:
    @emulator.endpoint("me/broken")
    async def broken(_: Any) -> Any:
        raise FAILURES[name]

    event = await delivered(emulator, fal, "me/broken")
    with pytest.raises(FalError) as by_event:
        event.result("me/broken")
    handle = fal.queue.handle("me/broken", event.request_id)
    with pytest.raises(FalError) as by_queue:
        await handle.wait()
    one, other = by_event.value, by_queue.value
    assert type(one) is type(other)
    assert str(one) == str(other)
    if isinstance(one, ApiError) and isinstance(other, ApiError):
        assert (one.status, one.error_type, one.errors) == (other.status, other.error_type, other.errors)


async def test_a_delivery_without_its_payload_says_how_to_fetch_it(emulator: Emulator, fal: Session) -> None:
    @emulator.endpoint("me/bytes")
    async def some_bytes(_: Any) -> Any:
        return b"\x00\x01"

    event = await delivered(emulator, fal, "me/bytes")
    assert event.is_incomplete
    with pytest.raises(FalError, match=r"fal\.queue\.result"):
        event.result()
    assert (await fal.queue.result("me/bytes", event.request_id)).data == b"\x00\x01"


# The receiver handles each event once.


def attach(fal: Session, **options: Any) -> WebhookReceiver:
    return fal.webhooks.attach("https://me.example/hook?secret=1", **options)


async def test_a_repeated_delivery_is_not_handled_again(emulator: Emulator, fal: Session) -> None:
    handled: list[str] = []
    receiver = attach(fal, on_event=lambda event: handled.append(event.request_id))
    headers = signed(emulator)
    receipts = [await receiver.receive(headers, BODY) for _ in range(3)]
    # A later delivery of the same request has another timestamp, but the same key in the store.
    receipts.append(await receiver.receive(signed(emulator, age=5), BODY))
    assert receipts == [Receipt.HANDLED, *[Receipt.DUPLICATE] * 3]
    assert handled == [ID]
    assert "secret" not in repr(receiver)


async def test_a_duplicate_of_a_delivery_that_is_being_handled_is_busy(
    emulator: Emulator, fal: Session
) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: WebhookEvent) -> None:
        entered.set()
        await go_on.wait()

    receiver = attach(fal, on_event=slow)
    first = asyncio.ensure_future(receiver.receive(signed(emulator), BODY))
    await entered.wait()
    assert await receiver.receive(signed(emulator), BODY) is Receipt.BUSY
    go_on.set()
    assert await first is Receipt.HANDLED
    assert await receiver.receive(signed(emulator), BODY) is Receipt.DUPLICATE


async def test_an_event_whose_handler_fails_is_handled_by_the_next_delivery(
    emulator: Emulator, fal: Session
) -> None:
    tries: list[int] = []

    def flaky(_: WebhookEvent) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise LookupError("the database is down")

    receiver = attach(fal, on_event=flaky)
    with pytest.raises(LookupError):
        await receiver.receive(signed(emulator), BODY)
    assert await receiver.receive(signed(emulator), BODY) is Receipt.HANDLED
    assert len(tries) == 2


async def test_a_custom_store_gets_claim_and_done_with_the_request_id(
    emulator: Emulator, fal: Session
) -> None:
    asked: list[tuple[str, str]] = []

    class Store:
        async def claim(self, key: str) -> Claim:
            asked.append(("claim", key))
            return Claim.NEW

        async def done(self, key: str) -> None:
            asked.append(("done", key))

        async def release(self, key: str) -> None:
            asked.append(("release", key))

    receiver = attach(fal, store=Store())
    await receiver.receive(signed(emulator), BODY)
    assert asked == [("claim", ID), ("done", ID)]


class Plain:
    """A store with sync methods that returns `str`, as one that keeps its state elsewhere does."""

    def __init__(self, said: Any) -> None:
        self.said, self.calls = said, list[str]()

    def claim(self, key: str) -> Any:
        self.calls.append("claim")
        return self.said

    def done(self, key: str) -> None:
        self.calls.append("done")

    def release(self, key: str) -> None:
        self.calls.append("release")
        raise OSError("the store is down")


@pytest.mark.parametrize(
    ("said", "receipt"),
    [
        ("new", Receipt.HANDLED),
        ("busy", Receipt.BUSY),
        ("done", Receipt.DUPLICATE),
        (Claim.NEW, Receipt.HANDLED),
    ],
)
async def test_a_store_may_have_sync_methods_that_return_str(
    emulator: Emulator, fal: Session, said: str, receipt: Receipt
) -> None:
    store: Any = Plain(said)
    receiver = fal.webhooks.attach("https://me.example/hook", store=store)
    assert await receiver.receive(signed(emulator), BODY) is receipt
    assert store.calls == ["claim", "done"][: 2 if receipt is Receipt.HANDLED else 1]


@pytest.mark.parametrize("said", [None, True, 1, "old", b"new", []])
async def test_a_store_that_does_not_return_a_claim_raises_a_configuration_error(
    emulator: Emulator, fal: Session, said: Any
) -> None:
    store: Any = Plain(said)
    receiver = fal.webhooks.attach("https://me.example/hook", store=store)
    with pytest.raises(ConfigurationError, match=r"store.claim\(\) returned a .*: expected a Claim"):
        await receiver.receive(signed(emulator), BODY)


async def test_a_store_whose_release_fails_does_not_hide_the_handlers_error(
    emulator: Emulator, fal: Session, caplog: pytest.LogCaptureFixture
) -> None:
    def on_event(event: WebhookEvent) -> None:
        raise ZeroDivisionError

    store: Any = Plain(Claim.NEW)
    receiver = fal.webhooks.attach("https://me.example/hook", on_event=on_event, store=store)
    with pytest.raises(ZeroDivisionError):
        await receiver.receive(signed(emulator), BODY)
    assert (store.calls, "could not release it" in caplog.text) == (["claim", "release"], True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"store": {}}, "store is of type dict: expected a SeenStore, but it lacks claim, done, release"),
        ({"on_event": "handle"}, "on_event is of type str: expected a function"),
    ],
)
def test_attach_refuses_a_wrong_store_and_a_wrong_callback(fal: Session, options: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        fal.webhooks.attach("https://me.example/hook", **options)


@pytest.mark.parametrize("fetched", [None, "x", {"keys": []}, 5, b"", b"[]"])
async def test_a_fetch_function_that_returns_no_key_set_raises_a_fal_error(
    emulator: Emulator, fetched: Any
) -> None:
    async def fetch() -> Any:
        return fetched

    with pytest.raises(FalError):
        await WebhookVerifier(fetch).verify(signed(emulator), BODY)


async def test_the_memory_store_forgets_after_three_hours_and_beyond_its_limit() -> None:
    clock = Clock()
    store = MemoryStore(limit=3, clock=clock)
    assert await store.claim("a") is Claim.NEW
    assert await store.claim("a") is Claim.BUSY
    await store.done("a")
    assert await store.claim("a") is Claim.DONE
    clock.now += 3 * 3600
    assert await store.claim("a") is Claim.NEW
    await store.release("a")
    for key in "abcde":
        await store.claim(key)
        await store.done(key)
        clock.now += 1
    assert await store.claim("e") is Claim.DONE
    assert await store.claim("a") is Claim.NEW


@pytest.mark.parametrize("url", ["", "me.example/hook", "ftp://me.example/", "https://"])
def test_attach_refuses_a_url_that_is_not_http(url: str) -> None:
    with pytest.raises(ConfigurationError, match="webhook_url"):
        Session("a:b").webhooks.attach(url)


# Waiting for a delivery.


@pytest.fixture
async def attached(fal: Session) -> AsyncIterator[Session]:
    """A session with an attached receiver that is served."""
    receiver = fal.webhooks.attach("http://127.0.0.1/")
    async with listening(receiver_app(receiver)) as url:
        receiver.url = f"{url}/hook"
        yield fal


async def test_subscribe_in_webhook_mode_returns_the_result_of_the_delivery(
    emulator: Emulator, attached: Session
) -> None:
    enqueued: list[str] = []
    updates: list[QueueStatus] = []
    result = await attached.subscribe(
        "me/echo",
        {"a": 1},
        mode="webhook",
        poll_interval=3600,
        on_enqueue=enqueued.append,
        on_queue_update=updates.append,
        output_type=Typed,
        timeout=30,
    )
    assert (result.data, result.request_id) == (Typed(1), enqueued[0])
    assert result.attempts["webhook"] == 1
    assert [str(update) for update in updates][-1:] == ["COMPLETED"]
    assert emulator.count("result") == 0


async def test_a_hundred_calls_in_webhook_mode_get_their_own_results(
    emulator: Emulator, attached: Session
) -> None:
    calls = [
        attached.subscribe("me/echo", {"n": n}, mode="webhook", poll_interval=3600, timeout=30)
        for n in range(100)
    ]
    results = await asyncio.gather(*calls)
    assert [result.data["n"] for result in results] == list(range(100))
    assert emulator.count("result") == 0
    assert emulator.count("key_set") == 1


async def test_a_delivery_that_arrives_before_the_submits_response_is_used(
    emulator: Emulator, attached: Session
) -> None:
    # The job is accepted, done and delivered before the response to its submit is sent.
    emulator.faults.add(Fault.stall(on="submit", seconds=0.3, taken=True))
    stray: list[WebhookEvent] = []
    receiver = attached.webhooks.receiver
    assert receiver is not None
    receiver.on_event = stray.append
    result = await attached.subscribe("me/echo", {"a": 1}, mode="webhook", poll_interval=3600, timeout=30)
    assert result.attempts["webhook"] == 1
    assert stray == []


async def test_a_call_whose_delivery_is_lost_gets_its_result_by_polling(
    emulator: Emulator, attached: Session
) -> None:
    emulator.webhooks.automatic = False
    result = await attached.subscribe("me/echo", {"a": 1}, mode="webhook", poll_interval=0.05, timeout=30)
    assert result.data == {"a": 1}
    assert "webhook" not in result.attempts
    assert emulator.count("result") == 1


async def test_a_delivery_does_not_cancel_a_callback_and_completion_is_reported_once(
    emulator: Emulator, attached: Session
) -> None:
    gate = gate_at(emulator)
    emulator.webhooks.automatic = False
    reported: list[str] = []

    async def report(status: QueueStatus) -> None:
        if isinstance(status, InProgress):  # from a poll; the delivery arrives during this callback
            gate.open()
            await emulator.jobs[status.request_id].wait_for("COMPLETED", timeout=5)
            await emulator.webhooks.deliver(status.request_id)
            await asyncio.sleep(0.05)
        reported.append(status.headline)

    result = await attached.subscribe(
        GATE, {"n": 1}, mode="webhook", poll_interval=0.02, on_queue_update=report, timeout=30
    )
    assert (result.data, result.attempts["webhook"]) == ({"n": 1}, 1)
    assert reported[-2:] == ["IN_PROGRESS", "COMPLETED"]
    assert reported.count("COMPLETED") == 1


@pytest.mark.parametrize("fetched", [True, False])
async def test_a_delivery_after_a_completed_poll_does_not_report_completion_again(
    emulator: Emulator, attached: Session, fetched: bool
) -> None:
    emulator.webhooks.automatic = False
    reported: list[str] = []
    if not fetched:
        emulator.faults.add(Fault.stall(60, on="result"))

    async def report(status: QueueStatus) -> None:
        reported.append(status.headline)
        if isinstance(status, Completed) and fetched:
            await emulator.webhooks.deliver(status.request_id)

    waiting = asyncio.ensure_future(
        attached.subscribe(
            "me/echo", {"a": 1}, mode="webhook", poll_interval=0.02, on_queue_update=report, timeout=30
        )
    )
    if not fetched:
        await emulator.wait_for("result")
        await emulator.webhooks.deliver(next(iter(emulator.jobs)))
    result = await waiting
    assert (result.data, result.attempts["webhook"]) == ({"a": 1}, 1)
    assert reported.count("COMPLETED") == 1


async def test_a_delivery_after_the_end_of_its_call_is_answered_with_200(
    emulator: Emulator, attached: Session
) -> None:
    emulator.webhooks.automatic = False
    result = await attached.subscribe("me/echo", {"a": 1}, mode="webhook", poll_interval=0.05, timeout=30)
    assert result.request_id is not None
    late = await emulator.webhooks.deliver(result.request_id)
    again = await emulator.webhooks.deliver(result.request_id)
    assert (late.status, again.status) == (200, 200)


async def test_subscribe_in_webhook_mode_raises_the_error_of_the_delivery(
    emulator: Emulator, attached: Session
) -> None:
    @emulator.endpoint("me/broken")
    async def broken(_: Any) -> Any:
        raise FAILURES["validation"]

    with pytest.raises(ValidationError, match="no") as raised:
        await attached.subscribe("me/broken", {}, mode="webhook", poll_interval=3600, timeout=30)
    assert raised.value.endpoint_id == "me/broken"
    assert emulator.count("result") == 0


async def test_a_start_timeout_in_webhook_mode_is_recognised_by_fetching_the_result(
    emulator: Emulator, attached: Session
) -> None:
    @emulator.endpoint("me/busy", runners=1)
    async def busy(_: Any) -> Any:
        await asyncio.Event().wait()

    await attached.queue.submit("me/busy", {})
    with pytest.raises(StartTimeoutError) as raised:
        await attached.subscribe(
            "me/busy", {}, mode="webhook", poll_interval=3600, start_timeout=0.15, timeout=30
        )
    assert not raised.value.retryable


async def test_an_error_in_webhook_mode_is_not_retryable_if_fal_says_so(
    emulator: Emulator, attached: Session
) -> None:
    @emulator.endpoint("me/broken")
    async def broken(_: Any) -> Any:
        raise FAILURES["unavailable"]

    with pytest.raises(ServerError) as raised:
        await attached.subscribe("me/broken", {}, mode="webhook", poll_interval=3600, timeout=30)
    assert not raised.value.retryable
    # If the result can't be fetched, the delivery is enough.
    emulator.faults.add(Fault.vanish(on="result", times=None))
    with pytest.raises(ServerError, match="later"):
        await attached.subscribe("me/broken", {}, mode="webhook", poll_interval=3600, timeout=30)


async def test_subscribe_fetches_the_result_of_a_delivery_without_payload(
    emulator: Emulator, attached: Session
) -> None:
    @emulator.endpoint("me/bytes")
    async def some_bytes(_: Any) -> Any:
        return b"\x00\x01"

    result = await attached.subscribe("me/bytes", {}, mode="webhook", poll_interval=3600, timeout=30)
    assert result.data == b"\x00\x01"


async def test_a_cancelled_call_in_webhook_mode_cancels_its_request(
    emulator: Emulator, attached: Session
) -> None:
    @emulator.endpoint("me/endless")
    async def endless(_: Any) -> Any:
        await asyncio.Event().wait()

    waiting = asyncio.ensure_future(attached.subscribe("me/endless", {}, mode="webhook", poll_interval=3600))
    await emulator.wait_for("submit")
    (job,) = emulator.jobs.values()
    await job.wait_for("IN_PROGRESS", timeout=5)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert job.cancel_requests == 1


async def test_mode_webhook_needs_a_receiver_and_its_own_url(emulator: Emulator, fal: Session) -> None:
    with pytest.raises(ConfigurationError, match=r"fal\.webhooks\.attach"):
        await fal.subscribe("me/echo", {}, mode="webhook")
    attach(fal)
    with pytest.raises(ConfigurationError, match="webhook_url"):
        await fal.subscribe("me/echo", {}, mode="webhook", webhook_url="https://me.example/")
    with pytest.raises(ConfigurationError, match=r"auto \(subscribe also accepts webhook\)"):
        await fal.subscribe("me/echo", {}, mode="webhok")  # type: ignore[arg-type]
    assert emulator.count() == 0


async def test_a_view_shares_the_receiver_of_its_session(attached: Session) -> None:
    view = attached.with_options(tags={"team": "a"})
    assert view.webhooks is attached.webhooks
    result = await view.subscribe("me/echo", {"a": 1}, mode="webhook", poll_interval=3600, timeout=30)
    assert result.attempts["webhook"] == 1
