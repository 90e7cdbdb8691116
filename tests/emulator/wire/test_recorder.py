"""The record of the requests that the emulator got."""

from __future__ import annotations

import asyncio
import time

import pytest

from fal_async.emulator import Emulator, Fault
from fal_async.emulator.wire.recorder import Entry, Recorder
from tests.emulator.caller import Caller, calling

LLM = "fal-ai/any-llm"


async def test_a_recorded_request_has_all_parts_and_hides_secrets_in_its_repr(caller: Caller) -> None:
    headers = caller.with_headers(X_Own="1")
    submitted = await caller.call(
        "POST", f"/queue.fal.run/{LLM}?fal_max_queue_length=9", json={"prompt": "x"}, headers=headers
    )
    await caller.status(submitted)
    first, second = caller.emulator.requests
    assert (first.method, first.path) == ("POST", f"/queue.fal.run/{LLM}")
    assert (first.host_segment, first.kind, first.status) == ("queue.fal.run", "submit", 200)
    assert first.body == b'{"prompt": "x"}'
    assert dict(first.query) == {"fal_max_queue_length": "9"}
    assert first.headers["x-own"] == first.headers["X-Own"] == "1"
    assert first.at == pytest.approx(time.time(), abs=60)
    for recorded in (first, second):
        assert (recorded.endpoint_id, recorded.request_id) == (LLM, submitted.data["request_id"])
    assert (second.kind, second.status) in (("status", 200), ("status", 202))
    assert "Key" not in repr(first)
    assert "prompt" not in repr(first)


async def test_a_stalled_request_is_recorded_while_it_stalls(caller: Caller) -> None:
    caller.emulator.faults.add(Fault.stall(60))
    asking = asyncio.create_task(caller.submit(LLM, {"prompt": "x"}))
    await caller.emulator.wait_for("submit")
    [recorded] = caller.emulator.requests
    assert (recorded.kind, recorded.status) == ("submit", None)
    asking.cancel()


async def test_requests_are_counted_by_kind_until_they_are_cleared(caller: Caller) -> None:
    for _ in range(3):
        await caller.run("me/nothing", {})
    await caller.get("/", headers={})
    assert [caller.emulator.count(kind) for kind in ("run", "index", "submit", None)] == [3, 1, 0, 4]
    caller.emulator.clear_requests()
    assert (caller.emulator.count(), caller.emulator.requests) == (0, [])


async def test_wait_for_times_out_with_the_number_that_arrived(emulator: Emulator) -> None:
    with pytest.raises(TimeoutError, match=r"0 of 2 'submit' requests arrived within 0\.01 s"):
        await emulator.wait_for("submit", 2, timeout=0.01)


async def test_count_and_wait_for_refuse_an_unknown_kind(emulator: Emulator) -> None:
    with pytest.raises(ValueError, match=r"'canel': expected one of .*cancel"):
        emulator.count("canel")
    with pytest.raises(ValueError, match="'canel'"):
        await emulator.wait_for("canel")


async def test_only_the_latest_requests_are_kept_but_all_are_counted() -> None:
    async with calling(Emulator(keep_requests=2)) as caller:
        for name in ("a", "b", "c"):
            await caller.run(f"me/{name}", {})
        assert [one.endpoint_id for one in caller.emulator.requests] == ["me/b", "me/c"]
        assert caller.emulator.count("run") == 3


async def test_an_emulator_without_record_counts_requests_but_keeps_none() -> None:
    async with calling(Emulator(record=False)) as caller:
        await caller.run("me/a", {})
        assert (caller.emulator.requests, caller.emulator.count("run")) == ([], 1)


def test_the_recorder_drops_old_requests_above_its_limit_of_bytes() -> None:
    recorder = Recorder(record=True, limit=1000, max_bytes=100)
    for size in (60, 30, 50, 200):
        recorder.open(
            "run",
            Entry(
                method="POST",
                path="/",
                host_segment="fal.run",
                query={},
                headers={},
                kind="run",
                endpoint_id=None,
                request_id=None,
                at=0.0,
                body=bytes(size),
            ),
        )
    # The latest one is kept, whatever its size.
    assert [len(one.body) for one in recorder.requests()] == [200]
    assert recorder.count("run") == 4


async def test_a_request_arrives_by_the_clock_of_the_emulator() -> None:
    async with calling(Emulator(clock="manual")) as caller:
        await caller.emulator.advance(3_600)
        await caller.run("me/a", {})
        assert [request.at for request in caller.emulator.requests] == [caller.emulator.now]
