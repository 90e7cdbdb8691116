"""Records with other names in JSON than in Python, and unions whose members are told apart by a value."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NotRequired, TypedDict

import attrs
import pytest

from fal_async.errors import ResponseDecodeError
from fal_async.protocol.json_input import encode_json
from fal_async.protocol.structure import check_output_type, structure


@attrs.frozen(kw_only=True)
class Model:
    class_: str = attrs.field(metadata={"fal_name": "class"})
    size: int | None = attrs.field(default=None, metadata={"fal_name": "3d-size"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plain:
    from_: str = dataclasses.field(metadata={"fal_name": "from"})


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (Model(class_="x", size=3), b'{"class":"x","3d-size":3}'),
        (Model(class_="x"), b'{"class":"x"}'),
        (Plain(from_="y"), b'{"from":"y"}'),
        ({"inner": [Plain(from_="y")]}, b'{"inner":[{"from":"y"}]}'),
    ],
)
def test_fields_are_sent_under_the_name_in_their_metadata(value: Any, body: bytes) -> None:
    assert encode_json(value) == body


def test_fields_are_built_from_the_name_in_their_metadata() -> None:
    assert structure({"class": "x", "3d-size": 3}, Model) == Model(class_="x", size=3)
    assert structure({"from": "y"}, Plain) == Plain(from_="y")
    with pytest.raises(ResponseDecodeError, match="required field missing"):
        structure({"class_": "x"}, Model)


@dataclasses.dataclass
class Still:
    url: str
    kind: Literal["still", "photo"] = "still"


@dataclasses.dataclass
class Moving:
    url: str
    kind_: Literal["moving"] = dataclasses.field(default="moving", metadata={"fal_name": "kind"})


@attrs.frozen
class ByField:
    class_: str = attrs.field(metadata={"fal_name": "class"})


@attrs.frozen
class ByOtherField:
    other: str


class Left(TypedDict):
    kind: Literal["left"]


class Right(TypedDict):
    kind: NotRequired[Literal["right"]]


@pytest.mark.parametrize(
    ("into", "data", "built"),
    [
        (Still | Moving, {"kind": "photo", "url": "a"}, Still("a", "photo")),
        (Still | Moving, {"kind": "moving", "url": "a"}, Moving("a")),
        (ByField | ByOtherField, {"class": "x"}, ByField("x")),
        (ByField | ByOtherField, {"other": "x"}, ByOtherField("x")),
        (Left | Right, {"kind": "right"}, {"kind": "right"}),
        (Left | Right, {"kind": "left", "x": 1}, {"kind": "left", "x": 1}),
        (Left | Still, {"kind": "still", "url": "a"}, Still("a")),
    ],
)
def test_the_member_of_a_union_is_chosen_by_a_value_or_a_field(into: Any, data: Any, built: Any) -> None:
    check_output_type(into)
    assert structure(data, into) == built


@pytest.mark.parametrize("data", [{"kind": "other", "url": "a"}, {"url": "a"}, {"kind": [], "url": "a"}])
def test_an_object_that_fits_no_member_of_a_union_is_reported(data: Any) -> None:
    with pytest.raises(ResponseDecodeError, match=r"do not show which of Still \| Moving it is"):
        structure(data, Still | Moving)
