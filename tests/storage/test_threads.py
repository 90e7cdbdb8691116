"""Disk work in threads: abandoned on cancellation, without waiting and without losing threads."""

from __future__ import annotations

import asyncio
import threading

import pytest

from fal_async.storage.threads import abandonable, in_thread, within_patience


async def test_work_in_a_thread_raises_its_own_error_in_the_task() -> None:
    def work(error: BaseException) -> None:
        raise error

    for error in (OSError(5), KeyError("a"), SystemExit(3)):
        with pytest.raises(type(error)) as caught:
            await abandonable(lambda error=error: work(error))  # type: ignore[misc]
        assert caught.value is error
    with pytest.raises(RuntimeError, match="StopIteration"):
        await in_thread(lambda: work(StopIteration()))


async def test_a_hundred_abandoned_threads_do_not_block_new_work() -> None:
    go = threading.Event()
    for _ in range(100):
        hung = asyncio.ensure_future(abandonable(go.wait))
        await asyncio.sleep(0)
        hung.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hung
    assert await in_thread(lambda: 5) == 5
    go.set()


async def test_more_jobs_than_threads_are_all_done() -> None:
    met = asyncio.gather(*(abandonable(lambda number=number: number) for number in range(300)))  # type: ignore[misc]
    assert await met == list(range(300))


async def test_the_result_of_an_abandoned_job_is_discarded_once() -> None:
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


async def test_a_result_that_arrives_together_with_a_cancellation_is_discarded() -> None:
    discarded: list[str] = []
    done = threading.Event()

    def work() -> str:
        done.set()
        return "a file"

    task = asyncio.ensure_future(abandonable(work, discard=discarded.append))
    await asyncio.sleep(0)
    assert done.wait(30)  # blocks the loop, which does not see the result before the cancellation
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while not discarded:
        await asyncio.sleep(0.001)
    assert discarded == ["a file"]


async def test_clean_up_that_hangs_is_not_waited_for_but_finishes_later() -> None:
    go, over = threading.Event(), asyncio.Event()
    await within_patience(lambda: go.wait(30), then=over.set)
    assert not over.is_set()
    go.set()
    async with asyncio.timeout(30):
        await over.wait()
