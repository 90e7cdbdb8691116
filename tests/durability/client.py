"""The user's program: `python -m tests.durability.client PLAN` makes calls, and prints a line for each.

PLAN is JSON. The program can be killed, and started again with the same plan.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
from typing import Any

import attrs

from fal_async import FalError, Ledger, RetryPolicy, Session, Timeouts
from fal_async.ledger.store import Store
from tests.durability.killing_store import Kill, killing

PICTURES = "me/pictures"
"""The model of these tests. This module does not import the emulator, which would double the start of a process."""
POLICY = RetryPolicy(base_delay=0.01, max_delay=0.1, max_total=10)
TIMEOUTS = Timeouts(connect=5, first_byte=5, total=10, run=10, stream=5)


@attrs.frozen(kw_only=True)
class Plan:
    """The arguments of the program.

    Attributes:
        way: "map"; or "subscribe", with a key for each item; or "one key": `count` callers with the same key, the
            first of which is cancelled as soon as it has the request id; or "ray": rows of a Ray dataset.
        first: number of the first item.
        count: number of items.
        seconds: how long each item runs on the server.
        at_once: number of items in flight.
        kill: the point at which the program kills itself; None: it does not.
        file_limit: maximum size in bytes of the files of this process after its ledger was opened, which imitates a
            full disk; None: no limit.
        shuffle: seed of the order of the items with "subscribe"; None: by number.
        give_up: whether to first resolve uncertain items as not accepted by fal; default False.
        actor_kills: how often the way "ray" kills an actor.
        restarts: whether Ray starts a killed actor again; default True.
    """

    ledger: str
    way: str = "map"
    first: int = 0
    count: int = 1
    seconds: float = 0.0
    at_once: int = 40
    download: str | None = None
    uncertain: Any = "lookup"
    kill: Kill | None = None
    file_limit: int | None = None
    shuffle: int | None = None
    give_up: bool = False
    actor_kills: int = 0
    restarts: bool = True


def plan_of(text: str) -> Plan:
    """Return the plan whose `attrs.asdict` was written as this JSON."""
    fields = json.loads(text)
    kill = fields.pop("kill")
    return Plan(kill=None if kill is None else Kill(**kill), **fields)


class KillingLedger(Ledger):
    """A ledger that kills its program at one of its writes."""

    kill: Kill

    async def new_store(self) -> Store:
        return killing(await super().new_store(), self.kill)


async def main(plan: Plan) -> None:
    async with await opened(plan) as ledger, Session(ledger=ledger, retry=POLICY, timeout=TIMEOUTS) as fal:
        if plan.give_up:
            await fal.recover()
            await decide(ledger)
        if plan.way != "ray":
            await {"map": by_map, "subscribe": by_subscribe, "one key": by_one_key}[plan.way](fal, plan)


async def opened(plan: Plan) -> Ledger:
    ledger: Ledger
    if plan.kill is None:
        ledger = await Ledger.open(plan.ledger)
    else:
        ledger = killing_one = await KillingLedger.open(plan.ledger)
        killing_one.kill = plan.kill
    if plan.file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan.file_limit, resource.RLIM_INFINITY))
    return ledger


async def decide(ledger: Ledger) -> None:
    """Resolve entries like a person who knows that fal did not accept a request which its history does not show."""
    async for entry in ledger.entries(state="uncertain"):
        await ledger.resolve(entry.key, request_id=None, run=entry.run)


async def by_map(fal: Session, plan: Plan) -> None:
    inputs = ({"n": n, "seconds": plan.seconds} for n in range(plan.first, plan.first + plan.count))
    async with fal.map(
        PICTURES,
        inputs,
        concurrency=plan.at_once,
        download=plan.download,
        uncertain=plan.uncertain,
        extend=True,
    ) as batch:
        async for item in batch:
            data = None if item.result is None else item.result.data
            print_item(item.input["n"], data, item.error, item.request_id, item.from_ledger)


async def by_subscribe(fal: Session, plan: Plan) -> None:
    room = asyncio.Semaphore(plan.at_once)

    async def one(number: int) -> None:
        input = {"n": number, "seconds": plan.seconds}
        async with room:
            try:
                result = await fal.subscribe(PICTURES, input, key=f"n-{number}", uncertain=plan.uncertain)
            except FalError as error:
                print_item(number, None, error, error.request_id, False)
            else:
                print_item(number, result.data, None, result.request_id, result.from_ledger)

    numbers = list(range(plan.first, plan.first + plan.count))
    if plan.shuffle is not None:
        random.Random(plan.shuffle).shuffle(numbers)
    await asyncio.gather(*map(one, numbers))


async def by_one_key(fal: Session, plan: Plan) -> None:
    known = asyncio.Event()

    async def one(number: int) -> None:
        input = {"n": plan.first, "seconds": plan.seconds}
        result = await fal.subscribe(PICTURES, input, key="one", on_enqueue=lambda _: known.set())
        print_item(number, result.data, None, result.request_id, result.from_ledger)

    first = asyncio.create_task(one(-1))
    others = [asyncio.create_task(one(number)) for number in range(plan.count)]
    await known.wait()
    first.cancel()
    await asyncio.gather(*others)


def by_ray(plan: Plan) -> None:
    from tests.testbed.ray_cluster import ray_on_this_machine

    with ray_on_this_machine():
        from tests.durability.on_ray.rows import mapped

        for row in mapped(plan, retry=POLICY, timeouts=TIMEOUTS):
            data = None if row["output"] is None else json.loads(row["output"])
            error = row["error"] and row["error"].partition(":")[0]
            print_line(row["n"], data, error, row["request_id"])


def print_item(
    number: int, data: Any, error: FalError | None, request_id: str | None, from_ledger: bool
) -> None:
    """Print the line of one item."""
    print_line(number, data, None if error is None else type(error).__name__, request_id, from_ledger)


def print_line(
    number: int, data: Any, error: str | None, request_id: str | None, from_ledger: bool = False
) -> None:
    """Print the line of one item, whose error is given by the name of its class."""
    end = {"n": number, "data": data, "error": error, "request_id": request_id, "from_ledger": from_ledger}
    sys.stdout.write(json.dumps(end) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    given = plan_of(sys.argv[1])
    asyncio.run(main(given))
    if given.way == "ray":
        by_ray(given)
