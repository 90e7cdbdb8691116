"""What a session closes before its pool: the connections that its resources opened."""

from __future__ import annotations

from typing import Protocol

SESSION_CLOSED = "the session is closed: open a new one with `async with Session() as fal:`"


class Closeable(Protocol):
    async def aclose(self) -> None:
        """Closing twice is no error."""
