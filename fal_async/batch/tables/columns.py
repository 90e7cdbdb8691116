"""Checks the columns to send: a wrong name must not make empty inputs, which would be paid for, too."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from fal_async.errors import ConfigurationError

_LISTED = 20


def check_columns(where: str, there: Sequence[str], columns: Collection[str] | None) -> None:
    """Raise ConfigurationError if `columns` has a name that is not among those `there`."""
    if missing := next((column for column in columns or () if column not in there), None):
        more = ", ..." if len(there) > _LISTED else ""
        raise ConfigurationError(
            f"{where}: no column {missing!r}: expected one of {', '.join(there[:_LISTED])}{more}"
        )


def check_row(row: dict[str, Any], where: str, columns: Collection[str] | None) -> None:
    """Raise ConfigurationError if the input has none of the columns."""
    if columns is not None and not row:
        raise ConfigurationError(f"{where}: expected at least one of {', '.join(map(repr, columns))}")
