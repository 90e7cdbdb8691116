"""Threads for the disk: given up without being waited for, and without being missed."""

from __future__ import annotations

import asyncio
import threading

import pytest

from fal_async.storage.threads import abandonable, in_thread, within_patience


async def test_what_it_raises_is_raised_whatever_it_is() -> None:
    def work(error: BaseException) -> None:
        raise error

    for error in (OSError(5), KeyError("a"), SystemExit(3)):
        with pytest.raises(type(error)) as caught:
            await abandonable(lambda error=error: work(error))  # type: ignore[misc]
        assert caught.value is error
    with pytest.raises(RuntimeError, match="StopIteration"):
        await in_thread(lambda: work(StopIteration()))


async def test_hundreds_that_were_given_up_hold_up_nobody() -> None:
    go = threading.Event()
    for _ in range(100):
        hung = asyncio.ensure_future(abandonable(go.wait))
        await asyncio.sleep(0)
        hung.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hung
    assert await in_thread(lambda: 5) == 5
    go.set()


async def test_more_than_there_are_threads_are_all_done() -> None:
    met = asyncio.gather(*(abandonable(lambda number=number: number) for number in range(300)))  # type: ignore[misc]
    assert await met == list(range(300))


async def test_what_comes_too_late_is_discarded_once() -> None:
    discarded: list[str] = []
    begun, go, over = threading.Event(), threading.Event(), threading.Event()

    def discard(value: str) -> None:
        discarded.append(value)
        over.set()

    def work() -> str:
        begun.set()
        assert go.wait(30)
        return "a file"

    unwanted = asyncio.ensure_future(abandonable(work, discard=discard))
    await asyncio.to_thread(begun.wait, 30)
    unwanted.cancel()
    with pytest.raises(asyncio.CancelledError):
        await unwanted
    assert discarded == []
    go.set()
    assert await asyncio.to_thread(over.wait, 30)
    assert discarded == ["a file"]


async def test_what_came_at_the_same_time_as_the_cancel_is_discarded() -> None:
    discarded: list[str] = []
    done = threading.Event()

    def work() -> str:
        done.set()
        return "a file"

    task = asyncio.ensure_future(abandonable(work, discard=discarded.append))
    await asyncio.sleep(0)
    assert done.wait(30)  # the loop does not hear of it meanwhile
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while not discarded:
        await asyncio.sleep(0.001)
    assert discarded == ["a file"]


async def test_tidying_up_that_hangs_is_not_waited_for_but_done() -> None:
    go, over = threading.Event(), asyncio.Event()
    await within_patience(lambda: go.wait(30), then=over.set)
    assert not over.is_set()
    go.set()
    async with asyncio.timeout(30):
        await over.wait()
