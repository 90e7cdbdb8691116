from __future__ import annotations

import pytest
from multidict import CIMultiDict

from fal_async.emulator.options import BadOption, CallOptions, parse_options


def parsed(headers: dict[str, str] | None = None, **query: str) -> CallOptions:
    return parse_options(CIMultiDict(headers or {}), query)


def test_nothing_asked_for() -> None:
    assert parsed() == CallOptions()


def test_the_new_start_timeout_wins_over_the_old_name() -> None:
    both = {"X-Fal-Request-Timeout": "5", "x-fal-request-start-timeout": "0.2"}
    assert parsed(both).start_timeout == 0.2
    assert parsed({"X-Fal-Request-Timeout": "5"}).start_timeout == 5


@pytest.mark.parametrize("text", ["", "soon", "0.1", "-1", "nan", "inf"])
def test_a_malformed_start_timeout_is_refused(text: str) -> None:
    with pytest.raises(BadOption, match="X-Fal-Request-Timeout"):
        parsed({"X-Fal-Request-Timeout": text})


def test_priority_can_only_be_lowered() -> None:
    assert parsed({"X-Fal-Queue-Priority": "low"}).low_priority
    assert not parsed({"X-Fal-Queue-Priority": "highest"}).low_priority


@pytest.mark.parametrize(
    ("headers", "extra"),
    [
        ({"X-Fal-No-Retry": "yes"}, 0),
        ({"X-Fal-Retry-Config": '{"server_error": {"retries": 2}}'}, 2),
        ({"X-Fal-Retry-Config": '{"server_error": {"retries": 99}}'}, 9),
        ({"X-Fal-Retry-Config": '{"server_error": {"retries": 2}}', "X-Fal-No-Retry": "1"}, 0),
        ({"X-Fal-Retry-Config": "{broken"}, 9),
        ({"X-Fal-Retry-Config": "[]"}, 9),
    ],
)
def test_retries_of_the_platform(headers: dict[str, str], extra: int) -> None:
    assert parsed(headers).extra_attempts == extra


def test_query_and_the_rest() -> None:
    options = parsed(
        {"X-Fal-Store-IO": "0", "X-Fal-Runner-Hint": "me"}, fal_max_queue_length="3", fal_webhook="u"
    )
    assert (options.store_io, options.hint) == (False, "me")
    assert (options.max_queue_length, options.webhook_url) == (3, "u")
    with pytest.raises(BadOption, match="fal_max_queue_length"):
        parsed(fal_max_queue_length="many")
