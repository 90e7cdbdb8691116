"""fal_async with its defaults; only the hosts and `mode` are set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import fal_async
from benchmarks.rivals import KEY, Input
from fal_async.config import Hosts


class Ours:
    def __init__(self, session: fal_async.Session, mode: Any) -> None:
        self._session, self._mode = session, mode

    async def run(self, endpoint_id: str, input: Input) -> Any:
        return (await self._session.run(endpoint_id, input)).data

    async def subscribe(self, endpoint_id: str, input: Input) -> Any:
        return (await self._session.subscribe(endpoint_id, input, mode=self._mode)).data


@asynccontextmanager
async def open_rival(url: str, mode: str) -> AsyncIterator[Ours]:
    async with fal_async.Session(KEY, hosts=Hosts.local(url)) as session:
        yield Ours(session, mode)
