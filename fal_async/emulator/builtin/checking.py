"""Checks of model inputs, with fal's own errors: 422 with one entry per mistake (protocol 9.1).

Endpoints with a schema are checked by jsonschema (`fal_async/emulator/schemas/input_check.py`), and built-in models
too if it is installed. This module is kept by hand because the built-in models must also refuse what they can't use
where only `pip install fal-async` was run. It has the same words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fal_async.emulator.wire.answers import ModelError, detail_entry

_TYPES = {"string": "string", "integer": "int", "number": "float", "boolean": "bool"} | {
    "array": "list",
    "object": "dict",
}
"""The first half of a mistake's type, by the type of the schema."""
_NAMES = {**{kind: kind for kind in _TYPES}, "array": "list", "object": "dictionary"}


def _is(kind: str, value: Any) -> bool:
    if kind in ("integer", "number"):
        return isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "boolean": bool, "array": list, "object": dict}[kind])


class Checker:
    """Reads the fields of one input, collects all mistakes, and raises them together."""

    def __init__(self, input: Any) -> None:
        self._input: dict[str, Any] = input if isinstance(input, dict) else {}
        self._entries: list[dict[str, Any]] = []
        if not isinstance(input, dict):
            self.complain([], "Input should be a valid dictionary", "dict_type", input)
            self.finish()

    def complain(
        self, path: Sequence[str | int], msg: str, kind: str, value: Any, ctx: dict[str, Any] | None = None
    ) -> None:
        self._entries.append(detail_entry(["body", *path], msg, kind, value, ctx))

    def finish(self) -> None:
        """Raise a ModelError with all mistakes, if there are any."""
        if self._entries:
            raise ModelError(422, self._entries)

    def raw(self, name: str, default: Any = None) -> Any:
        value = self._input.get(name, default)
        return default if value is None else value

    def text(self, name: str, default: str | None = None) -> str:
        """Return a str field, which is required if `default` is None."""
        if name not in self._input and default is None:
            self.complain([name], "Field required", "missing", self._input)
            return ""
        value = self.raw(name, default)
        if not isinstance(value, str):
            self.complain([name], "Input should be a valid string", "string_type", value)
            return ""
        return value

    def whole(self, name: str, default: int | None, low: int, high: int) -> int | None:
        return self.whole_value([name], self.raw(name, default), low, high)

    def whole_value(self, path: Sequence[str | int], value: Any, low: int, high: int) -> int | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.complain(path, "Input should be a valid integer", "int_type", value)
            return None
        return value if self._within(path, value, low, high) else None

    def fields(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the schema's fields, with its defaults; a field of no value is left out."""
        values: dict[str, Any] = {}
        for name, field in schema["properties"].items():
            if name not in self._input and name in schema.get("required", ()) and "default" not in field:
                self.complain([name], "Field required", "missing", self._input)
            elif (value := self.raw(name, field.get("default"))) is not None:
                self._check([name], value, field)
                values[name] = value
        return values

    def _check(self, path: Sequence[str | int], value: Any, schema: Mapping[str, Any]) -> None:
        """Check type, choice and limits of a value, and the items of a list; objects are not checked."""
        kind = schema.get("type")
        if kind is not None and not _is(kind, value):
            self.complain(path, f"Input should be a valid {_NAMES[kind]}", f"{_TYPES[kind]}_type", value)
        elif "enum" in schema and value not in schema["enum"]:
            self._complain_of_choice(path, value, schema["enum"])
        elif kind == "array":
            for number, item in enumerate(value):
                self._check([*path, number], item, schema.get("items", {}))
        elif kind in ("integer", "number"):
            self._within(path, value, schema.get("minimum", value), schema.get("maximum", value))
        elif isinstance(value, str):
            words = [one for one in schema.get("anyOf", ()) if one.get("type") == "string"]
            if len(words) == 1:
                self._check(path, value, words[0])

    def _within(self, path: Sequence[str | int], value: float, low: float, high: float) -> bool:
        """Return whether a number is within its limits, and complain if it is not."""
        if value < low:
            msg = f"Input should be greater than or equal to {low}"
            self.complain(path, msg, "greater_than_equal", value, {"ge": low})
        elif value > high:
            msg = f"Input should be less than or equal to {high}"
            self.complain(path, msg, "less_than_equal", value, {"le": high})
        return low <= value <= high

    def choice(self, name: str, value: Any, allowed: Sequence[str]) -> None:
        if value not in allowed:
            self._complain_of_choice([name], value, allowed)

    def _complain_of_choice(self, path: Sequence[str | int], value: Any, allowed: Sequence[Any]) -> None:
        msg = f"Input should be one of {', '.join(map(str, allowed))}"
        self.complain(path, msg, "one_of", value, {"expected": list(allowed)})
