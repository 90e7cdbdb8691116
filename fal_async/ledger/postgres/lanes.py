"""Run the calls of one kind that wait at the same time together, in one statement."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from fal_async.ledger.postgres.connection_types import Connection
from fal_async.ledger.postgres.database import Database
from fal_async.ledger.postgres.postgres_errors import ledger_error

Given = TypeVar("Given")
Answer = TypeVar("Answer")
_AT_ONCE = 100
"""Most calls per statement."""
_APART = 0.004
"""Seconds from one statement to the next while several calls wait, to collect more of them."""


class Lane(Generic[Given, Answer]):
    """Collects calls, and runs them one statement after the other. A single call is never delayed."""

    def __init__(
        self,
        database: Database,
        run: Callable[[Database, Connection, Sequence[Given]], Awaitable[Sequence[Answer]]],
        *,
        same: Callable[[Given], Hashable] | None = None,
        most: int = _AT_ONCE,
    ) -> None:
        """`run` runs several calls, at most `most`, and returns their answers.

        `same`: calls for which it returns an equal value are not run in one statement; None: all calls are.
        """
        self._database, self._run, self._same, self._most = database, run, same, most
        self._waiting: deque[tuple[Given, asyncio.Future[Answer]]] = deque()
        self._serving: asyncio.Task[None] | None = None
        self._began, self._had_several = 0.0, False

    def call(self, given: Given) -> asyncio.Future[Answer]:
        """Return the future answer. Cancelling it does not stop the call."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((given, answer))
        if self._serving is None:
            self._serving = loop.create_task(self._serve())
        return answer

    async def _serve(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                await self._answer(self._taken())
        finally:
            self._serving = None

    async def _gather(self) -> None:
        loop = asyncio.get_running_loop()
        if self._had_several and (pause := self._began + _APART - loop.time()) > 0:
            await asyncio.sleep(pause)
        self._began = loop.time()

    def _taken(self) -> list[tuple[Given, asyncio.Future[Answer]]]:
        """Take the next calls; leave those that can't be run together with an earlier one."""
        taken: list[tuple[Given, asyncio.Future[Answer]]] = []
        left: list[tuple[Given, asyncio.Future[Answer]]] = []
        seen: set[Any] = set()
        while self._waiting and len(taken) < self._most:
            call = self._waiting.popleft()
            same = None if self._same is None else self._same(call[0])
            if same is not None and same in seen:
                left.append(call)
                continue
            seen.add(same)
            taken.append(call)
        self._waiting.extendleft(reversed(left))
        self._had_several = len(taken) > 1
        return taken

    async def _answer(self, calls: Sequence[tuple[Given, asyncio.Future[Answer]]]) -> None:
        database, given = self._database, [one for one, _ in calls]
        try:
            answers = await database.run(lambda connection: self._run(database, connection, given))
        except Exception as error:
            for _, future in calls:
                if not future.done():
                    future.set_exception(ledger_error(error, database.address.name))
        except BaseException:
            for _, future in calls:
                future.cancel()
            raise
        else:
            for (_, future), answer in zip(calls, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
