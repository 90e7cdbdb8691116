"""Python objects in inputs: encoded as JSON, or refused with their place and advice."""

from __future__ import annotations

import array
import copy
import datetime
import decimal
import enum
import json
import pickle
import typing
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attrs
import msgspec
import numpy
import pydantic
import pytest
import typing_extensions
import yarl

from fal_async import NULL, ConfigurationError, Null
from fal_async.protocol.input_copies import own_copy
from fal_async.protocol.json_input import digest_of, encode_json, input_value
from fal_async.protocol.storage.input_files import find_files, replace_files

ID = uuid.UUID("764cabcf-b745-4b3e-ae38-1200304cf45b")


class Size(enum.Enum):
    SQUARE = "square"


class Colour(enum.StrEnum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Pair(typing.NamedTuple):
    a: int
    b: uuid.UUID


class Inner(pydantic.BaseModel):
    guidance_scale: decimal.Decimal = decimal.Decimal("7.5")
    image_url: Any = pydantic.HttpUrl("https://example.com/a.png")


class Ask(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True, arbitrary_types_allowed=True)

    prompt: str
    request: uuid.UUID = ID
    num_images: int = pydantic.Field(default=2, alias="numImages")
    hidden: str = pydantic.Field(default="x", exclude=True)
    inner: Inner = Inner()
    size: Size = Size.SQUARE

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def length(self) -> int:
        return len(self.prompt)


ASK = {
    "prompt": "a cat",
    "request": str(ID),
    "numImages": 2,
    "inner": {"guidance_scale": 7.5, "image_url": "https://example.com/a.png"},
    "size": "square",
    "length": 5,
}


@attrs.frozen
class Around:
    ask: Any


@dataclass
class AroundToo:
    ask: Any


def sent(value: Any) -> Any:
    return json.loads(encode_json(input_value(value)))


def test_a_pydantic_model_is_sent_with_its_json_names() -> None:
    assert sent(Ask(prompt="a cat")) == ASK


@pytest.mark.parametrize("around", [dict, Around, AroundToo])
def test_a_pydantic_model_anywhere_in_an_input_is_sent(around: Any) -> None:
    assert sent(around(ask=[Ask(prompt="a cat")])) == {"ask": [ASK]}


class WithRoot(pydantic.BaseModel):
    root: str


def test_a_pydantic_model_with_a_field_called_root_is_an_input() -> None:
    assert sent(WithRoot(root="a")) == {"root": "a"}


def test_a_root_model_in_an_input_is_sent_as_its_value() -> None:
    numbers = pydantic.RootModel[list[int]]([1, 2])
    assert sent({"seeds": numbers}) == {"seeds": [1, 2]}
    assert sent(pydantic.RootModel[dict[str, int]]({"seed": 1})) == {"seed": 1}
    with pytest.raises(
        ConfigurationError, match=r"input is of type RootModel\[list\[int\]\]: expected a mapping"
    ):
        sent(numbers)


def test_a_file_in_a_pydantic_model_is_found_and_replaced() -> None:
    ask = Ask(prompt="x", inner=Inner(image_url=Path("cat.png")))
    assert find_files({"a": [ask]}) == [Path("cat.png")]
    (replaced,) = replace_files([ask], lambda _: "https://f/1")
    assert json.loads(encode_json(replaced))["inner"]["image_url"] == "https://f/1"
    assert ask.inner.image_url == Path("cat.png"), "the caller's model is not changed"
    plain = Ask(prompt="x")
    assert replace_files({"a": plain}, lambda _: "")["a"] is plain


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (ID, str(ID)),
        (decimal.Decimal("7.5"), 7.5),
        (decimal.Decimal("0.1"), 0.1),
        (decimal.Decimal("3"), 3),
        (decimal.Decimal("3.00"), 3),
        (decimal.Decimal(2**70), 2**70),
        (pydantic.HttpUrl("https://example.com/a?b=c"), "https://example.com/a?b=c"),
        (pydantic.AnyUrl("s3://bucket/key"), "s3://bucket/key"),
        (yarl.URL("https://example.com/a%20b"), "https://example.com/a%20b"),
        (Size.SQUARE, "square"),
        (Colour.RED, "red"),
        (Number.ONE, 1),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "2026-01-02T00:00:00+00:00"),
        (datetime.time(3, 4), "03:04:00"),
        (Pair(1, ID), [1, str(ID)]),
    ],
)
def test_values_with_a_json_form_are_sent_in_that_form(value: Any, expected: Any) -> None:
    assert sent({"a": [value]}) == {"a": [expected]}
    assert type(sent({"a": value})["a"]) is type(expected)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (decimal.Decimal("0.1234567890123456789012345"), r"a Decimal with more digits .*str\(...\)"),
        (decimal.Decimal("NaN"), "nan"),
        (decimal.Decimal("1e999999"), "inf"),
        ({1, 2}, r"a set, which has no order: pass a list, such as sorted\(...\)"),
        (frozenset("a"), "a frozenset"),
        (datetime.timedelta(1), r"\.total_seconds\(\)"),
        (array.array("h", [1]), r"bytes: upload them with File"),
        (memoryview(b"x"), r"bytes: upload them with File"),
        (b"x", r"bytes: upload them with File"),
        (pydantic.SecretStr("secret"), r"a value of type SecretStr: pass its \.get_secret_value\(\)"),
        (range(3), r"a value of type range: pass list\(...\)"),
        (iter([1]), r"pass list\(...\)"),
        (Ask, "the class Ask: pass an instance"),
        (object(), "a value of type object"),
        (1j, "a value of type complex"),
    ],
)
@pytest.mark.parametrize("around", [dict, Around, AroundToo, lambda ask: Inner(image_url=[ask])])
def test_values_without_a_json_form_are_refused_with_their_place(value: Any, words: str, around: Any) -> None:
    place = r"input\.(ask|image_url\[0\])"
    with pytest.raises(ConfigurationError, match=rf"{place} is .*{words}") as caught:
        sent(around(ask=value))
    assert "secret" not in str(caught.value).replace("get_secret_value", "")


def test_a_named_tuple_as_the_input_is_refused_with_advice() -> None:
    with pytest.raises(ConfigurationError, match=r"input is of type Pair: pass its \._asdict\(\)"):
        sent(Pair(1, ID))


def test_an_input_model_whose_own_code_raises_is_a_configuration_error() -> None:
    class Broken(pydantic.BaseModel):
        a: int = 1

        @pydantic.field_serializer("a")
        def fails(self, _: int) -> int:
            raise LookupError("no such thing")

    with pytest.raises(ConfigurationError, match="JSON can't carry the input"):
        sent(Broken())
    assert find_files({"a": Broken()}) == []


# Values of numpy and msgspec.


def test_numpy_scalars_are_sent_as_numbers_and_numpy_arrays_are_refused() -> None:
    values = [numpy.int64(5), numpy.float32(0.5), numpy.bool_(True), numpy.array(3), numpy.str_("x")]
    assert sent({"a": values}) == {"a": [5, 0.5, True, 3, "x"]}
    assert sent({"a": numpy.datetime64("2026-01-02T03:04:05")}) == {"a": "2026-01-02T03:04:05"}
    for array_like, words in (
        (numpy.zeros((2, 2)), r"an array \(ndarray\): pass its \.tolist\(\), or an image"),
        (numpy.timedelta64(1, "s"), "a value of type timedelta64|an array"),
        (numpy.float32("nan"), "nan"),
    ):
        with pytest.raises(ConfigurationError, match=rf"input\.a\[0\] is {words}"):
            sent({"a": [array_like]})


def test_a_msgspec_struct_is_sent_with_its_json_names() -> None:
    named = msgspec.defstruct(
        "Ask",
        [("num_images", int), ("image", Any, None), ("left_out", Any, msgspec.UNSET)],
        rename="camel",
        tag="ask",
    )
    assert sent(named(2, ID)) == {"type": "ask", "numImages": 2, "image": str(ID)}
    assert find_files([named(2, Path("cat.png"))]) == [Path("cat.png")]
    with pytest.raises(ConfigurationError, match=r"input\.a\.image is a set"):
        sent({"a": named(2, {1})})


def test_record_fields_that_are_none_are_left_out_but_none_in_containers_is_sent() -> None:
    @attrs.frozen
    class Attrs:
        seed: int | None = None
        more: Any = None

    @dataclass
    class Data:
        seed: int | None = None
        more: Any = None

    class Struct(msgspec.Struct, rename={"seed": "Seed"}):
        seed: int | None = None
        more: Any = None

    class Typed(typing_extensions.TypedDict):
        a: int | None

    class Model(pydantic.BaseModel):
        seed: int | None = pydantic.Field(default=None, alias="Seed")
        more: Any = None
        typed: Typed = {"a": None}
        data: Data = Data()

        @pydantic.computed_field  # type: ignore[prop-decorator]
        @property
        def computed(self) -> int | None:
            return None

    for kind in (Attrs, Data, Struct):
        assert sent(kind()) == {}
        assert sent(kind(more={"a": None, "b": [None, kind()]})) == {"more": {"a": None, "b": [None, {}]}}
        assert sent({"a": None, "of": kind()}) == {"a": None, "of": {}}
    assert sent(Model(more={"a": None, "b": [None, Model()]})) == {
        "more": {"a": None, "b": [None, {"typed": {"a": None}, "data": {}}]},
        "typed": {"a": None},
        "data": {},
    }


@pytest.mark.parametrize("depth", [3_000, 100_000])
def test_an_input_nested_too_deeply_is_refused(depth: int) -> None:
    deep: list[Any] = []
    for _ in range(depth):
        deep = [deep]
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        encode_json({"deep": deep})


def test_null_in_a_field_of_each_kind_of_record_is_sent_as_null() -> None:
    @attrs.frozen
    class Attrs:
        seed: int | Null | None = None

    @dataclass
    class Data:
        seed: int | Null | None = None

    class Struct(msgspec.Struct):
        seed: int | Null | None = None

    class Model(pydantic.BaseModel):
        seed: int | Null | None = None

    class ModelOfValues(pydantic.BaseModel, use_enum_values=True):
        seed: int | Null | None = None

    for kind in (Attrs, Data, Struct, Model, ModelOfValues):
        assert sent(kind(seed=NULL)) == {"seed": None}
        assert sent({"of": [kind(seed=NULL), kind(seed=None)]}) == {"of": [{"seed": None}, {}]}
        with_file = {"of": kind(seed=NULL), "file": Path("a.png")}
        assert sent(replace_files(with_file, str)) == {"of": {"seed": None}, "file": "a.png"}
    assert sent({"seed": NULL, "more": None}) == {"seed": None, "more": None}


def test_null_stays_one_object_in_copies_and_pickles_and_is_false() -> None:
    assert own_copy({"of": [NULL]})["of"][0] is NULL
    assert pickle.loads(pickle.dumps(NULL)) is copy.deepcopy(NULL) is NULL
    assert not NULL
    assert repr(NULL) == "NULL"


def test_a_field_with_null_gives_another_digest_than_a_field_with_none() -> None:
    class Model(pydantic.BaseModel):
        seed: int | Null | None = None

    digests = {digest_of(encode_json(value)) for value in (Model(), Model(seed=NULL), {"seed": None})}
    assert len(digests) == 2


def test_a_pydantic_model_with_a_null_field_keeps_its_json_schema_and_reads_null() -> None:
    class Model(pydantic.BaseModel):
        seed: int | Null = NULL

    assert Model.model_validate_json('{"seed": null}').seed is NULL
    assert Model.model_validate({"seed": 1}).seed == 1
    assert Model().model_dump_json() == '{"seed":null}'
    assert "properties" in Model.model_json_schema()
