"""Items with the same key in a batch without a ledger: they share one request."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import attrs

from fal_async.batch.keys.seen_keys import SeenKeys
from fal_async.batch.requests.request_maker import Outcome, RequestMaker, Work
from fal_async.errors import KeyConflictError

KEPT = 1000
"""Number of outcomes that are remembered for later items with the same key."""


class Duplicates:
    """A `RequestMaker` that calls `maker` once for each key, and gives its outcome to all items with that key."""

    def __init__(self, maker: RequestMaker, seen: SeenKeys) -> None:
        self._maker, self._seen = maker, seen
        self._known: OrderedDict[str, asyncio.Future[Outcome]] = OrderedDict()

    async def begin(self) -> None:
        await self._maker.begin()

    async def outcome(self, work: Work) -> Outcome:
        assert work.key is not None
        assert work.recognised is not None
        digest = work.recognised.digest
        first = self._seen.first(work.key, digest)
        if first is None:
            return await self._first(work, work.key)
        if first != digest:
            return _refused(
                work.key,
                "the key belongs to another input in this batch",
                "For a new request, pass another key",
            )
        known = self._known.get(work.key)
        if known is None:
            return _refused(
                work.key,
                "the result of an earlier item with this key is no longer in memory",
                "A ledger keeps it: Session(ledger=...)",
            )
        return attrs.evolve(await asyncio.shield(known), shared=True)

    async def _first(self, work: Work, key: str) -> Outcome:
        known = self._known[key] = asyncio.get_running_loop().create_future()
        try:
            outcome = await self._maker.outcome(work)
        except BaseException:
            del self._known[key]
            known.cancel()
            raise
        known.set_result(outcome)
        self._known.move_to_end(key)
        while len(self._known) > KEPT and next(iter(self._known.values())).done():
            self._known.popitem(last=False)
        return outcome

    async def finish(self) -> None:
        await self._maker.finish()

    async def aclose(self) -> None:
        await self._maker.aclose()

    def stop(self) -> None:
        self._maker.stop()

    def hurry(self) -> None:
        self._maker.hurry()

    def left(self) -> str | None:
        return self._maker.left()


def _refused(key: str, why: str, way_out: str) -> Outcome:
    return Outcome(error=KeyConflictError(f"{why}; nothing was sent. {way_out}", key=key))
