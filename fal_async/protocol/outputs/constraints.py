"""Constraints in `Annotated`: those of annotated-types and msgspec, recognised by their attributes."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_CHECKS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "gt": ("more than", operator.gt),
    "ge": ("at least", operator.ge),
    "lt": ("less than", operator.lt),
    "le": ("at most", operator.le),
    "multiple_of": ("a multiple of", lambda value, step: value % step == 0),
    "min_length": ("a length of at least", lambda value, least: len(value) >= least),
    "max_length": ("a length of at most", lambda value, most: len(value) <= most),
    "pattern": ("a str that matches", lambda value, pattern: re.search(pattern, value)),
}


def check_constraints(value: Any, metadata: Iterable[Any]) -> None:
    """Raise ValueError if `value` breaks a constraint in `metadata`. Metadata of other kinds is ignored."""
    for constraint in _each(metadata):
        for name, (words, holds) in _CHECKS.items():
            limit = getattr(constraint, name, None)
            if limit is not None and not _keeps(value, limit, holds):
                raise ValueError(f"expected {words} {limit!r}, got {value!r}")
        accepts = getattr(constraint, "func", None)
        if callable(accepts) and not accepts(value):
            name = getattr(accepts, "__name__", "its predicate")
            raise ValueError(f"expected a value that {name} accepts, got {value!r}")


def _keeps(value: Any, limit: Any, holds: Callable[[Any, Any], Any]) -> bool:
    """Return whether a value keeps a limit. In `Annotated[int | None, Ge(0)]` the limit does not apply to None."""
    try:
        return bool(holds(value, limit))
    except TypeError:
        return True


def _each(metadata: Iterable[Any]) -> Iterator[Any]:
    for constraint in metadata:
        # Groups such as Interval yield their members when iterated; pydantic's Field has a list of them.
        grouped = getattr(constraint, "__is_annotated_types_grouped_metadata__", False)
        inner = constraint if grouped else getattr(constraint, "metadata", None)
        yield from (constraint,) if inner is None else _each(inner)
