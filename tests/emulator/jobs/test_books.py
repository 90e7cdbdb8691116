"""The books count the requests that were taken for each input, even if clients are killed or jobs dropped."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import tests.emulator
from fal_async.emulator import Emulator, Fault
from fal_async.emulator.jobs.books import Books, input_digest
from tests.emulator.caller import Caller, calling, until
from tests.emulator.gate import Gate


async def echo(input: Any) -> Any:
    return input


async def books(caller: Caller, path: str = "") -> Any:
    return (await caller.get(f"/_emulator/books{path}", headers={})).data


def test_the_input_digest_is_the_sha256_of_the_canonical_json() -> None:
    expected = hashlib.sha256(b'{"a":1,"b":"\\u00e4"}').hexdigest()[:32]
    assert input_digest({"b": "ä", "a": 1}) == expected


async def test_inputs_that_differ_only_in_key_order_share_one_line_of_the_books(caller: Caller) -> None:
    caller.emulator.endpoint("me/echo", runners=9)(echo)
    first = await caller.submit("me/echo", {"a": 1, "b": 2})
    second = await caller.submit("me/echo", {"b": 2, "a": 1})
    await caller.run("me/echo", {"a": 2})
    found = caller.emulator.books
    assert (found.taken("me/echo", {"a": 1, "b": 2}), found.taken("me/echo", {"a": 3})) == (2, 0)
    assert (found.total("me/echo"), found.total("me/else")) == (3, 0)
    (line,) = found.repeated()
    assert line.request_ids == (first.data["request_id"], second.data["request_id"])
    assert line.input_digest == input_digest({"a": 1, "b": 2})


async def test_the_admin_route_lists_the_books_and_their_inputs(caller: Caller) -> None:
    caller.emulator.endpoint("me/echo", runners=9)(echo)
    ids = [(await caller.submit("me/echo", {"n": n})).data["request_id"] for n in (1, 2, 1)]
    repeated = {
        "endpoint_id": "me/echo",
        "input_digest": input_digest({"n": 1}),
        "request_ids": [ids[0], ids[2]],
        "taken": 2,
    }
    assert await books(caller) == {"me/echo": {"taken": 3, "inputs": 2, "repeated": [repeated]}}
    lines = await books(caller, "/inputs")
    assert lines[0] == repeated
    assert (lines[1]["request_ids"], lines[1]["taken"]) == ([ids[1]], 1)


async def test_the_books_count_a_submit_whose_answer_was_lost_but_no_refused_one(caller: Caller) -> None:
    caller.emulator.endpoint("me/echo")(echo)
    caller.emulator.faults.add(
        Fault.reset(on="submit", taken=True), Fault.reset(on="submit"), Fault.answer(429, on="submit")
    )
    for _ in range(3):
        try:
            await caller.submit("me/echo", {"n": 1})
        except aiohttp.ClientError:
            continue
    assert caller.emulator.books.taken("me/echo", {"n": 1}) == 1


@pytest.mark.parametrize("how", [{"keep_jobs": 3}, {"forget_after": 0.0}], ids=["keep_jobs", "forget_after"])
async def test_ended_jobs_are_dropped_but_stay_in_the_books(how: dict[str, Any]) -> None:
    async with calling(Emulator(**how)) as caller:
        gate = Gate()
        caller.emulator.endpoint("me/gate")(gate)
        caller.emulator.endpoint("me/echo", runners=9)(echo)
        waiting = await caller.submit("me/gate")  # the oldest job, which has not ended
        taken = [await caller.run("me/echo", {"n": n}) for n in range(20)]
        assert {reply.status for reply in taken} == {200}
        assert len(caller.emulator.jobs) <= 4
        assert waiting.data["request_id"] in caller.emulator.jobs
        assert (caller.emulator.books.total("me/echo"), caller.emulator.books.repeated()) == (20, [])
        gate.open()
        await caller.reached(waiting, "COMPLETED")


async def test_a_request_older_than_forget_after_answers_404() -> None:
    async with calling(Emulator(forget_after=0)) as caller:
        caller.emulator.endpoint("me/echo")(echo)
        first = await caller.submit("me/echo")
        await caller.emulator.jobs[first.data["request_id"]].wait_for("COMPLETED", 5)
        assert (await caller.result(first)).status == 404


def test_the_books_ignore_an_input_that_is_not_json() -> None:
    found = Books()
    found.enter("me/app", {"n": object()}, "id-1")
    assert list(found) == []


# Killed clients.


async def test_the_books_are_exact_after_clients_are_killed(caller: Caller) -> None:
    caller.emulator.endpoint("me/echo", runners=50)(echo)
    script = Path(tests.emulator.__file__).with_name("endless_client.py")
    async with AsyncExitStack() as stack:
        for number in range(3):
            arguments = (caller.emulator.url, caller.emulator.key, str(number))
            client = await asyncio.create_subprocess_exec(sys.executable, str(script), *arguments)
            stack.push_async_callback(client.wait)
            stack.callback(client.kill)
        await caller.emulator.wait_for("submit", 100, timeout=60)
    # Only the caller's own connection may be left.
    await until(lambda: caller.emulator.connections_open <= 1)
    (found,) = (await books(caller)).values()
    assert found["taken"] == found["inputs"] == len(caller.emulator.jobs)
    assert found["repeated"] == []
    assert (await caller.run("me/echo", {"n": 1})).data == {"n": 1}
