"""Outputs that are built by pydantic or msgspec, alone and inside of other types."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NewType, NotRequired, TypedDict, TypeVar

import annotated_types
import attrs
import msgspec
import pydantic
import pydantic.dataclasses
import pydantic_core
import pytest
from hypothesis import given

from fal_async.errors import ConfigurationError, ResponseDecodeError
from fal_async.protocol.structure import check_output_type, structure
from tests.protocol.test_http import json_values

T = TypeVar("T")
ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"


class Mood(enum.StrEnum):
    GOOD = "good"


class Image(pydantic.BaseModel):
    url: pydantic.HttpUrl
    width: Annotated[int, annotated_types.Ge(1)] = 1
    file_size: int | None = pydantic.Field(default=None, alias="fileSize")


class Output(pydantic.BaseModel):
    images: list[Image]
    id: uuid.UUID | None = None
    made: datetime.datetime | None = None
    price: Decimal | None = None
    mood: Mood = Mood.GOOD


class Tree(pydantic.BaseModel):
    children: list[Tree] = []


class Box(pydantic.BaseModel, Generic[T]):
    item: T


class Strict(pydantic.BaseModel, strict=True):
    day: datetime.date
    pair: tuple[int, int]


class Numbers(pydantic.RootModel[list[int]]):
    pass


@pydantic.dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@dataclasses.dataclass
class PlainPoint(Point):
    """A plain dataclass, although its base is one of pydantic's."""

    z: int = 0


class Circle(pydantic.BaseModel):
    kind: Literal["circle"]
    radius: float


class Square(pydantic.BaseModel):
    kind: Literal["square"]
    side: float


Shape = Annotated[Circle | Square, pydantic.Field(discriminator="kind")]


class Picture(msgspec.Struct, rename={"file_size": "fileSize"}):
    url: str
    width: Annotated[int, msgspec.Meta(ge=1)] = 1
    file_size: int | None = None


class Pictures(msgspec.Struct):
    images: list[Picture]
    id: uuid.UUID | None = None
    price: Decimal | None = None
    sizes: dict[str, list[int]] = {}


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    age: int


class Row(msgspec.Struct, array_like=True):
    x: int
    y: int


class Album(msgspec.Struct):
    """A Struct with a model of pydantic."""

    cover: Image
    others: list[Image] = []


@attrs.frozen
class Mixed:
    image: Image
    picture: Picture
    points: dict[str, Point]
    more: Image | None = None


class MixedDict(TypedDict):
    images: list[Image]
    url: NotRequired[pydantic.AnyUrl]


def doubled(value: int) -> int:
    return value * 2


URL = "https://example.com/a.png"
IMAGE = Image(url=URL)  # type: ignore[arg-type]
MOMENT = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)

BUILT: list[tuple[Any, Any, Any]] = [
    # type, data, value
    (Image, {"url": URL, "width": "3", "fileSize": 9}, Image(url=URL, width=3, fileSize=9)),  # type: ignore[arg-type]
    (
        Output,
        {"images": [{"url": URL}], "id": ID, "made": "2026-01-02T00:00:00Z", "price": 0.1, "mood": "good"},
        Output(images=[IMAGE], id=uuid.UUID(ID), made=MOMENT, price=Decimal("0.1")),
    ),
    (Tree, {"children": [{"children": []}, {}]}, Tree(children=[Tree(), Tree()])),
    (Box[int], {"item": 1}, Box[int](item=1)),
    (Box[list[Image]], {"item": [{"url": URL}]}, Box[list[Image]](item=[IMAGE])),
    (Strict, {"day": "2026-01-02", "pair": [1, 2]}, Strict(day=MOMENT.date(), pair=(1, 2))),
    (Numbers, [1, 2], Numbers([1, 2])),
    (Point, {"x": 1}, Point(1)),
    (PlainPoint, {"x": 1, "z": 2}, PlainPoint(1, 0, 2)),
    (pydantic.HttpUrl, URL, pydantic.HttpUrl(URL)),
    (pydantic.SecretStr, "s", pydantic.SecretStr("s")),
    (pydantic.Base64Bytes, "YWI=", b"ab"),
    (Shape, {"kind": "square", "side": 2}, Square(kind="square", side=2)),
    (Circle | Square, {"kind": "square", "side": 2}, Square(kind="square", side=2)),
    (list[Shape], [{"kind": "circle", "radius": 1}], [Circle(kind="circle", radius=1)]),
    (Image | str | None, "text", "text"),
    (Image | str | None, None, None),
    (Image | str | None, {"url": URL}, IMAGE),
    (Circle | Square | Picture, {"url": URL}, Picture(URL)),
    (Circle | Square | Picture, {"kind": "circle", "radius": 1}, Circle(kind="circle", radius=1)),
    (NewType("Cover", Image), {"url": URL}, IMAGE),
    (Annotated[int, pydantic.BeforeValidator(int)], "5", 5),
    (Annotated[int, pydantic.AfterValidator(doubled)], 5, 10),
    (Picture, {"url": URL, "width": 3, "fileSize": 9, "more": 1}, Picture(URL, 3, 9)),
    (
        Pictures,
        {"images": [{"url": URL}], "id": ID, "price": 0.1},
        Pictures([Picture(URL)], uuid.UUID(ID), Decimal("0.1")),
    ),
    (Cat | Dog, {"type": "dog", "age": 3}, Dog(3)),
    (Cat | Dog | None, None, None),
    (list[Cat | Dog], [{"type": "cat", "lives": 9}], [Cat(9)]),
    (Row, [1, 2], Row(1, 2)),
    (Album, {"cover": {"url": URL}}, Album(IMAGE)),
    (
        Mixed,
        {"image": {"url": URL}, "picture": {"url": URL}, "points": {"a": {"x": 1}}},
        Mixed(IMAGE, Picture(URL), {"a": Point(1)}),
    ),
    (MixedDict, {"images": [{"url": URL}]}, {"images": [IMAGE]}),
    (dict[pydantic.AwareDatetime, int], {"2026-01-02T00:00:00Z": 1}, {MOMENT: 1}),
    (Decimal, 0.1, Decimal("0.1")),
    (Decimal, "1e-9", Decimal("1e-9")),
    (Decimal, 12, Decimal(12)),
    (Decimal | None, None, None),
]


@pytest.mark.parametrize(("into", "data", "value"), BUILT, ids=lambda value: repr(value)[:40])
def test_types_of_pydantic_and_msgspec_are_built_wherever_they_occur(
    into: Any, data: Any, value: Any
) -> None:
    check_output_type(into)
    built = structure(data, into)
    assert (built, type(built)) == (value, type(value))


MISFITS: list[tuple[Any, Any, list[str]]] = [
    # type, data, paths
    (
        Output,
        {"images": [{"url": "no"}, {"width": 0}], "mood": "bad"},
        [
            "Input should be a valid URL, relative URL without a base @ $.images[0].url",
            "required field missing @ $.images[1].url",
            "Input should be greater than or equal to 1 @ $.images[1].width",
            "Input should be 'good' @ $.mood",
        ],
    ),
    (Output, "text", ["Input should be an object @ $"]),
    (Numbers, [1, "x"], ["Input should be a valid integer, unable to parse string as an integer @ $[1]"]),
    (
        Circle | Square,
        {"kind": "circle", "side": 1},
        ["required field missing @ $.radius", "Input should be 'square' @ $.kind"],
    ),
    (Shape, {"kind": "square"}, ["required field missing @ $.side"]),
    (list[Output], [{"images": []}, {}], ["required field missing @ $[1].images"]),
    (
        Mixed,
        {"image": {}, "picture": {}, "points": {"a": {}}},
        [
            "required field missing @ $.image.url",
            "required field missing @ $.picture.url",
            "required field missing @ $.points['a'].x",
        ],
    ),
    (
        MixedDict,
        {"images": [{"url": URL, "width": 0}]},
        ["Input should be greater than or equal to 1 @ $.images[0].width"],
    ),
    (Pictures, {"images": [{"url": URL}, {"width": 2}]}, ["required field missing @ $.images[1].url"]),
    (Pictures, {"images": [{"url": 5}]}, ["Expected `str`, got `int` @ $.images[0].url"]),
    (Pictures, {"images": [], "sizes": {"a": ["x"]}}, ["Expected `int`, got `str` @ $.sizes"]),
    (Picture, [], ["Expected `object`, got `array` @ $"]),
    (Cat | Dog, {"type": "cow"}, ["Invalid value 'cow' @ $.type"]),
    (Album, {"cover": {"url": URL}, "others": [{}, {}]}, ["required field missing @ $.others[0].url"]),
    (Decimal, "ten", ["expected Decimal, got 'ten' @ $"]),
    (Decimal, True, ["expected Decimal as a number or a string, got boolean @ $"]),
]


@pytest.mark.parametrize(("into", "data", "paths"), MISFITS, ids=lambda value: repr(value)[:40])
def test_an_output_that_does_not_fit_is_an_error_with_each_place(
    into: Any, data: Any, paths: list[str]
) -> None:
    check_output_type(into)
    before = json.dumps(data)
    with pytest.raises(ResponseDecodeError) as caught:
        structure(data, into)
    assert caught.value.paths == paths
    assert caught.value.body is data
    assert json.dumps(caught.value.body) == before


def test_the_body_of_the_error_is_whole_although_a_validator_changes_its_data() -> None:
    class Popping(pydantic.BaseModel):
        seed: int

        @pydantic.model_validator(mode="before")
        @classmethod
        def pop(cls, data: Any) -> Any:
            data.pop("seed")
            return data

    with pytest.raises(ResponseDecodeError) as caught:
        structure({"seed": 1}, Popping)
    assert caught.value.body == {"seed": 1}


def test_an_error_does_not_show_the_values_of_the_output() -> None:
    class Prompt(pydantic.BaseModel):
        prompt: int
        size: Literal["a"]

    with pytest.raises(ResponseDecodeError) as caught:
        structure({"prompt": "my secret", "size": "my secret"}, Prompt)
    assert "secret" not in str(caught.value) + repr(caught.value.paths)


def test_text_that_is_not_unicode_is_validated_as_python_values() -> None:
    class Text(pydantic.BaseModel):
        text: Any

    assert structure({"text": "\ud800"}, Text).text == "\ud800"
    assert structure(b"\x00", pydantic.RootModel[bytes]).root == b"\x00"


def test_errors_that_a_validator_raises_itself_are_errors_of_the_place_of_its_model() -> None:
    class Refusing(pydantic.BaseModel):
        how: str

        @pydantic.model_validator(mode="after")
        def refuse(self) -> Refusing:
            if self.how == "missing":
                raise pydantic_core.PydanticCustomError("missing", "nothing is there")
            raise KeyError(self.how) if self.how == "key" else ValueError("no such way")

    for how, words in {"missing": "required field missing", "value": "Value error, no such way"}.items():
        with pytest.raises(ResponseDecodeError) as caught:
            structure([{"how": how}], list[Refusing])
        assert caught.value.paths == [f"{words} @ $[0]"]
    with pytest.raises(ResponseDecodeError):
        structure([{"how": "key"}], list[Refusing])


class Custom:
    pass


class Incomplete(pydantic.BaseModel):
    later: Nowhere  # type: ignore[name-defined]  # noqa: F821


class Instance(pydantic.BaseModel, arbitrary_types_allowed=True):
    custom: Custom


class DeepInstance(pydantic.BaseModel):
    boxes: dict[str, list[Instance]] = {}
    must: tuple[Instance, ...] | None


class Call(pydantic.BaseModel):
    function: Callable[[int], int]


class Untagged(msgspec.Struct):
    either: Cat | Picture


class CustomField(msgspec.Struct):
    customs: list[Custom]


class IncompleteStruct(msgspec.Struct):
    later: Nowhere  # type: ignore[name-defined]  # noqa: F821


@attrs.frozen
class Within:
    incomplete: list[Incomplete]


@pytest.mark.parametrize(
    ("into", "words"),
    [
        (Incomplete, "output_type=Incomplete: it can't be built from JSON: .*Nowhere"),
        (list[Incomplete], r"\$\[\] is Incomplete, which can't be built from JSON"),
        (Within, r"\$\.incomplete\[\] is Incomplete, which can't be built from JSON"),
        (Instance, "custom is Custom, which pydantic can't read from JSON"),
        (list[Instance], r"\$\[\] is Instance, which .*: custom is Custom"),
        (DeepInstance, "must.custom is Custom"),
        (Call, "function is callable"),
        (pydantic.create_model("OfClass", kind=type[int]), r"kind is type\[int\]"),
        (Annotated[attrs.make_class("A", ["x"]), pydantic.AfterValidator(doubled)], "pydantic-core schema"),
        (Cat | Picture, "must be tagged"),
        (Untagged, "must be tagged"),
        (CustomField, "Custom"),
        (IncompleteStruct, "Nowhere"),
        (set[Image], "not hashable"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_type_that_can_not_be_built_is_refused_before_the_request(into: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_output_type(into)


def test_a_model_is_accepted_once_its_missing_class_is_defined() -> None:
    class Early(pydantic.BaseModel):
        later: Late  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ConfigurationError, match="Late"):
        check_output_type(Early)
    Early.model_rebuild(_types_namespace={"Late": Image})
    check_output_type(Early)
    assert structure({"later": {"url": URL}}, Early).later == IMAGE


def test_a_model_with_an_instance_that_may_be_missing_or_is_converted_is_accepted() -> None:
    class Optional(pydantic.BaseModel, arbitrary_types_allowed=True):
        custom: Custom | None = None
        read: Annotated[Custom, pydantic.PlainValidator(lambda _: Custom())]

    check_output_type(Optional)
    assert isinstance(structure({"read": 1}, Optional).read, Custom)


@given(json_values)
def test_any_json_becomes_a_model_or_a_decode_error(value: Any) -> None:
    for into in (Output, Pictures, Shape, Cat | Dog, Mixed, Album, Numbers, Strict, Decimal):
        try:
            structure(value, into)
        except ResponseDecodeError as error:
            misfit = error
        else:
            continue
        assert misfit.paths
        assert misfit.body is value


def test_neither_library_is_imported_for_types_that_are_not_made_with_it() -> None:
    program = """
import sys, dataclasses, decimal
import fal_async
from fal_async.protocol.structure import check_output_type, structure
from fal_async.protocol.json_input import encode_json

@dataclasses.dataclass
class Data:
    price: decimal.Decimal

check_output_type(Data)
assert structure({"price": 1}, Data) == Data(decimal.Decimal(1))
assert encode_json(Data(fal_async.NULL)) == b'{"price":null}'
assert not {"pydantic", "msgspec"} & set(sys.modules), sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True)
