"""A separate process that uses a ledger, for the tests: `python -m tests.ledger.worker VERB PATH ...`.

It prints a line after each durable step. After "ready" and "closed" it waits for a line of input.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from fal_async import FalError, LedgerError, SessionStateError
from fal_async.ledger.opening import open_store
from fal_async.ledger.sqlite.record_locks import RecordLocks
from fal_async.ledger.store import Store
from tests.ledger.samples import done, new_claim, place


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def heard() -> None:
    await asyncio.to_thread(sys.stdin.readline)


async def one_key(store: Store, key: str, *, body: str = '{"images": []}') -> None:
    """Write one key from the claim to the outcome, and print each step when it is on disk."""
    hold = await store.claim(new_claim(key))
    assert hold is not None
    say(f"claimed {key}")
    await store.submitted(hold, f"request-{key}", 101.0)
    say(f"submitted {key}")
    await store.end(hold.entry, f"request-{key}", done(body))
    say(f"done {key}")


async def write(path: str, name: str, count: str) -> None:
    """Write `count` keys, twenty concurrently."""
    store = await open_store(path)
    keys = iter(range(int(count)))

    async def some() -> None:
        for number in keys:
            await one_key(store, f"{name}-{number}")

    await asyncio.gather(*(some() for _ in range(20)))
    await store.aclose()


async def own(path: str) -> None:
    """Claim one key and submit another one; then wait."""
    store = await open_store(path)
    await store.claim(new_claim("claimed"))
    hold = await store.claim(new_claim("submitted"))
    assert hold is not None
    await store.submitted(hold, "request-submitted", 101.0)
    say("ready")
    await heard()
    await store.aclose()
    say("closed")
    await heard()


async def block(path: str) -> None:
    """Keep the lock of a commit, like a program that is stopped during a commit."""
    locks = RecordLocks(path + "-lock")
    assert locks.take_turn(5)
    say("ready")
    await heard()
    locks.close()


async def fill(path: str, limit: str) -> None:
    """Write until files can't grow any more; then raise the limit, and write again."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = await open_store(path)
    await one_key(store, "first")
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), most))
    written = 0
    try:
        while written < 1000:
            await one_key(store, f"key-{written}", body=os.urandom(5000).hex())
            written += 1
    except LedgerError as error:
        say(f"refused {error}")
    record = await store.find(place("first"))
    say(f"still {record and record.state}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    await one_key(store, "last")
    await store.aclose()


def fork(path: str, other: str) -> None:
    """Fork while another thread writes to the ledger; parent and child print what they can do."""
    store = asyncio.run(_opened(path))
    stop = threading.Event()
    busy = threading.Thread(target=_write_until, args=[path, stop])
    busy.start()
    # Between two event loops: a child that closed the parent's loop would disturb its waits.
    child = os.fork()
    if not child:
        asyncio.run(_in_child(store, path, other))
        sys.exit(0)  # a normal exit, with the interpreter's clean-up
    _, status = os.waitpid(child, 0)
    stop.set()
    busy.join()
    asyncio.run(_closed(store))
    say(f"child {os.waitstatus_to_exitcode(status)}")


async def _opened(path: str) -> Store:
    store = await open_store(path)
    await one_key(store, "before")
    return store


async def _closed(store: Store) -> None:
    await one_key(store, "after")
    await store.aclose()


def _write_until(path: str, stop: threading.Event) -> None:
    async def write_on() -> None:
        store, number = await open_store(path), 0
        while not stop.is_set():
            hold = await store.claim(new_claim(f"busy-{number}"))
            assert hold is not None
            await store.withdraw(hold)
            number += 1
        await store.aclose()

    asyncio.run(write_on())


async def _in_child(store: Store, path: str, other: str) -> None:
    await _report("use", store.find(place("before")))
    await _report("open", open_store(path))
    await _report("close", store.aclose())
    elsewhere = await open_store(other)
    await one_key(elsewhere, "childs")
    await elsewhere.aclose()


async def _report(what: str, doing: object) -> None:
    try:
        await doing  # type: ignore[misc]
        say(f"{what} worked")
    except SessionStateError as error:
        say(f"{what} {type(error).__name__} {error}")


VERBS: dict[str, Callable[..., Any]] = {verb.__name__: verb for verb in (write, own, block, fill, fork)}

if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    try:
        doing = VERBS[verb](*arguments)
        if doing is not None:
            asyncio.run(doing)
    except FalError as failed:
        say(f"{type(failed).__name__} {failed}")
        sys.exit(1)
