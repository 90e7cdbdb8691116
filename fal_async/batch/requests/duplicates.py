"""Items with the same key in a batch without a ledger: they share one request."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import attrs

from fal_async.batch.keys.seen_keys import SeenKeys
from fal_async.batch.requests.request_maker import Outcome, RequestMaker, Work
from fal_async.errors import KeyConflictError

KEPT = 1000
"""Outcomes that are remembered for later items with the same key."""


class Duplicates:
    """A `RequestMaker` that has `maker` make one request for each key."""

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
            return _refused(work.key, "belongs to another input in this batch")
        known = self._known.get(work.key)
        if known is None:
            return _refused(
                work.key,
                "came earlier in this batch, but its result is no longer kept (with a ledger it would be)",
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


def _refused(key: str, why: str) -> Outcome:
    return Outcome(error=KeyConflictError(f"the key {why}; nothing was sent", key=key))
