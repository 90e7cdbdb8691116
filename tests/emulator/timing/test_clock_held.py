"""A virtual clock that work keeps still: it says which work, and what to do about it."""

from __future__ import annotations

import asyncio

import pytest

from fal_async.emulator.timing.virtual_clock import VirtualClock


async def test_moving_by_hand_fails_and_names_the_work_that_does_not_sleep() -> None:
    clock = VirtualClock(auto=False, step_limit=0.05)
    began = clock.now()
    clock.after_work(1, lambda: None)
    with clock.activity("request 7 of me/busy"), pytest.raises(RuntimeError, match="request 7 of me/busy"):
        await clock.advance(60)
    assert clock.now() == began
    await clock.advance(60)
    assert clock.now() == began + 60


async def test_time_that_stands_still_is_warned_of_once_and_then_moves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, reached = VirtualClock(auto=True, warn_after=0.01), asyncio.Event()
    clock.open()
    try:
        with clock.activity("request 7 of me/busy"):
            clock.after_work(60, reached.set)
            async with asyncio.timeout(20):
                while not caplog.messages:
                    await asyncio.sleep(0.005)
            assert "time stands still, because of request 7 of me/busy" in caplog.text
            assert "`job.wait_for" in caplog.text
        async with asyncio.timeout(20):
            await reached.wait()
    finally:
        await clock.close()
    assert len(caplog.messages) == 1
