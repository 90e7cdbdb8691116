"""The same two calls by each client that is measured.

A rival is a module with `open_rival(url, mode)`: an async context manager that gives a `Rival` on the load
server at `url`. It is imported in the measuring process only, by its name in `RIVALS`.
Streams, realtime and files have all of their clients in `streams` and `transfers`.
"""

from __future__ import annotations

import importlib
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, cast

Input = dict[str, Any]
RIVALS = {
    "aiohttp": "benchmarks.rivals.floor",
    "fal-client": "benchmarks.rivals.official",
    "fal_async": "benchmarks.rivals.ours",
}
"""Name in the tables, and module. "aiohttp" is the floor: what a good engineer writes by hand."""
KEY = "bench:key"


class Rival(Protocol):
    """Both calls give the model's output."""

    async def run(self, endpoint_id: str, input: Input) -> Any: ...

    async def subscribe(self, endpoint_id: str, input: Input) -> Any: ...


def open_rival(name: str, url: str, mode: str) -> AbstractAsyncContextManager[Rival]:
    """ImportError where the client is not installed."""
    module = importlib.import_module(RIVALS[name])
    return cast("AbstractAsyncContextManager[Rival]", module.open_rival(url, mode))
