"""A value of a document with its place in it, so that an error names both."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

_BARE = re.compile(r"[A-Za-z0-9_-]+")


class DocumentError(ValueError):
    """A document of endpoints is wrong. The message names the place, the value and what was expected."""


@attrs.frozen
class Placed:
    """A value and its place.

    Attributes:
        value: the value.
        place: where it is: `models.toml: endpoints."me/poet".seconds`.
    """

    value: Any
    place: str

    def wrong(self, expected: str) -> DocumentError:
        """Return the error for this value."""
        return DocumentError(f"{self.place}: {expected}, but it is {_shown(self.value)}")

    def table(self, known: Iterable[str] | None = None) -> Mapping[str, Placed]:
        """Return the members of a table, each with its place. `known`: its keys; None: any keys.

        Raises:
            DocumentError: If it is not a table, or has another key.
        """
        if not isinstance(self.value, dict):
            raise self.wrong("expected a table")
        names = None if known is None else tuple(known)
        for key in self.value:
            if names is not None and key not in names:
                close = difflib.get_close_matches(key, names, n=1)
                hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(names)}"
                raise DocumentError(f"{self.place}: unknown key {_shown(key)}: {hint}")
        return {key: Placed(value, f"{self.place}.{_key(key)}") for key, value in self.value.items()}

    def items(self) -> Iterator[Placed]:
        """Yield the items of a list, each with its place. Raises DocumentError if it is not a list."""
        if not isinstance(self.value, list):
            raise self.wrong("expected a list")
        return (Placed(value, f"{self.place}[{at}]") for at, value in enumerate(self.value))

    def text(self) -> str:
        """Return a `str`. Raises DocumentError for another value."""
        if not isinstance(self.value, str):
            raise self.wrong("expected a str")
        return self.value

    def number(self, *, least: float = 0) -> float:
        """Return a number. Raises DocumentError for another value, or one below `least`."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not self.value >= least:
            raise self.wrong(f"expected a number >= {least:g}")
        return self.value

    def whole(self, *, least: int = 0, most: int | None = None) -> int:
        """Return an `int`. Raises DocumentError for another value, or one that is out of range."""
        fits = isinstance(self.value, int) and not isinstance(self.value, bool) and self.value >= least
        if not fits or (most is not None and self.value > most):
            raise self.wrong(
                f"expected an integer {f'>= {least}' if most is None else f'from {least} to {most}'}"
            )
        return int(self.value)

    def truth(self) -> bool:
        """Return a `bool`. Raises DocumentError for another value."""
        if not isinstance(self.value, bool):
            raise self.wrong("expected true or false")
        return self.value


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else f'"{key}"'


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
