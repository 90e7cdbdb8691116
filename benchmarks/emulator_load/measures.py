"""One measurement each, with a fresh server; the client is this process.

Everything is relative to the server's own CPU time, so that other programs on the machine change little.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.emulator_load.calls import Exchange, id_in, request, send_all
from benchmarks.harness import processes
from benchmarks.harness.worker import ServerView

CONNECTIONS = 50
MIB = 1024 * 1024
_INPUT = {"prompt": "a cat", "seed": 6252023, "seconds": 0}
Report = dict[str, Any]


@contextmanager
def _server(kind: str = "emulator") -> Iterator[tuple[str, Callable[[], Report]]]:
    """Run a server; yield its URL and a function that returns its report."""
    with processes.server(kind) as url:
        view = ServerView(url)
        try:
            yield url, view.report
        finally:
            view.close()


def requests(kind: str, seconds: float) -> dict[str, float]:
    """Send submit, status and result of instant jobs, a third each, from 50 connections for some seconds."""
    with _server(kind) as (url, report):
        asyncio.run(send_all(url, [_subscribe(url, times=20) for _ in range(CONNECTIONS)]))
        before, started = report(), time.monotonic()
        until = started + seconds
        asyncio.run(send_all(url, [_subscribe(url, until=until) for _ in range(CONNECTIONS)]))
        wall, after = time.monotonic() - started, report()
    done = sum(after["requests"].values()) - sum(before["requests"].values())
    cpu = after["cpu_seconds"] - before["cpu_seconds"]
    return {"per_cpu_second": done / cpu, "per_second": done / wall, "share": cpu / wall}


def ended_jobs(count: int) -> dict[str, float]:
    """Return the MiB by which the server has grown per 10,000 ended jobs with different inputs."""
    with _server() as (url, report):
        asyncio.run(send_all(url, [_subscribe(url, times=40) for _ in range(CONNECTIONS)]))
        before = report()["resident"]
        each = count // CONNECTIONS
        asyncio.run(send_all(url, [_subscribe(url, times=each, first=n * each) for n in range(CONNECTIONS)]))
        return {"mib": (report()["resident"] - before) / MIB / count * 10_000}


def status_streams(count: int) -> dict[str, float]:
    """Return the MiB by which the server has grown with many running jobs, each with an open status stream."""
    with _server() as (url, report):
        before = report()
        opened = asyncio.run(_open_streams(url, count, report))
        cpu = opened["cpu_seconds"] - before["cpu_seconds"]
        return {"mib": (opened["resident"] - before["resident"]) / MIB, "cpu_ms_each": cpu / count * 1e3}


async def _open_streams(url: str, count: int, report: Callable[[], Report]) -> Report:
    ids: list[str] = []
    submits = [request(url, "POST", "bench/endless", _INPUT)] * count
    await send_all(url, (_each(submits[number::CONNECTIONS], ids) for number in range(CONNECTIONS)))
    host, _, port = url.removeprefix("http://").partition(":")
    writers = []
    for one in ids:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request(url, "GET", f"bench/endless/requests/{one}/status/stream"))
        await reader.readuntil(b"data: ")
        writers.append(writer)
    found = report()
    for writer in writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
    return found


def waiting_jobs(count: int) -> dict[str, float]:
    """Return the CPU ms of each submit, status and cancel while `count` jobs wait in one queue with one runner."""
    with _server() as (url, report):
        ids: list[str] = []
        submits = [request(url, "POST", "bench/waiting", {**_INPUT, "seed": n}) for n in range(count)]
        cost = {"submit": _cost(url, report, submits, ids)}
        for name, method, tail in (("status", "GET", "/status"), ("cancel", "PUT", "/cancel")):
            calls = [request(url, method, f"bench/waiting/requests/{one}{tail}") for one in ids]
            cost[name] = _cost(url, report, calls, [])
    return cost


def _cost(url: str, report: Callable[[], Report], calls: list[bytes], ids: list[str]) -> float:
    before = report()["cpu_seconds"]
    exchanges = [_each(calls[number::CONNECTIONS], ids) for number in range(CONNECTIONS)]
    asyncio.run(send_all(url, exchanges))
    return float((report()["cpu_seconds"] - before) / len(calls) * 1e3)


def at_once(count: int) -> dict[str, float]:
    """Return what instant subscribes cost that are all made at once, each on a connection of its own."""
    with _server() as (url, report):
        before, started = report(), time.monotonic()
        asyncio.run(send_all(url, [_subscribe(url, times=1) for _ in range(count)]))
        wall, after = time.monotonic() - started, report()
        cpu = after["cpu_seconds"] - before["cpu_seconds"]
        return {
            "wall": wall,
            "cpu_ms_each": cpu / count * 1e3,
            "lost": count - (after["requests"]["result"] - before["requests"]["result"]),
        }


def _subscribe(
    url: str, *, times: int | None = None, until: float = float("inf"), first: int | None = None
) -> Exchange:
    """Send submit, status and result. The input is always the same, or with `first` a different one each time."""
    submit, done = request(url, "POST", "bench/job", _INPUT), 0
    while done != times and time.monotonic() < until:
        if first is not None:
            submit = request(url, "POST", "bench/job", {**_INPUT, "seed": first + done})
        base = f"bench/job/requests/{id_in((yield submit))}"
        yield request(url, "GET", f"{base}/status")
        yield request(url, "GET", base)
        done += 1


def _each(calls: list[bytes], ids: list[str]) -> Exchange:
    """Send requests one after the other, and collect the request ids in the responses."""
    for call in calls:
        body = yield call
        if b'"request_id"' in body:
            ids.append(id_in(body))
