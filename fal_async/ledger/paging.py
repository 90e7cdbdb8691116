"""Iterate over the entries of a store, a page at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from fal_async.ledger.store import Search, Store
from fal_async.protocol.ledger.entry import Record


async def records(
    store: Store, search: Search, *, at_a_time: int = 200, payloads: bool = False
) -> AsyncGenerator[Record, None]:
    """Yield the entries in the order of their creation.

    `at_a_time` entries are read together, and are yielded as they were then. No lock is held between two reads.
    `payloads`: whether the inputs and results are read, too; default False.
    """
    after = 0
    while page := await store.page(search, after=after, limit=at_a_time, payloads=payloads):
        for record in page:
            yield record
        after = page[-1].number
