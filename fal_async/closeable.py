"""The protocol of connections and other parts that a session closes before its pool."""

from __future__ import annotations

from typing import Protocol

SESSION_CLOSED = "the session is closed: open a new one with `async with Session() as fal:`"


class Closeable(Protocol):
    """A connection, a batch or another part that a session closes."""

    async def aclose(self) -> None:
        """Close the part. Closing twice does nothing."""
