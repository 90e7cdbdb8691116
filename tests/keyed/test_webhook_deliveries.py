"""Keyed calls in webhook mode: any worker gets the delivery, and every worker that waits gets the outcome."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from fal_async import (
    ConfigurationError,
    FalError,
    QueueStatus,
    Receipt,
    Session,
    WebhookEvent,
)
from fal_async.emulator import Emulator, Fault, ModelError, WebhookPolicy
from fal_async.ledger.opening import Where, open_store
from fal_async.ledger.store import NewClaim
from fal_async.protocol.json_input import encode_json
from fal_async.protocol.ledger.claim_tokens import ClaimToken, Purpose, token_in, url_with_token
from fal_async.protocol.ledger.digests import body_digest, input_digest
from fal_async.protocol.ledger.entry import Place
from fal_async.protocol.ledger.key_checks import space_of
from tests.keyed.entries import content_of, entry_of, state_of
from tests.keyed.failing_store import FailingStore
from tests.keyed.workers import Door, workers
from tests.quick import ASK, GATE, LLM, gate_at

NEVER = 3600.0
"""A `poll_interval` with which no poll is sent in a test."""


@pytest.fixture
async def emulator(no_tasks_left: None) -> AsyncIterator[Emulator]:
    async with Emulator(speed=50, webhooks=WebhookPolicy(first_pause=0.5, longest_pause=0.5)) as emulator:
        yield emulator


@pytest.fixture
async def two(emulator: Emulator, runs: Where) -> AsyncIterator[Door]:
    """Two workers; the second one gets the deliveries."""
    async with workers(emulator, runs, runs) as door:
        door.to = door.workers[1]
        yield door


async def subscribe(fal: Session, key: str = "a", **options: Any) -> Any:
    options = {"poll_interval": NEVER, "timeout": 60, **options}
    return await fal.subscribe(options.pop("endpoint", LLM), ASK, key=key, mode="webhook", **options)


async def receipts(emulator: Emulator, door: Door) -> list[Receipt | None]:
    """Return what was done with the deliveries, after all of them were answered."""
    await emulator.webhooks.wait_until_idle(timeout=30)
    return door.receipts


def webhook_of(emulator: Emulator, n: int = 0) -> str:
    """Return the webhook URL of a job."""
    url = list(emulator.jobs.values())[n].options.webhook_url
    assert url is not None
    return url


def statuses(emulator: Emulator) -> list[int | None]:
    return [attempt.status for attempt in emulator.webhooks.attempts]


# Which worker gets the delivery.


async def test_a_delivery_to_another_worker_ends_the_call_without_any_poll(
    emulator: Emulator, two: Door
) -> None:
    result = await subscribe(two.workers[0])
    assert (result.data["output"], result.from_ledger) == ((await again(two)).data["output"], False)
    assert result.attempts == {"submit": 1, "webhook": 1}
    assert await receipts(emulator, two) == [Receipt.HANDLED]
    assert [emulator.count(kind) for kind in ("submit", "status", "result", "platform")] == [1, 0, 0, 0]


async def again(door: Door, worker: int = 1) -> Any:
    replayed = await subscribe(door.workers[worker])
    assert replayed.from_ledger
    return replayed


async def test_a_delivery_to_the_worker_that_waits_ends_its_call_and_reports_completion(
    emulator: Emulator, two: Door
) -> None:
    two.to = two.workers[0]
    enqueued: list[str] = []
    updates: list[QueueStatus] = []
    result = await subscribe(two.workers[0], on_enqueue=enqueued.append, on_queue_update=updates.append)
    assert enqueued == [result.request_id]
    assert [status.headline for status in updates] == ["COMPLETED"]
    assert emulator.count("status") == 0


async def test_a_delivery_wakes_the_call_in_its_own_worker_without_a_look_at_the_ledger(
    emulator: Emulator, runs: Where
) -> None:
    ledger: Any = FailingStore(await open_store(runs))
    ledger.hangs.add("until_changed")
    async with workers(emulator, ledger) as door:
        assert (await subscribe(door.workers[0])).attempts["webhook"] == 1
    await ledger.aclose()


async def test_the_webhook_url_of_a_submit_has_the_query_of_the_receiver_and_a_new_token(
    emulator: Emulator, two: Door
) -> None:
    await asyncio.gather(subscribe(two.workers[0], "a"), subscribe(two.workers[0], "b"))
    found = [token_in(urlsplit(webhook_of(emulator, n)).query) for n in range(2)]
    assert [token and token.purpose for token in found] == ["wait", "wait"]
    assert found[0] != found[1]
    assert parse_qsl(urlsplit(webhook_of(emulator)).query)[0] == ("app", "1")


async def test_calls_of_both_workers_with_one_key_share_one_request_and_its_delivery(
    emulator: Emulator, two: Door
) -> None:
    gate = gate_at(emulator)
    calls = [asyncio.create_task(subscribe(fal, endpoint=GATE)) for fal in two.workers for _ in range(3)]
    while not gate.started:
        await asyncio.sleep(0.01)
    gate.open()
    results = await asyncio.gather(*calls)
    assert all(result.data == ASK for result in results)
    assert [emulator.count(kind) for kind in ("submit", "status", "result")] == [1, 0, 0]


async def test_a_call_attaches_to_the_request_of_a_worker_that_has_ended_and_gets_its_delivery(
    emulator: Emulator, runs: Where
) -> None:
    gate = gate_at(emulator)
    async with workers(emulator, runs) as door:
        async with workers(emulator, runs) as other:
            other.workers[0].webhooks.attach(door.url)
            first = asyncio.create_task(subscribe(other.workers[0], endpoint=GATE))
            while await state_of(other.workers[0], runs) != "submitted":
                await asyncio.sleep(0.01)
        with pytest.raises(FalError, match="the session was closed"):
            await first
        second = asyncio.create_task(subscribe(door.workers[0], endpoint=GATE))
        gate.open()
        result = await second
    assert (result.data, result.from_ledger) == (ASK, True)
    assert [emulator.count(kind) for kind in ("submit", "status", "result")] == [1, 0, 0]


# Submits whose response does not arrive.


async def test_a_delivery_before_the_response_to_its_submit_is_the_outcome(
    emulator: Emulator, two: Door, runs: Where
) -> None:
    emulator.faults.add(Fault.overtaken())
    result = await subscribe(two.workers[0])
    record = await entry_of(two.workers[0], runs)
    assert record is not None
    assert (record.state, record.request_id, len(record.requests)) == ("done", result.request_id, 1)
    assert (await receipts(emulator, two), emulator.count("status")) == ([Receipt.HANDLED], 0)


@pytest.mark.parametrize("state", ["done", "failed"])
async def test_a_submit_whose_response_is_lost_gets_its_outcome_by_the_delivery_without_a_look_up(
    emulator: Emulator, two: Door, runs: Where, state: str
) -> None:
    @emulator.endpoint("me/model")
    async def model(_: Any) -> Any:
        if state == "failed":
            raise ModelError(422, "no")
        return {"n": 1}

    emulator.faults.add(Fault.close(on="submit", taken=True))
    if state == "done":
        result = await subscribe(two.workers[0], endpoint="me/model")
        assert (result.data, result.from_ledger) == ({"n": 1}, False)
    else:
        with pytest.raises(FalError, match="no"):
            await subscribe(two.workers[0], endpoint="me/model")
    assert await state_of(two.workers[0], runs) == state
    assert (len(emulator.jobs), emulator.count("platform")) == (1, 0)


async def left_claim(emulator: Emulator, door: Door, runs: Where, *, is_sent: bool = True) -> None:
    """Leave what a worker leaves that dies after its claim: fal has the request, and nobody knows its id."""
    fal = door.workers[0]
    token, now = ClaimToken(text=secrets.token_urlsafe(16), purpose="wait"), time.time()
    store = await open_store(runs)
    claim = NewClaim(
        place=Place(space=space_of(fal.settings.hosts), key="a"),
        endpoint_id=GATE,
        input_digest=input_digest(ASK),
        body_digest=body_digest(encode_json(ASK)),
        seen=None,
        claimed_at=now,
        claimed_until=now + 60,
        token=token.text,
    )
    assert await store.claim(claim) is not None
    if is_sent:
        await fal.queue.submit(GATE, ASK, webhook_url=url_with_token(door.url, token))
    await store.aclose()
    emulator.clear_requests()


async def test_a_call_whose_worker_died_before_it_knew_the_id_gets_the_delivery_in_every_worker(
    emulator: Emulator, two: Door, runs: Where
) -> None:
    gate = gate_at(emulator)
    await left_claim(emulator, two, runs)
    calls = [asyncio.create_task(subscribe(fal, endpoint=GATE)) for fal in two.workers]
    while any(len(emulator_drivers(fal)) == 0 for fal in two.workers):
        await asyncio.sleep(0.01)
    gate.open()
    results = await asyncio.gather(*calls)
    assert [result.data for result in results] == [ASK, ASK]
    assert [emulator.count(kind) for kind in ("submit", "status", "result", "platform")] == [0, 0, 0, 0]


def emulator_drivers(fal: Session) -> list[Any]:
    """Return the keyed requests that a session submits or waits for."""
    return [driver for ledger in fal._view.shared.ledgers for driver in ledger.drivers.values()]


async def test_a_request_whose_delivery_is_lost_is_looked_up_after_the_time_of_a_slow_poll(
    emulator: Emulator, two: Door, runs: Where
) -> None:
    emulator.webhooks.automatic = False
    gate_at(emulator).open()
    await left_claim(emulator, two, runs)
    result = await subscribe(two.workers[0], endpoint=GATE, poll_interval=0.05)
    assert result.data == ASK
    assert (emulator.count("submit"), emulator.count("platform") > 0) == (0, True)


async def test_a_call_whose_delivery_is_lost_gets_its_result_by_slow_polls(
    emulator: Emulator, two: Door
) -> None:
    emulator.webhooks.automatic = False
    result = await subscribe(two.workers[0], poll_interval=0.05)
    assert "webhook" not in result.attempts
    assert (emulator.count("submit"), emulator.count("result")) == (1, 1)


async def test_a_delivery_replaces_a_fetch_of_the_result_that_gets_no_response(
    emulator: Emulator, two: Door
) -> None:
    emulator.webhooks.automatic = False
    emulator.faults.add(Fault.stall(600, on="result"))
    updates: list[QueueStatus] = []
    call = asyncio.create_task(subscribe(two.workers[0], poll_interval=0.05, on_queue_update=updates.append))
    await emulator.wait_for("result")
    await emulator.webhooks.deliver(next(iter(emulator.jobs)))
    result = await call
    assert [update.headline for update in updates].count("COMPLETED") == 1
    assert (result.attempts["webhook"], await receipts(emulator, two)) == (1, [Receipt.HANDLED])


async def test_a_request_that_was_submitted_without_a_webhook_is_polled_at_the_usual_pace(
    emulator: Emulator, two: Door
) -> None:
    gate = gate_at(emulator)
    await two.workers[0].queue.submit(GATE, ASK, key="a")
    call = asyncio.create_task(subscribe(two.workers[1], endpoint=GATE, poll_interval=None))
    await emulator.wait_for("status", timeout=20)
    gate.open()
    assert (await call).data == ASK


# A ledger that fails.


async def test_a_delivery_that_can_not_be_stored_is_answered_with_503_and_delivered_again(
    emulator: Emulator, runs: Where
) -> None:
    ledger: Any = FailingStore(await open_store(runs))
    async with workers(emulator, runs, ledger) as door:
        door.to = door.workers[1]
        ledger.fails.add("deliver")
        call = asyncio.create_task(subscribe(door.workers[0]))
        await emulator.webhooks.wait_for(2, timeout=20)
        assert not call.done()
        ledger.fails.clear()
        assert (await call).request_id in emulator.jobs
        await emulator.webhooks.wait_until_idle()
    await ledger.aclose()
    assert set(statuses(emulator)[:-1]) == {503}
    assert (statuses(emulator)[-1], door.receipts[-1]) == (200, Receipt.HANDLED)
    assert emulator.count("status") == 0


async def test_a_call_that_can_not_read_the_ledger_gets_its_result_by_slow_polls(
    emulator: Emulator, runs: Where, caplog: pytest.LogCaptureFixture
) -> None:
    gate = gate_at(emulator)
    ledger: Any = FailingStore(await open_store(runs))
    async with workers(emulator, ledger, runs) as door:
        door.to = door.workers[1]
        call = asyncio.create_task(subscribe(door.workers[0], endpoint=GATE, poll_interval=0.5))
        while "until_changed" not in ledger.calls:
            await asyncio.sleep(0.01)
        ledger.fails.update({"find", "until_changed"})
        gate.open()
        assert (await call).data == ASK
        ledger.fails.clear()
    await ledger.aclose()
    assert emulator.count("submit") == 1


async def test_an_entry_that_is_deleted_while_its_call_waits_does_not_lose_the_result(
    emulator: Emulator, two: Door, runs: Where
) -> None:
    gate = gate_at(emulator)
    call = asyncio.create_task(subscribe(two.workers[0], endpoint=GATE, poll_interval=0.5))
    while await state_of(two.workers[0], runs) != "submitted":
        await asyncio.sleep(0.01)
    store = await open_store(runs)
    record = await entry_of(two.workers[0], runs)
    assert record is not None
    while not await store.forget(record.number, record.version):
        record = await entry_of(two.workers[0], runs)
        assert record is not None
    await store.aclose()
    gate.open()
    assert (await call).data == ASK


# Repeated, forged and unknown deliveries.


async def test_a_repeated_delivery_is_a_duplicate_in_every_worker(emulator: Emulator, runs: Where) -> None:
    events: list[WebhookEvent] = []
    async with workers(emulator, runs, runs, on_event=events.append) as door:
        door.to = door.workers[1]
        result = await subscribe(door.workers[0])
        assert await receipts(emulator, door) == [Receipt.HANDLED]
        for fal in door.workers:
            door.to = fal
            assert (await emulator.webhooks.deliver(result.request_id)).status == 200
        assert door.receipts[1:] == [Receipt.DUPLICATE, Receipt.DUPLICATE]
    assert events == []


async def test_a_delivery_with_the_token_of_a_known_request_is_an_unknown_event(
    emulator: Emulator, runs: Where
) -> None:
    """Somebody who knows the URL of a request makes fal deliver another request to it."""
    events: list[WebhookEvent] = []
    gate = gate_at(emulator)
    async with workers(emulator, runs, on_event=events.append) as door:
        call = asyncio.create_task(subscribe(door.workers[0], endpoint=GATE))
        while await state_of(door.workers[0], runs) != "submitted":
            await asyncio.sleep(0.01)
        stranger = await door.workers[0].queue.submit(LLM, ASK, webhook_url=webhook_of(emulator))
        await emulator.webhooks.wait_for(1)
        assert ([event.request_id for event in events], door.receipts) == (
            [stranger.request_id],
            [Receipt.HANDLED],
        )
        assert await state_of(door.workers[0], runs) == "submitted"
        gate.open()
        assert (await call).data == ASK


@pytest.mark.parametrize("purpose", ["wait", "event", None])
async def test_a_delivery_of_neither_a_known_id_nor_a_known_token_goes_to_on_event_only(
    emulator: Emulator, runs: Where, purpose: Purpose | None
) -> None:
    events: list[WebhookEvent] = []
    async with workers(emulator, runs, on_event=events.append) as door:
        await subscribe(door.workers[0])
        before = await content_of(runs)
        token = None if purpose is None else ClaimToken(text="x" * 22, purpose=purpose)
        url = door.url if token is None else url_with_token(door.url, token)
        handle = await door.workers[0].queue.submit(LLM, ASK, webhook_url=url)
        await emulator.webhooks.wait_for(2)
        assert [event.request_id for event in events] == [handle.request_id]
        assert handle.request_id.encode() not in before + await content_of(runs)


async def test_a_delivery_whose_url_has_lost_its_token_is_found_by_its_request_id(
    emulator: Emulator, two: Door
) -> None:
    two.passes_query = False
    result = await subscribe(two.workers[0])
    assert (result.attempts["webhook"], await receipts(emulator, two)) == (1, [Receipt.HANDLED])


# Calls with their own `webhook_url`, and `on_event`.


async def test_a_submit_with_the_url_of_the_receiver_calls_on_event_and_stores_the_result(
    emulator: Emulator, runs: Where
) -> None:
    events: list[WebhookEvent] = []
    failures = [RuntimeError("not now")]

    def on_event(event: WebhookEvent) -> None:
        if failures:
            raise ConnectionError(failures.pop())
        events.append(event)

    async with workers(emulator, runs, on_event=on_event) as door:
        fal = door.workers[0]
        handle = await fal.queue.submit(LLM, ASK, key="a", webhook_url=door.url)
        await emulator.webhooks.wait_for(2)
        token = token_in(urlsplit(webhook_of(emulator)).query)
        assert token is not None
        assert token.purpose == "event"
        assert [event.request_id for event in events] == [handle.request_id]
        assert await receipts(emulator, door) == [None, Receipt.HANDLED]
        assert (await handle.result()).from_ledger
        assert (await fal.queue.result(LLM, handle.request_id)).from_ledger
    assert (emulator.count("result"), emulator.count("status")) == (0, 0)


async def test_a_webhook_url_of_another_receiver_is_passed_on_unchanged(
    emulator: Emulator, two: Door
) -> None:
    other = two.url.replace("app=1", "app=2")
    await two.workers[0].subscribe(LLM, ASK, key="a", webhook_url=other)
    assert webhook_of(emulator) == other


async def test_a_call_in_webhook_mode_without_a_receiver_or_with_another_url_is_refused(
    emulator: Emulator, two: Door, fal: Session
) -> None:
    with pytest.raises(ConfigurationError, match="needs a receiver"):
        await subscribe(fal)
    with pytest.raises(ConfigurationError, match="webhook_url can't be combined"):
        await subscribe(two.workers[0], webhook_url="https://my.app/")
    assert emulator.count() == 0


# Failures, missing payloads, and billable units.

FAILURES = {
    "validation": ModelError(422, [{"loc": ["body", "a"], "msg": "no", "type": "value_error", "input": 1}]),
    "bad request": ModelError(400, "bad", "bad_request"),
    "not found": ModelError(404, "no such style"),
    "server": ModelError(500, "boom", "runner_server_error"),
    "unavailable": ModelError(503, "later", "runner_disconnected", {"X-Fal-Needs-Retry": "0"}),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_delivered_failure_is_stored_and_raised_as_one_that_is_found_by_polls(
    emulator: Emulator, two: Door, runs: Where, name: str
) -> None:
    @emulator.endpoint("me/broken")
    async def broken(_: Any) -> Any:
        raise FAILURES[name]

    with pytest.raises(FalError) as delivered:
        await subscribe(two.workers[0], "delivered", endpoint="me/broken")
    with pytest.raises(FalError) as polled:
        await two.workers[0].subscribe("me/broken", ASK, key="polled")
    assert type(delivered.value) is type(polled.value)
    entries = [await entry_of(two.workers[0], runs, key) for key in ("delivered", "polled")]
    stored = [record and (record.state, record.final, len(record.requests)) for record in entries]
    assert stored[0] == stored[1] is not None
    assert delivered.value.endpoint_id == "me/broken"
    assert delivered.value.request_id == next(iter(emulator.jobs))


async def test_a_model_that_refuses_with_403_has_failed_if_that_is_delivered(
    emulator: Emulator, two: Door, runs: Where
) -> None:
    @emulator.endpoint("me/broken")
    async def broken(_: Any) -> Any:
        raise ModelError(403, "not yours")

    for _ in range(2):
        with pytest.raises(FalError, match="not yours"):
            await subscribe(two.workers[0], endpoint="me/broken")
    assert await state_of(two.workers[0], runs) == "failed"
    assert emulator.count("submit") == 1


async def test_a_delivery_without_its_payload_fetches_the_result_once(emulator: Emulator, two: Door) -> None:
    @emulator.endpoint("me/bytes")
    async def some_bytes(_: Any) -> Any:
        return b"\x00\x01"

    result = await subscribe(two.workers[0], endpoint="me/bytes")
    assert result.data == b"\x00\x01"
    assert await receipts(emulator, two) == [Receipt.HANDLED]
    assert (emulator.count("result"), emulator.count("status")) == (1, 0)


async def test_a_delivery_whose_result_can_not_be_fetched_is_answered_with_503(
    emulator: Emulator, two: Door, runs: Where
) -> None:
    @emulator.endpoint("me/bytes")
    async def some_bytes(_: Any) -> Any:
        return b"\x00\x01"

    emulator.faults.add(Fault.answer(403, on="result"))
    assert (await subscribe(two.workers[0], endpoint="me/bytes")).data == b"\x00\x01"
    assert await receipts(emulator, two) == [None, Receipt.HANDLED]


async def test_a_failure_is_stored_as_delivered_if_the_response_with_its_headers_can_not_be_fetched(
    emulator: Emulator, two: Door, runs: Where, caplog: pytest.LogCaptureFixture
) -> None:
    @emulator.endpoint("me/broken")
    async def broken(_: Any) -> Any:
        raise ModelError(500, "boom")

    emulator.faults.add(Fault.reset(on="result", times=None))
    with pytest.raises(FalError, match="boom"):
        await subscribe(two.workers[0], endpoint="me/broken")
    assert await state_of(two.workers[0], runs) == "failed"
    assert "its outcome is stored without headers and billable units" in caplog.text


@pytest.mark.parametrize("fetch_units", [True, False])
async def test_units_are_known_only_if_the_receiver_fetches_them(
    emulator: Emulator, runs: Where, fetch_units: bool
) -> None:
    @emulator.endpoint("me/model", billable_units=2.5)
    async def model(input: Any) -> Any:
        return input

    async with workers(emulator, runs, runs, fetch_units=fetch_units) as door:
        door.to = door.workers[1]
        result = await subscribe(door.workers[0], endpoint="me/model")
        record = await entry_of(door.workers[0], runs)
        without_key = await door.workers[1].subscribe(
            "me/model", ASK, mode="webhook", poll_interval=NEVER, timeout=60
        )
    units = 2.5 if fetch_units else None
    assert record is not None
    assert [result.billable_units, record.requests[0].billable_units] == [units, units]
    assert without_key.billable_units == units
    assert (emulator.count("result"), emulator.count("status")) == (2 if fetch_units else 0, 0)


async def test_a_result_is_stored_without_units_if_they_can_not_be_fetched(
    emulator: Emulator, runs: Where
) -> None:
    async with workers(emulator, runs, fetch_units=True) as door:
        emulator.faults.add(Fault.answer(403, on="result"))
        result = await subscribe(door.workers[0])
        assert (result.billable_units, await receipts(emulator, door)) == (None, [Receipt.HANDLED])


# Other credentials, and cancelling.


async def test_deliveries_of_tenants_are_stored_and_fetched_with_their_own_credentials(
    emulator: Emulator, two: Door
) -> None:
    @emulator.endpoint("me/bytes")
    async def some_bytes(_: Any) -> Any:
        return b"\x00\x01"

    theirs = emulator.add_account("their:key").key
    views = [fal.with_options(credentials=theirs, tenant="theirs") for fal in two.workers]
    assert (await subscribe(views[0])).request_id in emulator.jobs
    call = asyncio.create_task(subscribe(views[0], "b", endpoint="me/bytes"))
    await emulator.webhooks.wait_for(2)
    assert two.receipts[:2] == [Receipt.HANDLED, None], "the second worker does not know the credentials"
    two.to = two.workers[0]
    assert (await call).data == b"\x00\x01"
    assert (await subscribe(views[1], "b", endpoint="me/bytes")).from_ledger


async def test_a_cancelled_call_that_waits_for_a_delivery_cancels_its_request_if_so_asked(
    emulator: Emulator, two: Door, runs: Where
) -> None:
    gate_at(emulator)
    call = asyncio.create_task(subscribe(two.workers[0], endpoint=GATE, cancel_on_exit=True))
    while await state_of(two.workers[0], runs) != "submitted":
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    (job,) = emulator.jobs.values()
    assert job.cancel_requests == 1


async def test_a_token_is_in_no_log_error_or_repr(
    emulator: Emulator, two: Door, runs: Where, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    emulator.faults.add(Fault.close(on="submit", taken=True))
    emulator.webhooks.automatic = False
    emulator.history.lag = NEVER
    with pytest.raises(FalError) as raised:
        await subscribe(two.workers[0], poll_interval=0.05)
    token = token_in(urlsplit(webhook_of(emulator)).query)
    assert token is not None
    shown = [str(raised.value), repr(raised.value), str(raised.value.to_dict()), caplog.text]
    shown += [repr(await entry_of(two.workers[0], runs)), repr(two.workers[0].webhooks.receiver)]
    assert not [text for text in shown if token.text in text]
