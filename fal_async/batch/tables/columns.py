"""Checks the columns to send. Without this check a mistyped name would send empty inputs, which are billed, too."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from fal_async.batch.shown_values import short
from fal_async.errors import ConfigurationError

_LISTED = 20
"""Maximum number of names in a message."""


def check_columns(where: str, existing: Sequence[str], columns: Collection[str] | None) -> None:
    """Raise ConfigurationError if `columns` has a name that is not among the existing ones."""
    if missing := next((column for column in columns or () if column not in existing), None):
        more = ", ..." if len(existing) > _LISTED else ""
        raise ConfigurationError(
            f"{where}: no column {short(missing)!r}: expected one of {', '.join(existing[:_LISTED])}{more}"
        )


def check_row(row: dict[str, Any], where: str, columns: Collection[str] | None) -> None:
    """Raise ConfigurationError if the input has none of the columns."""
    if columns is not None and not row:
        raise ConfigurationError(f"{where}: expected at least one of {', '.join(map(repr, columns))}")
