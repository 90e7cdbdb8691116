"""Responses, origins, redirects, and errors from every body shape (protocol 1.1, 3.3, 9)."""

from __future__ import annotations

import copy
import json
import math
import pickle
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import fal_async.errors
from fal_async.config import Hosts
from fal_async.errors import ApiError, RequestRef, ResponseDecodeError, ValidationError
from fal_async.protocol.api_errors import error_of, needs_retry, retry_after
from fal_async.protocol.http import HttpRequest, HttpResponse, Operation, decode_body
from fal_async.protocol.origins import (
    backup_url,
    host_of,
    is_at_home,
    is_configured,
    is_fals_own,
    may_have_key,
    origin_of,
    redirect_target,
    without_query,
)
from tests.samples import answer, load, sample_names

POST = HttpRequest(
    operation=Operation.RUN,
    method="POST",
    url="https://fal.run/fal-ai/flux",
    ref=RequestRef(endpoint_id="fal-ai/flux"),
)
JSON = {"content-type": "application/json"}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
header_names = st.sampled_from(
    [
        *("content-type", "retry-after", "x-fal-request-id", "x-fal-error-type", "x-fal-needs-retry"),
        *("x-fal-retryable", "x-fal-request-timeout-type", "location", "x-fal-billable-units"),
    ]
)
model_entries = st.fixed_dictionaries(
    {}, optional={"loc": json_values, "msg": json_values, "type": json_values}
)
headers_of_any_kind = st.dictionaries(
    header_names,
    st.text() | st.sampled_from(["user", "1", "application/json", "text/html; charset=undefined"]),
)


def response(body: bytes | Any = b"", status: int = 200, **headers: str) -> HttpResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(
        status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=data
    )


# Errors.


@pytest.mark.parametrize("name", sample_names("errors"))
def test_each_recorded_error_answer_becomes_the_expected_exception(name: str) -> None:
    sample = load("errors", name)
    expected = sample["expected"]
    error = error_of(attrs.evolve(POST, operation=Operation.READ), answer(sample), now=0.0)
    assert type(error) is getattr(fal_async.errors, expected["kind"])
    assert expected["text"] in str(error)
    assert str(error).startswith(str(error.status))
    assert "fal-ai/flux" in str(error)
    assert error.status == sample["answer"]["status"]
    assert error.error_type == expected["error_type"]
    assert error.retryable is expected["retryable"]
    assert error.retry_after == expected.get("retry_after")
    assert len(error.errors) == expected.get("details", 0)
    assert error.request_id == sample["answer"]["headers"].get("x-fal-request-id")
    assert error.endpoint_id == "fal-ai/flux"


def test_the_error_of_a_422_that_echoes_an_image_stays_short() -> None:
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 28_000
    entry = {"loc": ["body", "image_url"], "msg": f"could not load {picture}", "type": "image_load_error"}
    error = error_of(POST, response({"detail": [{**entry, "input": picture}]}, 422, x_fal_request_id="r-1"))
    assert isinstance(error, ValidationError)
    for text in (
        str(error),
        repr(error),
        json.dumps(error.to_dict()),
        repr(error.errors),
        str(error.errors[0]),
    ):
        assert len(text) < 600
        assert "iVBORw0KGgo" not in text
    assert len(str(error)) < 300
    assert "body.image_url: could not load data:..." in str(error)
    assert "r-1" in str(error)
    assert error.errors[0].input == picture
    assert error.field_errors("image_url") == error.errors
    assert error.field_errors("prompt") == []


@given(
    st.integers(300, 599),
    headers_of_any_kind,
    st.binary()
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {},
        optional={
            name: json_values | st.lists(model_entries)
            for name in ("detail", "error", "error_type", "message", "status")
        },
    ).map(lambda value: json.dumps(value).encode()),
)
@example(403, {}, b'{"detail": "locked\\ud800"}')
@example(422, {}, b"[" * 100_000)
@example(500, {"retry-after": "1" * 400}, b"\xff\xfe{")
@example(302, {"location": "http://[::1"}, b"")
def test_any_error_answer_gives_a_short_api_error_that_can_be_copied(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    error = error_of(POST, HttpResponse(status=status, headers=headers, body=body), now=1e9)
    assert isinstance(error, ApiError)
    assert len(str(error)) < 300
    assert "\n" not in str(error)
    str(error).encode()
    json.dumps(error.to_dict(), allow_nan=False)
    twin = pickle.loads(pickle.dumps(error))
    assert (type(twin), str(twin), twin.to_dict()) == (type(error), str(error), error.to_dict())
    assert str(copy.deepcopy(error)) == str(copy.copy(error)) == str(error)


# Retry hints.


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_the_error_of_a_paid_request_is_retryable_only_if_it_was_certainly_refused(status: int) -> None:
    headers = {"x-fal-request-id": "r-1"}
    error = error_of(POST, HttpResponse(status=status, headers=headers, body=b""))
    assert error.retryable == (status in (429, 503))
    said = {**headers, "x-fal-needs-retry": "1"}
    assert error_of(POST, HttpResponse(status=status, headers=said, body=b"")).retryable


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, None),
        ({"x-fal-needs-retry": "1"}, True),
        ({"x-fal-needs-retry": " TRUE "}, True),
        ({"x-fal-needs-retry": "0"}, False),
        ({"x-fal-needs-retry": "false"}, False),
        ({"x-fal-needs-retry": "perhaps"}, None),
        ({"x-fal-retryable": "true"}, True),
        ({"x-fal-retryable": "false"}, False),
        ({"x-fal-needs-retry": "0", "x-fal-retryable": "true"}, False),
        ({"x-fal-needs-retry": "?", "x-fal-retryable": "true"}, True),
    ],
)
def test_both_headers_with_retry_hints_are_read(headers: dict[str, str], said: bool | None) -> None:
    assert needs_retry(headers) is said


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("1.5", 1.5),
        ("Sun, 09 Sep 2001 01:46:50 GMT", 10),
        ("Sun, 09 Sep 2001 01:46:30 GMT", 0),
        ("Sunday, 09-Sep-01 01:46:50 GMT", 10),
        *(
            (text, None)
            for text in ("", "-1", "soon", "1e3", "nan", "inf", "0x10", "1" * 30, "9:9", "1 2 3 4")
        ),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}, now=1e9) == seconds


@given(
    st.text() | st.from_regex(r"\w{3}, \d{1,3} \w{3} \d{1,5} \d\d:\d\d:\d\d [+-]?\w{0,5}"), st.floats(0, 1e11)
)
def test_any_retry_after_header_gives_bounded_seconds_or_none(text: str, now: float) -> None:
    seconds = retry_after({"retry-after": text}, now)
    assert seconds is None or 0 <= seconds < 1e12


@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)).map(lambda at: at.replace(microsecond=0)))
def test_every_http_date_in_retry_after_is_understood(moment: datetime) -> None:
    at = moment.replace(tzinfo=UTC)
    assert retry_after({"retry-after": format_datetime(at, usegmt=True)}, at.timestamp() - 30) == 30


# Bodies.


@pytest.mark.parametrize(
    ("body", "kind", "data"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b'{"a": 1}', "application/problem+json; charset=utf-8", {"a": 1}),
        (b'"\xc3\xa4"', "application/json", "ä"),
        ("ä".encode(), "text/plain", "ä"),
        ("ä".encode("latin-1"), "text/plain; charset=ISO-8859-1", "ä"),
        (b"\xff", "text/plain; charset=nonsense", "\ufffd"),
        (b"\xff", "text/html; charset=undefined", "\ufffd"),
        (b"x", "text/html; charset=base64", "x"),
        (b"x", "text/html; charset=iso-8859-99", "x"),
        (b"\x89PNG", "image/png", b"\x89PNG"),
        (b"", "application/octet-stream", b""),
        (b"[1]", "", [1]),
        (b"", "", b""),
        (b"\x00", "", b"\x00"),
        # Byte order marks, and encodings that earlier versions of JSON allowed.
        (b'\xef\xbb\xbf{"a": 1}', "application/json", {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', "", {"a": 1}),
        ('{"a": "ä"}'.encode("utf-16"), "application/json", {"a": "ä"}),
        ('{"a": "ä"}'.encode("utf-16-le"), "application/json; charset=utf-16le", {"a": "ä"}),
        ('{"a": "ä"}'.encode("utf-16-be"), "application/json", {"a": "ä"}),
        ('{"a": "ä"}'.encode("utf-32"), "application/json", {"a": "ä"}),
        ('"ä"'.encode("latin-1"), "application/json; charset=iso-8859-1", "ä"),
        ('"ä"'.encode(), "application/json; charset=iso-8859-1", "ä"),
        # Other names of the type.
        (b'{"a": 1}', "text/json", {"a": 1}),
        (b'{"a": 1}', "Application/JSON , application/json", {"a": 1}),
        (b'{"a": 1}', "application/x-json;charset=utf-8", {"a": 1}),
        # A model may answer with text or bytes that look like JSON.
        (b'{"a": 1}', "text/plain", '{"a": 1}'),
        (b'{"a": 1}', "application/octet-stream", b'{"a": 1}'),
        (b"1", "", b"1"),
        # Numbers.
        (b"[18446744073709551616]", "application/json", [2**64]),
        (b"-9223372036854775809", "application/json", -(2**63) - 1),
        (str(10**4000).encode(), "application/json", 10**4000),
        (b"[1e400, -Infinity]", "application/json", [math.inf, -math.inf]),
    ],
)
def test_response_bodies_are_decoded_by_their_content_type(body: bytes, kind: str, data: Any) -> None:
    headers = {"content-type": kind} if kind else {}
    assert decode_body(HttpResponse(status=200, headers=headers, body=body)) == data


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()), headers_of_any_kind)
@example(b"[" * 100_000, JSON)
def test_any_response_body_is_decoded_or_raises_a_retryable_decode_error(
    body: bytes, headers: dict[str, str]
) -> None:
    try:
        decode_body(HttpResponse(status=200, headers=headers, body=body))
    except ResponseDecodeError as error:
        assert error.retryable  # noqa: PT017


# Origins: which URLs get the key.

HOSTS = Hosts()
HOME = "https://queue.fal.run/fal-ai/flux/requests/1"


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://fal.run/x",
            "https://queue.fal.run",
            "https://rest.fal.ai/tokens/",
            "https://api.fal.ai/v1",
        ),
        *(
            "HTTPS://Queue.FAL.run/x",
            "https://fal.run:443/x",
            "https://fal.run./x",
            "https://queue.falrun.com/x",
        ),
        *("wss://fal.run/a/b/realtime", "https://new.fal.run/x", "https://fal.run?x=1", "https://fal.run#x"),
    ],
)
def test_fals_own_hosts_get_the_key(url: str) -> None:
    assert may_have_key(url, HOSTS)


LOOK_ALIKES = [
    *("http://fal.run/x", "ws://fal.run/x", "https://fal.run:8443/x", "https://fal.run.evil.com/x"),
    *("https://evilfal.run/x", "https://fal.run@evil.com/x", "https://fal.run:pw@evil.com/x"),
    *("https://evil.com\\@fal.run/x", "https://fal.run\\.evil.com/x", "https://evil.com/https://fal.run/"),
    *(
        "https://evil.com?https://fal.run/",
        "https://evil.com#@fal.run/",
        "https://user@fal.run/x",
        "//fal.run/x",
    ),
    *("https://evil.com%2f.fal.run/x", "https://evil.com%23.fal.run/x", "https://fal.run\t.evil.com/x"),
    *(
        "\x01https://fal.run/x",
        " https://fal.run/x",
        "https://fal.run:99999/x",
        "https://[::1]/x",
        "fal.run",
        "",
    ),
    *("https:fal.run/x", "https:///fal.run/x", "javascript:fal.run", "https://fal.run%2eevil.com/x"),
    *(
        "https://v3.fal.media/files/x",
        "https://fal.media/x",
        "https://xn--fl-fka.run/x",
        "https://fal。run.evil/x",
    ),
    *("https://..fal.run/x", "https://_x.fal.run/x", "https://evil.com\n.fal.run/x", "ftp://fal.run/x"),
]


@pytest.mark.parametrize("url", LOOK_ALIKES)
def test_look_alikes_of_fals_hosts_get_no_key(url: str) -> None:
    assert not may_have_key(url, HOSTS)
    assert not is_at_home(url, HOME)


@pytest.mark.parametrize(
    "service", ["run", "queue", "rest", "cdn", "platform", "realtime", "ws", "openapi", "auth"]
)
@pytest.mark.parametrize("hosts", [Hosts(), Hosts.local("http://127.0.0.1:8765")])
def test_each_configured_service_gets_the_headers_of_the_session(hosts: Hosts, service: str) -> None:
    assert is_configured(f"{getattr(hosts, service)}/x", hosts)


def test_the_headers_for_a_gateway_are_not_sent_to_fal_itself() -> None:
    gateway = Hosts.local("https://gateway.corp")
    assert is_configured("https://eu.fal.run/x", Hosts())
    assert not is_configured("https://eu.fal.run/x", gateway)
    assert may_have_key("https://eu.fal.run/x", gateway)  # the key belongs to fal


def test_the_users_own_hosts_get_the_key_only_at_their_port() -> None:
    hosts = Hosts.local("http://127.0.0.1:8765")
    assert may_have_key("http://127.0.0.1:8765/queue.fal.run/x", hosts)
    assert may_have_key("ws://127.0.0.1:8765/fal.run/x", hosts)
    assert may_have_key("https://fal.run/x", hosts)
    for url in ("http://127.0.0.1:8766/x", "http://localhost:8765/x", "https://127.0.0.1:8765/x"):
        assert not may_have_key(url, hosts)
    v6 = Hosts.local("http://[::1]:8765")
    assert may_have_key("http://[::1]:8765/x", v6)
    assert not may_have_key("http://[::1]/x", v6)


@pytest.mark.parametrize(
    ("url", "base", "at_home"),
    [
        (HOME, "https://queue.fal.run", True),
        ("https://queue.falrun.com/x", "https://queue.fal.run", True),
        (
            "https://queue.fal.run/x",
            "http://127.0.0.1:1/queue.fal.run",
            False,
        ),  # a gateway must not be bypassed
        ("http://127.0.0.1:1/x", "http://127.0.0.1:1/queue.fal.run", True),
        ("http://127.0.0.1:1/x", "https://queue.fal.run", False),
        ("https://queue.fal.run/x y", "https://queue.fal.run", False),
        ("https://queue.fal.run/x\r\nX-Evil: 1", "https://queue.fal.run", False),
        ("https://queue.fal.run/ä", "https://queue.fal.run", False),
    ],
)
def test_urls_in_answers_are_followed_only_within_the_same_service(
    url: str, base: str, at_home: bool
) -> None:
    assert is_at_home(url, base) is at_home


hosts_text = st.text(alphabet="fal.runqeichxy@:/\\?#[]%0123 \t\n\x00-_。", max_size=30)


@given(st.sampled_from(["https://", "http://", "wss://", "", "//", "https:\\\\"]), hosts_text | st.text())
@example("https://", "fal.run\\evil.com")
def test_any_url_has_a_safe_origin_or_none(scheme: str, rest: str) -> None:
    url = scheme + rest
    origin = origin_of(url)
    assert isinstance(host_of(url), str)
    without_query(url)
    if is_fals_own(origin):
        assert origin is not None
        assert origin.startswith("https://")
        host = origin.removeprefix("https://")
        assert any(host == own or host.endswith("." + own) for own in ("fal.run", "fal.ai", "falrun.com"))
        # The URL itself begins with this host, so it was not read from another place.
        assert url.lower().startswith(("https://" + host, "wss://" + host))
    if is_at_home(url, HOME):
        assert may_have_key(url, HOSTS)


# Backup, redirects, logs.


@pytest.mark.parametrize(
    ("url", "backup"),
    [
        ("https://fal.run/a/b?x=1", "https://falrun.com/a/b?x=1"),
        ("https://queue.fal.run/a/b", "https://queue.falrun.com/a/b"),
        *(
            (f"https://{host}/x", None)
            for host in ("rest.fal.ai", "v3.fal.media", "falrun.com", "fal.run.evil.com")
        ),
        ("https://fal.run:8443/x", None),
        ("http://fal.run/x", None),
    ],
)
def test_only_the_two_mapped_hosts_have_a_backup_url(url: str, backup: str | None) -> None:
    assert backup_url(url) == backup


def redirected(
    method: str, url: str, location: str | None, *, status: int = 302, auth: bool = True
) -> str | None:
    request = HttpRequest(operation=Operation.READ, method=method, url=url, auth=auth)
    return redirect_target(request, url, status, location)


def test_redirects_are_followed_only_for_reads_and_with_a_key_within_the_origin() -> None:
    assert redirected("GET", HOME, "/other?x=1") == "https://queue.fal.run/other?x=1"
    assert redirected("GET", HOME, "https://queue.fal.run/x", status=308) == "https://queue.fal.run/x"
    for location in (
        None,
        "",
        "https://fal.run/x",
        "https://evil.com/x",
        "//evil.com/x",
        "http://queue.fal.run/x",
    ):
        assert redirected("GET", HOME, location) is None
    for location in ("http://[::1", "\\\\evil.com\\x", "/x\r\nX-Evil: 1"):
        assert redirected("GET", HOME, location) is None
    assert redirected("POST", HOME, "/other") is None
    assert redirected("GET", HOME, "/other", status=304) is None
    assert redirected("GET", HOME, "https://cdn.example/x", auth=False) == "https://cdn.example/x"


@given(st.text())
def test_no_redirect_location_sends_the_key_to_another_origin(location: str) -> None:
    target = redirected("GET", HOME, location)
    assert target is None or origin_of(target) == origin_of(HOME)


def test_the_repr_of_an_http_request_shows_no_query_and_no_body() -> None:
    request = HttpRequest(
        operation=Operation.SUBMIT, method="POST", url="https://h/x?fal_webhook=s3cret", body=b"s3cret"
    )
    assert "s3cret" not in repr(request)
