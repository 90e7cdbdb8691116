"""Export entries to a file for other programs: JSON lines or CSV."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from fal_async.errors import ConfigurationError, LedgerError
from fal_async.ledger.ledger_entry import LedgerEntry
from fal_async.outputs.json_values import plain

COLUMNS = (
    *("origin", "tenant", "run", "key", "endpoint_id", "state", "request_id", "attempts"),
    *(
        "claimed_at",
        "submitted_at",
        "ended_at",
        "billable_units",
        "cost",
        "files",
        "error",
        "input",
        "output",
    ),
)
"""The columns of both formats, in this order. New columns are added at the end."""
_NESTED = ("files", "error", "input", "output")
"""Columns whose values are lists or dicts."""


class Writer(Protocol):
    """Writes entries to a file in one format."""

    def write(self, entry: LedgerEntry) -> None: ...


class _JsonLines:
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, entry: LedgerEntry) -> None:
        self._file.write(_json(_row(entry)) + "\n")


class _Csv:
    """Writes a list or dict as JSON in its cell."""

    def __init__(self, file: TextIO) -> None:
        self._writer = csv.DictWriter(file, COLUMNS)
        self._writer.writeheader()

    def write(self, entry: LedgerEntry) -> None:
        row = _row(entry)
        for name in _NESTED:
            row[name] = None if row[name] is None else _json(row[name])
        self._writer.writerow(row)


_FORMATS: dict[str, type[_JsonLines] | type[_Csv]] = {".jsonl": _JsonLines, ".csv": _Csv}


def _row(entry: LedgerEntry) -> dict[str, Any]:
    result, error = entry.result, entry.error
    made = {
        "billable_units": _text(entry.billable_units),
        "cost": _text(entry.cost),
        "files": [{"path": file.path, "size": file.size} for file in entry.files],
        "error": None if error is None else error.to_dict(),
        "output": None if result is None else plain(result.data),
    }
    return {name: made[name] if name in made else getattr(entry, name) for name in COLUMNS}


def _text(amount: object) -> str | None:
    return None if amount is None else str(amount)


def _json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))


def check_format(path: str) -> None:
    """Raise ConfigurationError unless the file name has the suffix of a known format."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _FORMATS:
        raise ConfigurationError(
            f"export: expected a file name that ends in {' or '.join(_FORMATS)}, got {path}"
        )


@contextmanager
def exported(path: str) -> Iterator[Writer]:
    """Return a writer of a temporary file, which replaces `path` at the end of the context.

    If the context ends with an error, the temporary file is deleted, and `path` is unchanged. Raises LedgerError if
    the file can't be written.
    """
    try:
        whole = os.path.abspath(path)  # the working directory may change later
        folder, name = os.path.split(whole)
        number, unfinished = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
        try:
            with open(number, "w", encoding="utf-8", newline="") as file:
                yield _FORMATS[os.path.splitext(path)[1].lower()](file)
            os.replace(unfinished, whole)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(unfinished)
            raise
    except OSError as error:
        raise LedgerError(f"the export can't be written ({error.strerror or error}): {path}") from error
