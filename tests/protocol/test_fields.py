"""Single fields of answers: well-formed, or None."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fal_async.protocol.fields import count_in, http_seconds, iso_seconds, jwt_expiry, text_in
from tests.protocol.test_http import json_values


def jwt(expiry: Any) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expiry}).encode()).decode().rstrip("=")
    return f"eyJ.{claims}.sig"


@pytest.mark.parametrize(
    "expiry", [float("inf"), float("-inf"), float("nan"), 10**400, True, "2000", None, [1]]
)
def test_a_token_whose_expiry_is_not_a_finite_number_has_no_expiry(expiry: Any) -> None:
    assert jwt_expiry(jwt(expiry)) is None
    assert jwt_expiry(jwt(2000.5)) == 2000.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01T01:00:10.5+01:00", 10.5),
        ("1970-01-01T00:00:10", 10.0),  # without a time zone: UTC
        ("soon", None),
        ("", None),
        (10, None),
        (None, None),
    ],
)
def test_an_iso_time_is_read_as_unix_seconds(text: Any, seconds: float | None) -> None:
    assert iso_seconds(text) == seconds


@given(json_values)
def test_any_json_value_is_read_as_a_field_or_as_none(value: Any) -> None:
    document = {"it": value}
    assert text_in(document, "it") in (value, None)
    assert count_in(document, "it") in (value, None)
    assert isinstance(iso_seconds(value), float | None)
    assert text_in({}, "it") is None
    assert count_in({}, "it") is None


@given(st.text() | st.datetimes().map(lambda moment: f"{moment:%a, %d %b %Y %H:%M:%S} +2359"))
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("Thu, 01 Jan 99999999999999999999 00:00:00 GMT")
@example("1, 1 1 1 1:1:1 +99999999999")
def test_any_text_is_an_http_date_or_none(text: str) -> None:
    seconds = http_seconds(text)
    assert seconds is None or math.isfinite(seconds)


@given(
    st.text() | st.integers() | st.none() | st.datetimes().map(lambda moment: f"{moment.isoformat()}-23:59")
)
@example("0001-01-01T00:00:00+23:59")
def test_any_value_is_an_iso_time_or_none(value: object) -> None:
    seconds = iso_seconds(value)
    assert seconds is None or math.isfinite(seconds)
