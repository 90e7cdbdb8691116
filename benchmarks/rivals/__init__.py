"""The same two calls with each measured client.

A rival is a module with `open_rival(url, mode)`: an async context manager that yields a `Rival` for the load
server at `url`. Only the measuring process imports it, by its name in `RIVALS`. The clients for streams, realtime
and files are in `streams` and `transfers`.
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
"""The modules by their name in the tables. "aiohttp" is the floor: what a good engineer writes by hand."""
KEY = "bench:key"


class Rival(Protocol):
    """Both calls return the model's output."""

    async def run(self, endpoint_id: str, input: Input) -> Any: ...

    async def subscribe(self, endpoint_id: str, input: Input) -> Any: ...


def open_rival(name: str, url: str, mode: str) -> AbstractAsyncContextManager[Rival]:
    """Open a rival; raise ImportError if its client is not installed."""
    module = importlib.import_module(RIVALS[name])
    return cast("AbstractAsyncContextManager[Rival]", module.open_rival(url, mode))
