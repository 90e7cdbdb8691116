"""Converts the batches of Ray Data to rows of Python values, and adds columns of Arrow types to them.

A batch is a dict of arrays (`batch_format="numpy"`), a pandas DataFrame, or a pyarrow Table. They are recognised
without importing these packages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fal_async.errors import ConfigurationError

Row = dict[str, Any]


def pyarrow() -> Any:
    """Return the module pyarrow. Raises ConfigurationError if it is not installed."""
    try:
        import pyarrow
    except ImportError as error:
        raise ConfigurationError("FalMapper needs pyarrow: pip install 'fal-async[ray]'") from error
    return pyarrow


def names_of(batch: Any) -> list[str]:
    """Return the names of the columns. Raises ConfigurationError if it is not a batch."""
    if isinstance(batch, Mapping):
        if not all(_is_column(values) for values in batch.values()):
            raise ConfigurationError(
                "use map_batches, and not map: a FalMapper is called with batches of rows"
            )
        return list(batch)
    if _is_table(batch):
        return list(batch.column_names)
    if _is_frame(batch):
        return list(batch.columns)
    raise ConfigurationError(
        f"a batch is of type {type(batch).__name__}: expected batch_format='numpy', 'pandas' or 'pyarrow'"
    )


def rows_of(batch: Any) -> list[Row]:
    """Return the rows as dicts of Python values, equal for each format of the batch.

    Nulls and NaN are None. Arrays with one dimension are lists, those with more are numpy arrays. Raises
    ConfigurationError if it is not a batch.
    """
    names = names_of(batch)
    if _is_table(batch):
        return [{name: _plain(value) for name, value in row.items()} for row in batch.to_pylist()]
    columns = [[_plain(value) for value in batch[name]] for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def with_columns(batch: Any, columns: Mapping[str, tuple[Sequence[Any], Any]]) -> Any:
    """Return a batch of the same format with further columns, each of which has its values and its Arrow type.

    The type is given because a column without values would get Arrow's type null, which does not fit the columns of
    other batches.
    """
    arrow = pyarrow()
    arrays = {name: arrow.array(values, kind) for name, (values, kind) in columns.items()}
    if _is_table(batch):
        for name, array in arrays.items():
            batch = batch.append_column(name, array)
        return batch
    if _is_frame(batch):
        return batch.assign(**{name: _series(array, batch.index) for name, array in arrays.items()})
    return {**batch, **arrays}


def nested_lists(value: Any) -> Any:
    """Return the value with each array in it as nested lists."""
    if isinstance(value, dict):
        return {name: nested_lists(item) for name, item in value.items()}
    if isinstance(value, list):
        return [nested_lists(item) for item in value]
    return nested_lists(value.tolist()) if _is_array(value) else value


def _series(array: Any, index: Any) -> Any:
    import pandas

    return pandas.Series(pandas.array(array, dtype=pandas.ArrowDtype(array.type)), index=index)


def _is_column(values: Any) -> bool:
    return hasattr(values, "__len__") and not isinstance(values, str | bytes | Mapping)


def _is_table(batch: Any) -> bool:
    return hasattr(batch, "to_pylist") and hasattr(batch, "column_names")


def _is_frame(batch: Any) -> bool:
    return hasattr(batch, "columns") and hasattr(batch, "iloc")


def _is_array(value: Any) -> bool:
    return hasattr(value, "ndim") and hasattr(value, "tolist")


def _plain(value: Any) -> Any:
    """Return a value of a batch as a Python value."""
    if isinstance(value, str | bytes | bool) or value is None:
        return value
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "as_py"):  # a scalar of Arrow
        return _plain(value.as_py())
    if _is_array(value):
        return _plain_array(value)
    return None if _is_missing(value) else value


def _plain_array(value: Any) -> Any:
    """Return an array, or a numpy scalar, which has no dimension."""
    if value.ndim > 1:
        return value
    if value.ndim == 1:
        return [_plain(item) for item in value]
    if value.dtype.kind == "M":  # otherwise a time in nanoseconds would become an int
        value = value.astype("datetime64[us]")
    return _plain(value.item())


def _is_missing(value: Any) -> bool:
    """Return whether it is NaN, or the NA or NaT of pandas."""
    if isinstance(value, float):
        return math.isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")
