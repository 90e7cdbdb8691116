"""The batches of Ray Data as rows, and their new columns, without Ray."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.errors import ConfigurationError
from fal_async.integrations.ray.row_batches import names_of, nested_lists, rows_of, with_columns

for package in ("numpy", "pandas", "pyarrow"):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed", allow_module_level=True)


class _Package:
    """A package that is imported when a test uses it, since each worker of pytest imports every file of tests."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)


numpy, pandas, pyarrow = map(_Package, ("numpy", "pandas", "pyarrow"))
FORMATS = ("numpy", "pandas", "pyarrow")

_INTS = st.integers(-(2**53), 2**53)
_KINDS = [
    st.text(st.characters(codec="utf-8"), max_size=5),
    _INTS,
    st.floats(allow_nan=False),
    st.booleans(),
    st.binary(max_size=5),
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)),
    st.lists(_INTS, min_size=1, max_size=3),
    st.fixed_dictionaries({"a": st.text("ab"), "b": st.lists(st.booleans(), min_size=1, max_size=2)}),
]


@st.composite
def columns(draw: st.DrawFn) -> dict[str, list[Any]]:
    """A few columns of equal length, each with values of one kind."""
    length = draw(st.integers(1, 4))
    return {
        f"column {number}": draw(st.lists(kind, min_size=length, max_size=length))
        for number, kind in enumerate(draw(st.lists(st.sampled_from(_KINDS), min_size=1, max_size=4)))
    }


def as_array(values: list[Any]) -> Any:
    """The array that Ray makes of a column: of objects, if its values have no type of numpy."""
    if isinstance(values[0], bool | int | float | datetime):
        return numpy.array(values)
    array = numpy.empty(len(values), object)
    array[:] = [numpy.array(value) if isinstance(value, list) else value for value in values]
    return array


def batch_of(batch_format: str, given: dict[str, list[Any]]) -> Any:
    if batch_format == "numpy":
        return {name: as_array(values) for name, values in given.items()}
    table = pyarrow.table({name: pyarrow.array(values) for name, values in given.items()})
    return table if batch_format == "pyarrow" else table.to_pandas(types_mapper=pandas.ArrowDtype)


@given(columns())
def test_rows_have_the_same_python_values_in_each_batch_format(given: dict[str, list[Any]]) -> None:
    expected = [dict(zip(given, values, strict=True)) for values in zip(*given.values(), strict=True)]
    for batch_format in FORMATS:
        batch = batch_of(batch_format, given)
        rows = rows_of(batch)
        assert rows == expected
        assert names_of(batch) == list(given)
        assert types_in(rows) == types_in(expected)


def types_in(value: Any) -> Any:
    """The types of all values; each kind of time counts as one, because pandas has its own class."""
    if isinstance(value, dict):
        return {name: types_in(item) for name, item in value.items()}
    if isinstance(value, list):
        return [types_in(item) for item in value]
    return datetime if isinstance(value, datetime) else type(value)


@pytest.mark.parametrize("batch_format", FORMATS)
def test_missing_values_are_none_in_each_batch_format(batch_format: str) -> None:
    given: dict[str, list[Any]] = {
        "text": ["a", None],
        "number": [1.5, None],
        "time": [datetime(2026, 1, 1), None],
    }
    if batch_format == "numpy":
        nothing = numpy.datetime64("NaT")
        batch: Any = {
            "text": numpy.array(given["text"], object),
            "number": numpy.array([1.5, math.nan]),
            "time": numpy.array([numpy.datetime64("2026-01-01T00:00:00.000000000"), nothing]),
        }
    else:
        batch = batch_of(batch_format, given)
    assert rows_of(batch) == [
        {"text": "a", "number": 1.5, "time": datetime(2026, 1, 1)},
        {"text": None, "number": None, "time": None},
    ]


def test_missing_values_of_a_dataframe_with_types_of_numpy_are_none() -> None:
    frame = pandas.DataFrame({"text": ["a", None], "at": [pandas.Timestamp("2026-01-01"), pandas.NaT]})
    assert rows_of(frame)[1] == {"text": None, "at": None}


def test_arrays_with_several_dimensions_stay_arrays_until_they_become_nested_lists() -> None:
    pictures = numpy.arange(8, dtype=numpy.uint8).reshape(2, 2, 2)
    first, second = rows_of({"picture": pictures, "amount": numpy.array([Decimal("1.5"), Decimal(2)])})
    assert first["picture"].shape == (2, 2)
    assert nested_lists(second) == {"picture": [[4, 5], [6, 7]], "amount": Decimal(2)}


@pytest.mark.parametrize("batch_format", FORMATS)
@pytest.mark.parametrize("values", [["text", None], [None, None]], ids=["one is null", "all are null"])
def test_added_columns_have_their_arrow_type_even_if_all_values_are_null(
    batch_format: str, values: list[str | None]
) -> None:
    given = {"id": ["a", "b"]}
    if batch_format == "pandas":  # with an index of its own
        batch = batch_of(batch_format, given).set_index(pandas.Index([7, 9]))
    else:
        batch = batch_of(batch_format, given)
    parts = [[b"1", b"2"], None]
    added = with_columns(
        batch, {"error": (values, pyarrow.string()), "files": (parts, pyarrow.list_(pyarrow.binary()))}
    )
    assert type(added) is type(batch)
    assert names_of(batch) == ["id"]
    assert rows_of(added) == [
        {"id": "a", "error": values[0], "files": [b"1", b"2"]},
        {"id": "b", "error": values[1], "files": None},
    ]
    arrow = {"pandas": lambda: added["error"].dtype.pyarrow_dtype, "numpy": lambda: added["error"].type}
    assert arrow.get(batch_format, lambda: added.schema.field("error").type)() == pyarrow.string()


def test_an_empty_batch_has_no_rows_in_each_format() -> None:
    table = pyarrow.table({"id": pyarrow.array([], pyarrow.string())})
    for batch in (table, table.to_pandas(), {"id": numpy.array([], object)}, {}):
        assert rows_of(batch) == []


@pytest.mark.parametrize(
    ("batch", "way_out"),
    [
        ({"id": "a", "size": 1}, "use map_batches, and not map"),
        ([{"id": "a"}], "a batch is of type list: expected batch_format='numpy', 'pandas' or 'pyarrow'"),
    ],
)
def test_something_other_than_a_batch_is_refused_with_the_way_out(batch: Any, way_out: str) -> None:
    with pytest.raises(ConfigurationError, match=way_out):
        rows_of(batch)
