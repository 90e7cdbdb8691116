"""Calling the functions that users hand in."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fal_async.errors import FalError


class callers_function:  # as `contextlib.suppress`; no generator: it is on the path of each status
    """Around what calls a user's function: a FalError that it raises is marked, for it is not fal's answer."""

    __slots__ = ()

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FalError):
            error.from_caller = True


async def call_back(function: Callable[..., Any] | None, *values: Any) -> None:
    """A user's callback, async or not."""
    if function is not None:
        with callers_function():
            answer = function(*values)
            if inspect.isawaitable(answer):
                await answer


async def awaited(value: Any) -> Any:
    """What a function of the user's gave, async or not."""
    return await value if inspect.isawaitable(value) else value
