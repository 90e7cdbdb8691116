"""Gives the items of a batch one by one, each with its key."""

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
    """Reads the next input only when the next item is requested.

    Attributes:
        guard: checks, before the first submit, that the first inputs belong to the run; None without a ledger, with
            `key=` and with `extend=True`.
        looked_at: maximum number of inputs that the guard checks.
    """

    inputs: Inputs
    keys: ItemKeys
    tally: Tally
    guard: RunGuard | None
    looked_at: int
    _first: deque[Work] = attrs.field(factory=deque, init=False)

    async def begin(self) -> None:
        """Raise ConfigurationError if the run has entries, but none for the first inputs."""
        if self.guard is None or await self.guard.is_new():
            return
        while len(self._first) < self.looked_at and (work := await self._next_input()) is not None:
            self._first.append(work)
            if await self.guard.knows(work):
                return
        if self._first:
            raise await self.guard.refusal(self._first)

    async def next(self) -> Work | None:
        """Return the next item; None after the last. Exceptions of `inputs` and of the caller's `key` propagate."""
        return self._first.popleft() if self._first else await self._next_input()

    async def _next_input(self) -> Work | None:
        index = self.inputs.pulled
        input = await self.inputs.next()
        self.tally.total = self.inputs.total
        if input is END:
            return None
        work = Work(index=index, input=own_copy(input), tally=self.tally)
        await self.keys.name(work)
        return work

    async def aclose(self) -> None:
        """Close the inputs if they are a generator."""
        await self.inputs.aclose()
