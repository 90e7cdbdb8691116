"""The claims of one store. If the connection breaks during one, it is not left in the ledger."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from fal_async.errors import FalError, LedgerError
from fal_async.ledger.postgres import first_attempts
from fal_async.ledger.postgres.database import PATIENCE, Database
from fal_async.ledger.postgres.first_attempts import Asked, Claimed
from fal_async.ledger.postgres.lanes import Lane
from fal_async.ledger.postgres.writer import Writer
from fal_async.ledger.sql import claims
from fal_async.ledger.store import Hold, NewClaim
from fal_async.protocol.ledger.entry import Place

_AT_ONCE = 10
"""Most claims per statement. If the process is killed then, their submits are not sent, and they are uncertain."""
_TRIES = 3
"""How often a claim is tried while the database does not know that its owner runs."""
_PAUSE = 1.0
"""Seconds between two tries to withdraw a claim that may have been written."""


class Claiming:
    """Makes claims."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer
        self._firsts: Lane[Asked, Claimed] = Lane(
            database, first_attempts.claim, same=lambda asked: asked.new.place, most=_AT_ONCE
        )
        self._withdrawing: dict[Place, asyncio.Task[None]] = {}
        """The last withdrawal of a claim that nobody has, by place."""
        self._is_closed = False

    async def claim(self, new: NewClaim) -> Hold | None:
        """See `Store.claim`. Cancelling is safe: the claim is withdrawn as soon as it is written."""
        claiming = self._writer.start(self._claim(new))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            self._begin(
                new.place, self._withdrawn(claiming)
            )  # the caller did not get it, so nothing was sent
            raise

    async def settled(self, place: Place) -> None:
        """Wait until no claim is being withdrawn that nobody has, for a limited time."""
        if withdrawing := self._withdrawing.get(place):
            await asyncio.wait([withdrawing], timeout=PATIENCE)

    async def _claim(self, new: NewClaim) -> Hold | None:
        asked = Asked(await self._writer.joined(), new)
        for _ in range(_TRIES):
            try:
                claimed = await self._claimed(asked)
            except FalError:
                self._begin(new.place, self._withdrawn_in_doubt(asked))
                raise
            if claimed.is_owner:
                return claimed.hold
            await self._database.owners.renew(asked.me)
        raise LedgerError(
            f"ledger {self._database.address.name}: call again later: other processes regard this one as ended"
        )

    async def _claimed(self, asked: Asked) -> Claimed:
        if asked.new.seen is None:
            return await self._firsts.call(asked)
        database = self._database
        return await database.run(lambda given: first_attempts.further(database, given, asked), whole=True)

    async def withdraw(self, hold: Hold) -> None:
        """See `Store.withdraw`."""
        await self._writer.change(hold.entry, lambda me: claims.withdraw(me, hold))

    def _begin(self, place: Place, withdrawal: Coroutine[Any, Any, None]) -> None:
        self._withdrawing[place] = task = self._writer.start(withdrawal)
        task.add_done_callback(lambda _: self._ended(place, task))

    def _ended(self, place: Place, task: asyncio.Task[None]) -> None:
        if self._withdrawing.get(place) is task:
            del self._withdrawing[place]

    async def _withdrawn(self, claiming: asyncio.Task[Hold | None]) -> None:
        """Withdraw a claim whose caller was cancelled before it was written. If that fails, it stays."""
        with contextlib.suppress(FalError):
            if (hold := await claiming) is not None:
                await self.withdraw(hold)

    async def _withdrawn_in_doubt(self, asked: Asked) -> None:
        """Withdraw a claim that may have been written although the connection broke."""
        while not self._is_closed:
            try:
                hold = await self._database.run(lambda given: first_attempts.written_claim(given, asked))
                if hold is not None:
                    await self.withdraw(hold)
                return
            except FalError:
                await asyncio.sleep(_PAUSE)

    def close(self) -> None:
        """Try at most once more to withdraw claims. Those that stay are uncertain."""
        self._is_closed = True
