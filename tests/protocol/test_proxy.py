"""What the proxy forwards, and a table of attacks, each of which is refused before any request is sent."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.config import Hosts
from fal_async.errors import ConfigurationError
from fal_async.protocol.proxy.headers import (
    FORWARDED,
    RETURNED,
    check_length,
    forwarded_headers,
    returned_headers,
    target_values,
)
from fal_async.protocol.proxy.rules import EndpointPattern, ProxyRules, Refusal
from fal_async.protocol.proxy.target import Target, checked_token_body, find_target

ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"
RULES = ProxyRules(endpoints=["fal-ai/flux/dev", "fal-ai/any-llm", "me/**", "workflows/me/story"])
ALL = ProxyRules(endpoints=["**"], allow=["multipart", "tokens", "cdn_token", "webhook"])
QUEUE, RUN, REST = "https://queue.fal.run", "https://fal.run", "https://rest.fal.ai"
INITIATE = "/storage/upload/initiate?storage_type=fal-cdn-v3"


def target(method: str, url: str, rules: ProxyRules = RULES) -> Target:
    return find_target(method, [url], rules)


def refused(method: str, url: str, rules: ProxyRules = RULES) -> int:
    with pytest.raises(Refusal) as refusal:
        find_target(method, [url], rules)
    return refusal.value.status


@pytest.mark.parametrize(
    ("method", "url", "route", "endpoint_id", "request_id"),
    [
        ("POST", f"{RUN}/fal-ai/flux/dev", "run", "fal-ai/flux/dev", None),
        ("POST", f"{RUN}/fal-ai/flux/dev/", "run", "fal-ai/flux/dev", None),
        ("POST", f"{RUN}/fal-ai/any-llm/stream", "run", "fal-ai/any-llm/stream", None),
        ("GET", f"{RUN}/me/app/list?page=2", "run", "me/app/list", None),
        ("POST", f"{QUEUE}/fal-ai/flux/dev", "submit", "fal-ai/flux/dev", None),
        ("POST", f"{QUEUE}/fal-ai/flux/dev?fal_max_queue_length=3", "submit", "fal-ai/flux/dev", None),
        ("POST", f"{QUEUE}/me/requests", "submit", "me/requests", None),
        ("POST", f"{QUEUE}/workflows/me/story", "submit", "workflows/me/story", None),
        ("GET", f"{QUEUE}/fal-ai/flux/requests/{ID}", "result", "fal-ai/flux", ID),
        ("GET", f"{QUEUE}/fal-ai/flux/requests/{ID}/response", "result", "fal-ai/flux", ID),
        ("GET", f"{QUEUE}/fal-ai/flux/requests/{ID}/status?logs=1", "status", "fal-ai/flux", ID),
        ("GET", f"{QUEUE}/fal-ai/flux/dev/requests/{ID}/status", "status", "fal-ai/flux/dev", ID),
        ("GET", f"{QUEUE}/fal-ai/flux/requests/{ID}/status/stream?logs=1", "status", "fal-ai/flux", ID),
        ("PUT", f"{QUEUE}/workflows/me/story/requests/{ID}/cancel", "cancel", "workflows/me/story", ID),
        ("POST", REST + INITIATE, "upload", None, None),
    ],
)
def test_the_proxy_forwards_the_targets_of_fals_clients(
    method: str, url: str, route: str, endpoint_id: str | None, request_id: str | None
) -> None:
    found = target(method, url)
    assert (found.route, found.endpoint_id, found.request_id) == (route, endpoint_id, request_id)
    # Rebuilt from its parts, it is the same URL without a final slash.
    assert found.url(Hosts()) == url.rstrip("/")
    assert found.url(Hosts.local("http://127.0.0.1:1")).startswith("http://127.0.0.1:1/")


# Each of these would send the key to a wrong host, or ask for something that is not allowed.
BAD_TARGETS = {
    "plain http": "http://fal.run/fal-ai/flux/dev",
    "no scheme": "fal.run/fal-ai/flux/dev",
    "scheme-relative": "//fal.run/fal-ai/flux/dev",
    "upper-case scheme": "HTTPS://fal.run/fal-ai/flux/dev",
    "ftp": "ftp://fal.run/fal-ai/flux/dev",
    "file": "file:///etc/passwd",
    "javascript": "javascript:alert(1)",
    "data": "data:text/plain,x",
    "gopher": "gopher://fal.run/_x",
    "websocket": "wss://fal.run/fal-ai/flux/dev",
    "look-alike suffix": "https://evil-fal.run/fal-ai/flux/dev",
    "look-alike sub-domain": "https://fal.run.evil.example/fal-ai/flux/dev",
    "look-alike letter": "https://faI.run/fal-ai/flux/dev",
    "unicode look-alike": "https://f\u0430l.run/fal-ai/flux/dev",
    "unicode dot": "https://fal\u3002run/fal-ai/flux/dev",
    "sub-domain": "https://x.fal.run/fal-ai/flux/dev",
    "backup host": "https://falrun.com/fal-ai/flux/dev",
    "trailing dot": "https://fal.run./fal-ai/flux/dev",
    "user": "https://fal.run@evil.example/fal-ai/flux/dev",
    "user and password": "https://a:b@fal.run/fal-ai/flux/dev",
    "empty user": "https://@fal.run/fal-ai/flux/dev",
    "host as user": "https://queue.fal.run:x@127.0.0.1/fal-ai/flux/dev",
    "port": "https://fal.run:8443/fal-ai/flux/dev",
    "default port": "https://fal.run:443/fal-ai/flux/dev",
    "empty port": "https://fal.run:/fal-ai/flux/dev",
    "fragment": "https://fal.run/fal-ai/flux/dev#x",
    "fragment before host end": "https://fal.run#@evil.example/fal-ai/flux/dev",
    "query before path": "https://fal.run?/fal-ai/flux/dev",
    "backslash": "https://fal.run\\@evil.example/fal-ai/flux/dev",
    "backslashes for slashes": "https:\\\\fal.run\\fal-ai\\flux\\dev",
    "encoded host": "https://fal%2erun/fal-ai/flux/dev",
    "encoded slash": "https://fal.run/fal-ai%2fflux/dev",
    "encoded backslash": "https://fal.run/fal-ai%5cflux/dev",
    "encoded dots": "https://fal.run/fal-ai/flux/dev/%2e%2e/%2e%2e/other/app",
    "double-encoded dots": "https://fal.run/fal-ai/flux/dev/%252e%252e/x",
    "encoded letter": "https://fal.run/fal-ai/flux/d%65v",
    "overlong encoding": "https://fal.run/fal-ai/flux/%c0%ae%c0%ae/x",
    "dots": "https://fal.run/fal-ai/flux/dev/../../other/app",
    "single dot": "https://fal.run/fal-ai/./flux/dev",
    "dots with parameter": "https://fal.run/fal-ai/flux/dev/..;/x",
    "double slash": "https://fal.run//fal-ai/flux/dev",
    "double slash within": "https://fal.run/fal-ai//flux/dev",
    "no path": "https://fal.run",
    "root": "https://fal.run/",
    "CRLF": "https://fal.run/fal-ai/flux/dev\r\nX-Evil: 1",
    "CRLF in query": "https://fal.run/fal-ai/flux/dev?a=\r\nX-Evil: 1",
    "encoded CRLF in path": "https://fal.run/fal-ai/flux/dev%0d%0aX-Evil:1",
    "line feed at the end": "https://fal.run/fal-ai/flux/dev\n",
    "null": "https://fal.run/fal-ai/flux/dev\x00",
    "tab in the scheme": "ht\ttps://fal.run/fal-ai/flux/dev",
    "leading space": " https://fal.run/fal-ai/flux/dev",
    "space within": "https://fal.run/fal-ai/flux dev",
    "two targets": "https://fal.run/fal-ai/flux/dev, https://evil.example/",
    "IPv4 loopback": "https://127.0.0.1/fal-ai/flux/dev",
    "short IPv4": "https://127.1/fal-ai/flux/dev",
    "decimal IPv4": "https://2130706433/fal-ai/flux/dev",
    "hexadecimal IPv4": "https://0x7f000001/fal-ai/flux/dev",
    "all addresses": "https://0.0.0.0/fal-ai/flux/dev",
    "IPv6 loopback": "https://[::1]/fal-ai/flux/dev",
    "IPv6 mapped": "https://[::ffff:127.0.0.1]/fal-ai/flux/dev",
    "IPv6 zone": "https://[fe80::1%25eth0]/fal-ai/flux/dev",
    "localhost": "https://localhost/fal-ai/flux/dev",
    "metadata service": "https://169.254.169.254/latest/meta-data",
    "platform API": "https://api.fal.ai/v1/keys",
    "CDN": "https://v3.fal.media/files/upload",
    "web site": "https://fal.ai/dashboard/keys",
    "too long": "https://fal.run/fal-ai/flux/dev?a=" + "x" * 9000,
    "too many fields": "https://fal.run/fal-ai/flux/dev?" + "&".join(["a=1"] * 100),
    "semicolon for ampersand": "https://fal.run/fal-ai/flux/dev?a=1;fal_webhook=https://evil.example",
    "broken query": "https://fal.run/fal-ai/flux/dev?&&",
}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("name", BAD_TARGETS)
def test_malicious_targets_are_refused_even_if_everything_is_allowed(name: str, method: str) -> None:
    assert 400 <= refused(method, BAD_TARGETS[name], ALL) < 500


BAD_CALLS = {
    "another endpoint": ("POST", f"{RUN}/fal-ai/flux/schnell"),
    "another endpoint on the queue": ("POST", f"{QUEUE}/fal-ai/flux/pro"),
    "the app of an allowed path": ("POST", f"{QUEUE}/fal-ai/flux"),
    "below an allowed endpoint": ("POST", f"{QUEUE}/fal-ai/flux/dev/image-to-image"),
    "another app's request": ("GET", f"{QUEUE}/fal-ai/other/requests/{ID}"),
    "another endpoint's request": ("GET", f"{QUEUE}/fal-ai/flux/pro/requests/{ID}"),
    "cancel by GET": ("GET", f"{QUEUE}/fal-ai/flux/requests/{ID}/cancel"),
    "cancel by POST": ("POST", f"{QUEUE}/fal-ai/flux/requests/{ID}/cancel"),
    "status by POST": ("POST", f"{QUEUE}/fal-ai/flux/requests/{ID}/status"),
    "submit by GET": ("GET", f"{QUEUE}/fal-ai/flux/dev"),
    "run by DELETE": ("DELETE", f"{RUN}/fal-ai/flux/dev"),
    "run by CONNECT": ("CONNECT", f"{RUN}/fal-ai/flux/dev"),
    "run by HEAD": ("HEAD", f"{RUN}/fal-ai/flux/dev"),
    "unknown tail": ("GET", f"{QUEUE}/fal-ai/flux/requests/{ID}/payloads"),
    "list of requests": ("GET", f"{QUEUE}/fal-ai/flux/requests"),
    "odd request id": ("GET", f"{QUEUE}/fal-ai/flux/requests/a.b"),
    "webhook": ("POST", f"{QUEUE}/fal-ai/flux/dev?fal_webhook=https://evil.example/"),
    "webhook, encoded name": ("POST", f"{QUEUE}/fal-ai/flux/dev?fal%5Fwebhook=https://evil.example/"),
    "webhook on run": ("POST", f"{RUN}/fal-ai/flux/dev?FAL_webhook=https://evil.example/"),
    "token in the query": ("POST", f"{RUN}/fal-ai/flux/dev?fal_jwt_token=x"),
    "token in the query of a status": ("GET", f"{QUEUE}/fal-ai/flux/requests/{ID}/status?fal_jwt_token=x"),
    "query on cancel": ("PUT", f"{QUEUE}/fal-ai/flux/requests/{ID}/cancel?x=1"),
    "token": ("POST", f"{REST}/tokens/"),
    "realtime token": ("POST", f"{REST}/tokens/realtime"),
    "CDN token": ("POST", f"{REST}/storage/auth/token?storage_type=fal-cdn-v3"),
    "multipart": ("POST", f"{REST}/storage/upload/initiate-multipart?storage_type=fal-cdn-v3"),
    "upload by GET": ("GET", REST + INITIATE),
    "upload elsewhere": ("POST", f"{REST}/storage/upload/initiate?storage_type=gcs"),
    "upload without a storage type": ("POST", f"{REST}/storage/upload/initiate"),
    "upload with two storage types": ("POST", f"{REST}{INITIATE}&storage_type=gcs"),
    "upload with another parameter": ("POST", f"{REST}{INITIATE}&x=1"),
    "current user": ("GET", f"{REST}/users/current"),
    "app queue": ("DELETE", f"{REST}/applications/me/app/queue"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_the_proxy_refuses_endpoints_and_routes_that_are_not_allowed(name: str) -> None:
    assert 400 <= refused(*BAD_CALLS[name]) < 500


@pytest.mark.parametrize("values", [[], ["", ""], [f"{RUN}/fal-ai/flux/dev"] * 2])
def test_the_proxy_requires_exactly_one_target_header(values: list[str]) -> None:
    with pytest.raises(Refusal):
        find_target("POST", values, ALL)


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", f"{REST}/tokens/"),
        ("POST", f"{REST}/tokens/realtime"),
        ("POST", f"{REST}/storage/auth/token?storage_type=fal-cdn-v3"),
        ("POST", f"{REST}/storage/upload/initiate-multipart?storage_type=fal-cdn-v3"),
        ("POST", f"{QUEUE}/fal-ai/flux/dev?fal_webhook=https%3A%2F%2Fme.example%2Fhook%3Fa%3D1"),
    ],
)
def test_the_proxy_forwards_routes_that_the_rules_allow_explicitly(method: str, url: str) -> None:
    assert target(method, url, ALL).url(Hosts()) == url


PIECES = [*"/.%2efF5cC@:#?&;=\\ \r\n\t[]~-_aQ", "fal.run", "https://", "..", "requests", "/me/app"]
hostile_text = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@given(st.sampled_from(["", "https://", "https://fal.run/", f"{QUEUE}/me/app/"]), hostile_text)
def test_no_target_text_leads_to_a_host_other_than_fals(prefix: str, text: str) -> None:
    try:
        found = find_target("POST", [prefix + text], ALL)
    except Refusal:
        return
    parts = urlsplit(found.url(Hosts()))
    assert parts.scheme == "https"
    assert parts.netloc in ("fal.run", "queue.fal.run", "rest.fal.ai")
    assert not {".", "..", ""} & set(parts.path.strip("/").split("/"))
    assert "%" not in parts.path
    assert found.url(Hosts()).isprintable()


@given(st.dictionaries(st.text(min_size=1, max_size=10), st.text(max_size=10), max_size=5))
def test_the_query_of_a_proxied_direct_call_is_forwarded_without_fal_parameters(
    query: dict[str, str],
) -> None:
    from urllib.parse import urlencode

    url = f"{RUN}/me/app" + (f"?{urlencode(query)}" if query else "")
    try:
        found = find_target("GET", [url], RULES)
    except Refusal:
        assert any(name.strip().lower().startswith("fal_") for name in query)
        return
    assert dict(parse_qsl(found.query, keep_blank_values=True)) == query


# Patterns.


@pytest.mark.parametrize(
    ("pattern", "allowed", "not_allowed"),
    [
        (
            "fal-ai/flux/dev",
            ["fal-ai/flux/dev", "fal-ai/flux/dev/stream"],
            ["fal-ai/flux", "fal-ai/flux/dev/x"],
        ),
        ("fal-ai/*", ["fal-ai/flux", "fal-ai/any-llm/stream"], ["fal-ai/flux/dev", "other/flux"]),
        ("fal-ai/flux*/dev", ["fal-ai/flux-2/dev"], ["fal-ai/flux/x/dev", "fal-ai/aflux/dev"]),
        ("fal-ai/flux/**", ["fal-ai/flux", "fal-ai/flux/a/b"], ["fal-ai/flux-pro"]),
        ("fal-ai/**", ["fal-ai/flux/dev"], ["fal-ai-evil/flux"]),
        ("a.b/c", ["a.b/c"], ["axb/c"]),
        ("**", ["a/b", "a/b/c", "execute", "workflows/execute", "workflows/execute/stream"], []),
        # The body of these names what they run: any models.
        ("workflows/**", ["workflows/me/story"], ["workflows/execute", "workflows/execute/stream"]),
        ("workflows/*", [], ["workflows/execute", "workflows/execute/stream", "workflows/execute/x"]),
        ("*/*", ["me/app"], ["workflows/execute", "execute"]),
        ("*/execute", ["me/execute"], ["workflows/execute"]),
        ("workflows/exec*", ["workflows/executor"], ["workflows/execute"]),
        ("workflows/execute", ["workflows/execute", "workflows/execute/stream"], ["workflows/me/story"]),
    ],
)
def test_endpoint_patterns_allow_exactly_the_endpoints_that_they_match(
    pattern: str, allowed: list[str], not_allowed: list[str]
) -> None:
    made = EndpointPattern(pattern)
    assert all(made.allows(endpoint_id) for endpoint_id in allowed)
    assert not any(made.allows(endpoint_id) for endpoint_id in not_allowed)


@pytest.mark.parametrize(
    "pattern", ["", "flux", "a//b", "/a/b", "a/b/", "a/**/b", "a/x**", "a/b?", "a/[b]", "a/{b}", "a b/c"]
)
def test_malformed_endpoint_patterns_are_refused_with_examples(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="fal-ai/flux"):
        EndpointPattern(pattern)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"endpoints": []}, r"\*\*"),
        ({"endpoints": "fal-ai/flux"}, "list"),
        ({"endpoints": ["**"], "allow": ["everything"]}, "multipart"),
        ({"endpoints": ["**"], "allow": ["run"]}, "multipart"),
        ({"endpoints": ["**"], "headers": ["Authorization"]}, "authorization"),
        ({"endpoints": ["**"], "headers": ["x-fal-target-url"]}, "x-fal-target-url"),
        ({"endpoints": ["**"], "headers": "x-mine"}, "headers='x-mine': expected a list"),
        ({"endpoints": ["**"], "max_body": 0}, "max_body=0"),
        ({"endpoints": ["**"], "max_body": "1 MB"}, "max_body='1 MB'"),
    ],
)
def test_proxy_rules_are_checked_when_they_are_created(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        ProxyRules(**options)


# Headers.


def test_the_proxy_forwards_only_the_listed_request_headers() -> None:
    sent = [
        (b"Host", b"me"),
        (b"Authorization", b"Key stolen:key"),
        (b"Cookie", b"session=1"),
        (b"X-Fal-Target-Url", b"https://fal.run/x"),
        (b"X-Fal-Runner-Hint", b"me"),
        (b"X-Fal-Tags", b"team=someone-else"),
        (b"X-Fal-Retry-Config", b"{}"),
        (b"X-Forwarded-For", b"1.2.3.4"),
        (b"X-Http-Method-Override", b"DELETE"),
        (b"Connection", b"x-fal-runner-hint"),
        (b"Content-Type", b"application/json"),
        (b"X-Mine", b"1"),
    ]
    assert forwarded_headers(sent, ALL) == {"x-fal-runner-hint": "me", "content-type": "application/json"}
    more = ProxyRules(endpoints=["**"], headers=["X-Mine"])
    assert forwarded_headers(sent, more)["x-mine"] == "1"
    assert target_values(sent) == ["https://fal.run/x"]


@pytest.mark.parametrize(
    "sent",
    [
        [(b"accept", b"a"), (b"Accept", b"b")],
        [(b"x-fal-runner-hint", b"a\r\nX-Evil: 1")],
        [(b"x-fal-runner-hint", b"\xff")],
        [(b"x-fal-runner-hint", b"a\x00")],
    ],
)
def test_the_proxy_refuses_repeated_and_malformed_headers(sent: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Refusal):
        forwarded_headers(sent, ALL)


def test_the_proxy_returns_no_cookie_location_or_token() -> None:
    answered = dict.fromkeys([*RETURNED, "set-cookie", "location", "x-fal-cdn-token", "authorization"], "x")
    assert set(returned_headers(answered)) == RETURNED
    assert not RETURNED & {"set-cookie", "location", "x-fal-cdn-token", "content-length"}
    assert "x-fal-target-url" not in FORWARDED


@pytest.mark.parametrize(
    ("values", "status"),
    [([b"5"], None), ([], None), ([b"11"], 413), ([b"5", b"5"], 400), ([b"-1"], 400), ([b"5, 5"], 400)],
)
def test_the_proxy_checks_the_declared_content_length(values: list[bytes], status: int | None) -> None:
    rules = ProxyRules(endpoints=["**"], max_body=10)
    headers = [(b"Content-Length", value) for value in values]
    if status is None:
        assert check_length(headers, rules) == (5 if values else None)
        return
    with pytest.raises(Refusal) as refusal:
        check_length(headers, rules)
    assert refusal.value.status == status


@pytest.mark.parametrize("encoding", [b"chunked", b"Chunked", b"gzip, chunked", b"identity"])
def test_the_proxy_refuses_a_content_length_with_a_transfer_encoding(encoding: bytes) -> None:
    """This server would use one, fal's side the other, and the next request would be read as a body."""
    headers = [(b"content-length", b"5"), (b"Transfer-Encoding", encoding)]
    with pytest.raises(Refusal) as refusal:
        check_length(headers, ALL)
    assert refusal.value.status == 400
    assert check_length([(b"transfer-encoding", b"chunked")], ALL) is None


# Tokens.

TOKEN_RULES = ProxyRules(endpoints=["fal-ai/flux/**", "workflows/me/story"], allow=["tokens"])


def checked_token(
    wanted: object, rules: ProxyRules = TOKEN_RULES, *, path: str = "tokens/", lifetime: int | None = 120
) -> bytes:
    """`wanted`: a body, or the apps of a body with a lifetime."""
    asked = find_target("POST", [f"{REST}/{path}"], ALL)
    field = "duration" if path == "tokens/realtime" else "token_expiration"
    full = {"allowed_apps": wanted} | ({} if lifetime is None else {field: lifetime})
    body = wanted if isinstance(wanted, bytes) else json.dumps(full).encode()
    return checked_token_body(body, asked, rules)


@pytest.mark.parametrize("seconds", [1, 120, 300])
@pytest.mark.parametrize("apps", [["flux"], ["fal-ai/flux/dev/realtime"], ["story", "flux"]])
@pytest.mark.parametrize(
    ("path", "field"), [("tokens/", "token_expiration"), ("tokens/realtime", "duration")]
)
def test_the_proxy_forwards_token_requests_for_allowed_apps(
    apps: list[str], path: str, field: str, seconds: int
) -> None:
    forwarded = json.loads(checked_token(apps, path=path, lifetime=seconds))
    assert forwarded == {"allowed_apps": apps, field: seconds}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"\xff",
        b'{"allowed_apps": [], "token_expiration": 120}',
        b'{"allowed_apps": ["other"], "token_expiration": 120}',
        b'{"allowed_apps": ["flux", "other"], "token_expiration": 120}',
        b'{"allowed_apps": ["flux", null], "token_expiration": 120}',
        b'{"allowed_apps": [["flux"]], "token_expiration": 120}',
        b'{"allowed_apps": ["fal-ai/other"], "token_expiration": 120}',
        b'{"allowed_apps": ["other/flux"], "token_expiration": 120}',
        b'{"allowed_apps": ["fal-ai/flux/../other"], "token_expiration": 120}',
        b'{"allowed_apps": ["*"], "token_expiration": 120}',
        b'{"allowed_apps": ["flux*"], "token_expiration": 120}',
        b'{"allowed_apps": "flux", "token_expiration": 120}',
        b'{"allowed_apps": {"flux": 1}, "token_expiration": 120}',
        b'{"app": "flux", "token_expiration": 120}',
        b'{"allowed_apps": ["flux"], "token_expiration": 86400}',
        b'{"allowed_apps": ["flux"], "token_expiration": 301}',
        b'{"allowed_apps": ["flux"], "token_expiration": 0}',
        b'{"allowed_apps": ["flux"], "token_expiration": -1}',
        b'{"allowed_apps": ["flux"], "token_expiration": 120.5}',
        b'{"allowed_apps": ["flux"], "token_expiration": 1e400}',
        b'{"allowed_apps": ["flux"], "token_expiration": NaN}',
        b'{"allowed_apps": ["flux"], "token_expiration": null}',
        b'{"allowed_apps": ["flux"], "token_expiration": true}',
        b'{"allowed_apps": ["flux"], "token_expiration": "120"}',
        b'{"allowed_apps": ["flux"], "token_expiration": 120, "scope": "admin"}',
        b'{"allowed_apps": ["flux"], "token_expiration": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
)
def test_the_proxy_refuses_token_requests_with_other_bodies(body: bytes) -> None:
    with pytest.raises(Refusal):
        checked_token(body)


@pytest.mark.parametrize(
    ("path", "other"), [("tokens/", "duration"), ("tokens/realtime", "token_expiration")]
)
def test_a_token_request_without_the_lifetime_field_of_its_path_is_refused(path: str, other: str) -> None:
    with pytest.raises(Refusal):
        checked_token(["flux"], path=path, lifetime=None)
    with pytest.raises(Refusal):
        checked_token(json.dumps({"allowed_apps": ["flux"], other: 120}).encode(), path=path)


@pytest.mark.parametrize(
    ("pattern", "given", "refused"),
    [
        ("me/poet", ["poet", "me/poet/realtime"], ["other", "me", "you/poet"]),
        ("me/poet/**", ["poet", "me/poet/long/realtime"], ["other", "poet/long"]),
        ("me/poet/*", ["poet"], ["other"]),
        ("*/poet", ["poet", "you/poet"], ["other", "you/other"]),
        ("workflows/me/story", ["story"], ["me", "workflows"]),
        ("workflows/*/story", ["story"], ["me"]),
        ("me/*", ["me/poet/realtime"], ["poet", "fast-lcm-diffusion", "you/poet"]),
        ("me/**", ["me/poet/realtime"], ["poet", "fast-lcm-diffusion", "you/poet"]),
        ("me/po*", ["me/poet"], ["poet", "po"]),
        ("me/*/fast", ["me/poet/fast"], ["poet", "fast"]),
        ("*/*", ["me/poet"], ["poet"]),
        ("*/**", ["me/poet"], ["poet"]),
        ("workflows/me/*", ["workflows/me/story"], ["story", "me"]),
        ("workflows/**", ["workflows/me/story"], ["story", "me"]),
        ("**", ["poet", "me/poet"], []),
    ],
)
def test_a_token_request_may_only_name_apps_that_a_pattern_names(
    pattern: str, given: list[str], refused: list[str]
) -> None:
    """A token names the app without its owner, so a wildcard would match every owner's apps."""
    rules = ProxyRules(endpoints=[pattern])
    for app in given:
        assert checked_token([app], rules)
    for app in refused:
        with pytest.raises(Refusal):
            checked_token([app], rules)
        with pytest.raises(Refusal):
            checked_token([app, *given], rules)


CDN_TOKEN = find_target("POST", [f"{REST}/storage/auth/token?storage_type=fal-cdn-v3"], ALL)


@pytest.mark.parametrize(
    ("body", "seconds"), [(b"", 3600), (b"{}", 3600), (b'{"expiration_seconds": 60}', 60)]
)
def test_a_proxied_cdn_token_request_always_has_a_lifetime(body: bytes, seconds: int) -> None:
    assert json.loads(checked_token_body(body, CDN_TOKEN, ALL)) == {"expiration_seconds": seconds}


@pytest.mark.parametrize(
    "body",
    [
        b'{"expiration_seconds": 3601}',
        b'{"expiration_seconds": 0}',
        b'{"expiration_seconds": null}',
        b'{"expiration_seconds": true}',
        b'{"scope": "all"}',
        b'{"allowed_apps": ["flux"]}',
        b"[]",
        b"5",
        b"{",
    ],
)
def test_the_proxy_refuses_cdn_token_requests_with_other_bodies(body: bytes) -> None:
    with pytest.raises(Refusal):
        checked_token_body(body, CDN_TOKEN, ALL)


def test_a_repeated_field_of_a_token_request_is_forwarded_once() -> None:
    body = b'{"allowed_apps": ["other"], "allowed_apps": ["flux"], "token_expiration": 9000, "token_expiration": 9}'
    assert checked_token(body) == b'{"allowed_apps":["flux"],"token_expiration":9}'
