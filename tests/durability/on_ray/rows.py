"""The items of a plan as rows of a Ray dataset, mapped by two actors, one of which is killed again and again."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import ray
import ray.data

from fal_async import RetryPolicy, Timeouts
from fal_async.integrations.ray import FalMapper
from tests.durability.client import PICTURES

ROWS_AT_A_TIME = 8
"""Number of rows in a batch."""
_LOOK = 0.02
"""Seconds between two looks at the register."""


class Register:
    """The processes of the actors, and how many rows they have mapped, rows of repeated tasks included."""

    def __init__(self) -> None:
        self.actors: list[tuple[int, Any]] = []
        self.rows = 0

    def add(self, process: int, actor: Any) -> None:
        self.actors.append((process, actor))

    def count(self, rows: int) -> None:
        self.rows += rows

    def state(self) -> tuple[list[tuple[int, Any]], int]:
        return self.actors, self.rows


class RegisteredMapper(FalMapper):
    """A mapper that tells the register about its actor and its rows."""

    async def __call__(self, batch: Any) -> AsyncIterator[Any]:
        register = ray.get_actor("register")
        if not hasattr(self, "is_registered"):
            self.is_registered = True
            await register.add.remote(os.getpid(), ray.get_runtime_context().current_actor)
        async for mapped in super().__call__(batch):
            await register.count.remote(mapped.num_rows)
            yield mapped


def mapped(plan: Any, *, retry: RetryPolicy, timeouts: Timeouts) -> list[dict[str, Any]]:
    """Return the rows of the plan's items with their results. An actor is killed `plan.actor_kills` times."""
    register = ray.remote(num_cpus=0)(Register).options(name="register").remote()
    numbers = range(plan.first, plan.first + plan.count)
    dataset = ray.data.from_items(
        [{"n": number, "seconds": plan.seconds} for number in numbers],
        override_num_blocks=max(1, plan.count // (4 * ROWS_AT_A_TIME)),
    ).map_batches(
        RegisteredMapper,
        fn_constructor_kwargs={
            "endpoint_id": PICTURES,
            "ledger": plan.ledger,
            "key": "n",
            "input": dict,
            "concurrency": plan.at_once,
            "on_error": "column",
            "uncertain": plan.uncertain,
            "retry": retry,
            "timeouts": timeouts,
        },
        batch_size=ROWS_AT_A_TIME,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=2),
        num_cpus=0.5,
        ray_remote_args_fn=None if plan.restarts else lambda: {"max_restarts": 0, "max_task_retries": 0},
    )
    with _killer(register, plan.actor_kills, plan.count):
        return list(dataset.iter_rows())


@contextmanager
def _killer(register: Any, kills: int, rows: int) -> Iterator[None]:
    """Kill an actor in the block `kills` times, spread over the rows. It fails if there were fewer kills."""
    is_over, killed = threading.Event(), list[int]()

    def kill() -> None:
        while len(killed) < kills and not is_over.wait(_LOOK):
            actors, done = ray.get(register.state.remote())
            if done < rows * (len(killed) + 1) // (kills + 1) or actors[-1][0] in killed:
                continue  # too early, or the killed actor has not begun again
            process, actor = actors[-1]
            ray.kill(actor, no_restart=False)
            killed.append(process)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    assert len(killed) == kills, f"{len(killed)} of {kills} kills: the rows were mapped before"
