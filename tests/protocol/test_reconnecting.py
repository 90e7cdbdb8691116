"""When a connection is restored, and which messages wait for it: pure state, any order of events."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.errors import ConfigurationError
from fal_async.protocol.reconnecting import InFlight, Outgoing, Reconnect, Throttle, Unsent


def message(number: int) -> Outgoing:
    return Outgoing(number, b"")


def drained(unsent: Unsent) -> list[Any]:
    left = []
    while (outgoing := unsent.pop()) is not None:
        left.append(outgoing.message)
    return left


@given(st.integers(1, 200), st.floats(0, 1))
def test_reconnect_delays_grow_up_to_their_limit(attempt: int, chance: float) -> None:
    policy = Reconnect(first_delay=0.25, max_delay=10)
    full = min(10, 0.25 * 2 ** min(attempt - 1, 60))
    assert full / 2 <= policy.delay(attempt, chance) <= full


def test_the_reconnect_argument_is_a_bool_or_valid_settings() -> None:
    policy = Reconnect(attempts=2)
    assert Reconnect.of(policy) is policy
    assert Reconnect.of(True) == Reconnect()
    assert Reconnect.of(False) is None
    wrong: Any
    for wrong in (None, 1, "yes"):
        with pytest.raises(ConfigurationError, match="reconnect"):
            Reconnect.of(wrong)
    for options in ({"attempts": 0}, {"first_delay": -1}, {"max_delay": float("inf")}, {"attempts": True}):
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            Reconnect(**options)


@given(st.integers(0, 30))
def test_keep_latest_keeps_the_newest_message_and_counts_the_dropped(count: int) -> None:
    unsent = Unsent("latest", 64)
    for number in range(count):
        assert not unsent.full
        unsent.add(message(number))
    assert unsent.dropped == max(count - 1, 0)
    assert drained(unsent) == ([count - 1] if count else [])


@given(st.integers(0, 30), st.integers(1, 10))
def test_keep_all_keeps_messages_in_order_up_to_the_limit(count: int, limit: int) -> None:
    unsent = Unsent("all", limit)
    for number in range(count):
        assert unsent.full == (number >= limit)
        if not unsent.full:
            unsent.add(message(number))
    assert unsent.dropped == 0
    assert drained(unsent) == list(range(min(count, limit)))


@given(st.integers(0, 5), st.integers(0, 5))
def test_messages_put_back_are_sent_before_newer_ones(older: int, newer: int) -> None:
    unsent = Unsent("all", 3)
    for number in range(newer):
        unsent.add(message(100 + number))
    unsent.put_back([message(number) for number in range(older)])
    assert drained(unsent) == [*range(older), *range(100, 100 + newer)]
    latest = Unsent("latest", 1)
    for number in range(newer):
        latest.add(message(100 + number))
    latest.put_back([message(number) for number in range(older)])
    assert drained(latest) == ([99 + newer] if newer else [older - 1] if older else [])


def test_a_waiting_message_can_be_discarded_twice() -> None:
    unsent, first, second = Unsent("all", 3), message(1), message(1)
    unsent.add(first)
    unsent.add(second)
    unsent.discard(first)
    unsent.discard(first)
    assert unsent.pop() is second
    assert not unsent.waiting


@given(st.lists(st.sampled_from(["sent", "answered", "failed"]), max_size=60))
def test_messages_in_flight_are_those_sent_but_not_answered(events: list[str]) -> None:
    in_flight, expected, answers = InFlight(), list[int](), 0
    for number, event in enumerate(events):
        if event == "answered":
            in_flight.answered()
            answers += 1
            del expected[:1]
            continue
        outgoing = message(number)
        in_flight.add(outgoing)
        if event == "failed":
            in_flight.remove(outgoing)
        else:
            expected.append(number)
        assert (outgoing in in_flight) == (event == "sent")
    assert in_flight.fruitful == bool(answers)
    assert [outgoing.message for outgoing in in_flight.take()] == expected
    assert in_flight.take() == []
    assert not in_flight.fruitful


def test_at_most_64_messages_in_flight_are_remembered() -> None:
    in_flight = InFlight()
    for number in range(1000):
        in_flight.add(message(number))
    assert [outgoing.message for outgoing in in_flight.take()] == list(range(936, 1000))


@given(st.lists(st.floats(0, 10, allow_nan=False), max_size=40).map(sorted))
def test_the_throttle_allows_one_message_per_interval(times: list[float]) -> None:
    throttle, passed = Throttle(1.0), list[float]()
    for now in times:
        wait = throttle.wait(now)
        assert 0 <= wait <= 1 + 1e-9
        if wait == 0:
            passed.append(now)
    assert all(later - earlier >= 1 - 1e-9 for earlier, later in pairwise(passed))
    assert bool(passed) == bool(times)


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), True, "1"])
def test_a_throttle_interval_that_is_not_positive_is_refused(interval: Any) -> None:
    with pytest.raises(ConfigurationError, match="throttle"):
        Throttle(interval)
