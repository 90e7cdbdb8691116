"""CSV: the header names the columns; cells are strings, except in columns marked as JSON or files."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from fal_async.batch.tables.columns import check_columns
from fal_async.batch.tables.json_lines import json_of, text_lines, wrong

_JSON, _FILE = ":=", "@"


@attrs.frozen
class _Column:
    """A column: `prompt` holds strings, `num_images:=` JSON, `image_url@` paths of files."""

    name: str
    kind: str

    @classmethod
    def of(cls, head: str) -> _Column:
        kind = next((kind for kind in (_JSON, _FILE) if head.endswith(kind)), "")
        return cls(head.removesuffix(kind).strip(), kind)

    def value(self, cell: str, name: str, line: int) -> Any:
        if self.kind == _JSON:
            return json_of(cell, name, line, f"column {self.name!r} is not JSON")
        if self.kind == _FILE:
            path = Path(cell).expanduser()
            if not path.is_file():
                wrong(name, line, f"column {self.name!r}: no such file")
            return path
        return cell


def csv_rows(file: BinaryIO, name: str, columns: Collection[str] | None) -> Iterator[dict[str, Any]]:
    """Yield the rows; an empty cell is left out of its row. Raises ConfigurationError that names the wrong line."""
    # strict: otherwise a quote that is never closed makes one cell of the rest of the file.
    reader = csv.reader((line for _, line in text_lines(file, name)), strict=True)
    rows = _checked(reader, name)
    header = next(rows, None)
    if header is None:
        return
    heads = _heads(header, name, columns)
    for cells in rows:
        line = reader.line_num
        if len(cells) != len(heads):
            wrong(name, line, f"{len(cells)} cells, but the header has {len(heads)}")
        pairs = zip(heads, cells, strict=True)
        yield {head.name: head.value(cell, name, line) for head, cell in pairs if cell and head}


def _checked(reader: Any, name: str) -> Iterator[list[str]]:
    """Yield the rows that are not empty: spreadsheets write lines that have only commas."""
    try:
        yield from filter(any, reader)
    except csv.Error as error:
        wrong(name, reader.line_num, f"not CSV: {error}")


def _heads(header: Sequence[str], name: str, columns: Collection[str] | None) -> list[_Column | None]:
    """Return the columns; None for one that is not to be sent."""
    if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), None)):
        wrong(name, 1, f"the columns are separated by {other!r}: expected commas")
    heads = [_Column.of(head) for head in header]
    names = [head.name for head in heads]
    if "" in names:
        wrong(name, 1, f"column {names.index('') + 1} has no name")
    if twice := next((each for each in names if names.count(each) > 1), None):
        wrong(name, 1, f"two columns are called {twice!r}")
    check_columns(f"{name}, line 1", names, columns)
    return [head if columns is None or head.name in columns else None for head in heads]
