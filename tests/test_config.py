"""Settings: hosts, time limits, retries, keys, and the environment variables."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fal_async.config import Hosts, PoolOptions, Retry, RetryPolicy, Settings, Timeouts
from fal_async.environment import Environment, from_env
from fal_async.errors import ConfigurationError

KEY = "0b1c2d3e-0000-4000-8000-123456789abc:0123456789abcdef0123456789abcdef"
NO_SECONDS: list[Any] = [0, -1, math.nan, math.inf, "5", True, 10**400, [1]]


# Hosts.


def test_the_default_hosts_are_those_of_fal() -> None:
    assert attrs.asdict(Hosts()) == {
        "run": "https://fal.run",
        "queue": "https://queue.fal.run",
        "rest": "https://rest.fal.ai",
        "cdn": "https://v3.fal.media",
        "platform": "https://api.fal.ai/v1",
        "realtime": "wss://fal.run",
        "ws": "wss://ws.fal.run",
        "openapi": "https://fal.ai",
        "auth": "https://auth.fal.ai",
        "backup": True,
    }


@pytest.mark.parametrize(
    "base", ["http://127.0.0.1:8765", "http://127.0.0.1:8765/", "http://[::1]:1", "https://me/x"]
)
def test_local_hosts_put_all_services_behind_one_url(base: str) -> None:
    hosts, clean = Hosts.local(base), base.rstrip("/")
    sockets = clean.replace("http", "ws", 1)
    assert (hosts.run, hosts.queue, hosts.rest) == (
        f"{clean}/fal.run",
        f"{clean}/queue.fal.run",
        f"{clean}/rest.fal.ai",
    )
    assert (hosts.cdn, hosts.platform) == (f"{clean}/v3.fal.media", f"{clean}/api.fal.ai/v1")
    assert (hosts.realtime, hosts.ws) == (f"{sockets}/fal.run", f"{sockets}/ws.fal.run")
    assert (hosts.openapi, hosts.auth, hosts.backup) == (f"{clean}/fal.ai", f"{clean}/auth.fal.ai", False)


NO_BASES = [
    *(
        "",
        "fal.run",
        "127.0.0.1:8765",
        "http://",
        "http:///x",
        "ftp://fal.run",
        "ws://fal.run",
        "https://[::1",
    ),
    *("https://fal.run?x=1", "https://fal.run#x", "https://user:s3cret@fal.run", "https://@fal.run"),
    *(
        "https://fal.run:99999",
        "https://fal.run:0",
        "https://fal.run:port",
        "https://fal run",
        "https://fal.run\\x",
    ),
    *("https://fal.run/\n", "https://\tfal.run", None, 7, b"https://fal.run"),
    *("https://fal..run", "https://.fal.run", f"https://{'a' * 64}.run", "https://https://fal.run"),
]


@pytest.mark.parametrize("url", NO_BASES)
def test_a_host_that_is_not_a_base_url_is_refused_with_its_name(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"hosts: queue=.*expected http or https") as caught:
        Hosts(queue=url)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigurationError):
        Hosts.local(url)
    with pytest.raises(ConfigurationError, match="realtime"):
        Hosts(realtime="https://fal.run")


@given(
    st.text() | st.builds("http://{}".format, st.text()) | st.from_regex(r"https?://[a-z.@:\[\]0-9\\/#?]*")
)
@example("http://\ud800")
def test_any_string_as_a_host_is_a_base_url_or_refused(url: str) -> None:
    try:
        hosts = Hosts(run=url)
    except ConfigurationError as error:
        assert len(str(error)) < 300  # noqa: PT017
        return
    assert hosts.run == url.rstrip("/")
    assert not set(hosts.run) & set("?#@\\ \n")


# Limits.


@pytest.mark.parametrize("value", [*NO_SECONDS])
@pytest.mark.parametrize("name", ["connect", "first_byte", "total", "run"])
def test_time_limits_must_be_positive_or_none(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Timeouts(**{name: value})
    assert getattr(Timeouts(**{name: None}), name) is None


def test_a_number_as_timeout_bounds_every_attempt() -> None:
    assert Timeouts.of(None) == Timeouts()
    given_limits = Timeouts(total=None)
    assert Timeouts.of(given_limits) is given_limits
    assert Timeouts.of(5) == Timeouts(connect=5, first_byte=5, total=5, run=5)
    assert Timeouts.of(30) == Timeouts(connect=10, first_byte=30, total=30, run=30)


@pytest.mark.parametrize("value", NO_SECONDS)
def test_a_timeout_that_is_not_a_positive_number_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout="):
        Timeouts.of(value)


# Retries.


def test_an_async_on_retry_function_is_refused() -> None:
    async def on_retry(_: Retry) -> None: ...

    with pytest.raises(ConfigurationError, match="on_retry is a coroutine function"):
        RetryPolicy(on_retry=on_retry)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"on_retry": 5}, {"on_retry": "print"}, {"retry_uncertain": "no"}, {"retry_uncertain": 0}]
)
def test_a_retry_policy_with_values_of_wrong_types_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        RetryPolicy(**options)


@pytest.mark.parametrize("value", [*NO_SECONDS, None])
@pytest.mark.parametrize(
    "name", ["base_delay", "max_delay", "max_total", "max_retry_after", "result_total", "outage"]
)
def test_times_of_a_retry_policy_must_be_positive(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        RetryPolicy(**{name: value})


@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True, None])
def test_max_attempts_must_be_a_positive_int(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_attempts"):
        RetryPolicy(max_attempts=value)


# The environment.


def test_an_empty_environment_means_the_default_settings() -> None:
    assert from_env({}) == Environment()
    assert Environment().hosts == Hosts()


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"FAL_KEY": " a:b\n"}, "a:b"),
        ({"FAL_KEY_ID": "a", "FAL_KEY_SECRET": "b"}, "a:b"),
        ({"FAL_KEY": "x:y", "FAL_KEY_ID": "a", "FAL_KEY_SECRET": "b"}, "x:y"),
        ({"FAL_KEY": " ", "FAL_KEY_ID": "a", "FAL_KEY_SECRET": "b"}, "a:b"),
        ({"FAL_KEY_ID": "a"}, None),
        ({"FAL_KEY_SECRET": "b"}, None),
        ({"FAL_KEY": "a:b", "FAL_FORCE_AUTH_BY_USER": "1"}, None),
        ({"FAL_KEY": "a:b", "FAL_FORCE_AUTH_BY_USER": "0"}, "a:b"),
    ],
)
def test_fal_key_precedes_its_parts_and_a_forced_login_ignores_both(
    environ: dict[str, str], key: str | None
) -> None:
    assert from_env(environ).key == key


def test_hosts_are_read_from_the_environment_or_refused() -> None:
    assert from_env({"FAL_RUN_HOST": "my.host"}).hosts == Hosts(
        run="https://my.host", queue="https://queue.my.host", realtime="wss://my.host"
    )
    assert from_env({"FAL_QUEUE_RUN_HOST": "q.host"}).hosts == Hosts(queue="https://q.host")
    assert from_env({"FAL_OPENAPI_HOST": "o.host"}).hosts == Hosts(openapi="https://o.host")
    base = {"FAL_BASE_URL": "http://127.0.0.1:8765", "FAL_RUN_HOST": "my.host"}
    assert from_env(base).hosts == Hosts.local("http://127.0.0.1:8765")
    for name in ("FAL_BASE_URL", "FAL_RUN_HOST", "FAL_QUEUE_RUN_HOST", "FAL_OPENAPI_HOST"):
        with pytest.raises(ConfigurationError, match="host"):
            from_env({name: "not a host"})


def test_home_folder_and_log_level_are_read_from_the_environment() -> None:
    environment = from_env({"FAL_HOME_DIR": "/tmp/fal", "FAL_LOG": "debug"})
    assert (environment.home, environment.log) == ("/tmp/fal", "debug")


names = st.sampled_from(
    [
        *("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "FAL_BASE_URL", "FAL_RUN_HOST", "FAL_QUEUE_RUN_HOST"),
        *("FAL_OPENAPI_HOST", "FAL_HOME_DIR", "FAL_LOG", "FAL_FORCE_AUTH_BY_USER"),
    ]
)


@given(st.dictionaries(names, st.text()))
def test_any_environment_is_read_or_raises_configuration_error(environ: dict[str, str]) -> None:
    try:
        from_env(environ)
    except ConfigurationError:
        return


# Values.

PUBLIC: list[Any] = [
    Hosts(),
    Timeouts(total=None),
    RetryPolicy(max_attempts=2),
    Retry(operation="status", attempt=1, delay=0.5, error=ConfigurationError("x")),
]
OURS: list[Any] = [
    Settings(tags={"a": "b"}, credentials=KEY),
    Environment(key=KEY),
    PoolOptions(max_connections=5),
]


@pytest.mark.parametrize("value", PUBLIC, ids=lambda value: type(value).__name__)
def test_public_settings_survive_pickle_and_copy(value: Any) -> None:
    for twin in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert repr(twin) == repr(value)
        if not isinstance(value, Retry):  # errors are equal by identity
            assert twin == value


@pytest.mark.parametrize("value", PUBLIC + OURS, ids=lambda value: type(value).__name__)
def test_settings_are_frozen_and_do_not_show_the_key(value: Any) -> None:
    assert KEY not in repr(value)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        value.x = 1
