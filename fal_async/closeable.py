"""What a session closes before its pool: the connections that its resources opened."""

from __future__ import annotations

from typing import Protocol


class Closeable(Protocol):
    async def aclose(self) -> None:
        """Closing twice is no error."""
