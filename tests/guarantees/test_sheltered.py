"""Sheltered tasks: they end by themselves or by whoever made them, not with all others."""

from __future__ import annotations

import asyncio

import pytest

from fal_async.sheltered import ShelteredTask, settle, wait_for_all


async def work(steps: int = 3) -> str:
    for _ in range(steps):
        await asyncio.sleep(0)
    return "done"


def everybody_else() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def test_another_task_can_not_cancel_it() -> None:
    task = ShelteredTask(work())
    await asyncio.sleep(0)
    assert [other.cancel() for other in everybody_else()] == [False]
    assert await task == "done"


def test_the_end_of_asyncio_run_waits_for_it() -> None:
    ended: list[str] = []

    async def waits() -> None:
        task = ShelteredTask(work())
        try:
            await asyncio.shield(task)
        finally:
            await settle(task, 5)
            ended.append(task.result())

    async def main() -> None:
        waiting = asyncio.ensure_future(waits())
        await asyncio.sleep(0)
        assert not waiting.done()

    asyncio.run(main())
    assert ended == ["done"]


async def test_a_time_limit_within_it_works() -> None:
    async def limited() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await ShelteredTask(limited())


async def test_a_failing_group_within_it_ends_its_members() -> None:
    async def fail() -> None:
        raise ValueError

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.sleep(60)

    with pytest.raises(ExceptionGroup):
        await ShelteredTask(together())


async def test_it_is_given_up_after_its_limit() -> None:
    task = ShelteredTask(asyncio.sleep(60))
    assert not await settle(task, 0.01)
    assert task.cancelled()


async def test_a_cancellation_of_whoever_waits_shortens_nothing_and_is_told() -> None:
    task = ShelteredTask(work(50))
    waiting = asyncio.ensure_future(settle(task, 5))
    for _ in range(5):
        await asyncio.sleep(0)
        waiting.cancel()
    assert await waiting
    assert task.result() == "done"


async def test_waiting_for_all_ends_with_the_last_or_with_its_limit() -> None:
    tasks = [ShelteredTask(work(steps)) for steps in range(5)]
    assert not await wait_for_all(tasks, None)
    assert all(task.done() for task in tasks)
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    assert not await wait_for_all([never], 0.01)
    assert not never.done()
