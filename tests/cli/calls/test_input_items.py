"""The items of an input: what each form means, and what is refused. Pure."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async import ConfigurationError
from fal_async.cli.calls.input_items import Item, build_input, parse_item, parse_json

SEPARATORS = ("=", ":=", "@", "=@", ":=@")


@pytest.mark.parametrize(
    ("word", "path", "separator", "value"),
    [
        ("prompt=a cat", ("prompt",), "=", "a cat"),
        ("num_images:=4", ("num_images",), ":=", "4"),
        ("image_url@cat.png", ("image_url",), "@", "cat.png"),
        ("prompt=@prompt.txt", ("prompt",), "=@", "prompt.txt"),
        ("loras:=@loras.json", ("loras",), ":=@", "loras.json"),
        ("prompt=", ("prompt",), "=", ""),
        ("prompt=a=b@c:=d", ("prompt",), "=", "a=b@c:=d"),
        ("prompt=\nzwei\nZeilen", ("prompt",), "=", "\nzwei\nZeilen"),
        (r"prompt=\@home", ("prompt",), "=", "@home"),
        (r"path=C:\new\table", ("path",), "=", r"C:\new\table"),
        (r'pattern:="\\=\d"', ("pattern",), ":=", r'"\\=\d"'),
        (r"a\=b=c", ("a=b",), "=", "c"),
        (r"a\:b\@c:=1", ("a:b@c",), ":=", "1"),
        (r"a\[0\]=x", ("a[0]",), "=", "x"),
        ("a[b][0][c]=x", ("a", "b", 0, "c"), "=", "x"),
        ("a[]:=1", ("a", None), ":=", "1"),
        (r"a[\]]=x", ("a", "]"), "=", "x"),
        ("größe=1", ("größe",), "=", "1"),
    ],
)
def test_each_form_of_an_item_has_its_path_and_its_value(
    word: str, path: tuple[str | int | None, ...], separator: str, value: str
) -> None:
    item = parse_item(word)
    assert (item.path, item.separator, item.value) == (path, separator, value)


@pytest.mark.parametrize(
    "word", ["", "prompt", "=x", "@x", ":=1", r"a\=b", "Content-Type:json", "[0]=x", "a[b=x"]
)
def test_a_word_that_is_no_item_is_refused_and_named(word: str) -> None:
    with pytest.raises(ConfigurationError, match="expected") as refused:
        parse_item(word)
    assert re.split("=", word)[0] in refused.value.message


def escaped(text: str) -> str:
    return re.sub(r"[\[\]:=@\\]", r"\\\g<0>", text)


def escaped_value(text: str) -> str:
    # A backslash stays as it is, unless it would escape what follows it.
    return re.sub(
        r"(\\*)([:=@])", lambda found: found[1] * 2 + "\\" + found[2] if found[1] else "\\" + found[2], text
    )


@given(
    st.lists(st.text(min_size=1), min_size=1, max_size=3),
    st.sampled_from(SEPARATORS),
    st.text().filter(lambda text: "\\" not in text),
)
def test_any_name_and_value_survive_when_they_are_escaped(
    names: list[str], separator: str, value: str
) -> None:
    head, *more = names
    steps = [name for name in more if not (name.isascii() and name.isdecimal())]
    word = escaped(head) + "".join(f"[{escaped(step)}]" for step in steps) + separator + escaped_value(value)
    item = parse_item(word)
    assert (item.path, item.separator, item.value) == ((head, *steps), separator, value)


@given(st.text())
def test_any_word_is_an_item_or_a_configuration_error(word: str) -> None:
    try:
        item = parse_item(word)
    except ConfigurationError:
        return
    assert word.startswith(item.name + item.separator)
    assert item.path


@given(st.text())
def test_any_text_is_json_or_a_configuration_error(text: str) -> None:
    refused = pytest.raises(ConfigurationError, match=r"^x: not valid JSON")
    with contextlib.nullcontext() if is_json(text) else refused:
        parse_json(text, "x")


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_json_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        parse_json("[" * 100_000, "x")


def built(*words: str, base: dict[str, Any] | None = None) -> dict[str, Any]:
    def value(item: Item) -> Any:
        return parse_json(item.value, "x") if item.separator == ":=" else item.value

    return build_input([(item, value(item)) for item in map(parse_item, words)], base)


def test_items_build_objects_and_lists_in_their_order() -> None:
    assert built(
        "a=1", "size[width]:=512", "size[height]:=256", "l[0][p]=x", "l[1][p]=y", "t[]=1", "t[]=2"
    ) == {
        "a": "1",
        "size": {"width": 512, "height": 256},
        "l": [{"p": "x"}, {"p": "y"}],
        "t": ["1", "2"],
    }


def test_items_replace_members_of_the_base_which_stays_unchanged() -> None:
    base = {"prompt": "a dog", "size": {"width": 1, "height": 2}, "tags": ["a"]}
    assert built("prompt=a cat", "size[width]:=512", "tags[]=b", base=base) == {
        "prompt": "a cat",
        "size": {"width": 512, "height": 2},
        "tags": ["a", "b"],
    }
    assert base == {"prompt": "a dog", "size": {"width": 1, "height": 2}, "tags": ["a"]}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("a=1", "b=2", "a=3"), "a: given twice"),
        (("a[b]=1", "a:=2"), "a: given twice, also as a[b]"),
        (("a=1", "a[b]=2"), "a[b]: leads into a single value: expected an object"),
        (("a=1", "a[0]=2"), "a[0]: leads into a single value: expected a list"),
        (("a[b]=1", "a[0]=2"), "a[0]: leads into an object: expected a list"),
        (("a[0]=1", "a[b]=2"), "a[b]: leads into a list: expected an object"),
        (("a[0]=1", "a[0]=2"), "a[0]: given twice"),
        (("a[2]=1",), "a[2]: index 2: the next one of the list is 0"),
    ],
)
def test_items_that_contradict_one_another_are_refused(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        built(*words)
    assert refused.value.message == told


values = st.recursive(
    st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(
    st.dictionaries(st.text(min_size=1), values), st.lists(st.sampled_from(["a", "a[b]", "a[0]", "b[]", "c"]))
)
def test_any_items_on_any_base_build_an_input_or_a_configuration_error(
    base: dict[str, Any], names: list[str]
) -> None:
    try:
        found = built(*(f"{name}=x" for name in names), base=base)
    except ConfigurationError:
        return
    assert {name.partition("[")[0] for name in names} <= found.keys()
    assert base.keys() <= found.keys()
