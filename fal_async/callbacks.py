"""Calling functions of the caller, such as callbacks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fal_async.errors import FalError


class callers_function:  # a class, not a generator, for speed: every status passes through it
    """A context manager around a call of the caller's function.

    It marks a FalError that the function raises as `from_caller`, so that it is not mistaken for fal's response.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FalError):
            error.from_caller = True


async def call_back(function: Callable[..., Any] | None, *values: Any) -> None:
    """Call the caller's callback, async or not. Do nothing if it is None."""
    if function is not None:
        with callers_function():
            answer = function(*values)
            if inspect.isawaitable(answer):
                await answer


async def awaited(value: Any) -> Any:
    """Return the result of a function of the caller. `value`: the result, or an awaitable that gives it."""
    return await value if inspect.isawaitable(value) else value
