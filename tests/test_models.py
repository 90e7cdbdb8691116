"""Wire values: frozen, equal by value, good travellers, careful in their `repr`."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.errors import CancelOutcome, ErrorDetail
from fal_async.models import (
    Completed,
    InProgress,
    Queued,
    RequestLog,
    Result,
    UnknownStatus,
)
from fal_async.protocol.queue import Submission

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
LEAKS: list[Any] = [
    Completed(request_id="r", error=f"data:image/png;base64,{SECRET}"),
    Completed(request_id="r", error_type=f"Key a:{SECRET}"),
    UnknownStatus(request_id="r", status=f"Bearer {SECRET}"),
    InProgress(request_id="r", logs=(RequestLog(message=SECRET),)),
    Submission(request_id="r", status_url=f"https://a.b/c?token={SECRET}"),
    Submission(request_id="r", cancel_url=f"https://u:{SECRET}@a.b/c"),
    Result(data=SECRET, headers={"set-cookie": SECRET}),
    ErrorDetail(msg="m", input=SECRET, ctx={"a": SECRET}, url=f"https://a.b/?{SECRET}"),
    ErrorDetail(msg=f"data:,{SECRET}"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_are_equal_by_value_and_survive_pickle_and_copy(value: Any) -> None:
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
def test_values_are_frozen_and_made_by_keyword(value: Any) -> None:
    name = attrs.fields(type(value))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, name, "other")
    with pytest.raises(TypeError):
        type(value)("x")


@pytest.mark.parametrize("value", LEAKS, ids=lambda value: type(value).__name__)
def test_reprs_hold_no_inputs_outputs_and_queries(value: Any) -> None:
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
def test_a_status_in_words(status: Any, headline: str, text: str) -> None:
    assert (status.headline, str(status)) == (headline, text)


@pytest.mark.parametrize(
    ("units", "expected"),
    [("1.5", 1.5), ("0", 0.0), ("", None), ("many", None), ("nan", None), ("inf", None), (None, None)],
)
def test_billable_units(units: str | None, expected: float | None) -> None:
    headers = {} if units is None else {"x-fal-billable-units": units}
    assert Result(data=None, headers=headers).billable_units == expected


@given(st.text())
def test_any_billable_units_are_a_number_or_nothing(units: str) -> None:
    found = Result(data=None, headers={"x-fal-billable-units": units}).billable_units
    assert found is None or isinstance(found, float)


def test_metrics_of_a_result() -> None:
    assert Result(data=None).metrics == {}
    completed = Completed(request_id="r", metrics={"inference_time": 2})
    assert Result(data=None, status=completed).metrics == {"inference_time": 2}


def test_outcomes_are_texts() -> None:
    assert [outcome.value for outcome in CancelOutcome] == [
        "CANCELLED",
        "CANCELLATION_REQUESTED",
        "ALREADY_COMPLETED",
        "NOT_FOUND",
        "FAILED",
    ]
    assert CancelOutcome.CANCELLED == "CANCELLED"
