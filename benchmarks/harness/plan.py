"""The measurements of each part, in the full and in the quick version."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import attrs

from benchmarks.harness.load import Load

OFFICIAL = "fal-client"
CLIENTS = (
    ("aiohttp", "polling"),
    (OFFICIAL, "polling"),
    ("fal_async", "polling"),
    ("fal_async", "streaming"),
    ("fal_async", "auto"),
)


@attrs.frozen
class Part:
    """A part of the benchmarks. Every other round runs backwards, so that drift of the machine cancels out.

    Attributes:
        name: the name of the part.
        rounds: number of rounds.
        loads: measured in each round.
        once: loads that take too long, or matter too little, to be repeated: measured in the first round only.
        side_by_side: loads whose jobs run at least this many seconds are measured concurrently: they mostly sleep.
    """

    name: str
    rounds: int
    loads: tuple[Load, ...]
    once: tuple[Load, ...] = ()
    side_by_side: float = float("inf")


def calls(quick: bool) -> Part:
    """CPU per direct run and per instant subscribe."""
    sizes = ((1, 100), (100, 200), (1000, 1000)) if quick else ((1, 500), (100, 2000), (1000, 3000))
    loads = [
        Load(rival=rival, mode=mode, call=call, at_once=at_once, total=_fewer(rival, total, at_once))
        for call, (at_once, total), (rival, mode) in itertools.product(("run", "subscribe"), sizes, CLIENTS)
        if call == "subscribe" or mode == "polling"
    ]
    return Part("calls", 1 if quick else 5, tuple(loads))


def noticing(quick: bool) -> Part:
    """Status requests, and the time from completion to return."""
    sizes = ((0.3, 20), (2.0, 20)) if quick else ((0.3, 60), (2.0, 40), (10.0, 40))
    loads = [load for seconds, jobs in sizes for load in _following(seconds, jobs)]
    minute = () if quick else tuple(_following(60.0, 20))
    return Part("noticing", 1 if quick else 3, tuple(loads), minute, side_by_side=10.0)


def crowd(quick: bool) -> Part:
    """Very many subscriptions of 20 s in one process, also with a low limit of open files."""
    sizes = (200,) if quick else (1000, 10_000)
    seconds = 2.0 if quick else 20.0
    loads = [_at_once(rival, mode, jobs, seconds) for jobs in sizes for rival, mode in _crowd_clients()]
    few_files = [
        attrs.evolve(_at_once(rival, mode, 1500, 5.0), open_files=1024, give_up=60.0)
        for rival, mode in _crowd_clients()
    ]
    official = [_at_once(OFFICIAL, "polling", jobs, seconds) for jobs in sizes]
    once = () if quick else (*few_files, *official)
    return Part("crowd", 1 if quick else 3, tuple(loads), once)


def large(quick: bool) -> Part:
    """Results of tens of megabytes: how long one of them blocks the event loop."""
    calls = 2 if quick else 5
    loads = [
        Load(rival=rival, call=call, megabytes=megabytes, total=calls)
        for megabytes in (1.0, 30.0)
        for call in ("run", "subscribe")
        for rival in ("aiohttp", OFFICIAL, "fal_async")
    ]
    return Part("large", 1 if quick else 3, tuple(loads))


def emulator(quick: bool) -> Part:
    """Instant subscribes on the emulator: the same counts from a server that was not written for speed."""
    total = 200 if quick else 1000
    loads = [
        Load(rival=rival, mode=mode, server="emulator", at_once=total, total=total)
        for rival, mode in CLIENTS
        if rival != OFFICIAL
    ]
    return Part("emulator", 1 if quick else 5, tuple(loads))


def _fewer(rival: str, total: int, at_once: int) -> int:
    """Return fewer calls for fal-client: it takes ten times as long, and its mean is stable after fewer calls."""
    return max(at_once, total // 4) if rival == OFFICIAL else total


def _following(seconds: float, jobs: int) -> Iterator[Load]:
    load = Load(
        rival="aiohttp",
        seconds=seconds,
        jitter=0.05,
        total=jobs,
        at_once=jobs,
        spread=min(seconds, 1.0),
        new_endpoints=True,
    )
    yield load
    yield attrs.evolve(load, mode="streaming")
    # Few of its subscribers at a time: with more of them, its polls would wait for each other.
    yield attrs.evolve(load, rival=OFFICIAL, total=jobs // 2, at_once=5, give_up=20 * seconds + 60)
    for mode in ("polling", "streaming", "auto"):
        yield attrs.evolve(load, rival="fal_async", mode=mode)
    for mode in ("polling", "auto"):
        yield attrs.evolve(load, rival="fal_async", mode=mode, new_endpoints=False, taught=5)


def _crowd_clients() -> Iterator[tuple[str, str]]:
    yield ("aiohttp", "streaming")
    yield from (client for client in CLIENTS if client[0] != OFFICIAL)


def _at_once(rival: str, mode: str, jobs: int, seconds: float) -> Load:
    return Load(rival=rival, mode=mode, seconds=seconds, jitter=0.05, total=jobs, at_once=jobs)
