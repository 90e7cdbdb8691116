from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.errors import ConfigurationError
from fal_async.protocol.json_input import encode_json
from fal_async.protocol.storage.input_files import File, find_files, is_file, replace_files

CAT, DOG = Path("cat.png"), File(b"dog", content_type="image/png")

texts = st.text(st.characters(codec="utf-8"), max_size=5)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
files = st.sampled_from([CAT, DOG])
inputs = st.recursive(
    leaves | files,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


def count(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(count, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(count, value))
    return int(value is CAT or value is DOG)


@given(inputs)
def test_every_file_in_an_input_is_found_and_replaced_in_a_copy(value: Any) -> None:
    before = repr(value)
    found = find_files(value)
    assert len(found) == count(value)
    urls = iter(range(len(found)))
    replaced = replace_files(value, lambda _: f"https://f/{next(urls)}")
    assert count(replaced) == 0
    assert repr(value) == before
    assert len(find_files(value)) == len(found), "the caller's input still has its files"
    if not found:
        assert replaced is value
    encode_json(replaced)


@attrs.frozen
class Shape:
    image: Path | str
    note: str = "n"


@dataclass
class Inner:
    masks: list[Any]
    size: int = 5


@attrs.frozen
class Outer:
    prompt: str
    shape: Shape
    inner: Inner


def test_records_with_files_become_dicts_when_files_are_replaced() -> None:
    value = Outer(prompt="p", shape=Shape(image=CAT), inner=Inner(masks=[DOG, "text"]))
    assert find_files(value) == [CAT, DOG]
    assert replace_files(value, lambda file: "cat" if file is CAT else "dog") == {
        "prompt": "p",
        "shape": {"image": "cat", "note": "n"},
        "inner": {"masks": ["dog", "text"], "size": 5},
    }
    plain = Outer(prompt="p", shape=Shape(image="url"), inner=Inner(masks=[]))
    assert replace_files(plain, lambda _: "") is plain
    assert value.shape.image is CAT


def test_a_str_in_an_input_is_never_a_file() -> None:
    assert find_files({"image": "/etc/passwd", "prompt": "cat.png"}) == []


def test_paths_and_file_objects_are_files_but_bytes_are_not(tmp_path: Path) -> None:
    assert is_file(tmp_path)
    assert is_file(io.BytesIO())
    with (tmp_path / "x").open("wb") as handle:
        assert is_file(handle)
    assert not is_file(b"x")


def test_bare_bytes_in_an_input_are_refused_with_advice() -> None:
    with pytest.raises(ConfigurationError, match=r"input\.images\[1\] is bytes.*File\(data"):
        find_files({"images": ["ok", b"bytes"]})


def test_finding_files_ends_in_an_input_that_contains_itself() -> None:
    loop: dict[str, Any] = {"file": CAT}
    loop["self"] = loop
    assert find_files(loop) == [CAT]


@pytest.mark.parametrize("content_type", ["png", "image/png\r\nX: y"])
def test_a_file_with_a_malformed_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(ConfigurationError, match="content_type"):
        File(b"", content_type=content_type)


def test_the_repr_of_a_file_does_not_show_its_content() -> None:
    assert "secret" not in repr(File(b"secret"))


def test_parts_of_an_input_without_files_are_not_copied() -> None:
    numbers = {"mask": [[0.5] * 1000] * 1000, "image": CAT}
    assert replace_files(numbers, lambda _: "url")["mask"] is numbers["mask"]
