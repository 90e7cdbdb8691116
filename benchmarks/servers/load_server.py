"""A server that implements fal's queue and direct runs, and does as little else as possible in Python.

The emulator behaves like fal, and is therefore slow. Here the clients are measured, so the server must not be the
limit: raw bytes on an asyncio protocol, no HTTP library, no routing, no task per request, unlimited runners.

A job is described by its input: `{"seconds": 10, "jitter": 0.05}` runs 10 s plus or minus 5 %; without "seconds"
(or with 0) it is complete when its submit is answered. `"megabytes": 30` sets the size of its result. Jitter
comes from a fixed seed, so that every rival gets the same jobs. Every result contains `completed_at` on
CLOCK_MONOTONIC, which all processes of a machine share: a client reads the clock when it has the result, and the
difference is the delay.

`python -m benchmarks.servers.load_server` prints its URL and serves until its standard input is closed.
A GET or POST of `REPORT` returns the counts (with `?jobs=1` also the times of each job). No pipelining.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import resource
import sys
import time
from collections import Counter
from typing import Any

from benchmarks.harness.cpu import cpu_seconds

REPORT = "/fal.run/bench/report"
KEEP_ALIVE = 15.0
"""Seconds between the comment lines of a status stream (protocol 4.3)."""
_BACKLOG = 4096
_REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 404: "Not Found", 411: "Length Required"}
_HEAD_END = b"\r\n\r\n"


class Job:
    """One request. Times are seconds on the monotonic clock; None for events that have not occurred."""

    __slots__ = ("base", "completed_at", "fetched_at", "id", "noticed_at", "polls", "size", "submitted_at")

    def __init__(self, request_id: str, base: str, seconds: float, size: int) -> None:
        self.id, self.base, self.size = request_id, base, size
        self.submitted_at = time.monotonic()
        self.completed_at = self.submitted_at + seconds
        self.noticed_at: float | None = None
        self.fetched_at: float | None = None
        self.polls = 0

    def status(self, now: float) -> tuple[int, str]:
        """202 while running, 200 when complete (protocol 4.2)."""
        done = now >= self.completed_at
        if done and self.noticed_at is None:
            self.noticed_at = now
        more = f'"logs":null,"metrics":{{"inference_time":{self.completed_at - self.submitted_at:.6f}}}'
        word = f'"status":"COMPLETED",{more}' if done else '"status":"IN_PROGRESS","logs":null'
        return 200 if done else 202, f"{{{word},{self.links()}}}"

    def links(self) -> str:
        base = self.base
        return (
            f'"request_id":"{self.id}","response_url":"{base}",'
            f'"status_url":"{base}/status","cancel_url":"{base}/cancel"'
        )

    def result(self) -> str:
        text = "A" * self.size or "a cat"
        return f'{{"request_id":"{self.id}","completed_at":{self.completed_at!r},"text":"{text}"}}'

    def record(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__ if name != "base"}


class LoadServer:
    """The jobs and the counts. `url` is set once the socket is open."""

    def __init__(self, seed: int = 1) -> None:
        self.url = ""
        self.jobs: dict[str, Job] = {}
        self.counts: Counter[str] = Counter()
        self.opened = self.open_now = self.most_open = 0
        self._random = random.Random(seed)

    def new_job(self, endpoint_id: str, body: bytes) -> Job:
        # Status and result live under owner/app; the sub-path is dropped (protocol 2).
        app = "/".join(endpoint_id.split("/", 2)[:2])
        request_id = f"00000000-0000-4000-8000-{len(self.jobs):012x}"
        base = f"{self.url}/queue.fal.run/{app}/requests/{request_id}"
        input = json.loads(body or b"{}")
        size = int(input.get("megabytes", 0) * 1e6)
        job = self.jobs[request_id] = Job(request_id, base, self._duration(input), size)
        return job

    def _duration(self, input: dict[str, Any]) -> float:
        seconds, jitter = float(input.get("seconds", 0)), float(input.get("jitter", 0))
        return seconds * (1 + jitter * self._random.uniform(-1, 1)) if jitter else seconds

    def report(self, *, jobs: bool) -> dict[str, Any]:
        return {
            "now": time.monotonic(),
            "cpu_seconds": cpu_seconds(),
            "requests": dict(self.counts),
            "submissions": len(self.jobs),
            "fetched": sum(job.fetched_at is not None for job in self.jobs.values()),
            "connections": self.opened,
            "most_connections": self.most_open,
            "jobs": [job.record() for job in self.jobs.values()] if jobs else [],
        }


class Connection(asyncio.Protocol):
    def __init__(self, server: LoadServer) -> None:
        self._server = server
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.opened += 1
        self._server.open_now += 1
        self._server.most_open = max(self._server.most_open, self._server.open_now)

    def connection_lost(self, _: Exception | None) -> None:
        self._server.open_now -= 1
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(_HEAD_END)) >= 0:
            head = self._buffer[:end]
            size = end + len(_HEAD_END) + _content_length(head)
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[end + len(_HEAD_END) : size], self._buffer[size:]
            self._serve(head, body)

    def _serve(self, head: bytes, body: bytes) -> None:
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ", 2)
        path, _, query = target.partition("?")
        _, host, rest = path.split("/", 2)
        if host == "queue.fal.run":
            self._submit(rest, body) if method == "POST" else self._follow(rest)
        elif path == REPORT:
            self._send(200, json.dumps(self._server.report(jobs="jobs=1" in query)))
        elif host == "fal.run":
            self._run(self._server.new_job(rest, body))
        else:
            self._refuse()

    def _submit(self, endpoint_id: str, body: bytes) -> None:
        self._server.counts["submit"] += 1
        job = self._server.new_job(endpoint_id, body)
        self._send(200, f'{{"status":"IN_QUEUE","queue_position":0,{job.links()}}}', job)

    def _run(self, job: Job) -> None:
        self._server.counts["run"] += 1
        ahead = job.completed_at - time.monotonic()
        if ahead <= 0:
            self._send_result(job)
        else:
            self._timer = asyncio.get_running_loop().call_later(ahead, self._send_result, job)

    def _follow(self, rest: str) -> None:
        _, _, tail = rest.partition("/requests/")
        request_id, _, verb = tail.partition("/")
        job = self._server.jobs.get(request_id)
        if job is None:
            self._refuse()
        elif verb == "status":
            self._server.counts["status"] += 1
            job.polls += 1
            self._send(*job.status(time.monotonic()), job)
        elif verb == "status/stream":
            self._open_stream(job)
        elif verb == "cancel":
            self._cancel(job)
        else:
            self._fetch(job)

    def _fetch(self, job: Job) -> None:
        self._server.counts["result"] += 1
        if time.monotonic() < job.completed_at:
            self._send(400, '{"detail":"Request is still in progress"}', job)
        else:
            self._send_result(job)

    def _send_result(self, job: Job) -> None:
        job.fetched_at = time.monotonic()
        self._send(200, job.result(), job)

    def _cancel(self, job: Job) -> None:
        """Send the signal, which these apps ignore: they complete all the same (protocol 4.5)."""
        self._server.counts["cancel"] += 1
        done = time.monotonic() >= job.completed_at
        word = "ALREADY_COMPLETED" if done else "CANCELLATION_REQUESTED"
        self._send(400 if done else 202, f'{{"status":"{word}"}}', job)

    def _refuse(self) -> None:
        self._server.counts["unknown"] += 1
        self._send(404, '{"status":"NOT_FOUND"}')

    def _open_stream(self, job: Job) -> None:
        """Send an event, a comment every 15 s, an event when the job is complete, and the end (protocol 4.3)."""
        self._server.counts["stream"] += 1
        self._write(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
            f"x-fal-request-id: {job.id}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        if time.monotonic() < job.completed_at:
            self._write(_event(job))
        self._stream_on(job)

    def _stream_on(self, job: Job) -> None:
        """Set a timer for the next keep-alive or the end: cheaper than a task per stream."""
        ahead = job.completed_at - time.monotonic()
        if ahead <= 0:
            self._write(_event(job) + "0\r\n\r\n")
            return
        later = asyncio.get_running_loop().call_later
        if ahead <= KEEP_ALIVE:
            self._timer = later(ahead, self._stream_on, job)
        else:
            self._timer = later(KEEP_ALIVE, self._keep_alive, job)

    def _keep_alive(self, job: Job) -> None:
        self._write(_chunk(": keep-alive\n\n"))
        self._stream_on(job)

    def _send(self, status: int, body: str, job: Job | None = None) -> None:
        request_id = f"x-fal-request-id: {job.id}\r\n" if job is not None else ""
        self._write(
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
            f"{request_id}Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def _write(self, text: str) -> None:
        if self._transport is not None:
            self._transport.write(text.encode("ascii"))


def _event(job: Job) -> str:
    return _chunk(f"data: {job.status(time.monotonic())[1]}\n\n")


def _chunk(text: str) -> str:
    return f"{len(text):x}\r\n{text}\r\n"


def _content_length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at < 0:
        if b"\r\ntransfer-encoding:" in lower:
            raise ValueError("the load server reads bodies by Content-Length only")
        return 0
    line_end = lower.find(b"\r\n", at + 2)
    return int(lower[at + 17 : line_end if line_end >= 0 else None])


async def serve() -> None:
    server = LoadServer()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=_BACKLOG)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    print(server.url, flush=True)
    stop = asyncio.Event()
    # The parent process has the other end: the server stops when its parent ends, in whatever way.
    loop.add_reader(sys.stdin, stop.set)
    await stop.wait()
    listening.close()


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # The server creates no reference cycles; collections would only cause delays.
    gc.disable()
    asyncio.run(serve())


if __name__ == "__main__":
    main()
