"""The options of a call as keyword arguments: `fal.subscribe(..., hint="a", retry=RetryPolicy(...))`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar

from fal_async.config import RetryPolicy, check_retry
from fal_async.options import NO_OPTIONS, CallOptions, Priority, StorageSettings

F = TypeVar("F", bound=Callable[..., Any])


class RunOptions(TypedDict, total=False):
    """The options of every call to a model, with `CallOptions`' meanings."""

    hint: str | None
    start_timeout: float | None
    headers: Mapping[str, str] | None
    tags: Mapping[str, str] | None
    storage: StorageSettings | None
    store_io: bool | None
    disable_fallback: bool | None
    inline_below: int | None
    retry: RetryPolicy | None


class QueueOptions(RunOptions, total=False):
    """Those of a request that goes through the queue."""

    priority: Priority | None
    no_retry: bool | None
    max_queue_length: int | None


def options_of(
    function: str, given: Mapping[str, Any], known: type[RunOptions]
) -> tuple[CallOptions, RetryPolicy | None]:
    """The options as a value, and the retry policy.

    Raises:
        TypeError: `function` takes no argument of this name; says which one may be meant.
        ConfigurationError: a wrong value.
    """
    if not given:
        return NO_OPTIONS, None
    names = known.__annotations__
    for name in given:
        if name not in names:
            raise TypeError(_unexpected(function, name, names))
    retry = given.get("retry")
    check_retry(retry)
    return CallOptions(**{name: value for name, value in given.items() if name != "retry"}), retry


def _unexpected(function: str, name: str, names: Mapping[str, Any]) -> str:
    words = f"{function}() got an unexpected keyword argument {name!r}"
    if name in QueueOptions.__annotations__:
        return f"{words}: it is for requests that go through the queue"
    import difflib  # only needed here

    close = difflib.get_close_matches(name, names, n=1)
    return f"{words}: did you mean {close[0]!r}?" if close else words


def documented(known: type[RunOptions]) -> Callable[[F], F]:
    """Lists the options, one line each, in a function's docstring: `help()` shows only `**options` otherwise."""

    def decorate(function: F) -> F:
        if function.__doc__:  # `python -OO` keeps none
            text = inspect.cleandoc(function.__doc__)
            function.__doc__ = f"{text}\n\nOptions:\n{_option_lines(known)}"
        return function

    return decorate


def _option_lines(known: type[RunOptions]) -> str:
    """From the docstring of `CallOptions`, so that each option is described in one place."""
    described = dict(re.findall(r"^ {8}(\w+): (.+(?:\n {12}.+)*)", CallOptions.__doc__ or "", re.M))
    described["retry"] = "the `RetryPolicy` of this call; None for the session's."
    return "\n".join(
        f"    {name}: {' '.join(described[name].split())}"
        for name in known.__annotations__
        if name in described
    )
