"""Digests of inputs. They are pinned, because a ledger written today may be read in years."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.errors import ConfigurationError, LedgerError
from fal_async.protocol.json_input import encode_json
from fal_async.protocol.ledger.digests import (
    FileDigest,
    body_digest,
    check_version,
    files_of,
    input_digest,
)
from fal_async.protocol.storage.input_files import File

CAT, DOG = Path("cat.png"), File(b"dog", content_type="image/jpeg")
OF_CAT = FileDigest(sha256=hashlib.sha256(b"cat").hexdigest(), content_type="image/png")
OF_DOG = FileDigest(sha256=hashlib.sha256(b"dog").hexdigest(), content_type="image/jpeg")

VECTORS: list[tuple[Any, str]] = [
    (None, "{}"),
    ({}, "{}"),
    ({"b": 1, "a": [True, False, None]}, '{"a":[true,false,null],"b":1}'),
    ({"seed": 5.0}, '{"seed":5}'),
    ({"seed": 18446744073709551617}, '{"seed":18446744073709551617}'),
    ({"x": -0.0}, '{"x":0}'),
    ({"x": 0.1, "y": 1e-7, "z": 2.5e-10}, '{"x":0.1,"y":1e-07,"z":2.5e-10}'),
    ({"x": 1e22}, '{"x":10000000000000000000000}'),
    ({"prompt": "Größe 猫 👩"}, '{"prompt":"Gr\\u00f6\\u00dfe \\u732b \\ud83d\\udc69"}'),
    ({"a": 'q"\\/\n\x7f\x01'}, r'{"a":"q\"\\/\n\u007f\u0001"}'),
    ({"é": 1, "z": 2, "Z": 3, "": 4}, '{"":4,"Z":3,"z":2,"\\u00e9":1}'),
]


@pytest.mark.parametrize(("value", "canonical"), VECTORS)
def test_the_digest_of_an_input_without_files_is_that_of_its_canonical_json(
    value: Any, canonical: str
) -> None:
    expected = "1:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()
    assert input_digest(value) == expected
    assert body_digest(encode_json(value or {})) == expected


def test_the_digest_of_a_file_covers_its_place_its_sha_256_and_its_type() -> None:
    value = {"image_url": CAT, "masks": [{"m": DOG}, "x"]}
    canonical = (
        '[{"image_url":null,"masks":[{"m":null},"x"]},'
        f'[[["image_url"],"{OF_CAT.sha256}","image/png"],[["masks",0,"m"],"{OF_DOG.sha256}","image/jpeg"]]]'
    )
    assert files_of(value) == [CAT, DOG]
    assert (
        input_digest(value, [OF_CAT, OF_DOG]) == "1:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()
    )


def test_input_digests_are_the_same_as_in_the_first_release() -> None:
    assert input_digest({"prompt": "a cat", "num_images": 4, "guidance_scale": 3.5}) == (
        "1:b0fda39f3ae7877a5cf2e11cb4549e8f1256b2675843195716c91852ecf6c3be"
    )
    assert input_digest({"image_url": CAT}, [OF_CAT]) == (
        "1:696f0a8c44955cf545677ba3f297103796d587e0073b95de445aa3582675e0a6"
    )


def test_the_order_of_keys_does_not_change_the_digest_of_an_input_with_files() -> None:
    one = input_digest({"a": CAT, "b": DOG}, [OF_CAT, OF_DOG])
    assert one == input_digest({"b": DOG, "a": CAT}, [OF_DOG, OF_CAT])
    assert one != input_digest({"a": DOG, "b": CAT}, [OF_DOG, OF_CAT])


def test_the_digest_of_a_file_depends_on_bytes_and_type_but_not_on_its_name() -> None:
    one = input_digest({"a": CAT}, [OF_CAT])
    assert one == input_digest({"a": Path("other.png")}, [OF_CAT])
    assert one != input_digest({"a": CAT}, [OF_DOG])
    assert one != input_digest({"a": CAT}, [attrs.evolve(OF_CAT, content_type="image/webp")])


@pytest.mark.parametrize(
    "like",
    [
        {"a": None},
        {"a": [None, [[["a"], OF_CAT.sha256, "image/png"]]]},
        {"a": OF_CAT.sha256},
        {"a": {"sha256": OF_CAT.sha256, "content_type": "image/png"}},
    ],
)
def test_an_input_that_imitates_a_file_has_another_digest_than_the_file(like: Any) -> None:
    assert input_digest(like) != input_digest({"a": CAT}, [OF_CAT])


def test_a_file_under_a_dotted_key_has_another_digest_than_under_nested_keys() -> None:
    dotted = {"a.b": CAT, "a": {"b": None}}
    nested = {"a.b": None, "a": {"b": CAT}}
    assert input_digest(dotted, [OF_CAT]) != input_digest(nested, [OF_CAT])
    assert input_digest({"a": {"0": CAT}}, [OF_CAT]) != input_digest({"a": [CAT]}, [OF_CAT])


@attrs.frozen
class Attrs:
    prompt: str
    image: Any = None
    new: int | None = None


@dataclass
class Data:
    prompt: str
    image: Any = None
    new: int | None = None


class Pydantic(pydantic.BaseModel):
    prompt: str
    image: Any = None
    new: int | None = None


class Struct(msgspec.Struct):
    prompt: str
    image: Any = None
    new: int | None = None


@pytest.mark.parametrize("record", [Attrs, Data, Pydantic, Struct])
def test_a_record_has_the_digest_of_a_mapping_of_its_fields_that_are_not_none(record: Any) -> None:
    assert input_digest(record(prompt="x")) == input_digest({"prompt": "x"})
    assert input_digest(record(prompt="x", new=1)) == input_digest({"prompt": "x", "new": 1})
    assert input_digest({"a": [record(prompt="x")]}) == input_digest({"a": [{"prompt": "x"}]})
    with_file = record(prompt="x", image=CAT)
    assert files_of(with_file) == [CAT]
    assert input_digest(with_file, [OF_CAT]) == input_digest({"prompt": "x", "image": CAT}, [OF_CAT])
    assert input_digest(record(prompt="x", image={"a": None})) != input_digest(
        record(prompt="x", image={})
    ), "None in a mapping is null"


def test_digests_of_inputs_that_json_cannot_represent_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"input\.a is nan"):
        input_digest({"a": float("nan")})
    with pytest.raises(ConfigurationError, match=r"input\.a is bytes"):
        files_of({"a": b"x"})
    with pytest.raises(ConfigurationError, match="expected a mapping"):
        input_digest([1])


def test_an_input_with_fewer_file_digests_than_files_raises_value_error() -> None:
    with pytest.raises(ValueError, match="1 files, but 0 file digests"):
        input_digest({"a": CAT})


def test_a_stored_digest_of_an_unknown_version_raises_ledger_error() -> None:
    stored = input_digest({"a": CAT}, [OF_CAT])
    check_version(stored)
    assert input_digest({"a": CAT}, [OF_DOG]) != stored
    for foreign in ("2:" + "0" * 64, "", "abc"):
        with pytest.raises(LedgerError, match="update fal_async"):
            check_version(foreign)


texts = st.text(st.characters(codec="utf-8"), max_size=4)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from([CAT, DOG])
)
inputs = st.dictionaries(
    texts,
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=10,
    ),
    max_size=4,
)


def digests(value: Any) -> Iterator[FileDigest]:
    return (OF_CAT if file is CAT else OF_DOG for file in files_of(value))


def plain(value: Any) -> Any:
    """Return what equal inputs have in common: types of numbers do not matter, and files count by identity."""
    if isinstance(value, dict):
        return ("map", frozenset((key, plain(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(map(plain, value)))
    return (
        (type(value).__name__ if isinstance(value, bool | str | None) else "number", value)
        if not (value is CAT or value is DOG)
        else ("file", id(value))
    )


@given(inputs, inputs)
def test_two_inputs_have_the_same_digest_only_if_they_are_equal(one: Any, other: Any) -> None:
    same = plain(one) == plain(other)
    assert (input_digest(one, list(digests(one))) == input_digest(other, list(digests(other)))) is same
    shuffled = dict(reversed(one.items()))
    assert input_digest(shuffled, list(digests(shuffled))) == input_digest(one, list(digests(one)))


@given(inputs.filter(lambda value: not files_of(value)))
def test_the_body_digest_equals_the_input_digest_in_any_json_formatting(value: Any) -> None:
    body = encode_json(value)
    assert body_digest(body) == input_digest(value)
    assert body_digest(json.dumps(json.loads(body), indent=2, ensure_ascii=True).encode()) == input_digest(
        value
    )


FLAT = st.dictionaries(
    st.text() | st.integers(0, 9),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
)


@given(FLAT)
def test_the_fast_path_for_flat_inputs_returns_the_same_digest(value: dict[Any, Any]) -> None:
    try:
        sent = encode_json(value)
    except ConfigurationError:
        with pytest.raises(ConfigurationError):
            input_digest(value)
    else:
        assert input_digest(value) == body_digest(sent)


def test_an_int_with_too_many_digits_is_refused_on_the_fast_path_too() -> None:
    with pytest.raises(ConfigurationError):
        input_digest({"seed": 10**5000})
