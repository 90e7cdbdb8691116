"""Templates and conditions, for any input."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.emulator.declared.conditions import read_conditions
from fal_async.emulator.declared.document import read_document
from fal_async.emulator.declared.placed_values import DocumentError, Placed
from fal_async.emulator.declared.templates import Source, fill, read_template
from fal_async.emulator.wire.answers import ModelError

NO_JOB: Any = None
TEXTS = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def filled(template: Any, input: Any) -> Any:
    return asyncio.run(fill(read_template(Placed(template, "test"), None), Source(input, NO_JOB)))


def escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("{", "{{").replace("}", "}}")
    if isinstance(value, list):
        return [escaped(item) for item in value]
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    return value


@given(VALUES)
def test_a_value_whose_braces_are_doubled_is_sent_as_it_is(value: Any) -> None:
    assert filled(escaped(value), {}) == value


@given(VALUES, TEXTS, TEXTS)
def test_a_placeholder_alone_is_the_value_and_within_a_text_a_part_of_it(
    value: Any, before: str, after: str
) -> None:
    assert filled("{input.a.0}", {"a": [value]}) == value
    assert filled("{input}", value) == value
    if isinstance(value, str):
        assert filled(f"{escaped(before)}{{input.a}}{escaped(after)}", {"a": value}) == before + value + after


@given(st.text(alphabet="{}|.:input file01\"' ", max_size=30), VALUES)
def test_any_text_is_a_template_or_a_document_error(text: str, input: Any) -> None:
    with contextlib.suppress(DocumentError, ModelError):
        filled(text, input)


@given(VALUES)
def test_any_document_is_endpoints_or_a_document_error(document: Any) -> None:
    for whole in (document, {"endpoints": document}, {"endpoints": {"me/a": document}}):
        with contextlib.suppress(DocumentError):
            read_document(whole, "test", None)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{input.seed|42}", 42),
        ("{input.seed|forty two}", "forty two"),
        ('{input.seed|"42"}', "42"),
        ("{input.seed|}", ""),
        ("{input.a}", None),
        ("{input.a|1}", None),
        ("a {input.n}, {input.l}, {input.a}", "a 1.5, [1], null"),
    ],
)
def test_defaults_and_values_of_other_types(template: str, value: Any) -> None:
    assert filled(template, {"a": None, "n": 1.5, "l": [1]}) == value


@pytest.mark.parametrize(
    ("when", "input", "holds"),
    [
        ({}, None, True),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": {"equals": {"b": 1}}}, {"a": {"b": 1}}, True),
        ({"a.0": "x"}, {"a": ["x"]}, True),
        ({"a.1": "x"}, {"a": ["x"]}, False),
        ({"a": {"contains": "b"}}, {"a": "abc"}, True),
        ({"a": {"contains": 1}}, {"a": [1]}, True),
        ({"a": {"contains": 1}}, {"a": "1"}, False),
        ({"a": {"matches": "^b"}}, {"a": "abc"}, False),
        ({"a": {"matches": "B(?i:C)"}}, {"a": "aBc"}, True),
        ({"a": {"above": 1, "below": 3}}, {"a": 2}, True),
        ({"a": {"above": 1, "below": 3}}, {"a": 3}, False),
        ({"a": {"above": 0}}, {"a": "5"}, False),
        ({"a": {"missing": True}}, {}, True),
        ({"a": {"missing": False}}, {"a": None}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"a": 1}, [1], False),
    ],
)
def test_a_condition_compares_a_value_of_the_input(when: Any, input: Any, holds: bool) -> None:
    conditions = read_conditions(Placed(when, "when"))
    assert all(condition.holds(input) for condition in conditions) is holds
