"""Sheltered tasks end on their own or by their creator, but not when all tasks are cancelled."""

from __future__ import annotations

import asyncio

import pytest

from fal_async.sheltered import ShelteredTask, settle, wait_for_all


async def work(steps: int = 3) -> str:
    for _ in range(steps):
        await asyncio.sleep(0)
    return "done"


def other_tasks() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def test_another_task_cant_cancel_a_sheltered_task() -> None:
    task = ShelteredTask(work())
    await asyncio.sleep(0)
    assert [other.cancel() for other in other_tasks()] == [False]
    assert await task == "done"


def test_asyncio_run_waits_for_a_sheltered_task_at_its_end() -> None:
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


async def test_a_timeout_inside_a_sheltered_task_works() -> None:
    async def limited() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await ShelteredTask(limited())


async def test_a_failing_task_group_inside_a_sheltered_task_cancels_its_members() -> None:
    async def fail() -> None:
        raise ValueError

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.sleep(60)

    with pytest.raises(ExceptionGroup):
        await ShelteredTask(together())


async def test_settle_gives_up_a_sheltered_task_after_its_limit() -> None:
    task = ShelteredTask(asyncio.sleep(60))
    assert not await settle(task, 0.01)
    assert task.cancelled()


async def test_settle_finishes_its_task_when_cancelled_and_reports_the_cancellation() -> None:
    task = ShelteredTask(work(50))
    waiting = asyncio.ensure_future(settle(task, 5))
    for _ in range(5):
        await asyncio.sleep(0)
        waiting.cancel()
    assert await waiting
    assert task.result() == "done"


async def test_wait_for_all_ends_with_the_last_task_or_its_limit() -> None:
    tasks = [ShelteredTask(work(steps)) for steps in range(5)]
    assert not await wait_for_all(tasks, None)
    assert all(task.done() for task in tasks)
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    assert not await wait_for_all([never], 0.01)
    assert not never.done()
