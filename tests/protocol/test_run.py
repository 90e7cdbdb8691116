"""Direct calls (protocol 3)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fal_async.config import Settings
from fal_async.errors import ConfigurationError, ResponseDecodeError
from fal_async.options import NO_OPTIONS, CallOptions
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import HttpResponse, Operation
from fal_async.protocol.run import parse_run, run_request
from tests.protocol.test_http import json_values

FLUX = EndpointId.parse("fal-ai/flux/dev")


@attrs.frozen
class Input:
    prompt: str
    steps: int = 4


def test_the_body_of_a_direct_call_is_the_input_itself() -> None:
    request = run_request(Settings(tags={"a": "b"}), FLUX, {"prompt": "ä"}, NO_OPTIONS)
    assert (request.operation, request.method) == (Operation.RUN, "POST")
    assert (request.url, request.endpoint_id) == ("https://fal.run/fal-ai/flux/dev", "fal-ai/flux/dev")
    assert request.body == '{"prompt":"ä"}'.encode()
    assert request.headers["X-Fal-Tags"] == "a=b"
    assert run_request(Settings(), FLUX, None, NO_OPTIONS).body == b"{}"
    assert run_request(Settings(), FLUX, Input("x"), NO_OPTIONS).body == b'{"prompt":"x","steps":4}'


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_the_input_of_a_direct_get_or_delete_becomes_the_query(method: str) -> None:
    input = {"prompt": "a&b=ä", "n": 4, "flag": True, "size": {"w": 1}, "none": None}
    request = run_request(Settings(), FLUX, input, NO_OPTIONS, method)
    assert request.body is None
    assert parse_qsl(urlsplit(request.url).query) == [
        ("prompt", "a&b=ä"),
        ("n", "4"),
        ("flag", "true"),
        ("size", '{"w":1}'),
        ("none", "null"),
    ]
    assert run_request(Settings(), FLUX, None, NO_OPTIONS, method).url == "https://fal.run/fal-ai/flux/dev"
    assert run_request(Settings(), FLUX, Input("x"), NO_OPTIONS, method).url.endswith("?prompt=x&steps=4")


@pytest.mark.parametrize("method", ["", "get", "TRACE", None])
def test_a_direct_call_with_another_method_is_refused(method: Any) -> None:
    with pytest.raises(ConfigurationError, match="method"):
        run_request(Settings(), FLUX, {}, NO_OPTIONS, method)


@given(st.dictionaries(st.text(), json_values | st.binary() | st.characters(categories=["Cs"])))
@example({"a": "\ud800"})
@example({"a": b"x"})
@example({"a": float("nan")})
def test_any_input_becomes_the_query_of_a_get_or_is_refused(input: dict[str, Any]) -> None:
    try:
        url = run_request(Settings(), FLUX, input, CallOptions(), "GET").url
    except ConfigurationError:
        return
    assert url.isascii()
    pairs = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    assert set(pairs) == set(input)
    assert all(value == pairs[name] for name, value in input.items() if isinstance(value, str))


def answer(body: Any, **headers: str) -> HttpResponse:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    given = {"content-type": "application/json", **names}
    return HttpResponse(status=200, headers=given, body=json.dumps(body).encode(), attempts=2)


def test_the_result_of_a_direct_call_has_data_id_and_units() -> None:
    response = answer({"seed": 2**63}, x_fal_request_id="r-1", x_fal_billable_units="1.5")
    result = parse_run(response, FLUX, None)
    assert (result.data, result.request_id, result.attempts) == ({"seed": 2**63}, "r-1", {"run": 2})
    assert (result.status, result.metrics, result.billable_units) == (None, {}, 1.5)


def test_a_direct_call_builds_its_output_type_or_reports_the_path() -> None:
    assert parse_run(answer({"prompt": "x", "more": 1}), FLUX, Input).data == Input("x")
    with pytest.raises(ResponseDecodeError) as caught:
        parse_run(answer({"steps": 1}, x_fal_request_id="r-1"), FLUX, Input)
    assert caught.value.paths == ["required field missing @ $.prompt"]
    assert (caught.value.request_id, caught.value.endpoint_id) == ("r-1", "fal-ai/flux/dev")
