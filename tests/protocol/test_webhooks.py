"""Signed headers, key sets, caches and events of webhooks. Pure: no signature is made here."""

from __future__ import annotations

import base64
import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.errors import (
    BalanceExhaustedError,
    ConfigurationError,
    ContentPolicyError,
    FalError,
    RequestCancelledError,
    RequestFailedError,
    ResponseDecodeError,
    ServerError,
    StartTimeoutError,
    ValidationError,
    WebhookVerificationError,
)
from fal_async.protocol.webhook_events import WebhookEvent, parse_event
from fal_async.protocol.webhooks import (
    KEPT_SECONDS,
    MAX_KEYS,
    REFRESH_SECONDS,
    Refresh,
    SignedHeaders,
    check_time,
    is_sender,
    may_try_again,
    message_of,
    parse_key_set,
    parse_sender_ranges,
    read_headers,
    refresh_of,
)

ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"
HEADERS = {
    "X-Fal-Webhook-Request-Id": ID,
    "X-Fal-Webhook-User-Id": "github|1",
    "X-Fal-Webhook-Timestamp": "1700000000",
    "X-Fal-Webhook-Signature": "ab" * 64,
}
SIGNED = SignedHeaders(request_id=ID, user_id="github|1", timestamp=1_700_000_000, signature=b"\xab" * 64)


def test_the_four_webhook_headers_are_read_in_any_form() -> None:
    assert read_headers(HEADERS) == SIGNED
    assert read_headers({name.lower(): value for name, value in HEADERS.items()}) == SIGNED
    pairs = [(name.upper().encode(), value.encode()) for name, value in HEADERS.items()]
    assert read_headers([(b"accept", b"*/*"), (b"accept", b"a/b"), *pairs]) == SIGNED
    assert "abab" not in repr(SIGNED)


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("value", [None, "", "a\nb", "x" * 300])
def test_the_error_of_a_missing_or_malformed_webhook_header_names_it(name: str, value: str | None) -> None:
    headers = {k: v for k, v in HEADERS.items() if k != name} | ({} if value is None else {name: value})
    with pytest.raises(WebhookVerificationError, match=name.lower()):
        read_headers(headers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Fal-Webhook-Timestamp", "-1"),
        ("X-Fal-Webhook-Timestamp", "1e9"),
        ("X-Fal-Webhook-Timestamp", " 1700000000"),
        ("X-Fal-Webhook-Timestamp", "\u0661\u0667\u0660\u0660"),
        ("X-Fal-Webhook-Signature", "ab" * 32),
        ("X-Fal-Webhook-Signature", "ab" * 65),
        ("X-Fal-Webhook-Signature", "sha256=" + "ab" * 60 + "a"),
        ("X-Fal-Webhook-Signature", "ab " * 42 + "ab"),
        ("X-Fal-Webhook-Signature", "zz" * 64),
    ],
)
def test_webhook_timestamps_and_signatures_are_read_strictly(name: str, value: str) -> None:
    with pytest.raises(WebhookVerificationError, match=name.lower()):
        read_headers(HEADERS | {name: value})


@pytest.mark.parametrize("name", HEADERS)
def test_a_repeated_webhook_header_is_refused(name: str) -> None:
    with pytest.raises(WebhookVerificationError, match="is repeated"):
        read_headers([*HEADERS.items(), (name.lower(), HEADERS[name])])


anything = st.text(max_size=30) | st.sampled_from(list(HEADERS.values()))


@given(st.lists(st.tuples(st.sampled_from(list(HEADERS)), anything), max_size=6))
def test_any_webhook_headers_are_read_or_refused(pairs: list[tuple[str, str]]) -> None:
    try:
        signed = read_headers(pairs)
    except WebhookVerificationError:
        return
    assert len(signed.signature) == 64
    assert message_of(signed, b"").count(b"\n") == 3


def test_the_signed_message_of_a_webhook_has_four_lines() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert message_of(SIGNED, b"") == f"{ID}\ngithub|1\n1700000000\n{empty}".encode()


@pytest.mark.parametrize(("off", "good"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
def test_the_clock_of_a_webhook_may_differ_by_five_minutes_either_way(off: float, good: bool) -> None:
    if good:
        check_time(SIGNED, SIGNED.timestamp + off)
        return
    with pytest.raises(WebhookVerificationError, match="old" if off > 0 else "in the future"):
        check_time(SIGNED, SIGNED.timestamp + off)


# The key set.


def jwk(number: int = 1, **more: Any) -> dict[str, Any]:
    x = base64.urlsafe_b64encode(bytes([number]) * 32).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "x": x, **more}


def keys_of(*entries: Any) -> tuple[bytes, ...]:
    return parse_key_set(json.dumps({"keys": entries}).encode())


def test_every_ed25519_key_of_a_key_set_is_used_once_and_others_are_ignored() -> None:
    others: list[Any] = [
        {"kty": "RSA", "n": "x", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": jwk()["x"]},
        jwk(crv="X25519"),
        jwk(use="enc"),
        jwk(alg="HS256"),
        jwk(x="c2hvcnQ"),
        jwk(x=5),
        jwk(x="+" * 43),
        None,
        "x",
    ]
    assert keys_of(*others, jwk(1), jwk(2, kid="b", use="sig", alg="EdDSA"), jwk(1)) == (
        b"\x01" * 32,
        b"\x02" * 32,
    )
    padded = jwk(3)
    assert keys_of(padded | {"x": padded["x"] + "="}) == (b"\x03" * 32,)
    assert len(keys_of(*(jwk(n) for n in range(100)))) == MAX_KEYS


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}', b"[" * 99_999]
)
def test_a_body_that_is_not_a_key_set_is_refused(body: bytes) -> None:
    with pytest.raises(ResponseDecodeError):
        parse_key_set(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_parsed_as_a_key_set_or_refused(value: Any) -> None:
    for document in (value, {"keys": value}, {"keys": [value]}):
        try:
            keys = parse_key_set(json.dumps(document).encode())
        except ResponseDecodeError:
            continue
        assert all(len(key) == 32 for key in keys)


def test_a_key_set_is_renewed_after_12_hours_and_required_after_24() -> None:
    assert refresh_of(None, None, 1000) is Refresh.NEEDED
    assert refresh_of(1000, 1000, 1000) is Refresh.NO
    assert refresh_of(1000, 1000, 1000 + REFRESH_SECONDS - 1) is Refresh.NO
    assert refresh_of(1000, 1000, 1000 + REFRESH_SECONDS) is Refresh.WANTED
    just_tried = 1000 + REFRESH_SECONDS
    assert refresh_of(1000, just_tried, just_tried + 59) is Refresh.NO
    assert refresh_of(1000, just_tried, just_tried + 60) is Refresh.WANTED
    assert refresh_of(1000, just_tried, 1000 + KEPT_SECONDS) is Refresh.NEEDED
    assert refresh_of(1000, 1000, 999) is Refresh.NEEDED


def test_an_unknown_signature_causes_one_fetch_a_minute() -> None:
    assert may_try_again(None, 0)
    assert not may_try_again(1000, 1059)
    assert may_try_again(1000, 1060)
    assert may_try_again(1000, 900)


# The sender.


def test_webhook_senders_are_checked_against_fals_address_ranges() -> None:
    meta = {
        "webhook_ip_ranges": ["10.1.2.3/32", "192.0.2.0/24", "2001:db8::/32", "198.51.100.7", "nonsense", 5]
    }
    ranges = parse_sender_ranges(json.dumps(meta).encode())
    good = ["10.1.2.3", "192.0.2.200", "2001:db8::1", "198.51.100.7", "::ffff:10.1.2.3"]
    assert all(is_sender(address, ranges) for address in good)
    bad = ["10.1.2.4", "::1", "unix:", "", "10.1.2.3, 1.1.1.1", "testclient"]
    assert not any(is_sender(address, ranges) for address in bad)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"webhook_ip_ranges": []}', b'{"webhook_ip_ranges": ["x"]}']
)
def test_a_response_without_sender_ranges_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(ResponseDecodeError):
        parse_sender_ranges(body)


# The event.


def event(**fields: Any) -> WebhookEvent:
    document = {"request_id": ID, "gateway_request_id": "gw", "status": "OK", "payload": {"a": 1}, **fields}
    return parse_event(json.dumps(document).encode(), SIGNED)


def test_a_delivered_success_gives_the_result() -> None:
    good = event()
    assert (good.ok, good.request_id, good.gateway_request_id) == (True, ID, "gw")
    assert (good.user_id, good.timestamp) == ("github|1", 1_700_000_000)
    result = good.result("fal-ai/flux/dev")
    assert (result.data, result.request_id, dict(result.attempts)) == ({"a": 1}, ID, {"webhook": 1})
    assert result.status is not None
    assert result.status.error is None
    assert "{" not in repr(good)


def test_a_delivered_result_is_built_as_the_output_type() -> None:
    @attrs.frozen
    class Output:
        a: int

    assert event().result(output_type=Output).data == Output(1)
    with pytest.raises(ResponseDecodeError):
        event(payload={"b": 1}).result(output_type=Output)
    with pytest.raises(ConfigurationError, match="output_type=bytes"):
        event().result(output_type=bytes)


def detail(kind: str = "value_error") -> dict[str, Any]:
    return {"detail": [{"loc": ["body", "prompt"], "msg": "too short", "type": kind, "input": "secret"}]}


@pytest.mark.parametrize(
    ("fields", "kind", "word"),
    [
        ({"payload": detail(), "error": "Invalid status code: 422"}, ValidationError, "too short"),
        ({"payload": detail(), "error": None}, ValidationError, "too short"),
        (
            {"payload": detail("content_policy_violation"), "error": "Invalid status code: 422"},
            ContentPolicyError,
            "too short",
        ),
        (
            {"payload": {"detail": "gone wrong", "error_type": "runner_disconnected"}, "error": "status 503"},
            ServerError,
            "gone wrong",
        ),
        (
            {
                "payload": {"detail": "x", "error_type": "client_cancelled"},
                "error": "Invalid status code: 499",
            },
            RequestCancelledError,
            "cancelled",
        ),
        (
            {"payload": {"detail": "User is locked. Reason: Exhausted balance."}, "error": "status code 403"},
            BalanceExhaustedError,
            "Exhausted",
        ),
        (
            {"payload": None, "error": "Invalid status code: 404", "payload_error": "x"},
            RequestFailedError,
            "404",
        ),
        ({"payload": None, "error": "the runner burned down"}, RequestFailedError, "burned down"),
        ({"payload": None, "error": None}, RequestFailedError, "ERROR"),
    ],
)
def test_a_delivered_failure_raises_the_same_error_as_the_queue(
    fields: dict[str, Any], kind: type[FalError], word: str
) -> None:
    failed = event(status="ERROR", **fields)
    assert not failed.ok
    with pytest.raises(kind, match=word) as raised:
        failed.result("fal-ai/flux/dev")
    assert type(raised.value) is kind
    assert (raised.value.request_id, raised.value.endpoint_id) == (ID, "fal-ai/flux/dev")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("number", [404, 429, 499, 500, 504])
@pytest.mark.parametrize(
    "text",
    [
        "Image must be at most {} pixels wide",
        "{} frames are too many",
        "a model behind it answered with status code {}",
        "status code: {} px",
        "{}",
    ],
)
@pytest.mark.parametrize(
    ("payload", "kind"),
    [(detail(), ValidationError), ({"detail": "too wide"}, RequestFailedError), (None, RequestFailedError)],
)
def test_a_number_in_the_models_own_error_is_not_taken_for_a_status(
    text: str, number: int, payload: Any, kind: type[FalError]
) -> None:
    failed = event(status="ERROR", payload=payload, error=text.format(number))
    with pytest.raises(kind) as raised:
        failed.result("fal-ai/flux/dev")
    assert type(raised.value) is kind
    assert not raised.value.retryable
    assert not failed.lacks_headers


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_delivered_failure_is_never_retryable(code: int) -> None:
    failed = event(status="ERROR", payload={"detail": "late"}, error=f"Invalid status code: {code}")
    with pytest.raises(FalError) as raised:
        failed.result()
    assert not raised.value.retryable
    assert failed.lacks_headers == (code != 408)


def test_a_delivered_start_timeout_is_a_server_error_without_its_header() -> None:
    """Only the queue's response has `X-Fal-Request-Timeout-Type` (protocol 3.2)."""
    failed = event(status="ERROR", payload={"detail": "late"}, error="Invalid status code: 504")
    with pytest.raises(ServerError) as raised:
        failed.result()
    assert not isinstance(raised.value, StartTimeoutError)


def test_a_delivery_without_its_payload_asks_to_fetch_the_result() -> None:
    with pytest.raises(ResponseDecodeError, match=r"fal\.queue\.result"):
        event(payload=None, payload_error="too large").result()
    assert event(payload=None).result().data is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        json.dumps({"request_id": ID}).encode(),
        json.dumps({"status": "OK"}).encode(),
        json.dumps({"request_id": "other", "status": "OK"}).encode(),
        json.dumps({"request_id": [ID], "status": "OK"}).encode(),
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_webhook_body_that_is_not_about_the_signed_request_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookVerificationError):
        parse_event(body, SIGNED)


@given(json_values, json_values, json_values)
def test_any_delivered_event_gives_a_result_or_a_fal_error(payload: Any, error: Any, status: Any) -> None:
    document = {"request_id": ID, "status": status, "payload": payload, "error": error}
    try:
        parse_event(json.dumps(document).encode(), SIGNED).result("a/b")
    except FalError:
        return
