"""Tracebacks that show the caller's code: the functions of ours that an error came through tell him nothing."""

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
    """Leave nothing but the caller's frames, such as a callback's, in the tracebacks of an error and of its causes.

    A cancellation, such as that of a time limit around the call, is shortened as well: frames of ours, and of those
    below, hold what was sent. With FAL_LOG=debug, or DEBUG on the logger `fal_async`, all frames stay.
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
        # An exception that the caller was handling when he called us begins in his own frame: it is his.
        if _is_internal(found.__traceback__):
            found.__traceback__ = callers_frames(found.__traceback__)


def _is_shortened(error: BaseException) -> bool:
    if isinstance(error, FalError):
        return True
    from asyncio import CancelledError  # who has values and errors alone does not load it

    return isinstance(error, CancelledError)


def _is_internal(entry: TracebackType | None) -> bool:
    return entry is not None and entry.tb_frame.f_globals.get("__name__", "").partition(".")[0] in _INTERNAL


def callers_frames(entry: TracebackType | None) -> TracebackType | None:
    """What is left of a traceback without the frames of ours, of the libraries and of the standard library."""
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


class shortened:  # as `contextlib.suppress`
    """A FalError or a cancellation that leaves the block has no frames of ours, those around the block included."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is not None and _is_shortened(error):
            shorten(error)


def short_tracebacks(public: C) -> C:
    """A class whose users get short tracebacks from each of its public coroutine functions."""
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
