"""Problems that pydantic or msgspec found, as errors in which cattrs can find the places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MISSING = "required field missing"
Place = tuple[str | int, ...]
"""The names and indexes that lead to a value, such as `("images", 0, "url")`."""


def placed_error(problems: Sequence[tuple[Place, Exception]], into: Any) -> Exception:
    """Return one error for all problems, each with its place. There must be at least one."""
    if len(problems) == 1 and not problems[0][0]:
        return problems[0][1]
    return _group([_at(place, error) for place, error in problems], into)


def _at(place: Place, error: Exception) -> Exception:
    """Return an error with a note for the first part of the place, around errors for the further parts."""
    for number, part in enumerate(reversed(place)):
        error = error if number == 0 else _group([error], Any)
        error.add_note(_note(part))
    return error


def _note(part: str | int) -> Any:
    from cattrs.errors import AttributeValidationNote, IterableValidationNote

    return (
        IterableValidationNote("", part, Any)
        if isinstance(part, int)
        else AttributeValidationNote("", part, Any)
    )


def _group(errors: list[Exception], into: Any) -> Exception:
    from cattrs.errors import ClassValidationError, IterableValidationError, IterableValidationNote

    notes = [note for error in errors for note in getattr(error, "__notes__", ())]
    in_array = any(isinstance(note, IterableValidationNote) for note in notes)
    return (IterableValidationError if in_array else ClassValidationError)("", errors, into)
