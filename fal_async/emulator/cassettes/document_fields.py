"""Reading of JSON objects that people may have edited: each error names the file and the field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import attrs


class CassetteError(ValueError):
    """A folder of recordings, or a cassette in it, can't be used. The message names the file and the field."""


_MISSING: Any = object()


@attrs.frozen
class Fields:
    """The fields of an object.

    Attributes:
        place: what errors call the object, such as "b-1.json" or "b-1.json: answer.body".
        document: the object.
        is_inner: whether `place` has the name of a field.
    """

    place: str
    document: Mapping[str, Any]
    is_inner: bool = True

    @classmethod
    def of(cls, place: str, value: Any, *, is_inner: bool = True) -> Fields:
        if not isinstance(value, dict):
            raise CassetteError(f"{place}: expected an object, not {shown(value)}")
        return cls(place, value, is_inner)

    def refuse_constants(self) -> None:
        """Raise CassetteError for a number that only Python's JSON has."""
        try:
            json.dumps(self.document, allow_nan=False)
        except ValueError as error:
            raise CassetteError(
                f"{self.place}: a number is NaN or infinite, which JSON does not have"
            ) from error
        except RecursionError as error:
            raise CassetteError(f"{self.place}: nested too deeply") from error

    def at(self, name: str) -> str:
        """Return what errors call a field."""
        return f"{self.place}.{name}" if self.is_inner else f"{self.place}: {name}"

    def known(self, *names: str) -> None:
        """Raise CassetteError for a field with another name, which may be a misspelt one."""
        if unknown := sorted(set(self.document) - set(names)):
            raise CassetteError(f"{self.place}: unknown field {unknown[0]!r}: expected {', '.join(names)}")

    def text(self, name: str, default: str = _MISSING) -> str:
        value: str = self._typed(name, str, "a string", default)
        return value

    def integer(self, name: str, default: int = _MISSING) -> int:
        value: int = self._typed(name, int, "an integer", default)
        if isinstance(value, bool):
            self._refuse(name, value, "an integer")
        return value

    def seconds(self, name: str) -> float:
        value: float = self._typed(name, (int, float), "seconds >= 0", _MISSING)
        if isinstance(value, bool) or not (math.isfinite(value) and value >= 0):
            self._refuse(name, value, "seconds >= 0")
        return value

    def items(self, name: str) -> list[Any]:
        value: list[Any] = self._typed(name, list, "an array", [])
        return value

    def object(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = self._typed(name, dict, "an object", {})
        return value

    def fields(self, name: str) -> Fields | None:
        """Return an object that may be missing or null."""
        value = self.document.get(name)
        return None if value is None else Fields.of(self.at(name), value)

    def _typed(self, name: str, kind: Any, expected: str, default: Any) -> Any:
        value = self.document.get(name, default)
        if value is _MISSING:
            raise CassetteError(f"{self.place}: the field {name!r} is missing: expected {expected}")
        return value if isinstance(value, kind) or value is default else self._refuse(name, value, expected)

    def _refuse(self, name: str, value: Any, expected: str) -> Any:
        raise CassetteError(f"{self.at(name)}: {shown(value)}: expected {expected}")


def shown(value: Any) -> str:
    """Return a value for an error message, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
