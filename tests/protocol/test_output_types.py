"""Which types `output_type` accepts, and which JSON they are built from."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import math
import types
import typing
import uuid
from collections import abc
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Required,
    TypedDict,
    TypeVar,
)

import annotated_types
import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.errors import ConfigurationError, ResponseDecodeError
from fal_async.protocol.structure import check_output_type, structure
from tests.protocol.test_http import json_values

T = TypeVar("T")
UserId = NewType("UserId", int)


@dataclasses.dataclass
class Image:
    url: str
    width: int | None = None


@attrs.frozen
class AllHaveDefaults:
    seed: int = 0


@attrs.frozen
class Box(Generic[T]):
    item: T
    items: list[T]


@attrs.frozen
class BoxOfInts(Box[int]):
    pass


@attrs.frozen
class Node:
    children: list[Node]


class Shape(TypedDict):
    seed: int
    node: NotRequired[Node]


class Partial(TypedDict, total=False):
    seed: Required[int]
    more: int


class Pair(NamedTuple):
    x: int
    y: str = "none"


class Mood(enum.StrEnum):
    GOOD = "good"
    BAD = "bad"


class Level(enum.IntEnum):
    LOW = 1


class Lenient(enum.Enum):
    KNOWN = "known"
    OTHER = "other"

    @classmethod
    def _missing_(cls, _: object) -> Lenient:
        return cls.OTHER


@attrs.frozen
class Cat:
    kind: Literal["cat"]
    lives: int = 9


@attrs.frozen
class Dog:
    kind: Literal["dog"]
    lives: int = 1


def encoded(text: str) -> bytes:
    return text.encode()


@attrs.frozen
class Encoded:
    raw: bytes = attrs.field(converter=encoded)


@attrs.frozen
class Validated:
    seed: int = attrs.field(validator=attrs.validators.gt(0))


@attrs.frozen
class Mistyped:
    seed: Any = attrs.field(validator=attrs.validators.instance_of(int))


@dataclasses.dataclass
class Sorted:
    values: list[int]

    def __post_init__(self) -> None:
        if self.values != sorted(self.values):
            raise ValueError("the values are not sorted")


ARRAYS: list[tuple[Any, Any]] = [
    (list, ["a"]),
    (list[str], ["a"]),
    (tuple, ("a",)),
    (tuple[str, ...], ("a",)),
    (tuple[str], ("a",)),
    (set, {"a"}),
    (set[str], {"a"}),
    (abc.MutableSet[str], {"a"}),
    (frozenset[str], frozenset({"a"})),
    (abc.Set[str], frozenset({"a"})),
    (collections.deque[str], collections.deque(["a"])),
    (abc.Sequence, ["a"]),
    (abc.Sequence[str], ["a"]),
    (abc.MutableSequence[str], ["a"]),
    (abc.Iterable[str], ["a"]),
    (abc.Collection[str], ["a"]),
]
OBJECTS: list[tuple[Any, Any]] = [
    (dict, {"seed": 1}),
    (dict[str, int], {"seed": 1}),
    (dict[Any, Any], {"seed": 1}),
    (abc.Mapping, {"seed": 1}),
    (abc.Mapping[str, int], {"seed": 1}),
    (abc.MutableMapping[str, int], {"seed": 1}),
    (collections.OrderedDict[str, int], collections.OrderedDict(seed=1)),
    (Shape, {"seed": 1}),
    (AllHaveDefaults, AllHaveDefaults(seed=1)),
]
NO_ARRAYS: list[Any] = ["hello", "", {"a": 1}, {}, None, 5, 1.5, True]
NO_OBJECTS: list[Any] = ["hello", "", [], [["seed", 1]], ["seed"], None, 5, True]


# Only an array becomes a collection, only an object a mapping or a record.


@pytest.mark.parametrize(("into", "made"), ARRAYS, ids=lambda value: repr(value)[:40])
def test_a_json_array_becomes_each_kind_of_collection(into: Any, made: Any) -> None:
    check_output_type(into)
    built = structure(["a"], into)
    assert (built, type(built)) == (made, type(made))


@pytest.mark.parametrize(("into", "made"), OBJECTS, ids=lambda value: repr(value)[:40])
def test_a_json_object_becomes_each_kind_of_mapping_and_record(into: Any, made: Any) -> None:
    check_output_type(into)
    built = structure({"seed": 1}, into)
    assert (built, type(built)) == (made, type(made))


def wrappings(into: Any, data: Any) -> list[tuple[Any, Any]]:
    """Return the type within other types, each with its data."""
    return [
        (into, data),
        (list[into], [data]),
        (dict[str, into], {"a": data}),
        (tuple[int, into], [1, data]),
        (Box[into], {"item": data, "items": []}),
        (Annotated[into, "said"], data),
    ]


@pytest.mark.parametrize(
    ("into", "data"),
    [(into, data) for into, _ in ARRAYS for data in NO_ARRAYS]
    + [(into, data) for into, _ in OBJECTS for data in NO_OBJECTS],
    ids=lambda value: repr(value)[:40],
)
def test_other_json_is_refused_as_collection_or_record_at_any_depth(into: Any, data: Any) -> None:
    for outer, around in wrappings(into, data):
        with pytest.raises(ResponseDecodeError, match=r"expected an (array|object), got ") as caught:
            structure(around, outer)
        assert len(caught.value.paths) == 1
    if data is not None:
        with pytest.raises(ResponseDecodeError):
            structure(data, into | None)


@given(st.text() | st.dictionaries(st.text(), st.integers()))
def test_a_string_or_object_is_never_split_into_a_list(data: Any) -> None:
    with pytest.raises(ResponseDecodeError):
        structure({"children": data}, Node)


@given(
    json_values, st.sampled_from([(into, list) for into, _ in ARRAYS] + [(into, dict) for into, _ in OBJECTS])
)
def test_collections_are_only_built_from_arrays_and_records_from_objects(
    data: Any, wanted: tuple[Any, type]
) -> None:
    into, kind = wanted
    try:
        structure(data, into)
    except ResponseDecodeError as error:
        assert error.paths  # noqa: PT017
    else:
        assert type(data) is kind


# Other types that can be built.


@pytest.mark.parametrize(
    ("into", "data", "made"),
    [
        (Box[int], {"item": 1, "items": [2]}, Box(1, [2])),
        (BoxOfInts, {"item": 1, "items": [2]}, BoxOfInts(1, [2])),
        (Shape, {"seed": 1, "node": {"children": []}}, {"seed": 1, "node": Node([])}),
        (Partial, {"seed": 1, "unknown": 2}, {"seed": 1, "unknown": 2}),
        (Pair, [1], Pair(1)),
        (Pair, [1, "a"], Pair(1, "a")),
        (tuple[int, str], [1, "a"], (1, "a")),
        (dict[Mood, int], {"good": 1}, {Mood.GOOD: 1}),
        (dict[Literal["a"], int], {"a": 1}, {"a": 1}),
        (Mood, "good", Mood.GOOD),
        (Level, 1, Level.LOW),
        (Lenient, "new", Lenient.OTHER),
        (Literal["a", 1], 1, 1),
        (Literal[Mood.GOOD], "good", Mood.GOOD),
        (UserId, 5, 5),
        (Final[int], 5, 5),
        (Encoded, {"raw": "x"}, Encoded("x")),
        (datetime.date, "2026-01-02", datetime.date(2026, 1, 2)),
        (uuid.UUID, "12345678123456781234567812345678", uuid.UUID("12345678123456781234567812345678")),
        (Path, "a/b", Path("a/b")),
        (Image | str, "x", "x"),
        (Image | str, {"url": "x"}, Image("x")),
        (Image | dict, {"url": "x"}, Image("x")),
        (Cat | Dog | None, {"kind": "dog"}, Dog("dog")),
        (Cat | Dog | None, None, None),
        (list[int] | list[str], ["a"], ["a"]),
        (int | float, 5.0, 5.0),
        (int | None, 5.0, 5),
        (type(None), None, None),
        (Annotated[int, annotated_types.Gt(3)], 4, 4),
        (Annotated[int | None, annotated_types.Gt(3)], None, None),
        (Annotated[int | str, pydantic.Field(gt=3)], "x", "x"),
        (tuple[()], [], ()),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_json_that_fits_the_output_type_is_built(into: Any, data: Any, made: Any) -> None:
    check_output_type(into)
    built = structure(data, into)
    assert (built, type(built)) == (made, type(made))


@pytest.mark.parametrize(
    ("into", "data", "path"),
    [
        (Literal["a", "b"], "c", "expected one of 'a', 'b', got 'c' @ $"),
        (Literal[1], True, "expected one of 1, got True @ $"),
        (list[Mood], ["good", "odd"], "expected one of 'good', 'bad', got 'odd' @ $[1]"),
        (Level, True, "expected one of 1, got True @ $"),
        (Box[int], {"item": 1, "items": [2, "x"]}, "expected int, got string @ $.items[1]"),
        (dict[str, int], {"a": "x"}, "expected int, got string @ $['a']"),
        (dict[Mood, int], {"odd": 1}, "expected one of 'good', 'bad', got 'odd' @ $['odd']"),
        (tuple[int, str], [1], "expected an array of length 2, got length 1 @ $"),
        (tuple[int, str], [1, 2], "expected str, got number @ $[1]"),
        (Partial, {"more": 1}, "required field missing @ $.seed"),
        (Partial, {"seed": 1, "more": "x"}, "expected int, got string @ $.more"),
        (Pair, {"x": 1}, "expected an array, got object @ $"),
        (Pair, [], "expected an array of length 2, got length 0 @ $"),
        (int, 5.5, "expected int, got 5.5 @ $"),
        (int, math.inf, "expected int, got inf @ $"),
        (UserId, "x", "expected int, got string @ $"),
        (datetime.date, 5, "expected date as a string, got number @ $"),
        (datetime.date, "x", "Invalid isoformat string: 'x' @ $"),
        (type(None), 5, "expected null, got number @ $"),
        (Image | str, {}, "required field missing @ $.url"),
        (Image | str, 5, "expected Image | str, got number @ $"),
        (Cat | Dog, {"kind": "cow"}, "its fields do not show which of Cat | Dog it is @ $"),
        (Validated, {"seed": -1}, "'seed' must be > 0: -1 @ $"),
        (Sorted, {"values": [2, 1]}, "the values are not sorted @ $"),
        (Annotated[int, annotated_types.Gt(3)], 3, "expected more than 3, got 3 @ $"),
        (Annotated[int | None, annotated_types.Gt(3)], 3, "expected more than 3, got 3 @ $"),
        (tuple[()], [1], "expected an array of length 0, got length 1 @ $"),
        (Annotated[int, annotated_types.Interval(ge=1, le=3)], 4, "expected at most 3, got 4 @ $"),
        (Annotated[int, pydantic.Field(multiple_of=2)], 3, "expected a multiple of 2, got 3 @ $"),
        (list[Annotated[str, annotated_types.MinLen(2)]], ["a"], "a length of at least 2, got 'a' @ $[0]"),
        (Annotated[str, annotated_types.Predicate(str.islower)], "A", "that islower accepts, got 'A' @ $"),
        (Annotated[str, pydantic.Field(pattern="^a")], "b", "expected a str that matches '^a', got 'b' @ $"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_json_that_does_not_fit_the_output_type_is_reported_with_its_path(
    into: Any, data: Any, path: str
) -> None:
    check_output_type(into)
    with pytest.raises(ResponseDecodeError) as caught:
        structure(data, into)
    assert caught.value.paths[0].endswith(path)
    assert path in str(caught.value)
    assert caught.value.body == data


def test_only_the_message_of_an_attrs_validator_is_reported() -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        structure({"seed": "x"}, Mistyped)
    assert caught.value.paths[0].startswith("'seed' must be <class 'int'>")
    assert "Attribute(" not in str(caught.value)


# Types that can't be built are refused.


@dataclasses.dataclass
class HasBytes:
    raw: bytes


@dataclasses.dataclass
class NeedsMore:
    seed: int
    more: dataclasses.InitVar[int]


@attrs.frozen
class Unresolved:
    image: Nowhere  # type: ignore[name-defined]  # noqa: F821


@attrs.frozen
class Deep:
    inner: dict[str, list[HasBytes]]


class HasModel(TypedDict):
    model: NotRequired[Model]


class Model(pydantic.BaseModel):
    seed: int


@attrs.frozen
class Same:
    seed: int = 0


@pytest.mark.parametrize(
    ("into", "said"),
    [
        (bytes, "it can't be built from JSON: JSON has no bytes"),
        (HasBytes, "$.raw is bytes, which can't be built from JSON"),
        (Deep, "$.inner[][].raw is bytes, which"),
        (bytes | None, "$ is bytes, which"),
        (dict[int, str], "the keys of a JSON object are str"),
        (list[dict[int, str]], "$[] is dict[int, str], which"),
        (dict[bytes, str], "the keys of a JSON object are str"),
        (NeedsMore, "its __init__ requires 'more'"),
        (Unresolved, "name 'Nowhere' is not defined"),
        (Box, "generic argument T"),
        (list[T], "open type variable"),  # type: ignore[valid-type]
        ("Image", "it is a str: pass the type itself"),
        (list["Image"], "it is a str: pass the type itself"),
        (Image("secret"), "output_type=<Image value>"),
        (5, "output_type=<int value>"),
        (types, "output_type=<module value>"),
        (len, "output_type=<builtin_function_or_method value>"),
        (abc.Callable[[int], str], "output_type=Callable[[int], str]"),
        (abc.Iterator[int], "output_type=Iterator[int]"),
        (object, "expected a type of attrs, dataclasses, TypedDict, pydantic or msgspec"),
        (complex, "output_type=complex"),
        (typing.Union, "output_type=Union"),
        (set[list[int]], "its elements are not hashable: use list instead"),
        (set[Image], "its elements are not hashable: use list instead"),
        (AllHaveDefaults | Same, "its classes can't be told apart"),
        (Annotated[int, {}], "unhashable"),
        (Literal[b"x"], "can't be built from JSON"),
        (enum.Enum("Empty", []), "can't be built from JSON"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_output_types_that_json_can_not_become_are_refused_with_place_and_advice(
    into: Any, said: str
) -> None:
    with pytest.raises(ConfigurationError, match="can't be built from JSON") as caught:
        check_output_type(into)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_output_type_that_refers_to_itself_is_built() -> None:
    check_output_type(Node)
    assert structure({"children": [{"children": []}]}, Node) == Node([Node([])])
    with pytest.raises(ResponseDecodeError, match=r"\$\.children\[0\]\.children"):
        structure({"children": [{"children": "x"}]}, Node)
