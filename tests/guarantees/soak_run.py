"""One soak run: thousands of calls to an emulator with random faults of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import aiohttp
import attrs

from fal_async import FalError, Hosts, RequestHandle, RetryPolicy, Session, Timeouts
from fal_async.emulator import Emulator, Fault, JobContext
from tests.guarantees.soak_account import Account, Ending, balance

ECHO = "soak/echo"
POLICY = RetryPolicy(max_attempts=8, base_delay=0.02, max_delay=1.0, max_total=10, result_total=30, outage=30)
TIMEOUTS = Timeouts(connect=2, first_byte=1.5, total=4, run=4, stream=1.5)
WAYS = {"subscribe": 50, "stream": 12, "handle": 12, "run": 8, "cancel": 9, "timeout": 9}
"""The kinds of calls, and the percentage of each."""
LOOKS = 40
"""Uncertain submits that are looked for: each look-up reads the whole history, page by page."""


def echo_at(emulator: Emulator) -> None:
    """Add the model of the soak runs to the emulator. It runs for its input's `seconds`, and returns the input."""

    @emulator.endpoint(ECHO, runners=1000)
    async def echo(input: Any, job: JobContext) -> Any:
        job.log("working")
        await asyncio.sleep(input["seconds"])
        return input


def faults() -> list[Fault]:
    """Return faults of every kind, each with a small chance."""

    def now_and_then(chance: float, *made: Fault) -> list[Fault]:
        return [attrs.evolve(fault, chance=chance, times=None) for fault in made]

    return [
        *now_and_then(
            0.01,
            Fault.reset(on="submit"),
            Fault.reset(on="submit", taken=True),
            Fault.close(on="submit", taken=True),
            Fault.html(502, on="submit", taken=True),
            Fault.truncate(on="submit"),
            Fault.wrong_json(on="submit"),
            Fault.reset(on="run", taken=True),
        ),
        *now_and_then(0.03, Fault.answer(429, on="submit"), Fault.html(503, on="submit")),
        *now_and_then(0.002, Fault.stall(3, on="submit"), Fault.stall(3, on="status", where="body")),
        *now_and_then(
            0.02,
            Fault.reset(on="status"),
            Fault.close(on="status"),
            Fault.html(502, on="status"),
            Fault.html(200, on="status"),
            Fault.answer(500, on="status"),
            Fault.answer(429, on="status", retry_after=0.1),
            Fault.wrong_json(on="status"),
            Fault.missing("status", on="status"),
            Fault.word("THINKING", on="status"),
            Fault.back(3, on="status"),
            Fault.vanish(on="status"),
        ),
        *now_and_then(
            0.05,
            Fault.reset(on="status_stream", taken=True),
            Fault.truncate(on="status_stream"),
            Fault.html(503, on="status_stream"),
            Fault.duplicate(on="status_stream"),
        ),
        *now_and_then(
            0.03,
            Fault.reset(on="result"),
            Fault.html(504, on="result"),
            Fault.truncate(on="result"),
            Fault.wrong_json(on="result"),
            Fault.answer(503, on="result"),
        ),
        *now_and_then(
            0.05, Fault.reset(on="cancel"), Fault.html(502, on="cancel"), Fault.answer(429, on="cancel")
        ),
    ]


@attrs.frozen
class Admin:
    """Calls the emulator's admin route, to which no fault applies."""

    url: str
    http: aiohttp.ClientSession

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        while True:  # the server may be restarting
            with contextlib.suppress(aiohttp.ClientError):
                return await self._ask(method, path, body)
            await asyncio.sleep(0.05)

    async def _ask(self, method: str, path: str, body: Any) -> Any:
        async with self.http.request(method, f"{self.url}/_emulator/{path}", json=body) as response:
            return await response.json()


async def soak(url: str, key: str, *, seed: int, count: int, at_once: int = 200) -> Account:
    """Make `count` calls, `at_once` in flight, with two restarts; the second one loses the server's memory."""
    dice = random.Random(seed)
    async with aiohttp.ClientSession() as http:
        admin = Admin(url, http)
        await admin.ask("POST", "seed", {"seed": seed})
        await admin.ask("POST", "faults", [fault.to_json() for fault in faults()])
        started, room = asyncio.Event(), asyncio.Semaphore(at_once)
        begun = 0

        async def one(fal: Session, number: int, own: random.Random) -> Ending:
            nonlocal begun
            async with room:
                begun += 1
                started.set()
                return await _call(fal, number, own)

        async def restart_twice() -> None:
            for share, keep_memory in ((1 / 3, True), (2 / 3, False)):
                while begun < share * count:
                    started.clear()
                    await started.wait()
                await admin.ask("POST", "restart", {"keep_memory": keep_memory, "downtime": 0.3})

        async with Session(key, hosts=Hosts.local(url), retry=POLICY, timeout=TIMEOUTS) as fal:
            async with asyncio.TaskGroup() as group:
                calls = [
                    group.create_task(one(fal, number, random.Random(dice.random())))
                    for number in range(count)
                ]
                group.create_task(restart_twice())
            await admin.ask("DELETE", "faults")
            endings = await _with_a_look(fal, [call.result() for call in calls], dice)
        return balance(endings, await admin.ask("GET", "jobs"))


async def _call(fal: Session, number: int, dice: random.Random) -> Ending:
    (way,) = dice.choices(list(WAYS), list(WAYS.values()))
    input = {"n": number, "seconds": dice.expovariate(1 / 0.2)}
    ids: list[str] = []
    call = asyncio.ensure_future(_made(fal, way, input, ids, dice))
    if way == "cancel":
        await asyncio.wait([call], timeout=dice.uniform(0, 0.4))
        call.cancel()
    await asyncio.wait([call])
    known = ids[0] if ids else None
    if call.cancelled():
        return Ending(number=number, way=way, request_id=known)
    if (error := call.exception()) is not None:
        return Ending(
            number=number, way=way, error=error, request_id=getattr(error, "request_id", None) or known
        )
    result = call.result()
    return Ending(number=number, way=way, request_id=result.request_id, answer=result.data["n"])


async def _made(fal: Session, way: str, input: Any, ids: list[str], dice: random.Random) -> Any:
    """Call as a user who trusts `retryable`, which promises that calling again does not pay twice."""
    for _ in range(100):
        try:
            return await _made_once(fal, way, input, ids, dice)
        except FalError as error:
            if not error.retryable or error.request_id is not None:
                raise
            await asyncio.sleep(0.1)
    raise AssertionError("refused a hundred times")


async def _made_once(fal: Session, way: str, input: Any, ids: list[str], dice: random.Random) -> Any:
    if way == "run":
        return await fal.run(ECHO, input)
    if way == "handle":
        # As if another process continued with the stored handle.
        stored = (await fal.queue.submit(ECHO, input)).to_json()
        await asyncio.sleep(dice.uniform(0, 0.5))
        return await RequestHandle.from_json(stored, fal).wait()
    return await fal.subscribe(
        ECHO,
        input,
        mode="streaming" if way == "stream" else "polling",
        logs=way == "stream",
        on_enqueue=ids.append,
        timeout=dice.uniform(0.05, 0.5) if way == "timeout" else None,
    )


async def _with_a_look(fal: Session, endings: list[Ending], dice: random.Random) -> list[Ending]:
    """Look for some of the uncertain submits."""
    uncertain = [ending for ending in endings if ending.is_uncertain and ending.way != "run"]
    some = dice.sample(uncertain, min(LOOKS, len(uncertain)))
    return [await _looked_for(fal, ending) if ending in some else ending for ending in endings]


async def _looked_for(fal: Session, ending: Ending) -> Ending:
    """Look for an uncertain submit, as a user would."""
    assert ending.error is not None
    handle = await fal.queue.find_submission(ending.error)
    # The id in the headers of an uncertain answer is only a hint: it is not compared with the server's jobs.
    return attrs.evolve(
        ending, looked=True, found=None if handle is None else handle.request_id, request_id=None
    )
