"""The connections of resources, which a session closes before its pool."""

from __future__ import annotations

from typing import Protocol

SESSION_CLOSED = "the session is closed: open a new one with `async with Session() as fal:`"


class Closeable(Protocol):
    """Something that a session closes."""

    async def aclose(self) -> None:
        """Close it. Closing twice does nothing."""
