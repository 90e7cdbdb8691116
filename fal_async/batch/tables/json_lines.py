"""Reads JSON lines: UTF-8 text with a JSON object in each line."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO, NoReturn

from fal_async.batch.tables.columns import check_columns
from fal_async.errors import ConfigurationError

LONGEST = 64 * 1024 * 1024
"""Maximum size of one line in bytes, so that a file without line ends is not read into memory as a whole."""
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def json_lines(file: BinaryIO, name: str, columns: Collection[str] | None) -> Iterator[dict[str, Any]]:
    """Yield the objects, without empty lines.

    Raises ConfigurationError for an invalid line, and at the end for a column that no line has.
    """
    seen: set[str] = set()
    for row in arriving_lines(file, name, columns):
        seen.update(row)
        yield row
    check_columns(name, sorted(seen), columns)


def arriving_lines(file: BinaryIO, name: str, columns: Collection[str] | None) -> Iterator[dict[str, Any]]:
    """Yield the objects one by one, before the last line has arrived. Columns that no line has are not reported."""
    for number, line in text_lines(file, name):
        if not line.isspace():
            row = _object(line, name, number)
            yield row if columns is None else {key: row[key] for key in row if key in columns}


def text_lines(file: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """Yield each line with its number, from 1. The byte order mark that spreadsheets write is removed."""
    number = 0
    while line := file.readline(LONGEST + 1):
        number += 1
        if number == 1:
            if line.startswith(_UTF16_MARKS):
                wrong(name, number, "this is UTF-16: save the file as UTF-8")
            line = line.removeprefix(_UTF8_MARK)
        if len(line) > LONGEST:
            wrong(name, number, f"the line is longer than {LONGEST} bytes: put each input on its own line")
        try:
            yield number, line.decode()
        except UnicodeDecodeError as error:
            wrong(name, number, f"byte {error.start + 1} is not UTF-8: save the file as UTF-8")


def _object(line: str, name: str, number: int) -> dict[str, Any]:
    value = json_of(line, name, number)
    if not isinstance(value, dict):
        wrong(name, number, 'expected a JSON object, such as {"prompt": "a cat"}, in each line')
    return value


def json_of(text: str, name: str, number: int, what: str = "not JSON") -> Any:
    """Parse strict JSON, without NaN and infinities. `what` is the beginning of the error message."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        wrong(name, number, f"{what}: {error.msg}, column {error.colno}")
    except (ValueError, RecursionError) as error:  # NaN, a number with thousands of digits, or too deep
        wrong(name, number, f"{what}: {error}")


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not allowed in JSON")


def wrong(name: str, number: int, what: str) -> NoReturn:
    """Raise ConfigurationError for a line. The message does not have its content, which may be secret, or long."""
    raise ConfigurationError(f"{name}, line {number}: {what}")
