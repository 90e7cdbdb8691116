"""Reads inputs from a table in a file (JSON lines, CSV or Parquet), row by row as the batch needs them.

The whole file is checked before the first submit, so that a mistake in line 9,999 does not show after 9,998 bills.
Error messages have the name of the file and the number of the line, but never their content.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from typing import Any, BinaryIO

from fal_async.batch.shown_values import short
from fal_async.batch.tables.columns import check_row
from fal_async.batch.tables.csv_rows import csv_rows
from fal_async.batch.tables.json_lines import arriving_lines, json_lines
from fal_async.checks import check_kind
from fal_async.errors import ConfigurationError, short_tracebacks
from fal_async.storage.threads import abandonable

Row = dict[str, Any]
_JSON_LINES, _PARQUET = (".jsonl", ".ndjson"), ".parquet"
_SUFFIXES = ".jsonl, .csv or .parquet"


def read_inputs(path: str | os.PathLike[str], *, columns: Collection[str] | None = None) -> InputTable:
    """Return the rows of a file as inputs for `fal.map`.

    The whole file is read and checked by this call. Each loop over the returned object reads it again, row by row,
    so that even a large file needs little memory. Text must be UTF-8.

    - `.jsonl` or `.ndjson`: each line is a JSON object. Empty lines are skipped.
    - `.csv`: the first line has the names of the columns. The value of a cell is a str; the input has no member for
      an empty cell. Cells of a column named like `num_images:=` are parsed as JSON, and the member is `num_images`.
      Cells of a column named like `image_url@` are paths of files, which are uploaded.
    - `.parquet` (needs `pip install 'fal-async[parquet]'`): the input has no member for a null.

    Args:
        path: the file. Its suffix selects the format.
        columns: names of the columns (for JSON lines: of the members) to send. Each must exist in the file, and
            each row must have a value in at least one of them. None (default): all.

    Returns:
        An iterable of inputs (`dict`). Its `len()` is the number of inputs.

    Raises:
        ConfigurationError: the file can't be read, has another suffix, has no rows, or has an invalid line; the
            message has its number. Or `columns` is invalid.
    """
    return InputTable(path, columns)


@short_tracebacks
class InputTable:
    """The rows of a file, as `read_inputs` returns them: an iterable with a length. Each loop reads the file."""

    def __init__(self, path: str | os.PathLike[str], columns: Collection[str] | None) -> None:
        self._path = os.fspath(path)
        self._read = _reader_of(self._path)
        self._name = short(self._path)
        self._columns = _checked_columns(columns)
        self._length = sum(1 for _ in self)
        if not self._length:
            raise ConfigurationError(f"{self._name} has no inputs: expected at least one row")

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Row]:
        return _rows(self._path, self._read, self._columns)

    def __repr__(self) -> str:
        return f"<InputTable {self._path} {self._length} rows>"


def _checked_columns(columns: object) -> Collection[str] | None:
    if columns is not None and (isinstance(columns, str) or not isinstance(columns, Collection)):
        raise ConfigurationError(
            f"columns={short(repr(columns))}: expected a list of names, such as ['prompt', 'seed'], or None"
        )
    return columns


_Reader = Callable[[BinaryIO, str, Collection[str] | None], Iterator[Row]]


def _reader_of(path: str) -> _Reader:
    check_kind("path", path, kind=str)
    suffix = os.path.splitext(path)[1].lower()
    if suffix in _JSON_LINES:
        return json_lines
    if suffix == ".csv":
        return csv_rows
    if suffix == _PARQUET:
        from fal_async.batch.tables.parquet_rows import parquet_rows  # imported late: few have the extra

        return parquet_rows
    hint = "; to convert a JSON list to JSON lines: jq -c '.[]'" if suffix == ".json" else ""
    raise ConfigurationError(f"{short(path)}: expected a file with the suffix {_SUFFIXES}{hint}")


def _rows(path: str, read: _Reader, columns: Collection[str] | None) -> Iterator[Row]:
    name = short(path)
    try:
        with open(path, "rb") as file:
            for place, row in enumerate(read(file, name, columns), 1):
                check_row(row, f"{name}, input {place}", columns)
                yield row
    except OSError as error:
        raise ConfigurationError(f"{name}: {error.strerror or error}") from error


async def stdin_inputs(file: BinaryIO, *, columns: Collection[str] | None = None) -> AsyncIterator[Row]:
    """Yield the inputs of JSON lines as they arrive from a pipe.

    The pipe is read in a thread. If nothing arrives, that thread stays blocked, even while the process exits.
    Therefore the caller must not close `file`.

    Args:
        file: the pipe, opened for reading bytes.
        columns: see `read_inputs`.

    Raises:
        ConfigurationError: a line is invalid. It is raised when that line is read, after the inputs before it.
    """
    name, place = "standard input", 0
    rows = arriving_lines(file, name, columns)
    while (row := await abandonable(lambda: next(rows, None))) is not None:
        place += 1
        check_row(row, f"{name}, input {place}", columns)
        yield row
