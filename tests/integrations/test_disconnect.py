"""Work that races against a disconnecting client, and the server's own cancellation at the same time."""

from __future__ import annotations

import asyncio

import pytest

from fal_async.integrations.disconnect import DisconnectWatch, disconnected, finished_before


class Work:
    """Waits for `finish`, and counts its cancellations. Its clean-up lasts until `cleaned` is set."""

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
    """Let everything that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_disconnected_ignores_every_message_but_http_disconnect() -> None:
    messages = iter(["http.request", "http.request", "http.disconnect", "never read"])

    async def receive() -> dict[str, str]:
        return {"type": next(messages)}

    await disconnected(receive)
    assert list(messages) == ["never read"]


async def test_work_that_ends_before_the_disconnect_keeps_its_result() -> None:
    left, work = asyncio.Event(), Work()
    race = asyncio.ensure_future(finished_before(work.task, waiting(left)))
    work.finish.set_result("done")
    assert await race is True
    assert work.task.result() == "done"


async def waiting(event: asyncio.Event) -> None:
    await event.wait()


async def test_work_that_fails_before_the_disconnect_keeps_its_error() -> None:
    work = Work()
    race = asyncio.ensure_future(finished_before(work.task, waiting(asyncio.Event())))
    work.finish.set_exception(ValueError("no"))
    assert await race is True
    with pytest.raises(ValueError, match="no"):
        work.task.result()


async def test_work_is_cancelled_once_and_waited_for_when_the_client_disconnects() -> None:
    left, work = asyncio.Event(), Work()
    race = asyncio.ensure_future(finished_before(work.task, waiting(left)))
    await work.began.wait()
    left.set()
    await loop_steps()
    assert (work.cancelled, race.done()) == (1, False)
    work.cleaned.set()
    assert await race is False
    assert (work.cancelled, work.task.cancelled()) == (1, True)


async def test_a_disconnect_during_the_servers_cancellation_does_not_cancel_again() -> None:
    """A stopping server does both. A second cancellation would interrupt cancelling the request at fal."""
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


async def test_a_watch_of_its_own_task_is_the_cause_and_undoes_the_cancellation() -> None:
    left = asyncio.Event()
    left.set()
    with pytest.raises(asyncio.CancelledError):
        async with DisconnectWatch(this_task(), waiting(left)) as watch:
            await asyncio.Event().wait()
    assert watch.is_the_cause()
    assert this_task().cancelling() == 0


async def test_a_watch_is_not_the_cause_if_the_server_cancels_too() -> None:
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


async def test_a_disconnect_as_the_block_ends_cancels_nothing() -> None:
    left = asyncio.Event()
    async with DisconnectWatch(this_task(), waiting(left)) as watch:
        await asyncio.sleep(0)
        left.set()
        # The wait has ended, but its callback runs in the next step of the loop, after the block.
        await asyncio.sleep(0)
    assert watch.client_left is False


def this_task() -> asyncio.Task[None]:
    task = asyncio.current_task()
    assert task is not None
    return task
