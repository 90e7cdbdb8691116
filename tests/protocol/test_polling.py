"""Pacing: simulated jobs compared with the promised numbers, and properties for any input."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from statistics import median
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.models import Completed, InProgress, Queued, QueueStatus, UnknownStatus
from fal_async.protocol.polling import (
    FIRST_POLL,
    LONGEST,
    SHORTEST,
    SHORTEST_FIXED,
    Pacer,
    RunTimes,
    RunTimesByEndpoint,
)

ROUND_TRIP = 0.004
Draw = Callable[[random.Random], float]


@attrs.frozen
class Seen:
    length: float
    polls: int
    late: float


def one_job(length: float, times: RunTimes, chances: random.Random, *, reported: bool = True) -> Seen:
    """Poll a job that starts at once until it is seen complete."""
    pacer = Pacer(0.0, times)
    turn, asked, polls = pacer.first(chances.random()), 0.0, 0
    while True:
        polls += 1
        reached = asked + turn.delay + ROUND_TRIP / 2
        answered = reached + ROUND_TRIP / 2
        if reached >= length:
            metrics = {"inference_time": length} if reported else {}
            pacer.learn(answered, Completed(request_id="r", metrics=metrics))
            return Seen(length, polls, answered - length)
        turn, asked = pacer.next(answered, InProgress(request_id="r"), chances.random()), answered


def new_endpoint(length: float, *, jobs: int = 300, seed: int = 7) -> list[Seen]:
    chances = random.Random(seed)
    return [one_job(jittered(length)(chances), RunTimes(), chances) for _ in range(jobs)]


def known_endpoint(draw: Draw, *, reported: bool = True, jobs: int = 300, seed: int = 7) -> list[Seen]:
    chances, times = random.Random(seed), RunTimes()
    return [one_job(draw(chances), times, chances, reported=reported) for _ in range(jobs)][10:]


def jittered(length: float) -> Draw:
    return lambda chances: length * chances.uniform(0.95, 1.05)


def polls(seen: list[Seen]) -> float:
    return median(job.polls for job in seen)


def late(seen: list[Seen]) -> float:
    return median(job.late for job in seen)


def share_late(seen: list[Seen], quantile: float) -> float:
    return sorted(job.late / job.length for job in seen)[int(quantile * len(seen))]


# The promised numbers: jobs whose length varies by 5 %.


def test_a_ten_second_job_on_an_unknown_endpoint_keeps_the_promised_numbers() -> None:
    seen = new_endpoint(10)
    assert polls(seen) <= 21
    assert late(seen) <= 0.270


# If the server does not report how long a job ran, the samples are less exact, which costs two more polls.
@pytest.mark.parametrize(("reported", "most"), [(True, 10), (False, 12)])
def test_a_ten_second_job_on_a_known_endpoint_keeps_the_promised_numbers(reported: bool, most: int) -> None:
    seen = known_endpoint(jittered(10), reported=reported)
    assert polls(seen) <= most
    assert late(seen) <= 0.060


@pytest.mark.parametrize("reported", [True, False])
def test_a_sixty_second_job_on_a_known_endpoint_keeps_the_promised_numbers(reported: bool) -> None:
    seen = known_endpoint(jittered(60), reported=reported)
    assert polls(seen) <= 16
    assert late(seen) <= 0.006 * 60


def test_a_sixty_second_job_on_an_unknown_endpoint_keeps_the_promised_numbers() -> None:
    seen = new_endpoint(60)
    assert polls(seen) <= 40
    assert late(seen) <= 0.02 * 60


@pytest.mark.parametrize(
    ("length", "most", "latest"), [(0.3, 2, 0.12), (2.0, 8, 0.2), (20.0, 27, 1.7), (180.0, 70, 3.8)]
)
def test_jobs_of_other_lengths_on_an_unknown_endpoint_are_noticed_in_time(
    length: float, most: int, latest: float
) -> None:
    seen = new_endpoint(length)
    assert polls(seen) <= most
    assert late(seen) <= latest


@pytest.mark.parametrize(("length", "most"), [(0.3, 3), (2.0, 7)])
def test_short_jobs_on_a_known_endpoint_are_noticed_within_30_ms(length: float, most: int) -> None:
    seen = known_endpoint(jittered(length))
    assert polls(seen) <= most
    assert late(seen) <= 0.03


# Endpoints whose run times vary.


def test_a_job_that_ends_early_on_a_known_endpoint_is_noticed_soon() -> None:
    at_once, soon = [], []
    for seed in range(21):
        chances, times = random.Random(seed), RunTimes()
        for _ in range(40):
            one_job(jittered(60)(chances), times, chances)
        at_once.append(one_job(0.1, times, chances).late)
        soon.append(one_job(5.0, times, chances).late)
    assert max(at_once) < 0.8
    assert median(soon) < 7.0
    assert max(soon) < 9.0


def test_jobs_with_two_typical_run_times_are_both_noticed_in_time() -> None:
    seen = known_endpoint(lambda chances: chances.choice([5, 40]) * chances.uniform(0.95, 1.05))
    assert share_late(seen, 0.9) < 0.05
    assert polls(seen) < 20


@pytest.mark.parametrize("shortest", [1, 20])
def test_widely_spread_run_times_cost_at_most_10_percent_more_polls(shortest: float) -> None:
    def draw(chances: random.Random) -> float:
        return chances.uniform(shortest, 100)

    chances = random.Random(7)
    unknown = [one_job(draw(chances), RunTimes(), chances) for _ in range(500)]
    seen = known_endpoint(draw)
    assert polls(seen) <= 1.1 * polls(unknown)
    assert share_late(seen, 0.5) < 0.1


@pytest.mark.parametrize(("before", "after"), [(10, 20), (20, 10), (2, 60)])
@pytest.mark.parametrize("reported", [True, False])
def test_a_changed_run_time_is_learned_within_a_few_jobs(before: float, after: float, reported: bool) -> None:
    chances, times = random.Random(5), RunTimes()
    for _ in range(40):
        one_job(jittered(before)(chances), times, chances, reported=reported)
    seen = [one_job(jittered(after)(chances), times, chances, reported=reported) for _ in range(20)]
    assert max(job.late for job in seen) <= max(after, 12)
    assert share_late(seen[5:], 0.5) < 0.03


def test_the_poll_interval_of_an_unknown_endpoint_grows_with_the_run_time() -> None:
    pacer = Pacer(0.0, RunTimes())
    delays = [pacer.first(0.5).delay]
    now = delays[0]
    while now < 2000:
        delays.append(pacer.next(now, InProgress(request_id="r"), 0.5).delay)
        assert 0.25 <= delays[-1] <= 0.4 + 0.22 * now
        now += delays[-1]
    assert delays[-1] == LONGEST


def test_a_fixed_poll_interval_is_kept_on_a_known_endpoint() -> None:
    times = RunTimes()
    times.add(10.0)
    pacer = Pacer(0.0, times, 2.5)
    assert pacer.first(0.9).delay == FIRST_POLL
    statuses: list[QueueStatus | None] = [
        Queued(request_id="r", position=9),
        InProgress(request_id="r"),
        None,
    ]
    assert [pacer.next(5.0, status, 0.1).delay for status in statuses] == [2.5, 2.5, 2.5]
    assert Pacer(0.0, times, 1e-9).next(5.0, None, 0.1).delay == SHORTEST_FIXED


def test_the_servers_run_time_is_limited_to_the_time_between_two_polls() -> None:
    def learned(reported: Any) -> float:
        times = RunTimes()
        pacer = Pacer(0.0, times)
        pacer.next(4.0, InProgress(request_id="r"), 0.5)
        pacer.learn(6.0, Completed(request_id="r", metrics={"inference_time": reported}))
        return times.mean

    assert learned(4.7) == 4.7
    assert learned(1.0) == 4.0  # it was seen running at 4.0
    assert learned(100) == 6.0
    nonsense: list[Any] = [None, "4.7", math.nan, math.inf, -1, True, 10**400, {}]
    for value in nonsense:
        assert learned(value) == 5.0


def test_time_in_the_queue_does_not_count_as_run_time() -> None:
    times = RunTimes()
    pacer = Pacer(0.0, times)
    for at in (1.0, 20.0, 99.0):
        pacer.next(at, Queued(request_id="r", position=1), 0.5)
    pacer.next(101.0, InProgress(request_id="r"), 0.5)
    pacer.learn(105.0, Completed(request_id="r"))
    assert 2.0 <= times.mean <= 6.0


def test_run_times_are_kept_only_for_the_last_used_endpoints() -> None:
    known = RunTimesByEndpoint(limit=2)
    first = known.of("a")
    known.of("b")
    assert known.of("a") is first
    known.of("c")
    assert known.of("a") is first
    known.of("d")
    known.of("e")
    assert known.of("a") is not first


# Properties for any input.

Times = st.floats(min_value=0, max_value=1e7) | st.sampled_from([0.0, 1e-9, 1e9])
Clock = st.floats(min_value=-1e9, max_value=1e9)
Statuses = st.one_of(
    st.none(),
    st.just(InProgress(request_id="r")),
    st.just(UnknownStatus(request_id="r", status="PAUSED")),
    st.builds(Queued, request_id=st.just("r"), position=st.none() | st.integers(0, 10**6) | st.just(10**400)),
)


@given(st.lists(Times, max_size=40), Clock, st.lists(st.tuples(Clock, Statuses), max_size=30), st.data())
def test_poll_delays_are_always_within_their_bounds(
    learned: list[float], started: float, answers: list[tuple[float, QueueStatus | None]], data: st.DataObject
) -> None:
    chance = st.floats(0, 1)
    times = RunTimes()
    for seconds in learned:
        times.add(seconds)
    pacer = Pacer(started, times)
    delays = [pacer.first(data.draw(chance)).delay]
    delays += [pacer.next(now, status, data.draw(chance)).delay for now, status in answers]
    first, *later = delays
    assert SHORTEST <= first <= LONGEST or (first == 0 and times.mean < SHORTEST)
    assert all(SHORTEST <= delay <= LONGEST for delay in later)
    metrics = {"inference_time": data.draw(st.none() | st.floats() | st.integers() | st.text())}
    pacer.learn(started + 1, Completed(request_id="r", metrics=metrics))
    assert all(0 <= seconds < math.inf for seconds in times.ordered)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40), st.floats(0.05, 200), st.integers(0, 2**32))
def test_no_job_is_polled_in_a_busy_loop(learned: list[float], length: float, seed: int) -> None:
    times = RunTimes()
    for seconds in learned:
        times.add(seconds)
    seen = one_job(length, times, random.Random(seed))
    # The interval is always at least about 1 % of the time it has run.
    assert seen.polls <= 35 + 130 * math.log1p(length)
