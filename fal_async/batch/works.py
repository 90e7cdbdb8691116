"""The items of a batch, one after the other, each with its key."""

from __future__ import annotations

from collections import deque

import attrs

from fal_async.batch.inputs import END, Inputs
from fal_async.batch.keys.item_keys import ItemKeys
from fal_async.batch.keys.run_guard import RunGuard
from fal_async.batch.requests.request_maker import Work
from fal_async.batch.summary import Tally
from fal_async.protocol.input_copies import own_copy


@attrs.define(kw_only=True, eq=False, repr=False)
class Works:
    """Asks the inputs for the next one only when it is asked itself.

    Attributes:
        guard: looks at the first inputs before any is begun.
        looked_at: so many of them at most.
    """

    inputs: Inputs
    keys: ItemKeys
    tally: Tally
    guard: RunGuard | None
    looked_at: int
    _first: deque[Work] = attrs.field(factory=deque, init=False)

    async def begin(self) -> None:
        """ConfigurationError where the guard knows none of the first inputs."""
        if self.guard is None or await self.guard.is_new():
            return
        while len(self._first) < self.looked_at and (work := await self._asked_for()) is not None:
            self._first.append(work)
            if await self.guard.knows(work):
                return
        if self._first:
            raise await self.guard.refusal(self._first)

    async def next(self) -> Work | None:
        """None after the last one. Raises what the inputs raise, and what the caller's `key=` does."""
        return self._first.popleft() if self._first else await self._asked_for()

    async def _asked_for(self) -> Work | None:
        index = self.inputs.pulled
        input = await self.inputs.next()
        self.tally.total = self.inputs.total
        if input is END:
            return None
        work = Work(index=index, input=own_copy(input), tally=self.tally)
        await self.keys.name(work)
        return work

    async def aclose(self) -> None:
        """Close the inputs, where they are a generator."""
        await self.inputs.aclose()
