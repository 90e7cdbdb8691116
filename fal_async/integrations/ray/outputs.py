"""Makes the columns that a mapper adds to a batch. Pure functions and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from fal_async.batch.shown_values import short
from fal_async.errors import ConfigurationError, FalError, ResponseDecodeError, one_line
from fal_async.integrations.ray.requests import Answered
from fal_async.integrations.ray.row_batches import pyarrow
from fal_async.outputs.json_values import json_text

Output = str | Mapping[str, Any]
FilesAs = Literal["paths", "bytes"] | None


def check_output(output: object) -> None:
    """Raise ConfigurationError unless it is the name of a column, or a mapping of names to Arrow types."""
    if isinstance(output, Mapping) and output:
        kind = pyarrow().DataType
        for name, type_of in output.items():
            if not (isinstance(name, str) and isinstance(type_of, kind)):
                raise ConfigurationError(
                    "output=: expected Arrow types by the names of columns, such as {'seed': pyarrow.int64()}; "
                    f"{short(repr(name))} has a value of type {type(type_of).__name__}"
                )
    elif not (isinstance(output, str) and output):
        raise ConfigurationError(
            f"output is of type {type(output).__name__}: expected the name of a column, or Arrow types by the "
            "names of columns, such as {'seed': pyarrow.int64()}"
        )


@attrs.frozen(kw_only=True)
class AddedColumns:
    """The columns that a mapper adds.

    Attributes:
        output: the name of the column with the output as JSON text; or the Arrow types of the columns with members
            of the output, by their names.
        files: whether there is a column "files": "paths", "bytes", or None without one.
    """

    output: Output
    files: FilesAs

    @property
    def names(self) -> list[str]:
        """The names of all columns that are added."""
        outputs = [self.output] if isinstance(self.output, str) else list(self.output)
        return [*outputs, "request_id", "error", *(() if self.files is None else ("files",))]

    def check(self, existing: Sequence[str]) -> None:
        """Raise ConfigurationError if one of the names exists twice, or is that of an existing column."""
        names = self.names
        twice = next((name for name in names if names.count(name) > 1 or name in existing), None)
        if twice is not None:
            raise ConfigurationError(
                f"column {short(twice)!r} would exist twice: rename or drop it before, or pass another output=; "
                f"added are {', '.join(names)}"
            )

    def of_row(self, answered: Answered) -> tuple[dict[str, Any], FalError | None]:
        """Return the values of one row, and the error of its item, or of an output that does not fit the types."""
        item, row = answered.item, dict[str, Any].fromkeys(self.names)
        error = item.error
        if item.result is not None:
            try:
                row |= self._outputs(item.result.data)
            except ResponseDecodeError as unfit:
                error = error or unfit
            if self.files == "paths":
                row["files"] = [str(path) for path in item.files]
        if self.files == "bytes":
            row["files"] = answered.files
        row["request_id"] = item.request_id
        if error is not None:
            error.request_id = error.request_id or item.request_id
            row["error"] = f"{type(error).__name__}: {error}"
        return row, error

    def typed(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[Any], Any]]:
        """Return the values of each column, with its Arrow type."""
        arrow = pyarrow()
        text = arrow.string()
        outputs = {self.output: text} if isinstance(self.output, str) else self.output
        kinds = {**outputs, "request_id": text, "error": text}
        if self.files is not None:
            kinds["files"] = arrow.list_(text if self.files == "paths" else arrow.binary())
        return {name: ([row[name] for row in rows], kind) for name, kind in kinds.items()}

    def _outputs(self, data: Any) -> dict[str, Any]:
        if isinstance(self.output, str):
            return {self.output: json_text(data)}
        if not isinstance(data, Mapping):
            raise ResponseDecodeError(
                f"the output is of type {type(data).__name__}, but output= names members of an object"
            )
        return {name: _fitting(name, data.get(name), kind) for name, kind in self.output.items()}


def _fitting(name: str, value: Any, kind: Any) -> Any:
    arrow = pyarrow()
    try:
        arrow.array([value], kind)
    except (arrow.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise ResponseDecodeError(
            f"{short(name)!r} of the output does not fit its type in output=, {kind}: {one_line(error, 80)}"
        ) from error
    return value
