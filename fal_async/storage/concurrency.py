"""Work on several items concurrently, with a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


async def gather_first_error(
    work: Callable[[A], Awaitable[B]], items: Collection[A], *, at_a_time: int
) -> list[B]:
    """Return the results of `work(item)` in the order of the items, with at most `at_a_time` calls at a time.

    The first exception cancels the other calls and is raised.
    """
    results: dict[int, B] = {}
    numbered = iter(enumerate(items))

    async def worker() -> None:
        for number, item in numbered:
            results[number] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_a_time, len(items))):
                group.create_task(worker())
    except BaseExceptionGroup as failures:
        first = failures.exceptions[0]
    else:
        return [results[number] for number in range(len(items))]
    raise first from first.__cause__
