"""Entries of a store, one after the other, however many there are."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from fal_async.ledger.store import Search, Store
from fal_async.protocol.ledger.entry import Record


async def records(
    store: Store, search: Search, *, at_a_time: int = 200, payloads: bool = False
) -> AsyncGenerator[Record, None]:
    """In the order in which their keys came, each as it stands when its page is read. Nothing is held meanwhile."""
    after = 0
    while page := await store.page(search, after=after, limit=at_a_time, payloads=payloads):
        for record in page:
            yield record
        after = page[-1].number
