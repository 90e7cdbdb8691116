"""Checks of model inputs, with fal's own errors: 422 with one entry per mistake (protocol 9.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fal_async.emulator.wire.answers import ModelError, detail_entry


class Checker:
    """Reads the fields of one input, collects all mistakes, and raises them together."""

    def __init__(self, input: Any) -> None:
        self._input: dict[str, Any] = input if isinstance(input, dict) else {}
        self._entries: list[dict[str, Any]] = []
        if not isinstance(input, dict):
            self.complain([], "Input should be a valid dictionary", "dict_type", input)

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
        if value < low:
            msg = f"Input should be greater than or equal to {low}"
            self.complain(path, msg, "greater_than_equal", value, {"ge": low})
            return None
        if value > high:
            msg = f"Input should be less than or equal to {high}"
            self.complain(path, msg, "less_than_equal", value, {"le": high})
            return None
        return value

    def choice(self, name: str, value: Any, allowed: Sequence[str]) -> None:
        if value not in allowed:
            msg = f"Input should be one of {', '.join(allowed)}"
            self.complain([name], msg, "one_of", value, {"expected": list(allowed)})
