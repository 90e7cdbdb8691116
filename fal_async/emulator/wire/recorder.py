"""The HTTP requests that arrived: the latest ones are stored, all are counted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping

import attrs
from aiohttp import web

from fal_async.emulator.wire.routing import OPERATIONS

KINDS = frozenset(OPERATIONS) | {"index", "unknown", "wrong_method"}
MAX_BYTES = 256 * 1024 * 1024
"""Bytes of all stored bodies together; above it, the oldest entries are deleted."""


@attrs.frozen(kw_only=True)
class RecordedRequest:
    """One HTTP request. It is recorded when it arrives, so a request without an answer is listed, too.

    Attributes:
        method: HTTP method.
        path: decoded path of the URL, as it was requested.
        host_segment: the fal host that the request was meant for, such as `queue.fal.run`.
        query: decoded query parameters.
        headers: header names and values; looking up a name ignores its case.
        body: the body; empty for an uploaded file or part, which is written to disk.
        size: number of bytes of the body that arrived.
        kind: the operation: run, stream, realtime, realtime_token, websocket, submit, status, status_stream,
            result, cancel, file, rest, platform, openapi, token, key_set; for storage cdn_token, initiate, upload,
            multipart, part, complete, gcs_part, gcs_complete, cdn_sign, storage; kv, wma; or index, unknown,
            wrong_method.
        endpoint_id: the endpoint that the path names, or None.
        request_id: id of the fal request that the path names or that this HTTP request created, or None.
        status: HTTP status of the answer; None before the answer, or if the connection ended without one.
        at: time of arrival by the emulator's clock, in seconds since the epoch.
        fault: the kind of the fault that it got, such as "reset"; None without one.
    """

    method: str
    path: str
    host_segment: str
    query: Mapping[str, str] = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    size: int
    kind: str
    endpoint_id: str | None
    request_id: str | None
    status: int | None
    at: float
    fault: str | None = None


@attrs.define(eq=False, kw_only=True)
class Entry:
    """A `RecordedRequest` that still changes: its body may be arriving, and its answer is not known."""

    method: str
    path: str
    host_segment: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    kind: str
    endpoint_id: str | None
    request_id: str | None
    at: float
    began: float = attrs.field(factory=time.perf_counter)
    """Time of arrival by the machine's clock, for measuring how long the answer took."""
    body: bytes = b""
    size: int = 0
    status: int | None = None
    fault: str | None = None


class Recorder:
    def __init__(self, *, record: bool, limit: int, max_bytes: int = MAX_BYTES) -> None:
        self.keeps: bool = record
        self._limit, self._max_bytes = limit, max_bytes
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._deleted = 0
        self._counts: Counter[str] = Counter()
        self._watchers: set[asyncio.Event] = set()
        self.ended: Callable[[Entry, web.StreamResponse | None, str | None], None] | None = None
        """Is called with each HTTP request that has ended, its response and the kind of its fault."""

    def empty(self) -> Recorder:
        """Return a recorder with the same settings, for the requests of a scope."""
        return Recorder(record=self.keeps, limit=self._limit, max_bytes=self._max_bytes)

    def open(self, kind: str, entry: Entry | None) -> None:
        """Count an HTTP request, and store its entry. Calls of `/_emulator` are ignored: the test makes them."""
        if kind == "admin":
            return
        self._counts[kind] += 1
        if self.keeps and entry is not None:
            self._keep(entry)
        for watcher in self._watchers:
            watcher.set()

    def count(self, kind: str | None = None) -> int:
        _check(kind)
        return self._counts.total() if kind is None else self._counts[kind]

    def counts(self) -> dict[str, int]:
        return dict(self._counts)

    def requests(self) -> list[RecordedRequest]:
        # A copy, since a test may ask in another thread than that of the emulator.
        fields = attrs.filters.exclude(attrs.fields(Entry).began)
        entries = self._entries.copy()
        return [RecordedRequest(**attrs.asdict(entry, recurse=False, filter=fields)) for entry in entries]

    def numbered(self) -> list[tuple[int, Entry]]:
        """Return the stored requests, each with its number among all that were stored, from 0."""
        return list(enumerate(self._entries, self._deleted))

    def clear(self) -> None:
        self._deleted += len(self._entries)
        self._entries.clear()
        self._counts.clear()
        self._bytes = 0

    async def wait_for(self, kind: str, count: int, timeout: float) -> None:
        _check(kind)
        arrived = asyncio.Event()
        self._watchers.add(arrived)
        try:
            async with asyncio.timeout(timeout):
                while self._counts[kind] < count:
                    arrived.clear()
                    await arrived.wait()
        except TimeoutError:
            raise TimeoutError(
                f"{self._counts[kind]} of {count} {kind!r} requests arrived within {timeout:g} s"
            ) from None
        finally:
            self._watchers.discard(arrived)

    def _keep(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._bytes += len(entry.body)
        while len(self._entries) > self._limit or (self._bytes > self._max_bytes and len(self._entries) > 1):
            self._delete_the_oldest()

    def _delete_the_oldest(self) -> None:
        self._bytes -= len(self._entries.popleft().body)
        self._deleted += 1


def _check(kind: str | None) -> None:
    """Raise ValueError for an unknown kind, since a misspelt one would always count 0."""
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind={kind!r}: expected one of {', '.join(sorted(KINDS))}")
