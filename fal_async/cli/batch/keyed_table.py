"""Reads inputs that have their key in a column (`--key-column`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from typing import Any

from fal_async.batch.shown_values import short
from fal_async.batch.tables import InputTable, Row
from fal_async.batch.tables.columns import check_row
from fal_async.errors import ConfigurationError
from fal_async.protocol.ledger.key_checks import check_key


class KeyedRow(Row):
    """An input with its key. The column of the key is sent only if `--columns` contains it."""

    key: str


def key_of(row: KeyedRow) -> str:
    """Return the key of a row. This function is passed to `fal.map` as `key=`."""
    return row.key


class KeyedTable(InputTable):
    """An `InputTable` whose rows are `KeyedRow`s."""

    def __init__(self, path: str, columns: Collection[str] | None, key_column: str) -> None:
        self._sent, self._key_column = columns, key_column
        super().__init__(path, None if columns is None else {*columns, key_column})

    def __iter__(self) -> Iterator[Row]:
        for place, row in enumerate(super().__iter__(), 1):
            yield _keyed(row, self._sent, self._key_column, f"{self._name}, input {place}")


async def keyed_rows(
    rows: AsyncIterator[Row], columns: Collection[str] | None, key_column: str
) -> AsyncIterator[Row]:
    """Yield the inputs that arrive from a pipe as `KeyedRow`s."""
    place = 0
    async for row in rows:
        place += 1
        yield _keyed(row, columns, key_column, f"standard input, input {place}")


def _keyed(row: Row, columns: Collection[str] | None, key_column: str, where: str) -> KeyedRow:
    keyed = KeyedRow(row if columns is None else {name: row[name] for name in row if name in columns})
    check_row(keyed, where, columns)
    keyed.key = _key(row.get(key_column), key_column, where)
    return keyed


def _key(value: Any, key_column: str, where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    try:
        return check_key(value)
    except ConfigurationError as error:
        what = "the value is missing" if value is None else error.message
        raise ConfigurationError(f"{where}: column {short(key_column)!r} can't be the key: {what}") from None
