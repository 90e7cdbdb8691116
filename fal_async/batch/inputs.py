"""The inputs of a batch: any iterable, async or not, read one input at a time."""

from __future__ import annotations

import inspect
import operator
import os
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from typing import Any

from fal_async.errors import ConfigurationError
from fal_async.records import is_record

END: object = object()
"""Returned in place of an input after the last one."""


def check_inputs(inputs: Any) -> None:
    """Raise ConfigurationError unless `inputs` is an iterable of inputs. The message says what to pass instead."""
    kind = type(inputs).__name__
    if isinstance(inputs, Mapping) or is_record(inputs):
        raise ConfigurationError(
            f"inputs is of type {kind}, which is one input: expected an iterable of them, such as [...]"
        )
    if isinstance(inputs, str | os.PathLike):
        raise ConfigurationError(
            f"inputs is of type {kind}: "
            f"expected an iterable of inputs, such as [{{'prompt': ...}}]; to read them from a "
            "file, use fal_async.batch.tables.read_inputs(path)"
        )
    if isinstance(inputs, bytes | bytearray | memoryview):
        raise ConfigurationError(
            f"inputs is of type {kind}: expected an iterable of inputs, such as [{{'prompt': ...}}]"
        )
    if inspect.isawaitable(inputs):
        raise ConfigurationError(f"inputs is of type {kind}: await it, and pass what it returns")
    if not hasattr(type(inputs), "__aiter__") and not _is_iterable(inputs):
        way = (
            "call it, and pass what it returns"
            if callable(inputs)
            else "expected an iterable of inputs, async or not"
        )
        raise ConfigurationError(f"inputs is of type {kind}: {way}")


def _is_iterable(inputs: Any) -> bool:
    return hasattr(type(inputs), "__iter__") or hasattr(type(inputs), "__getitem__")


class Inputs:
    """Reads an iterable input by input.

    A generator is closed at the end. Other iterables are not closed, because the caller may use them again.

    A synchronous iterable is read in the event loop, because its values may belong to this thread, and because
    switching to another thread would take longer than reading most inputs.
    """

    def __init__(self, inputs: Any) -> None:
        hint = operator.length_hint(inputs, -1)
        self.total: int | None = None if hint < 0 else hint
        self.pulled: int = 0
        self._inputs = inputs
        self._asked: AsyncIterator[Any] | None = None
        self._plain: Iterator[Any] = iter(())
        if hasattr(type(inputs), "__aiter__"):
            self._asked = aiter(inputs)
        else:
            self._plain = iter(inputs)

    async def next(self) -> Any:
        """Return the next input, or END after the last one. Raises what the iterable raises."""
        if self._asked is None:
            value = next(self._plain, END)
        else:
            value = await anext(self._asked, END)
        if value is END:
            self.total = self.pulled
        else:
            self.pulled += 1
        return value

    async def aclose(self) -> None:
        """Close the iterable if it is a generator."""
        if isinstance(self._asked, AsyncGenerator):
            await self._asked.aclose()
        elif isinstance(self._plain, Generator):
            self._plain.close()
