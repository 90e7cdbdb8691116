"""Calling the functions that users hand in."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


async def call_back(function: Callable[..., Any] | None, *values: Any) -> None:
    """A user's callback, async or not."""
    if function is not None:
        answer = function(*values)
        if inspect.isawaitable(answer):
            await answer
