"""Inputs from a table in a file: JSON lines, CSV or Parquet, read row by row whenever a batch wants the next one.

A file is checked from its first line to its last before anything is paid: a mistake in line 9,999 must not show
after 9,998 bills. Each message names the file and the line, never what stands there.
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
    """The rows of a file as inputs of `fal.map`, with their number as `len()`.

    .jsonl (or .ndjson): one JSON object in each line. .csv: the first line names the columns; a cell is text, and
    an empty one is left out; a column that is called `num_images:=` holds JSON, one that is called `image_url@`
    paths of files, which are uploaded. .parquet (`pip install 'fal-async[parquet]'`): null is left out.

    The whole file is read once now, as a check, and again while it is iterated over, in constant memory.

    Args:
        path: the file; its ending says what it is.
        columns: which ones (of JSON lines: members) make the input; default all. Each must be there, and each
            input must have one of them.

    Raises:
        ConfigurationError: it can't be read, has no rows, or a line of it is wrong: the message says which.
    """
    return InputTable(path, columns)


@short_tracebacks
class InputTable:
    """What `read_inputs` gives: an iterable of inputs that knows its length. Each loop reads the file anew."""

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
        from fal_async.batch.tables.parquet_rows import parquet_rows  # the extra is seldom installed

        return parquet_rows
    hint = "; a JSON list becomes JSON lines by: jq -c '.[]'" if ending == ".json" else ""
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
    """JSON lines as they arrive from a pipe. A wrong line is a ConfigurationError when its turn comes.

    It is read in a thread, which a silent pipe holds up and nobody waits for: leave `file` open.
    """
    name, place = "standard input", 0
    rows = arriving_lines(file, name, columns)
    while (row := await abandonable(lambda: next(rows, None))) is not None:
        place += 1
        check_row(row, f"{name}, input {place}", columns)
        yield row
