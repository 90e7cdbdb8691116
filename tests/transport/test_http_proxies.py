"""Which proxy of the environment a URL uses, and which URLs are reached directly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.environment import from_env
from fal_async.errors import ConfigurationError
from fal_async.transport.http_proxies import Route, environment_route

HTTP, HTTPS, ALL = "http://plain.corp:3128", "http://tls.corp:3128", "http://any.corp:3128"


def route(url: str, **variables: str) -> Route:
    return environment_route(from_env(variables).proxies, url, follow=True)


@pytest.mark.parametrize("scheme", ["http", "ws"])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_http_proxy_is_used_only_for_http_and_ws(scheme: str, name: str) -> None:
    assert route(f"{scheme}://fal.run/x", **{name: HTTP}) == Route(proxy=HTTP, named_by=name)
    assert route(f"{scheme}s://fal.run/x", **{name: HTTP}) == Route()


@pytest.mark.parametrize("scheme", ["https", "wss"])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_https_proxy_is_used_only_for_https_and_wss(scheme: str, name: str) -> None:
    assert route(f"{scheme}://fal.run/x", **{name: HTTPS}) == Route(proxy=HTTPS, named_by=name)
    assert route(f"{scheme.removesuffix('s')}://fal.run/x", **{name: HTTPS}) == Route()


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy"])
def test_all_proxy_is_used_if_no_other_variable_names_a_proxy(name: str) -> None:
    assert route("http://fal.run", HTTP_PROXY=HTTP, **{name: ALL}).proxy == HTTP
    assert route("https://fal.run", HTTP_PROXY=HTTP, **{name: ALL}).proxy == ALL


def test_a_lower_case_variable_wins_and_an_empty_one_means_no_proxy() -> None:
    assert route("http://fal.run", HTTP_PROXY=HTTP, http_proxy=ALL).proxy == ALL
    assert route("http://fal.run", HTTP_PROXY=HTTP, http_proxy=" ") == Route()


def test_the_proxy_header_of_a_cgi_request_is_ignored() -> None:
    assert route("http://fal.run", HTTP_PROXY=HTTP, REQUEST_METHOD="GET") == Route()
    assert route("http://fal.run", http_proxy=HTTP, REQUEST_METHOD="GET").proxy == HTTP


def test_a_proxy_without_a_scheme_is_an_http_proxy() -> None:
    assert (
        route("https://fal.run", HTTPS_PROXY="me:s3cret@tls.corp:3128").proxy
        == "http://me:s3cret@tls.corp:3128"
    )


@pytest.mark.parametrize("host", ["localhost", "emulator.localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
@pytest.mark.parametrize("port", ["", ":8765"])
def test_this_machine_is_reached_directly(host: str, port: str) -> None:
    assert route(f"http://{host}{port}/fal.run", ALL_PROXY=ALL) == Route()


@pytest.mark.parametrize(
    "no_proxy",
    [
        "*",
        "fal.run",
        ".fal.run",
        "*.fal.run",
        "FAL.RUN",
        "run",
        "queue.fal.run",
        "queue.fal.run:443",
        "corp.example, fal.run",
        "corp.example fal.run",
    ],
)
def test_hosts_in_no_proxy_are_reached_directly(no_proxy: str) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        assert route("https://queue.fal.run/x", ALL_PROXY=ALL, **{name: no_proxy}) == Route()


@pytest.mark.parametrize(
    "no_proxy", ["", "al.run", "myqueue.fal.run", "queue.fal.run:80", "fal", "10.0.0.0/8", "fal.run.corp"]
)
def test_hosts_that_no_proxy_does_not_match_use_the_proxy(no_proxy: str) -> None:
    assert route("https://queue.fal.run/x", ALL_PROXY=ALL, NO_PROXY=no_proxy).proxy == ALL


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        ("http://10.1.2.3:80/x", "10.0.0.0/8"),
        ("http://10.1.2.3/x", "10.1.2.3"),
        ("http://10.1.2.3:81/x", "10.1.2.3:81"),
        ("http://[fd00::1]/x", "fd00::/8"),
        ("http://[fd00::1]:81/x", "[fd00::1]:81"),
        ("http://[fd00::1]/x", "fd00::1"),
    ],
)
def test_addresses_and_networks_in_no_proxy_are_reached_directly(url: str, no_proxy: str) -> None:
    assert route(url, ALL_PROXY=ALL, NO_PROXY=no_proxy) == Route()
    assert route("http://11.1.2.3/x", ALL_PROXY=ALL, NO_PROXY=no_proxy).proxy == ALL


@pytest.mark.parametrize(
    "value",
    [
        "socks5://me:s3cret@corp:1080",
        "http://me:s3cret@corp:port",
        "http://",
        "http://me:s3#cret@corp:1",
        "::s3cret",
    ],
)
def test_a_variable_without_an_http_proxy_is_refused_and_its_value_is_not_shown(value: str) -> None:
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY does not name an HTTP proxy") as caught:
        route("https://fal.run", HTTPS_PROXY=value)
    assert "s3" not in str(caught.value)
    assert route("http://fal.run", HTTPS_PROXY=value) == Route()
    assert (
        environment_route((("HTTPS_PROXY", value),), "https://fal.run", follow=False).ignored == "HTTPS_PROXY"
    )
    assert route("https://fal.run", HTTPS_PROXY=value, NO_PROXY="fal.run") == Route()


def test_the_password_of_a_proxy_is_not_shown() -> None:
    found = route("https://fal.run", HTTPS_PROXY="http://me:s3cret@tls.corp:3128")
    assert "s3cret" not in repr(found)
    assert "s3cret" not in repr(from_env({"HTTPS_PROXY": "http://me:s3cret@tls.corp:3128"}))
    assert found.host == "tls.corp:3128"


@given(st.text(), st.text())
def test_any_variables_lead_to_a_route_or_a_configuration_error(proxy: str, no_proxy: str) -> None:
    try:
        found = route("https://queue.fal.run/x", HTTPS_PROXY=proxy, NO_PROXY=no_proxy)
    except ConfigurationError:
        return
    assert found == Route() or found.named_by == "HTTPS_PROXY"
