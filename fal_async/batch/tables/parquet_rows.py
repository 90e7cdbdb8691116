"""Reads Parquet with pyarrow: a few rows at a time, and only the columns to send."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

from fal_async.batch.shown_values import short
from fal_async.batch.tables.columns import check_columns
from fal_async.errors import ConfigurationError, one_line

_ROWS = 256
"""Number of rows that are read at a time."""


def parquet_rows(file: BinaryIO, name: str, columns: Collection[str] | None) -> Iterator[dict[str, Any]]:
    """Yield the rows, without nulls.

    Raises:
        ConfigurationError: pyarrow is not installed, the file is not Parquet, or a column is missing or has a type
            that JSON can't carry; raised before the first row.
    """
    arrow = _pyarrow(name)
    try:
        with arrow.parquet.ParquetFile(file, pre_buffer=False) as parquet:
            wanted = _columns(arrow, parquet.schema_arrow, name, columns)
            # pyarrow's threads would still run after the batch has ended.
            for batch in parquet.iter_batches(batch_size=_ROWS, columns=wanted, use_threads=False):
                for row in batch.to_pylist():
                    yield {key: value for key, value in row.items() if value is not None}
    except arrow.ArrowException as error:
        raise ConfigurationError(f"{name}: expected a valid Parquet file: {one_line(error)}") from error


def _pyarrow(name: str) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigurationError(f"{name} needs pyarrow: pip install 'fal-async[parquet]'") from error
    return pyarrow


def _columns(arrow: Any, schema: Any, name: str, columns: Collection[str] | None) -> list[str]:
    check_columns(name, schema.names, columns)
    wanted = [column for column in schema.names if columns is None or column in columns]
    for column in wanted:
        kind = schema.field(column).type
        if not _has_json(arrow.types, kind):
            raise ConfigurationError(
                f"{name}: JSON can't carry column {short(column)!r}: omit it with columns= (its type is {kind})"
            )
    return wanted


def _has_json(types: Any, kind: Any) -> bool:
    """Return whether JSON can carry values of this Arrow type."""
    if types.is_struct(kind):
        return all(_has_json(types, field.type) for field in kind.fields)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _has_json(types, kind.value_type)
    if types.is_dictionary(kind):  # a categorical column
        return _has_json(types, kind.value_type)
    checks = (types.is_string, types.is_large_string, types.is_integer, types.is_floating)
    return any(check(kind) for check in (*checks, types.is_boolean, types.is_null))
