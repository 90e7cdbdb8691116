"""The way out of an uncertain submit: was it taken, and where is it?"""

from __future__ import annotations

import asyncio
import pickle
import time
from typing import Any

import pytest

from fal_async import (
    AuthenticationError,
    ClientTimeoutError,
    ConfigurationError,
    RequestHandle,
    ServerError,
    Session,
    SubmissionUncertainError,
    TransportError,
)
from fal_async.emulator import Emulator, Fault
from tests.quick import ASK, LLM, ONCE, gate_at, session_on


async def lose(
    fal: Session, emulator: Emulator, *, taken: bool, input: Any = ASK
) -> SubmissionUncertainError:
    emulator.faults.add(Fault.reset(on="submit", taken=taken))
    with pytest.raises(SubmissionUncertainError) as caught:
        await fal.queue.submit(LLM, input)
    return caught.value


async def test_a_submit_that_was_taken_is_found(fal: Session, emulator: Emulator) -> None:
    error = await lose(fal, emulator, taken=True)
    handle = await fal.queue.find_submission(error)
    assert isinstance(handle, RequestHandle)
    assert [handle.request_id] == list(emulator.jobs)
    assert (await handle.wait()).data["output"]
    assert emulator.count("submit") == 1


async def test_one_that_was_not_taken_is_not(fal: Session, emulator: Emulator) -> None:
    error = await lose(fal, emulator, taken=False)
    assert await fal.queue.find_submission(error) is None
    assert len(emulator.jobs) == 0


async def test_it_is_told_from_others_by_its_input(fal: Session, emulator: Emulator) -> None:
    for number in range(5):
        await fal.queue.submit(LLM, {"prompt": str(number)})
    wanted = {"prompt": "é", "temperature": 1.0, "nested": {"b": [1, None], "a": 2**60}}
    error = await lose(fal, emulator, taken=True, input=wanted)
    for number in range(5):
        await fal.queue.submit(LLM, {"prompt": str(number)})
    handle = await fal.queue.find_submission(error)
    assert handle is not None
    assert handle.request_id == list(emulator.jobs)[5]


async def test_beyond_the_first_page(fal: Session, emulator: Emulator) -> None:
    error = await lose(fal, emulator, taken=True)
    await asyncio.gather(*(fal.queue.submit(LLM, {"prompt": str(number)}) for number in range(220)))
    handle = await fal.queue.find_submission(error)
    assert handle is not None
    assert handle.request_id == next(iter(emulator.jobs))
    assert emulator.count("platform") == 3


async def test_of_equal_ones_that_of_the_attempt_itself(fal: Session, emulator: Emulator) -> None:
    before = await fal.queue.submit(LLM, ASK)
    error = await lose(fal, emulator, taken=True)
    after = await fal.queue.submit(LLM, ASK)
    found = await fal.queue.find_submission(error)
    assert found is not None
    assert found.request_id == list(emulator.jobs)[1]
    others = [found.request_id, before.request_id]
    found = await fal.queue.find_submission(error, exclude=others)
    assert found is not None
    assert found.request_id == after.request_id
    assert await fal.queue.find_submission(error, exclude=[*others, after.request_id]) is None


async def test_other_times_and_endpoints_are_not_looked_at(fal: Session, emulator: Emulator) -> None:
    handle = await fal.queue.submit(LLM, ASK)
    error = await lose(fal, emulator, taken=False)
    emulator.jobs[handle.request_id].submitted_at -= 600
    assert await fal.queue.find_submission(error) is None
    (asked,) = [request for request in emulator.requests if request.kind == "platform"]
    assert asked.query["endpoint_id"] == LLM
    assert asked.query["expand"] == "payloads"
    assert asked.query["start"] < asked.query["end"]


async def test_what_is_not_stored_is_not_found(fal: Session, emulator: Emulator) -> None:
    emulator.faults.add(Fault.reset(on="submit", taken=True))
    with pytest.raises(SubmissionUncertainError) as caught:
        await fal.queue.submit(LLM, ASK, store_io=False)
    assert await fal.queue.find_submission(caught.value) is None


async def test_by_a_time_out_that_was_caused_by_it(fal: Session, emulator: Emulator) -> None:
    gate_at(emulator)
    emulator.faults.add(Fault.stall(30, on="submit"))
    with pytest.raises(ClientTimeoutError) as caught:
        await fal.subscribe("me/gate", {"n": 1}, timeout=0.5)
    handle = await fal.queue.find_submission(caught.value)
    assert handle is not None
    assert [handle.request_id] == list(emulator.jobs)
    await handle.cancel()


async def test_in_another_process_later(fal: Session, emulator: Emulator) -> None:
    error = await lose(fal, emulator, taken=True)
    stored = pickle.dumps(error)
    async with session_on(emulator) as again:
        assert await again.queue.find_submission(pickle.loads(stored)) is not None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("x"), "ValueError is no SubmissionUncertainError"),
        (5, "error is a int"),
        (ClientTimeoutError("x", timeout=1), "nor caused by one"),
        (SubmissionUncertainError("x", operation="run"), "a run has no handle"),
        (SubmissionUncertainError("x", endpoint_id=LLM), "does not say what was submitted"),
    ],
)
async def test_what_there_is_nothing_to_look_for(
    fal: Session, emulator: Emulator, error: Any, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        await fal.queue.find_submission(error)
    assert emulator.count() == 0


async def test_the_look_up_is_a_read_like_others(fal: Session, emulator: Emulator) -> None:
    error = SubmissionUncertainError(
        "x", endpoint_id=LLM, input_digest="0" * 64, started_at=time.time(), ended_at=time.time()
    )
    async with session_on(emulator) as quick_one:
        emulator.faults.add(
            Fault.html(502, on="platform"), Fault.wrong_json(on="platform"), Fault.reset(on="platform")
        )
        assert await quick_one.queue.find_submission(error) is None
        emulator.faults.add(Fault.answer(500, on="platform"))
        with pytest.raises(ServerError):
            await quick_one.queue.find_submission(error)
        emulator.rotate_key("other:key")
        with pytest.raises(AuthenticationError):
            await quick_one.queue.find_submission(error)
    await emulator.pause()
    async with session_on(emulator, retry=ONCE) as once:
        with pytest.raises(TransportError):
            await once.queue.find_submission(error)
