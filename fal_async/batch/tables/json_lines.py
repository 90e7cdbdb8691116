"""JSON lines: each line is a JSON object, in UTF-8."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO, NoReturn

from fal_async.batch.tables.columns import check_columns
from fal_async.errors import ConfigurationError

LONGEST = 64 * 1024 * 1024
"""Bytes of one line: a file without line ends must not be read into memory as a whole."""
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def json_lines(file: BinaryIO, name: str, columns: Collection[str] | None) -> Iterator[dict[str, Any]]:
    """Yield the objects; empty lines are skipped.

    Raises ConfigurationError for a wrong line, and at the end for a column that no line has.
    """
    seen: set[str] = set()
    for row in arriving_lines(file, name, columns):
        seen.update(row)
        yield row
    check_columns(name, sorted(seen), columns)


def arriving_lines(file: BinaryIO, name: str, columns: Collection[str] | None) -> Iterator[dict[str, Any]]:
    """Yield the objects of lines that are used before the last one arrives. A column may be in none of them."""
    for number, line in text_lines(file, name):
        if not line.isspace():
            row = _object(line, name, number)
            yield row if columns is None else {key: row[key] for key in row if key in columns}


def text_lines(file: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """Yield each line with its number, from 1. The byte order mark that spreadsheets write is left out."""
    number = 0
    while line := file.readline(LONGEST + 1):
        number += 1
        if number == 1:
            if line.startswith(_UTF16_MARKS):
                wrong(name, number, "this is UTF-16: save the file as UTF-8")
            line = line.removeprefix(_UTF8_MARK)
        if len(line) > LONGEST:
            wrong(name, number, f"the line is longer than {LONGEST} bytes")
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
    """Parse strict JSON, without NaN and infinities. `what`: how the message of an error begins."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        wrong(name, number, f"{what}: {error.msg}, column {error.colno}")
    except (ValueError, RecursionError) as error:  # NaN, a number with thousands of digits, or too deep
        wrong(name, number, f"{what}: {error}")


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not allowed in JSON")


def wrong(name: str, number: int, what: str) -> NoReturn:
    """Raise ConfigurationError for a line. Its content is not shown: it may be secret, or long."""
    raise ConfigurationError(f"{name}, line {number}: {what}")
