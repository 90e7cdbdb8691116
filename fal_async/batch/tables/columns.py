"""The columns that are asked for: a wrong name must not make inputs of nothing, which would be paid for as well."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from fal_async.errors import ConfigurationError

_LISTED = 20


def check_columns(where: str, there: Sequence[str], columns: Collection[str] | None) -> None:
    """ConfigurationError where one is wanted that is not there."""
    if missing := next((column for column in columns or () if column not in there), None):
        more = ", ..." if len(there) > _LISTED else ""
        raise ConfigurationError(
            f"{where}: there is no column {missing!r}: expected one of {', '.join(there[:_LISTED])}{more}"
        )


def check_row(row: dict[str, Any], where: str, columns: Collection[str] | None) -> None:
    """ConfigurationError for an input that has none of them."""
    if columns is not None and not row:
        raise ConfigurationError(f"{where}: it has none of {', '.join(map(repr, columns))}")
