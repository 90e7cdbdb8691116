"""Tracebacks that show only the caller's code, without the frames of this package and its libraries."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from fal_async.errors.root import FalError

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

logger: logging.Logger = logging.getLogger("fal_async")

_INTERNAL = sys.stdlib_module_names | {
    *("fal_async", "aiohttp", "aiohappyeyeballs", "backoff", "cattrs", "attr", "attrs", "yarl", "multidict"),
}


def shorten(error: BaseException) -> None:
    """Keep only the caller's frames, such as those of a callback, in the tracebacks of an error and its causes.

    Tracebacks of cancellations are shortened as well, because the frames of this package keep the data that was
    sent in memory. With FAL_LOG=debug, or the level DEBUG of the logger `fal_async`, all frames stay.
    """
    if logger.isEnabledFor(logging.DEBUG):
        return
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        found = pending.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        pending += [found.__cause__, found.__context__]
        # If a traceback begins in the caller's frame, the caller was handling that exception: don't change it.
        if _is_internal(found.__traceback__):
            found.__traceback__ = callers_frames(found.__traceback__)


def _is_shortened(error: BaseException) -> bool:
    if isinstance(error, FalError):
        return True
    from asyncio import (
        CancelledError,
    )  # not at the top, because a program that only uses values needs no asyncio

    return isinstance(error, CancelledError)


def _is_internal(entry: TracebackType | None) -> bool:
    return entry is not None and entry.tb_frame.f_globals.get("__name__", "").partition(".")[0] in _INTERNAL


def callers_frames(entry: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of this package, its libraries and the standard library."""
    entries: list[TracebackType] = []
    while entry is not None:
        entries.append(entry)
        entry = entry.tb_next
    first: TracebackType | None = None
    for kept in reversed(entries):
        if not _is_internal(kept):
            kept.tb_next = first
            first = kept
    return first


class shortened:
    """A context manager that shortens the tracebacks of FalErrors and cancellations that its block raises."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is not None and _is_shortened(error):
            shorten(error)


def short_tracebacks(public: C) -> C:
    """Change a class so that its public coroutine functions raise errors with short tracebacks; a decorator."""
    for name, function in list(vars(public).items()):
        is_public = not name.startswith("_") or name in ("__aenter__", "__anext__")
        if is_public and inspect.iscoroutinefunction(function):
            setattr(public, name, _short(function))
    return public


def _short(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    @wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        except BaseException as error:
            if _is_shortened(error):
                shorten(error)
            raise

    return call
