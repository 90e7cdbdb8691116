"""Run the writes of `ledger/sql` in a transaction, one entry at a time."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import cache
from itertools import count
from typing import Any, TypeVar

from fal_async.ledger.postgres.connection_types import Connection
from fal_async.ledger.postgres.database import Database
from fal_async.ledger.postgres.owners import CHANNEL
from fal_async.ledger.postgres.record_reads import by_number
from fal_async.ledger.sql.statements import Change, Select, Step, Write
from fal_async.ledger.store import Delivered

T = TypeVar("T")
_ANNOUNCE = f"SELECT pg_notify('{CHANNEL}', id::text) FROM entries WHERE id = $1 AND awaited = 1"


def written(
    database: Database, write: Callable[[], Write[T]], entry: int | None = None
) -> Callable[[Connection], Awaitable[T]]:
    """Return the work of a write, to be run in one transaction.

    `entry`: its entry, whose change is announced to the processes that wait for it.
    """

    async def work(connection: Connection) -> T:
        value = await run(database, connection, write())
        if entry is not None:
            await connection.execute(_ANNOUNCE, entry)
        return value

    return work


def delivered(
    database: Database, write: Callable[[], Write[Delivered | None]]
) -> Callable[[Connection], Awaitable[Delivered | None]]:
    """Return the work of a delivery, whose entry is known only afterwards; see `written`."""

    async def work(connection: Connection) -> Delivered | None:
        value = await run(database, connection, write())
        if value is not None:
            await connection.execute(_ANNOUNCE, value.record.number)
        return value

    return work


async def run(database: Database, connection: Connection, write: Write[T]) -> T:
    """Run a write in the open transaction, and return its value."""
    answer: Any = None
    while True:
        try:
            step = write.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        answer = await _answer(database, connection, step)


async def _answer(database: Database, connection: Connection, step: Step) -> Any:
    if isinstance(step, Change):
        status = await connection.execute(numbered(step.sql), *step.values)
        return int(status.rpartition(" ")[2])
    if isinstance(step, Select):
        sql = numbered(step.sql) + " FOR UPDATE" * step.locks
        return [tuple(row) for row in await connection.fetch(sql, *step.values)]
    await connection.execute("SELECT 1 FROM entries WHERE id = $1 FOR UPDATE", step.entry)
    return await by_number(database, connection, step.entry, payloads=step.payloads)


@cache
def numbered(sql: str) -> str:
    """Return a statement with numbers in place of the marks of its values: `$1` for the first `?`."""
    numbers = count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", sql)
