"""Conditions: which inputs a case is for, such as `when = { steps = { above = 50 } }`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from fal_async.emulator.declared.placed_values import DocumentError, Placed
from fal_async.emulator.declared.templates import find

_MISSING = object()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(value: Any, wanted: Any) -> bool:
    """Return whether two values of JSON are equal: 1 and 1.0 are, 1 and true are not."""
    if _is_number(value) and _is_number(wanted):
        return bool(value == wanted)
    return type(value) is type(wanted) and bool(value == wanted)


def _contains(value: Any, wanted: Any) -> bool:
    if isinstance(value, str):
        return isinstance(wanted, str) and wanted in value
    return isinstance(value, list) and any(_equal(item, wanted) for item in value)


_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "equals": _equal,
    "contains": _contains,
    "matches": lambda value, wanted: isinstance(value, str) and wanted.search(value) is not None,
    "above": lambda value, wanted: _is_number(value) and value > wanted,
    "below": lambda value, wanted: _is_number(value) and value < wanted,
    "missing": lambda value, wanted: (value is _MISSING) is wanted,
}
"""By name: whether a value of the input, or `_MISSING`, passes."""


@attrs.frozen
class Condition:
    """One comparison of a value of the input."""

    path: tuple[str, ...]
    test: str
    wanted: Any

    def holds(self, input: Any) -> bool:
        """Return whether an input passes."""
        return _TESTS[self.test](find(input, self.path, _MISSING), self.wanted)


def read_conditions(given: Placed) -> tuple[Condition, ...]:
    """Return the conditions of a table whose keys are paths in the input, such as `"image_size.width"`.

    A value is what the input must have there, or a table of tests: `contains`, `matches` (a regular expression),
    `above`, `below`, `missing` (true or false), `equals`. An input must pass all of them.

    Raises:
        DocumentError: If a test is unknown, or its value has the wrong type.
    """
    return tuple(
        condition
        for path, value in given.table().items()
        for condition in _of_one(tuple(path.split(".")), value)
    )


def _of_one(path: tuple[str, ...], given: Placed) -> list[Condition]:
    if not isinstance(given.value, dict):
        return [Condition(path, "equals", given.value)]
    return [Condition(path, test, _checked(test, wanted)) for test, wanted in given.table(_TESTS).items()]


def _checked(test: str, given: Placed) -> Any:
    if test in ("above", "below"):
        return given.number(least=float("-inf"))
    if test == "missing":
        return given.truth()
    if test == "matches":
        try:
            return re.compile(given.text())
        except re.error as error:
            raise DocumentError(f"{given.place}: not a regular expression: {error}") from error
    return given.value
