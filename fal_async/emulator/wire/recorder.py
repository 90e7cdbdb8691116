"""What the emulator was asked: bounded in memory, with counters that are always right."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping

import attrs

from fal_async.emulator.wire.routing import OPERATIONS

KINDS = frozenset(OPERATIONS) | {"index", "unknown", "wrong_method"}
MAX_BYTES = 256 * 1024 * 1024
"""Bodies kept in all; beyond it the oldest entries go."""


@attrs.frozen(kw_only=True)
class RecordedRequest:
    """One request as it came. Recorded on arrival, so that a stalled one is seen while it stalls."""

    method: str
    path: str
    host_segment: str
    """The fal host it was meant for, such as `queue.fal.run`."""
    query: Mapping[str, str] = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    """Case-insensitive."""
    body: bytes = attrs.field(repr=False)
    """Empty for an uploaded file or part: those go to disk, and only their `size` is kept."""
    size: int
    """Bytes of the body that arrived."""
    kind: str
    """run, submit, status, status_stream, result, cancel, file, rest, platform, openapi, token, index,
    and for storage cdn_token, initiate, upload, multipart, part, complete, cdn_sign, storage..."""
    endpoint_id: str | None
    request_id: str | None
    status: int | None
    """What was answered; None where the connection ended without an answer, or is still waiting for one."""
    at: float
    """Arrival, in seconds since the epoch."""


@attrs.define(eq=False, kw_only=True)
class Entry:
    """The same, still open: the answer is noted in it."""

    method: str
    path: str
    host_segment: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    kind: str
    endpoint_id: str | None
    request_id: str | None
    at: float
    body: bytes = b""
    size: int = 0
    status: int | None = None


class Recorder:
    def __init__(self, *, record: bool, limit: int, max_bytes: int = MAX_BYTES) -> None:
        self.keeps: bool = record
        self._limit, self._max_bytes = limit, max_bytes
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._counts: Counter[str] = Counter()
        self._watchers: set[asyncio.Event] = set()

    def open(self, entry: Entry) -> None:
        """Counted on arrival, body included. Admin calls are the test's own business and are not recorded."""
        if entry.kind == "admin":
            return
        self._counts[entry.kind] += 1
        if self.keeps:
            self._keep(entry)
        for watcher in self._watchers:
            watcher.set()

    def count(self, kind: str | None = None) -> int:
        _check(kind)
        return self._counts.total() if kind is None else self._counts[kind]

    def counts(self) -> dict[str, int]:
        return dict(self._counts)

    def requests(self) -> list[RecordedRequest]:
        return [RecordedRequest(**attrs.asdict(entry, recurse=False)) for entry in self._entries]

    def clear(self) -> None:
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
            self._drop_the_oldest()

    def _drop_the_oldest(self) -> None:
        self._bytes -= len(self._entries.popleft().body)


def _check(kind: str | None) -> None:
    """A misspelt kind would be counted as 0 for ever."""
    if kind is not None and kind not in KINDS:
        raise ValueError(f"no request is of kind {kind!r}: expected one of {', '.join(sorted(KINDS))}")
