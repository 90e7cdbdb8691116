"""Models: frozen, equal by value, survive pickle and copy, and show no secrets in their `repr`."""

from __future__ import annotations

import copy
import datetime
import enum
import json
import math
import pickle
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.errors import CancelOutcome, ConfigurationError, ErrorDetail
from fal_async.models import (
    Completed,
    InProgress,
    Queued,
    RequestLog,
    Result,
    UnknownStatus,
)
from fal_async.outputs.output_files import OutputFile
from fal_async.protocol.queue import Submission
from tests.protocol.test_http import json_values

LOG = RequestLog(message="50%", timestamp="t", level="INFO", source="USER")
VALUES: list[Any] = [
    LOG,
    Queued(request_id="r", position=3, raw={"a": [1]}),
    InProgress(request_id="r", logs=(LOG,), new_logs=(LOG,)),
    Completed(request_id="r", metrics={"inference_time": 1.0}, error="x", error_type="y"),
    UnknownStatus(request_id="r", status="PAUSED"),
    Result(data={"a": 1}, request_id="r", attempts={"run": 1}, status=Completed(request_id="r"), logs=(LOG,)),
    ErrorDetail(msg="m", loc=("body", 1), ctx={"a": 1}, input=[1]),
]
SECRET = "s3cret"


class Mood(enum.Enum):
    GOOD = "good"


LEAKS: list[Any] = [
    Completed(request_id="r", error=f"data:image/png;base64,{SECRET}"),
    Completed(request_id="r", error_type=f"Key a:{SECRET}"),
    UnknownStatus(request_id="r", status=f"Bearer {SECRET}"),
    InProgress(request_id="r", logs=(RequestLog(message=SECRET),)),
    Submission(request_id="r", status_url=f"https://a.b/c?token={SECRET}"),
    Submission(request_id="r", cancel_url=f"https://u:{SECRET}@a.b/c"),
    Result(data={"url": f"https://a.b/c?token={SECRET}"}, headers={"set-cookie": SECRET}),
    Result(data=[{"image": f"data:image/png;base64,{'A' * 9_000}{SECRET}"}, f"Key a:{SECRET}"]),
    Result(data=f"https://a.b/{'c' * 70}?token={SECRET}"),
    Result(data={f"https://a.b/?{SECRET}": f"{'x ' * 9_000}{SECRET}"}),
    Result(data=SECRET.encode()),
    OutputFile(url=f"https://a.b/c?token={SECRET}"),
    OutputFile(url=f"data:image/png;base64,{SECRET}"),
    OutputFile(url=f"https://u:{SECRET}@a.b/c", content_type="x" * 9_000),
    ErrorDetail(msg="m", input=SECRET, ctx={"a": SECRET}, url=f"https://a.b/?{SECRET}"),
    ErrorDetail(msg=f"data:,{SECRET}"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_models_are_equal_by_value_and_survive_pickle_and_copy(value: Any) -> None:
    for twin in (
        copy.copy(value),
        copy.deepcopy(value),
        attrs.evolve(value),
        *(pickle.loads(pickle.dumps(value, protocol)) for protocol in range(2, 6)),
    ):
        assert type(twin) is type(value)
        assert twin == value
        assert repr(twin) == repr(value)
    for other in VALUES:
        assert (value == other) == (value is other)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_models_are_frozen_and_created_by_keyword(value: Any) -> None:
    name = attrs.fields(type(value))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, name, "other")
    with pytest.raises(TypeError):
        type(value)("x")


@pytest.mark.parametrize("value", LEAKS, ids=lambda value: type(value).__name__)
def test_the_repr_of_a_model_is_short_and_shows_no_secret(value: Any) -> None:
    assert SECRET not in repr(value)
    assert len(repr(value)) < 600


@pytest.mark.parametrize(
    ("status", "headline", "text"),
    [
        (Queued(request_id="r"), "IN_QUEUE", "IN_QUEUE"),
        (Queued(request_id="r", position=0), "IN_QUEUE at position 0", "IN_QUEUE at position 0"),
        (InProgress(request_id="r", logs=(LOG,)), "IN_PROGRESS", "IN_PROGRESS"),
        (InProgress(request_id="r", new_logs=(LOG,)), "IN_PROGRESS", "IN_PROGRESS: 50%"),
        (Completed(request_id="r"), "COMPLETED", "COMPLETED"),
        (Completed(request_id="r", error="x"), "COMPLETED with an error", "COMPLETED with an error"),
        (Completed(request_id="r", error_type="x"), "COMPLETED with an error", "COMPLETED with an error"),
        (UnknownStatus(request_id="r", status="PAUSED"), "PAUSED", "PAUSED"),
        (UnknownStatus(request_id="r"), "unknown", "unknown"),
    ],
)
def test_a_status_has_a_headline_and_shows_its_newest_log(status: Any, headline: str, text: str) -> None:
    assert (status.headline, str(status)) == (headline, text)


@pytest.mark.parametrize(
    ("units", "expected"),
    [("1.5", 1.5), ("0", 0.0), ("", None), ("many", None), ("nan", None), ("inf", None), (None, None)],
)
def test_billable_units_are_the_finite_number_of_the_header_or_none(
    units: str | None, expected: float | None
) -> None:
    headers = {} if units is None else {"x-fal-billable-units": units}
    assert Result(data=None, headers=headers).billable_units == expected


@given(st.text())
def test_billable_units_of_any_header_are_a_float_or_none(units: str) -> None:
    found = Result(data=None, headers={"x-fal-billable-units": units}).billable_units
    assert found is None or isinstance(found, float)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"answer": "why the sky is blue"}, "{'answer': 'why the sky is blue'}"),
        ("a text", "'a text'"),
        (b"bytes", "<5 bytes>"),
        (None, "None"),
        ([], "[]"),
        ({}, "{}"),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, 6, 7, ...]"),
        ({"a": {"b": {"c": {"d": {"e": 1}}}}}, "{'a': {'b': {'c': {'d': {...}}}}}"),
        (LOG, "RequestLog(message='50%'"),
    ],
)
def test_the_repr_of_a_result_shows_the_beginning_of_the_output(data: Any, shown: str) -> None:
    assert repr(Result(data=data, request_id="r-1")).startswith(f"Result(data={shown}")
    assert "request_id='r-1'" in repr(Result(data=data, request_id="r-1"))


@given(json_values)
def test_the_repr_of_a_result_with_any_output_is_one_short_line(data: Any) -> None:
    text = repr(Result(data=data))
    assert len(text) < 600
    assert "\n" not in text


def test_to_dict_of_a_result_with_a_typed_output_is_json() -> None:
    @attrs.frozen
    class Output:
        made: datetime.date
        mood: Mood
        scores: tuple[float, ...]
        raw: bytes = b"\xff"
        where: Path = Path("a/b")

    data = {"out": Output(datetime.date(2026, 1, 2), Mood.GOOD, (1.5, math.nan)), 5: {"x"}}
    result = Result(
        data=data, request_id="r", attempts={"run": 1}, logs=(LOG,), headers={"set-cookie": SECRET}
    )
    made = result.to_dict()
    assert made["data"] == {
        "out": {"made": "2026-01-02", "mood": "good", "scores": [1.5, None], "raw": "/w==", "where": "a/b"},
        "5": ["x"],
    }
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert dict(cast("Any", result)) == made
    assert (made["request_id"], made["attempts"], made["logs"][0]["message"]) == ("r", {"run": 1}, "50%")
    assert SECRET not in str(made)


@given(json_values)
def test_to_dict_of_a_result_with_any_output_is_json(data: Any) -> None:
    json.dumps(Result(data=data).to_dict(), allow_nan=False)


def test_to_dict_of_an_output_without_a_json_form_raises_configuration_error() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for data in (deep, object()):
        with pytest.raises(ConfigurationError, match="JSON can't carry"):
            Result(data=data).to_dict()


def test_using_a_result_as_its_output_raises_with_a_hint_to_data() -> None:
    result: Any = Result(data={"images": []})
    with pytest.raises(TypeError, match=r"the output is its \.data, as in result\.data\['images'\]"):
        result["images"]
    with pytest.raises(AttributeError, match=r"no attribute 'images': the output is its \.data"):
        _ = result.images
    assert not hasattr(result, "_repr_html_")


def test_metrics_of_a_result_are_those_of_its_status_or_empty() -> None:
    assert Result(data=None).metrics == {}
    completed = Completed(request_id="r", metrics={"inference_time": 2})
    assert Result(data=None, status=completed).metrics == {"inference_time": 2}


def test_cancel_outcomes_are_equal_to_their_strings() -> None:
    assert [outcome.value for outcome in CancelOutcome] == [
        "CANCELLED",
        "CANCELLATION_REQUESTED",
        "ALREADY_COMPLETED",
        "NOT_FOUND",
        "REFUSED",
        "FAILED",
    ]
    assert CancelOutcome.CANCELLED == "CANCELLED"
