"""The columns that a mapper adds, without Ray and without requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fal_async import DownloadError, Result, ValidationError
from fal_async.batch.item import BatchItem
from fal_async.errors import ConfigurationError, FalError, ResponseDecodeError
from fal_async.integrations.ray.outputs import AddedColumns, check_output
from fal_async.integrations.ray.requests import Answered

pyarrow = pytest.importorskip("pyarrow")
URLS = pyarrow.list_(pyarrow.struct({"url": pyarrow.string()}))
TYPED = AddedColumns(output={"seed": pyarrow.int64(), "images": URLS}, files=None)
JSON = AddedColumns(output="answer", files=None)


def answered(data: Any = None, *, error: FalError | None = None) -> Answered:
    result = None if data is None else Result(data=data, request_id="id-1")
    return Answered(BatchItem(index=0, request_id="id-1", result=result, error=error))


def test_an_output_becomes_json_text_in_the_named_column() -> None:
    row, error = JSON.of_row(answered({"seed": 1, "text": "é"}))
    assert (row, error) == (
        {"answer": '{"seed":1,"text":"\\u00e9"}', "request_id": "id-1", "error": None},
        None,
    )


def test_members_of_an_output_become_typed_columns_with_null_for_a_missing_one() -> None:
    images = [{"url": "https://v3.fal.media/a.png", "width": 4}]
    first, _ = TYPED.of_row(answered({"seed": 7, "images": images, "more": 1}))
    second, error = TYPED.of_row(answered({"images": None}))
    assert error is None
    values, kind = TYPED.typed([first, second])["images"]
    assert kind == URLS
    assert pyarrow.array(values, kind).to_pylist() == [[{"url": "https://v3.fal.media/a.png"}], None]
    assert TYPED.typed([first, second])["seed"] == ([7, None], pyarrow.int64())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"seed": "seven"}, "'seed' of the output does not fit its type in output=, int64"),
        ({"seed": 2**70}, "'seed' of the output does not fit its type in output=, int64"),
        ({"images": [1]}, "'images' of the output does not fit its type in output=, list"),
        (["seed"], "the output is of type list, but output= names members of an object"),
    ],
)
def test_an_output_that_does_not_fit_its_types_is_an_error_of_the_row(data: Any, says: str) -> None:
    row, error = TYPED.of_row(answered(data))
    assert isinstance(error, ResponseDecodeError)
    assert error.message.startswith(says)
    assert row["error"].startswith(f"ResponseDecodeError: {says}")
    assert "request id-1" in row["error"]
    assert (row["seed"], row["images"], row["request_id"]) == (None, None, "id-1")


def test_a_failed_row_has_the_class_and_the_line_of_its_error() -> None:
    failed = ValidationError("body.prompt: too long", status=422, request_id="id-1")
    row, error = JSON.of_row(answered(error=failed))
    assert error is failed
    assert row["answer"] is None
    assert row["error"] == "ValidationError: 422 body.prompt: too long (request id-1)"


def test_a_row_whose_files_are_missing_keeps_its_output_and_the_files_on_disk() -> None:
    by_path = AddedColumns(output="answer", files="paths")
    missing = DownloadError("1 of 2 files is missing")
    result = Result(data={"n": 1}, request_id="id-1")
    item = BatchItem(index=0, result=result, error=missing, files=(Path("/out/a.png"),))
    row, error = by_path.of_row(Answered(item))
    assert error is missing
    assert (row["answer"], row["files"]) == ('{"n":1}', ["/out/a.png"])


def test_files_are_lists_of_paths_or_of_bytes_with_their_arrow_type() -> None:
    result = Result(data={"n": 1}, request_id="id-1")
    item = BatchItem(index=0, result=result, files=(Path("/out/a.png"),))
    for added, found, kind in (
        (AddedColumns(output="output", files="paths"), ["/out/a.png"], pyarrow.string()),
        (AddedColumns(output="output", files="bytes"), [b"a"], pyarrow.binary()),
    ):
        row, _ = added.of_row(Answered(item, [b"a"]))
        assert added.typed([row])["files"] == ([found], pyarrow.list_(kind))


@pytest.mark.parametrize(
    ("added", "existing", "column"),
    [
        (AddedColumns(output="error", files=None), [], "'error'"),
        (AddedColumns(output="files", files="paths"), [], "'files'"),
        (JSON, ["id", "answer"], "'answer'"),
        (TYPED, ["seed"], "'seed'"),
        (JSON, ["request_id"], "'request_id'"),
    ],
)
def test_a_column_that_would_exist_twice_is_refused(
    added: AddedColumns, existing: list[str], column: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"column {column} would exist twice: rename or drop it"):
        added.check(existing)


@pytest.mark.parametrize("output", ["", None, {}, {"seed": "int64"}, {1: pyarrow.int64()}])
def test_an_output_that_names_no_column_is_refused_with_an_example(output: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"\{'seed': pyarrow.int64\(\)\}"):
        check_output(output)
