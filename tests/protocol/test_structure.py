"""From typed values to JSON, and from JSON to typed values."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
from collections import OrderedDict
from types import MappingProxyType
from typing import Any, TypedDict

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fal_async.errors import ConfigurationError, ResponseDecodeError
from fal_async.protocol.json_input import digest_of, encode_json, input_value
from fal_async.protocol.structure import check_output_type, structure
from tests.protocol.test_http import json_values


@attrs.frozen
class Image:
    url: str
    width: int | None = None


@dataclasses.dataclass
class Output:
    images: list[Image]
    made: datetime.datetime | None = None


class Size(enum.Enum):
    SQUARE = "square"


@attrs.frozen
class WithMore:
    size: Size
    cached: int = attrs.field(init=False, default=7)


class Shape(TypedDict):
    seed: int


class Unset:
    pass


UNSET: dict[str, Any] = {}
CIRCLE: dict[str, Any] = {}
CIRCLE["self"] = [CIRCLE]
DEEP: Any = []
for _ in range(100_000):
    DEEP = [DEEP]


# Encoding.

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.characters(categories=["Cs"])
)
odd = st.binary() | st.decimals() | st.dates() | st.complex_numbers() | st.sampled_from([Unset(), Unset, ...])
keys = (
    st.text() | st.integers() | st.floats() | st.booleans() | st.none() | st.binary() | st.tuples(st.text())
)
anything = st.recursive(
    scalars | odd,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.builds(Image, url=inner)
        | st.builds(Output, images=inner)
        | st.frozensets(st.integers(), max_size=2)
    ),
    max_leaves=10,
)


@given(anything)
@example(CIRCLE)
@example({"a": 10**5000})
@example({"a": "\ud800"})
@example({1: "a", "1": "b"})
@example({float("nan"): 1})
def test_any_value_is_encoded_to_equal_json_or_refused(value: Any) -> None:
    try:
        body = encode_json(value)
    except ConfigurationError as error:
        assert "JSON can't carry the input" in str(error)  # noqa: PT017
        assert len(str(error)) < 300  # noqa: PT017
        return
    assert json.loads(body) == as_json(value)


def as_json(value: Any) -> Any:
    """Return the value in JSON's own types; its keys must be str."""
    if isinstance(value, dict):
        assert all(isinstance(key, str) for key in value)
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, decimal.Decimal):
        assert decimal.Decimal(repr(float(value))) == value or value == int(value), "no digit is lost"
        return int(value) if value == int(value) else float(value)
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    if attrs.has(type(value)):
        return _as_object(attrs.asdict(value, recurse=False))
    return _as_object(vars(value)) if dataclasses.is_dataclass(value) else value


def _as_object(fields: dict[str, Any]) -> Any:
    """Return a record as an object without the fields that are None."""
    return as_json({name: field for name, field in fields.items() if field is not None})


@given(
    json_values.filter(lambda value: "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value))
)
def test_every_json_value_is_encoded_without_a_change(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert json.loads(encode_json({"value": value})) == {"value": value}


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, {"b": math.nan}]}, "input.a[1].b is nan"),
        ({"a": math.inf}, "input.a is inf"),
        ({"image": b"x"}, "input.image is bytes: upload them with File(data, ...)"),
        ({"a": {1, 2}}, "input.a is a set"),
        ({"a": object()}, "input.a is a value of type object"),
        ({"a": "\ud800"}, "input.a is a str with lone surrogates"),
        ({("x",): 1}, "input has a key of type tuple"),
        ({1: "a"}, "input has a key of type int"),
        ({"a": {None: 1}}, "input.a has a key of type NoneType"),
        (CIRCLE, "input.self[0] contains itself"),
        (DEEP, "nested too deeply"),
        (Output(images=[Image(url="x", width=b"y")]), "input.images[0].width is bytes"),  # type: ignore[arg-type]
        ({"a": MappingProxyType({"b": b""})}, "input.a.b is bytes"),
    ],
)
def test_the_error_of_an_unsupported_input_names_place_and_reason(value: Any, place: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        encode_json(value)
    assert place in str(caught.value)


def test_records_and_mappings_anywhere_in_an_input_become_objects() -> None:
    made = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    value = {
        "a": Output(images=[Image(url="u")], made=made),
        "b": OrderedDict(c=MappingProxyType({"d": (1, 2)})),
    }
    assert json.loads(encode_json({**value, "at": made})) == {
        "a": {"images": [{"url": "u"}], "made": "2026-01-02T03:04:05+00:00"},
        "b": {"c": {"d": [1, 2]}},
        "at": "2026-01-02T03:04:05+00:00",
    }
    assert json.loads(encode_json(WithMore(Size.SQUARE))) == {"size": "square"}
    with pytest.raises(ConfigurationError, match=r"input\.size is nan"):
        encode_json(WithMore(enum.Enum("Odd", {"A": math.nan}).A))  # type: ignore[attr-defined]


def test_the_input_of_a_model_must_be_a_mapping_a_record_or_none() -> None:
    image = Image(url="u")
    assert input_value(None) == {}
    assert input_value(image) is image
    assert input_value(MappingProxyType({"a": 1})) == {"a": 1}
    for wrong in ("text", 5, [1], Image, b"x", object()):
        with pytest.raises(ConfigurationError, match="expected a mapping"):
            input_value(wrong)


# Structuring.


def test_json_is_built_as_records_typed_dicts_and_lists() -> None:
    data = {
        "images": [{"url": "u", "width": 3, "unknown": 1}],
        "made": "2026-01-02T03:04:05+00:00",
        "seed": 1,
    }
    output = structure(data, Output)
    assert output.images == [Image(url="u", width=3)]
    assert output.made == datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    assert structure({"seed": 2**63}, Shape) == {"seed": 2**63}
    assert structure([1, 2], list[int]) == [1, 2]


@pytest.mark.parametrize(
    ("data", "into", "paths"),
    [
        ({}, Image, ["required field missing @ $.url"]),
        ({"images": [{"url": "u"}, {}]}, Output, ["required field missing @ $.images[1].url"]),
        ({"images": [{"url": "u", "width": "x"}]}, Output, ["@ $.images[0].width"]),
        ({"images": [], "made": "yesterday"}, Output, ["@ $.made"]),
        ({"images": [], "made": 5}, Output, ["@ $.made"]),
        ([], Shape, ["@ $"]),
        (None, Image, ["@ $"]),
        ("text", Output, ["@ $"]),
        ({"seed": "x"}, Shape, ["@ $.seed"]),
    ],
)
def test_data_that_does_not_fit_is_reported_with_its_path_and_ids(
    data: Any, into: Any, paths: list[str]
) -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        structure(data, into, request_id="r-1", endpoint_id="a/b")
    assert len(caught.value.paths) == len(paths)
    assert all(part in path for part, path in zip(paths, caught.value.paths, strict=True))
    assert (caught.value.request_id, caught.value.endpoint_id) == ("r-1", "a/b")


@given(
    json_values,
    st.sampled_from([Image, Output, Shape, list[int], dict[str, Image], Image | None, int, Unset]),
)
@example([[]], Output)
def test_any_data_is_built_as_the_output_type_or_raises_decode_error(data: Any, into: Any) -> None:
    try:
        structure(data, into)
    except ResponseDecodeError as error:
        assert error.paths  # noqa: PT017
        assert len(error.paths) <= 20  # noqa: PT017


# Digests.


@given(
    st.dictionaries(
        st.text(alphabet="abcäß", max_size=3), st.integers() | st.text(alphabet="xyz"), max_size=5
    )
)
def test_the_digest_of_an_input_does_not_depend_on_order_and_formatting(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))
    assert digest_of(encode_json(value)) == digest_of(json.dumps(turned, indent=3).encode())
    assert digest_of(encode_json({**value, "new": 1})) != digest_of(encode_json(value))


def test_bytes_that_are_not_json_have_a_digest_too() -> None:
    assert len(digest_of(b"\xff")) == len(digest_of(b"[" * 100_000)) == 64


# Plain values: no value is converted to another kind.


@attrs.frozen
class Plain:
    text: str = ""
    truth: bool = False
    whole: int = 0
    number: float = 0.0
    either: int | str | None = None
    size: Size = Size.SQUARE


class Level(enum.IntEnum):
    LOW = 1


class Mood(enum.StrEnum):
    GOOD = "good"


@attrs.frozen
class WithEnums:
    level: Level
    mood: Mood


MISFITS: dict[str, list[Any]] = {
    "text": [None, 5, True, {}, ["a"]],
    "truth": [None, "false", 0, 1, []],
    "whole": [None, 5.5, "5", True, [], math.inf],
    "number": [None, "5", True, {}],
    "either": [5.5],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in MISFITS for value in MISFITS[name]])
def test_a_plain_value_of_another_type_is_reported_with_its_path(name: str, value: Any) -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        structure({name: value}, Plain)
    assert len(caught.value.paths) == 1
    assert caught.value.paths[0].endswith(f"@ $.{name}")
    assert caught.value.body == {name: value}, "the output is kept, because it was paid for"


def test_plain_values_that_fit_are_built_as_their_type() -> None:
    made = structure({"text": "a", "truth": True, "whole": 5.0, "number": 5, "either": "x"}, Plain)
    assert made == Plain(text="a", truth=True, whole=5, number=5.0, either="x")
    assert (type(made.whole), type(made.number)) == (int, float)
    assert structure({"either": None}, Plain).either is None
    assert structure({"level": 1, "mood": "good"}, WithEnums) == WithEnums(level=Level.LOW, mood=Mood.GOOD)
    with pytest.raises(ResponseDecodeError, match=r"\$\.level"):
        structure({"level": 7, "mood": "good"}, WithEnums)


@attrs.frozen
class Holds:
    inner: list[Unset]


@pytest.mark.parametrize("into", [Unset, list[Unset], Holds, dict[str, Holds], "Image", 5], ids=repr)
def test_an_output_type_that_can_not_be_built_is_refused_by_the_check(into: Any) -> None:
    with pytest.raises(ConfigurationError, match="can't be built from JSON"):
        check_output_type(into)


@pytest.mark.parametrize(
    "into",
    [None, Any, dict, dict[str, Any], Image, Output, Shape, list[Image], Image | None, Plain],
    ids=repr,
)
def test_an_output_type_that_can_be_built_passes_the_check(into: Any) -> None:
    check_output_type(into)
