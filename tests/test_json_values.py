"""Values of results and streams become JSON that `JSON.parse` of a browser can read."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import uuid
from collections import OrderedDict, deque
from decimal import Decimal
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, NamedTuple

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, HttpUrl

from fal_async import ConfigurationError, ErrorDetail, ValidationError
from fal_async.integrations.error_answers import answer_to
from fal_async.outputs.json_values import json_text

NAN = float("nan")


def refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def strict(text: str) -> Any:
    """Parse as browsers and all other parsers do: without NaN, and only valid Unicode."""
    text.encode()
    read = json.loads(text, parse_constant=refuse)
    json.dumps(read, ensure_ascii=False).encode()
    return read


@attrs.frozen
class Picture:
    url: str
    size: float = float("nan")


@dataclasses.dataclass
class Point:
    at: tuple[float, float]
    seen: set[int] = dataclasses.field(default_factory=set)


class Model(BaseModel):
    size: float
    url: HttpUrl
    raw: bytes = Field(default=b"\xff", alias="bytes")


class Struct:
    """A class with the attributes of a msgspec Struct."""

    __struct_fields__ = ("a", "b")
    __struct_encode_fields__ = ("a", "bee")
    __struct_config__ = SimpleNamespace(tag=None)

    def __init__(self) -> None:
        self.a, self.b = NAN, {b"k": 1}


class Pair(NamedTuple):
    a: int
    b: bytes


class Color(enum.Enum):
    RED = b"r"


class Score(float, enum.Enum):
    NONE = float("nan")


class Scalar:
    """A scalar like those of numpy, which are not Python numbers."""

    def tolist(self) -> float:
        return float("inf")


MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
VALUES: list[tuple[Any, Any]] = [
    (NAN, None),
    (float("inf"), None),
    ({"score": NAN, "all": [-float("inf"), 1.5]}, {"score": None, "all": [None, 1.5]}),
    (b"\x00\xff", "AP8="),
    (bytearray(b"\x00\xff"), "AP8="),
    (memoryview(b"\x00\xff"), "AP8="),
    (MOMENT, "2026-01-02T03:04:05+00:00"),
    (MOMENT.date(), "2026-01-02"),
    (MOMENT.time(), "03:04:05"),
    (datetime.timedelta(minutes=1), 60.0),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Decimal("1.5"), 1.5),
    (Decimal("nan"), None),
    (Decimal("1e400"), None),
    ({1}, [1]),
    (frozenset({b"a"}), ["YQ=="]),
    (deque([NAN]), [None]),
    (range(2), [0, 1]),
    ({"a": 1}.keys(), ["a"]),
    (OrderedDict(a=NAN), {"a": None}),
    ({True: 1, None: 2, b"k": 4, 5: 5, 1.5: 6}, {"true": 1, "null": 2, "aw==": 4, "5": 5, "1.5": 6}),
    ({NAN: 1}, {"null": 1}),
    (Picture("u"), {"url": "u", "size": None}),
    (Point((1.0, NAN), {2}), {"at": [1.0, None], "seen": [2]}),
    (
        Model(size=NAN, url=HttpUrl("https://a.example/")),
        {"size": None, "url": "https://a.example/", "bytes": "/w=="},
    ),
    (Pair(1, b""), [1, ""]),
    (Struct(), {"a": None, "bee": {"aw==": 1}}),
    (Color.RED, "cg=="),
    (Score.NONE, None),
    (PurePosixPath("a/b"), "a/b"),
    (Scalar(), None),
    ("\ud83d", "\ufffd"),
    ("a\udc80b", "a\ufffdb"),
    ("\ud83d\ude00", "\U0001f600"),
    ({"\ud800": "\ud800"}, {"\ufffd": "\ufffd"}),
    (2**70, 2**70),
]


@pytest.mark.parametrize(("value", "read"), VALUES)
def test_every_kind_of_value_becomes_strict_json(value: Any, read: Any) -> None:
    assert strict(json_text(value)) == read


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]))
    | st.binary()
    | st.datetimes()
    | st.decimals()
    | st.uuids(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=[])) | st.floats(), inner)
    ),
)


@given(anything)
def test_any_model_output_becomes_strict_json(value: Any) -> None:
    strict(json_text({"value": value}))


def itself() -> list[Any]:
    held: list[Any] = []
    held.append(held)
    return held


@pytest.mark.parametrize("value", [object(), {"a": [object]}, 1j, lambda: 1, itself(), [10**5000]])
def test_a_value_without_a_json_form_raises_configuration_error(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="JSON can't carry"):
        json_text(value)


def test_an_error_with_broken_unicode_is_answered_in_strict_json() -> None:
    detail = ErrorDetail(msg="\ud800", loc=("body", "\ud800"))
    error = ValidationError("\ud800", status=422, errors=[detail])
    strict(json.dumps(dict(answer_to(error).body), ensure_ascii=False, allow_nan=False))
