"""Inputs from a table in a file (JSON lines, CSV or Parquet), read row by row as the batch asks for them.

The whole file is checked before anything is paid: a mistake in line 9,999 must not show after 9,998 bills. Each
message names the file and the line, but never their content.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from typing import Any, BinaryIO

from fal_async.batch.tables.columns import check_row
from fal_async.batch.tables.csv_rows import csv_rows
from fal_async.batch.tables.json_lines import arriving_lines, json_lines
from fal_async.checks import check_kind
from fal_async.errors import ConfigurationError, short_tracebacks
from fal_async.storage.threads import abandonable

Row = dict[str, Any]
_JSON_LINES, _PARQUET = (".jsonl", ".ndjson"), ".parquet"
_ENDINGS = ".jsonl, .csv or .parquet"


def read_inputs(path: str | os.PathLike[str], *, columns: Collection[str] | None = None) -> InputTable:
    """Return the rows of a file as inputs for `fal.map`.

    The file is read once now, as a check, and again by each loop over it, in constant memory. Text is UTF-8.

    - `.jsonl` or `.ndjson`: each line is a JSON object. Empty lines are skipped.
    - `.csv`: the first line names the columns. A cell is a str; an empty one is left out of the input. A column
      named `num_images:=` holds JSON; one named `image_url@` holds paths of files, which are uploaded.
    - `.parquet` (`pip install 'fal-async[parquet]'`): a null is left out of the input.

    Args:
        path: the file; its ending tells the format.
        columns: names of the columns (for JSON lines: the members) that make the input; default: all. Each must
            exist, and each input must have at least one of them.

    Returns:
        An iterable of inputs whose `len()` is their number.

    Raises:
        ConfigurationError: the file can't be read, has another ending, has no rows, or has a wrong line, which the
            message names.
    """
    return InputTable(path, columns)


@short_tracebacks
class InputTable:
    """What `read_inputs` returns: an iterable of inputs that has a length. Each loop reads the file anew."""

    def __init__(self, path: str | os.PathLike[str], columns: Collection[str] | None) -> None:
        self._name = os.fspath(path)
        self._read = _reader_of(self._name)
        self._columns = _checked_columns(columns)
        self._length = sum(1 for _ in self)
        if not self._length:
            raise ConfigurationError(f"{self._name} has no inputs: it is empty")

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Row]:
        return _rows(self._name, self._read, self._columns)

    def __repr__(self) -> str:
        return f"<InputTable {self._name} {self._length} rows>"


def _checked_columns(columns: object) -> Collection[str] | None:
    if columns is not None and (isinstance(columns, str) or not isinstance(columns, Collection)):
        raise ConfigurationError(f"columns={columns!r}: expected a list of names, or None")
    return columns


_Reader = Callable[[BinaryIO, str, Collection[str] | None], Iterator[Row]]


def _reader_of(name: str) -> _Reader:
    check_kind("path", name, kind=str)
    ending = os.path.splitext(name)[1].lower()
    if ending in _JSON_LINES:
        return json_lines
    if ending == ".csv":
        return csv_rows
    if ending == _PARQUET:
        from fal_async.batch.tables.parquet_rows import parquet_rows  # imported late: few have the extra

        return parquet_rows
    hint = "; to make JSON lines of a JSON list: jq -c '.[]'" if ending == ".json" else ""
    raise ConfigurationError(f"{name}: expected a file that ends in {_ENDINGS}{hint}")


def _rows(name: str, read: _Reader, columns: Collection[str] | None) -> Iterator[Row]:
    try:
        with open(name, "rb") as file:
            for place, row in enumerate(read(file, name, columns), 1):
                check_row(row, f"{name}, input {place}", columns)
                yield row
    except OSError as error:
        raise ConfigurationError(f"{name}: {error.strerror or error}") from error


async def stdin_inputs(file: BinaryIO, *, columns: Collection[str] | None = None) -> AsyncIterator[Row]:
    """Yield the inputs of JSON lines as they arrive from a pipe.

    The pipe is read in a thread. A silent pipe can block that thread for ever, and the process does not wait for it
    at its end: so the caller must leave `file` open.

    Args:
        file: the pipe, opened for reading bytes.
        columns: as of `read_inputs`.

    Raises:
        ConfigurationError: a line is wrong; raised when its turn comes.
    """
    name, place = "standard input", 0
    rows = arriving_lines(file, name, columns)
    while (row := await abandonable(lambda: next(rows, None))) is not None:
        place += 1
        check_row(row, f"{name}, input {place}", columns)
        yield row
