"""`fal-client` from PyPI as its documentation shows it: `AsyncClient.run` and `AsyncClient.subscribe`.

Only its two host constants are changed. It gets no update callback, with which it would poll once more after
completion. `sniffio` should be installed; otherwise each of its requests pays for an import that fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import fal_client
import fal_client.client

from benchmarks.rivals import KEY, Input


class Official:
    def __init__(self) -> None:
        self._client = fal_client.AsyncClient(key=KEY)

    async def run(self, endpoint_id: str, input: Input) -> Any:
        return await self._client.run(endpoint_id, input)

    async def subscribe(self, endpoint_id: str, input: Input) -> Any:
        return await self._client.subscribe(endpoint_id, input)


@asynccontextmanager
async def open_rival(url: str, mode: str) -> AsyncIterator[Official]:
    if mode != "polling":
        raise ValueError(f"fal-client has no mode {mode!r}: it polls")
    fal_client.client.RUN_URL_FORMAT = f"{url}/fal.run/"
    fal_client.client.QUEUE_URL_FORMAT = f"{url}/queue.fal.run/"
    yield Official()
