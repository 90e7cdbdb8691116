"""Which call gets which fault, and the values that a fault may have."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.emulator import Fault
from fal_async.emulator.faults.fault_fields import ON
from fal_async.emulator.faults.kinds import DEFAULTS, KINDS
from fal_async.emulator.faults.script import FaultScript

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [field.name for field in attrs.fields(Fault) if field.name != "kind"]


def struck(
    book: FaultScript, calls: int, kind: str = "submit", endpoint_id: str = "me/app"
) -> list[str | None]:
    faults = (book.take(kind, endpoint_id) for _ in range(calls))
    return [None if fault is None else fault.kind for fault in faults]


def test_faults_strike_in_order_each_as_often_as_its_times() -> None:
    book = FaultScript()
    book.add(Fault.html(times=2), Fault.vanish())
    assert struck(book, 4) == ["html", "html", "vanish", None]
    assert (len(book), book.struck) == (0, 3)


def test_a_fault_with_after_lets_the_first_calls_pass() -> None:
    book = FaultScript()
    book.add(Fault.reset(after=2))
    assert struck(book, 4) == [None, None, "reset", None]


def test_a_fault_strikes_only_its_operation_and_endpoint() -> None:
    book = FaultScript()
    book.add(Fault.reset(on="status", endpoint_id="me/app", times=None))
    assert struck(book, 1, "submit") == [None]
    assert struck(book, 1, "status", "me/other") == [None]
    assert struck(book, 9, "status") == ["reset"] * 9


def test_faults_never_strike_the_index_and_the_admin_route() -> None:
    book = FaultScript()
    book.add(Fault.reset(times=None))
    assert struck(book, 1, "index") == struck(book, 1, "admin") == [None]


def test_removed_and_cleared_faults_strike_no_more() -> None:
    book, fault = FaultScript(), Fault.reset(times=None)
    book.add(fault, Fault.html(times=None))
    assert list(book) == [fault, Fault.html(times=None)]
    book.remove(fault)
    book.remove(fault)
    assert struck(book, 1) == ["html"]
    book.clear()
    assert struck(book, 1) == [None]


def test_faults_with_a_chance_strike_the_same_calls_for_the_same_seed() -> None:
    def dice(seed: int) -> list[str | None]:
        book = FaultScript(seed)
        book.add(Fault.reset(chance=0.5, times=None))
        return struck(book, 50)

    assert dice(1) == dice(1) != dice(2)
    book = FaultScript(1)
    book.add(Fault.reset(chance=0.5, times=None))
    first = struck(book, 50)
    book.seed(1)
    assert struck(book, 50) == first
    assert 5 < first.count("reset") < 45


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "object with a 'kind'"),
        ({}, "object with a 'kind'"),
        ({"kind": "explode"}, "expected one of refuse, reset"),
        ({"kind": ["reset"]}, "expected one of refuse, reset"),
        ({"kind": "reset", "how": 1}, "unknown field"),
        ({"kind": "reset", "on": "submti"}, "expected one of any, run, submit"),
        ({"kind": "reset", "times": 0}, "times=0: expected a number >= 1"),
        ({"kind": "reset", "times": "many"}, "expected int or None"),
        ({"kind": "reset", "taken": 1}, "expected bool"),
        ({"kind": "reset", "chance": 2}, "chance=2: expected a number from 0 to 1"),
        ({"kind": "reset", "status": 500}, "'reset' has no field 'status': expected some of "),
        ({"kind": "refuse", "seconds": float("nan")}, "seconds=nan: expected a number >= 0"),
        ({"kind": "answer"}, "HTTP status"),
        ({"kind": "answer", "status": 1000}, "HTTP status"),
        ({"kind": "answer", "status": "500"}, "expected int"),
        ({"kind": "answer", "status": 500, "headers": {"a": 1}}, "header names"),
        ({"kind": "redirect"}, "needs 'url'"),
        (
            {"kind": "redirect", "url": "http://x", "status": 304},
            "status=304: expected .* one of 301, 302, 303, ",
        ),
        ({"kind": "missing", "names": 5}, "expected tuple"),
        ({"kind": "stall", "where": "middle"}, "headers, body"),
        (
            {"kind": "stall", "where": "body", "taken": False},
            "where='body', taken=False: .* expected taken=True",
        ),
    ],
    ids=str,
)
def test_from_json_refuses_bad_fields_and_says_what_is_expected(document: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Fault.from_json(document)


@pytest.mark.parametrize("status", [200, 300, 304, 309, 503])
def test_a_redirect_fault_with_a_status_that_is_not_a_redirect_is_refused(status: int) -> None:
    with pytest.raises(
        ValueError, match=f"status={status}: expected the HTTP status of a redirect, one of 301, "
    ):
        Fault.redirect("http://x", status)


def test_a_stall_in_the_body_of_a_request_that_is_not_executed_is_refused() -> None:
    with pytest.raises(ValueError, match="a request that is not executed has no body"):
        Fault.stall(1, where="body", taken=False)


def test_the_error_for_an_unused_field_lists_only_arguments_of_the_constructor() -> None:
    with pytest.raises(ValueError, match="'drip' has no field 'taken': expected some of ") as refused:
        Fault.drip(1, taken=True)
    named = str(refused.value).partition("some of ")[2]
    assert named == "after, chance, endpoint_id, on, seconds, times"


@pytest.mark.parametrize(
    ("kind", "needed"), [("stall", {"seconds": 1.0}), ("redirect", {"url": "http://x"}), ("html", {})]
)
def test_from_json_has_the_same_defaults_as_the_constructors(kind: str, needed: dict[str, Any]) -> None:
    assert kind in DEFAULTS
    assert Fault.from_json({"kind": kind, **needed}) == getattr(Fault, kind)(**needed)


def test_from_json_accepts_a_single_name_without_a_list() -> None:
    assert Fault.from_json({"kind": "missing", "names": "status"}) == Fault.missing("status")


@given(
    kind=st.sampled_from(sorted(KINDS)) | JSON,
    fields=st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=6), JSON, max_size=4),
)
def test_from_json_returns_a_fault_or_raises_value_error_for_any_json(
    kind: Any, fields: dict[str, Any]
) -> None:
    try:
        fault = Fault.from_json({"kind": kind, **fields})
    except ValueError:
        return
    # repr, because NaN is not equal to itself.
    assert repr(Fault.from_json(json.loads(json.dumps(fault.to_json())))) == repr(fault)


@given(
    on=st.sampled_from(ON),
    times=st.none() | st.integers(1, 5),
    after=st.integers(0, 5),
    seconds=st.floats(0, 1e6),
)
def test_a_fault_is_the_same_after_to_json_and_from_json(
    on: str, times: int | None, after: int, seconds: float
) -> None:
    fault = Fault.stall(seconds, on=on, times=times, after=after, taken=False)
    assert Fault.from_json(json.loads(json.dumps(fault.to_json()))) == fault
