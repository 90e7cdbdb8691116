"""One request that was taken, and what its function gets to see of it.

When it runs, and when it is complete, is decided in `runners.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import attrs

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.jobs.options import CallOptions
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.storage.lifecycle import Lifecycle
from fal_async.emulator.wire.answers import Answer

IN_QUEUE, IN_PROGRESS, COMPLETED = "IN_QUEUE", "IN_PROGRESS", "COMPLETED"
"""There is no failed or cancelled status: both are COMPLETED (protocol 4.2)."""

_TYPES_BY_STATUS = {400: "bad_request", 499: "client_cancelled", 504: "request_timeout"}


@attrs.define(eq=False, kw_only=True)
class Job:
    """A request that was taken: by the queue (`via="queue"`) or past it ("run", "stream", "realtime").

    A realtime session is one entry, however many messages it carries; `input` is None there.

    Times are seconds since the epoch. Read it in tests; only the emulator writes to it.
    """

    request_id: str
    endpoint_id: str
    served: Served = attrs.field(repr=False)
    """The endpoint, or the application, whose runners took it."""
    account: Account = attrs.field(repr=False)
    """Whose request it is."""
    input: Any = attrs.field(repr=False)
    via: str = "queue"
    options: CallOptions = attrs.field(factory=CallOptions, repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    origin: str = attrs.field(default="", repr=False)
    """What the caller used: URLs in answers start with it (`Call.origin`)."""
    submitted_at: float
    started_at: float | None = None
    completed_at: float | None = None
    state: str = IN_QUEUE
    attempts: int = 0
    gateway_request_id: str = ""
    """The current attempt's id; `request_id` stays (protocol 4.7)."""
    cancel_requests: int = 0
    """How often somebody asked to cancel it, whatever came of that."""
    logs: list[dict[str, Any]] = attrs.field(factory=list, repr=False)
    answer: Answer | None = attrs.field(default=None, repr=False)
    error: str | None = None
    error_type: str | None = None
    exception: BaseException | None = None
    """What the endpoint raised, other than `ModelError`."""
    inference_time: float | None = None
    billable_units: float | None = None
    forgotten: bool = False
    """The server lost its memory of it (restart): it answers 404, but `Emulator.jobs` keeps it."""
    watchers: set[asyncio.Event] = attrs.field(factory=set, init=False, repr=False)
    """Set on every change of its state or logs."""

    @property
    def failed(self) -> bool:
        return self.answer is not None and not 200 <= self.answer.status < 400

    def move(self, state: str) -> None:
        self.state = state
        self.notify()

    def complete(self, answer: Answer, at: float) -> None:
        self.answer, self.completed_at = answer, at
        if self.failed:
            self.error, self.error_type = _describe(answer)
        self.move(COMPLETED)

    def notify(self) -> None:
        for watcher in self.watchers:
            watcher.set()

    async def wait_for(self, state: str, timeout: float | None = None) -> str:
        """Until it is in this state or completed; gives the state. TimeoutError after `timeout` seconds."""
        changed = asyncio.Event()
        self.watchers.add(changed)
        try:
            async with asyncio.timeout(timeout):
                while self.state not in (state, COMPLETED):
                    changed.clear()
                    await changed.wait()
        finally:
            self.watchers.discard(changed)
        return self.state


def _describe(answer: Answer) -> tuple[str, str | None]:
    """`error` and `error_type` of a failed COMPLETED (protocol 4.2, 9.2)."""
    try:
        document = answer.document()
    except ValueError:
        document = {}
    document = document if isinstance(document, dict) else {}
    detail = document.get("detail")
    fallback = _TYPES_BY_STATUS.get(answer.status, "runner_server_error" if answer.status >= 500 else None)
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        return f"Invalid status code: {answer.status}", detail[0].get("type") or fallback
    text = detail if isinstance(detail, str) else f"Invalid status code: {answer.status}"
    return text, document.get("error_type") or fallback


class FileKeeper(Protocol):
    async def put(
        self,
        data: bytes,
        content_type: str,
        file_name: str,
        *,
        owner: str,
        lifecycle: Lifecycle | None = None,
    ) -> str: ...


class JobContext:
    """The second argument of an endpoint: what a running request can do.

    `request_id`, `endpoint_id`, `headers` are those of the request; `speed` is the emulator's time factor.
    """

    def __init__(self, job: Job, *, speed: float, files: FileKeeper) -> None:
        self._job, self._files = job, files
        self.speed = speed
        self.request_id: str = job.request_id
        self.endpoint_id: str = job.endpoint_id
        self.headers: Mapping[str, str] = job.headers

    @property
    def via(self) -> str:
        """How it came: "queue", "run", "stream", "realtime" or "websocket"."""
        return self._job.via

    @property
    def attempt(self) -> int:
        """1 on the first try; more after a retry by the platform."""
        return self._job.attempts

    def log(self, message: str, level: str = "INFO") -> None:
        """A log line, seen by those who ask for logs. Level names are free text (protocol 14, no. 15)."""
        timestamp = datetime.now(UTC).isoformat()
        self._job.logs.append({"message": message, "timestamp": timestamp, "level": level, "source": "USER"})
        self._job.notify()

    async def sleep(self, seconds: float) -> None:
        """Work that takes `seconds`, divided by the emulator's `speed`."""
        await asyncio.sleep(seconds / self.speed)

    def bill(self, units: float) -> None:
        """What `x-fal-billable-units` says if it goes well; the endpoint's own figure otherwise."""
        self._job.billable_units = units

    async def file(self, data: bytes, content_type: str, file_name: str) -> dict[str, Any]:
        """Keep a produced file and give its file object (protocol 13): `url` is served by this emulator."""
        owner, lifecycle = self._job.account.nickname, self._job.options.lifecycle
        path = await self._files.put(data, content_type, file_name, owner=owner, lifecycle=lifecycle)
        url = f"{self._job.origin}/v3.fal.media/{path}"
        return {"url": url, "content_type": content_type, "file_name": file_name, "file_size": len(data)}


def status_entry(job: Job, *, position: int | None) -> dict[str, Any]:
    """The part of a status answer that is about the job itself, without logs and URLs (protocol 4.2)."""
    document: dict[str, Any] = {"status": job.state, "request_id": job.request_id}
    if job.state == IN_QUEUE:
        document["queue_position"] = position
    if job.state == COMPLETED:
        document["metrics"] = {"inference_time": job.inference_time}
        if job.error is not None:
            document["error"] = job.error
            document["error_type"] = job.error_type
    return document


def log_entries(entries: list[dict[str, Any]], *, labels: bool) -> list[dict[str, Any]]:
    """Flat, or with `labels`: both forms exist (protocol 4.2)."""
    if not labels:
        return entries
    return [
        {
            **{k: e[k] for k in ("message", "timestamp")},
            "labels": {"level": e["level"], "source": e["source"]},
        }
        for e in entries
    ]


def input_of(body: bytes) -> Any:
    """The body is the model input itself, no wrapper (protocol 3). ValueError where it is no JSON."""
    return _decode(body.decode(json.detect_encoding(body), "surrogatepass")) if body.strip() else {}


def _no_json(word: str) -> Any:
    """Python reads NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{word} is no JSON")


_decode = json.JSONDecoder(parse_constant=_no_json).decode
"""`json.loads` makes a decoder anew for each text that it reads in a way of one's own."""
