"""Reads CSV. The first line has the names of the columns; cells are strings, JSON, or paths of files."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from fal_async.batch.shown_values import short
from fal_async.batch.tables.columns import check_columns
from fal_async.batch.tables.json_lines import json_of, text_lines, wrong

_JSON, _FILE = ":=", "@"


@attrs.frozen
class _Column:
    """A column, as its name in the first line declares it.

    Cells of `prompt` are strings, those of `num_images:=` JSON, and those of `image_url@` paths of files.
    """

    name: str
    kind: str

    @classmethod
    def of(cls, head: str) -> _Column:
        kind = next((kind for kind in (_JSON, _FILE) if head.endswith(kind)), "")
        return cls(head.removesuffix(kind).strip(), kind)

    def value(self, cell: str, name: str, line: int) -> Any:
        if self.kind == _JSON:
            return json_of(cell, name, line, f"column {short(self.name)!r} is not JSON")
        if self.kind == _FILE:
            path = Path(cell).expanduser()
            if not path.is_file():
                wrong(name, line, f"column {short(self.name)!r}: no such file")
            return path
        return cell


def csv_rows(file: BinaryIO, name: str, columns: Collection[str] | None) -> Iterator[dict[str, Any]]:
    """Yield the rows, without empty cells. Raises ConfigurationError with the number of an invalid line."""
    # strict, because otherwise a quote that is never closed turns the rest of the file into one cell.
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
    """Yield the rows that are not empty. Spreadsheets write lines with commas only."""
    try:
        yield from filter(any, reader)
    except csv.Error as error:
        wrong(name, reader.line_num, f"not CSV: {error}")


def _heads(header: Sequence[str], name: str, columns: Collection[str] | None) -> list[_Column | None]:
    """Return the columns; None in place of a column that is not sent."""
    if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), None)):
        wrong(
            name,
            1,
            f"the columns are separated by {other!r}: expected commas; save the file as CSV with commas",
        )
    heads = [_Column.of(head) for head in header]
    names = [head.name for head in heads]
    if "" in names:
        wrong(name, 1, f"column {names.index('') + 1} has no name: name it, or remove it")
    if twice := next((each for each in names if names.count(each) > 1), None):
        wrong(name, 1, f"two columns are named {short(twice)!r}: rename or remove one")
    check_columns(f"{name}, line 1", names, columns)
    return [head if columns is None or head.name in columns else None for head in heads]
