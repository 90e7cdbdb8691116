"""The race of work against a client that leaves, whoever wins, and the server's own cancellation beside it."""

from __future__ import annotations

import asyncio

import pytest

from fal_async.integrations.disconnect import DisconnectWatch, disconnected, finished_before


class Work:
    """Waits to be told what to do, and counts its cancellations; its cleanup takes until `cleaned` is set."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.cleaned = asyncio.Event()
        self.began = asyncio.Event()
        self.finish: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> str:
        self.began.set()
        try:
            return await asyncio.shield(self.finish)
        except asyncio.CancelledError:
            self.cancelled += 1
            try:
                await self.cleaned.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
            raise


async def loop_steps() -> None:
    """Everything that is ready has run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_only_the_disconnect_counts_as_leaving() -> None:
    messages = iter(["http.request", "http.request", "http.disconnect", "never read"])

    async def receive() -> dict[str, str]:
        return {"type": next(messages)}

    await disconnected(receive)
    assert list(messages) == ["never read"]


async def test_work_that_ends_first_has_won_and_keeps_its_outcome() -> None:
    left, work = asyncio.Event(), Work()
    race = asyncio.ensure_future(finished_before(work.task, waiting(left)))
    work.finish.set_result("done")
    assert await race is True
    assert work.task.result() == "done"


async def waiting(event: asyncio.Event) -> None:
    await event.wait()


async def test_work_that_fails_first_has_won_and_its_error_is_not_raised_here() -> None:
    work = Work()
    race = asyncio.ensure_future(finished_before(work.task, waiting(asyncio.Event())))
    work.finish.set_exception(ValueError("no"))
    assert await race is True
    with pytest.raises(ValueError, match="no"):
        work.task.result()


async def test_when_the_client_leaves_first_the_work_is_cancelled_once_and_waited_for() -> None:
    left, work = asyncio.Event(), Work()
    race = asyncio.ensure_future(finished_before(work.task, waiting(left)))
    await work.began.wait()
    left.set()
    await loop_steps()
    assert (work.cancelled, race.done()) == (1, False)
    work.cleaned.set()
    assert await race is False
    assert (work.cancelled, work.task.cancelled()) == (1, True)


async def test_a_client_that_leaves_during_the_servers_cancellation_does_not_cancel_again() -> None:
    """A stopping server does both: a second cancellation would interrupt the cancel of the request on fal."""
    left, work = asyncio.Event(), Work()
    race = asyncio.ensure_future(finished_before(work.task, waiting(left)))
    await work.began.wait()
    race.cancel()
    await loop_steps()
    left.set()
    await loop_steps()
    assert (work.cancelled, race.done()) == (1, False)
    work.cleaned.set()
    with pytest.raises(asyncio.CancelledError):
        await race
    assert work.cancelled == 1


async def test_a_watch_over_the_task_that_runs_it_is_the_cause_of_its_cancellation_and_takes_it_back() -> (
    None
):
    left = asyncio.Event()
    left.set()
    with pytest.raises(asyncio.CancelledError):
        async with DisconnectWatch(this_task(), waiting(left)) as watch:
            await asyncio.Event().wait()
    assert watch.is_the_cause()
    assert this_task().cancelling() == 0


async def test_a_watch_is_not_the_cause_where_the_server_cancels_too() -> None:
    left, causes = asyncio.Event(), list[bool]()

    async def handler() -> None:
        watch = DisconnectWatch(this_task(), waiting(left))
        try:
            async with watch:
                await asyncio.Event().wait()
        finally:
            causes.append(watch.is_the_cause())

    task = asyncio.ensure_future(handler())
    await loop_steps()
    left.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert causes == [False]


async def test_a_client_that_leaves_as_the_block_ends_cancels_nothing() -> None:
    left = asyncio.Event()
    async with DisconnectWatch(this_task(), waiting(left)) as watch:
        await asyncio.sleep(0)
        left.set()
        # The wait has ended; what it calls back is due in the next step, when the block is over.
        await asyncio.sleep(0)
    assert watch.client_left is False


def this_task() -> asyncio.Task[None]:
    task = asyncio.current_task()
    assert task is not None
    return task
