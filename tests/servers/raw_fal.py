"""fal's queue as a raw server, in which every answer can be replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs

from tests.servers.raw import Asked, answer, raw_server

ID = "req-1"
OUTPUT = {"picture": "here"}
Replaced = Callable[[int], bytes | None]
"""Returns the answer to the n-th request of a kind, from 1; None for the usual answer."""


@attrs.define
class RawFal:
    """Every request is complete at its first status request."""

    url: str = ""
    seen: Counter[str] = attrs.field(factory=Counter)


@asynccontextmanager
async def raw_fal(**on: Replaced) -> AsyncIterator[RawFal]:
    """Yield a server. `on` replaces answers to `submit`, `status`, `result`, `cancel` or `run`."""
    fal = RawFal()

    def told(asked: Asked) -> bytes:
        kind = _kind(asked)
        fal.seen[kind] += 1
        replaced = on[kind](fal.seen[kind]) if kind in on else None
        return _usual(kind, f"{fal.url}{asked.path}") if replaced is None else replaced

    async with raw_server(told) as fal.url:
        yield fal


def _kind(asked: Asked) -> str:
    path = asked.path.partition("?")[0]
    if path.startswith("/fal.run/"):
        return "run"
    if "/requests/" not in path:
        return "submit" if asked.method == "POST" else "other"
    last = path.rpartition("/")[2]
    return last if last in ("status", "cancel") else "stream" if last == "stream" else "result"


def _usual(kind: str, url: str) -> bytes:
    document: dict[str, Any] = {"request_id": ID, "status": "COMPLETED"}
    if kind == "submit":
        base = f"{url}/requests/{ID}"
        document |= {"status_url": f"{base}/status", "response_url": base, "cancel_url": f"{base}/cancel"}
    if kind in ("result", "run"):
        document = OUTPUT
    if kind == "cancel":
        return answer({"status": "ALREADY_COMPLETED"}, 400, x_fal_request_id=ID)
    return answer(document, x_fal_request_id=ID)
