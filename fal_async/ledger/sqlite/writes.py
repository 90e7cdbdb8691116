"""Run the writes of `ledger/sql` in the thread of the file, within its open transaction."""

from __future__ import annotations

from typing import Any, TypeVar

from fal_async.ledger.sql.after_submit import leave_all
from fal_async.ledger.sql.statements import Change, Select, Step, Write
from fal_async.ledger.sqlite.reads import Tables, by_number
from fal_async.ledger.store import Delivered

T = TypeVar("T")


def run(tables: Tables, write: Write[T], entry: int | None = None) -> T:
    """Run a write and return its value. `entry`: its entry, of which `new_entries` remembers nothing any more."""
    if entry is not None:
        tables.held.pop(entry, None)
    answer: Any = None
    while True:
        try:
            step = write.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        answer = _answer(tables, step)


def _answer(tables: Tables, step: Step) -> Any:
    if isinstance(step, Change):
        return tables.db.execute(step.sql, step.values).rowcount
    if isinstance(step, Select):  # the transaction has the lock for writing
        return tables.db.execute(step.sql, step.values).fetchall()
    return by_number(tables, step.entry, payloads=step.payloads)


def deliver(tables: Tables, write: Write[Delivered | None]) -> Delivered | None:
    """Run the write of a delivery, whose entry is known only afterwards."""
    delivered = run(tables, write)
    if delivered is not None:
        tables.held.pop(delivered.record.number, None)
    return delivered


def resign(tables: Tables, me: int) -> None:
    """Release all entries of an owner."""
    for number in [number for number, entry in tables.held.items() if entry.owner == me]:
        del tables.held[number]
    run(tables, leave_all(me))
