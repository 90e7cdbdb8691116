"""An endpoint that waits until the test opens it."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs


@attrs.define(eq=False)
class Gate:
    """Answers with its input, once opened. `started` lists the inputs in the order in which they started."""

    started: list[Any] = attrs.field(factory=list)
    opened: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def __call__(self, input: Any) -> Any:
        self.started.append(input)
        await self.opened.wait()
        return input

    def open(self) -> None:
        self.opened.set()
