"""One request that was taken, and the `JobContext` through which an endpoint's function uses it.

`runners.py` decides when it runs and when it is complete.
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
"""There is no status for failed or cancelled requests: both are COMPLETED (protocol 4.2)."""

_TYPES_BY_STATUS = {400: "bad_request", 499: "client_cancelled", 504: "request_timeout"}


@attrs.define(eq=False, kw_only=True)
class Job:
    """A request that the emulator took, through the queue or directly.

    A realtime session is one job, however many messages it has. Tests may read a job; only the emulator changes it.

    Attributes:
        request_id: its id.
        endpoint_id: the id that was called; for a mounted application with the path below it.
        served: the endpoint or application whose runners it uses.
        account: the account that made it.
        input: the input, as JSON values; None for a realtime session, or if an application got something else.
        via: how it was made: "queue", "run", "stream", "realtime" or "websocket".
        options: options from headers and query.
        headers: headers of the call, with names in any case.
        origin: base URL that the caller used; URLs in answers begin with it.
        submitted_at: when it arrived, in seconds since the epoch.
        started_at: when its latest attempt started, in seconds since the epoch; None before the first.
        completed_at: when it ended, in seconds since the epoch; None before that.
        state: "IN_QUEUE", "IN_PROGRESS" or "COMPLETED", which includes failed and cancelled (protocol 4.2).
        attempts: how many attempts were started; more than 1 after a retry by the platform.
        gateway_request_id: id of the current attempt; that of the first is `request_id` (protocol 4.7).
        cancel_requests: how often a cancel was requested, whatever its outcome.
        logs: the log entries.
        answer: the result or error as HTTP; None before the end.
        error: `error` of its COMPLETED status; None unless it failed.
        error_type: `error_type` of its COMPLETED status; None unless it failed.
        exception: what the endpoint raised, other than a `ModelError`; None if nothing.
        inference_time: seconds of its last attempt, multiplied by `speed`; None before the end, or if none started.
        billable_units: what it costs: 0 if it failed; None before the end, unless the endpoint called `bill`.
        forgotten: True if a restart lost it: its id answers 404, but `Emulator.jobs` still lists it.
        watchers: events that are set on every change of the state or the logs.
    """

    request_id: str
    endpoint_id: str
    served: Served = attrs.field(repr=False)
    account: Account = attrs.field(repr=False)
    input: Any = attrs.field(repr=False)
    via: str = "queue"
    options: CallOptions = attrs.field(factory=CallOptions, repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    origin: str = attrs.field(default="", repr=False)
    submitted_at: float
    started_at: float | None = None
    completed_at: float | None = None
    state: str = IN_QUEUE
    attempts: int = 0
    gateway_request_id: str = ""
    cancel_requests: int = 0
    logs: list[dict[str, Any]] = attrs.field(factory=list, repr=False)
    answer: Answer | None = attrs.field(default=None, repr=False)
    error: str | None = None
    error_type: str | None = None
    exception: BaseException | None = None
    inference_time: float | None = None
    billable_units: float | None = None
    forgotten: bool = False
    watchers: set[asyncio.Event] = attrs.field(factory=set, init=False, repr=False)

    @property
    def failed(self) -> bool:
        """Whether it ended with an error; False before its end."""
        return self.answer is not None and not 200 <= self.answer.status < 400

    def move(self, state: str) -> None:
        """Set the state and wake the watchers; only the emulator calls this.

        Args:
            state: the new state.
        """
        self.state = state
        self.notify()

    def complete(self, answer: Answer, at: float) -> None:
        """End the job; only the emulator calls this.

        Args:
            answer: the result or error.
            at: the time, in seconds since the epoch.
        """
        self.answer, self.completed_at = answer, at
        if self.failed:
            self.error, self.error_type = _describe(answer)
        self.move(COMPLETED)

    def notify(self) -> None:
        """Wake the watchers; only the emulator calls this."""
        for watcher in self.watchers:
            watcher.set()

    async def wait_for(self, state: str, timeout: float | None = None) -> str:
        """Wait until the job is in a state, or completed. Cancelling it is safe: the job continues.

        Args:
            state: "IN_QUEUE", "IN_PROGRESS" or "COMPLETED".
            timeout: seconds to wait at most. None (default): no limit.

        Returns:
            The state that it is in now.

        Raises:
            TimeoutError: If it is in neither state after `timeout`.
        """
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
    """Return `error` and `error_type` of a failed request's COMPLETED status (protocol 4.2, 9.2)."""
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
    """The second argument of an endpoint's function: what a running request can use.

    Attributes:
        request_id: id of the request.
        endpoint_id: the endpoint that was called.
        headers: headers of the call, with names in any case.
        speed: the emulator's time factor.
    """

    def __init__(self, job: Job, *, speed: float, files: FileKeeper) -> None:
        self._job, self._files = job, files
        self.speed = speed
        self.request_id: str = job.request_id
        self.endpoint_id: str = job.endpoint_id
        self.headers: Mapping[str, str] = job.headers

    @property
    def via(self) -> str:
        """How the request was made: "queue", "run", "stream", "realtime" or "websocket"."""
        return self._job.via

    @property
    def attempt(self) -> int:
        """Number of the attempt: 1 for the first, more after retries by the platform."""
        return self._job.attempts

    def log(self, message: str, level: str = "INFO") -> None:
        """Add a log line to the request.

        Args:
            message: the line.
            level: name of the level; fal has no fixed list (protocol 14, no. 15). Default "INFO".
        """
        timestamp = datetime.now(UTC).isoformat()
        self._job.logs.append({"message": message, "timestamp": timestamp, "level": level, "source": "USER"})
        self._job.notify()

    async def sleep(self, seconds: float) -> None:
        """Stand for work that takes time.

        Raises nothing by itself. It is cancelled when the request is cancelled.

        Args:
            seconds: how long the work takes; the emulator's `speed` divides it.
        """
        await asyncio.sleep(seconds / self.speed)

    def bill(self, units: float) -> None:
        """Set what a success costs, in place of the endpoint's `billable_units`.

        Args:
            units: the value of `x-fal-billable-units`.
        """
        self._job.billable_units = units

    async def file(self, data: bytes, content_type: str, file_name: str) -> dict[str, Any]:
        """Store a produced file, which this emulator serves.

        If it is cancelled, the file is not served.

        Args:
            data: the bytes of the file.
            content_type: its media type, such as "image/png".
            file_name: its name; characters that are unusual in URLs become "_".

        Returns:
            The file object (protocol 13): `url`, `content_type`, `file_name` and `file_size` in bytes.

        Raises:
            OSError: If it cannot be written.
        """
        owner, lifecycle = self._job.account.nickname, self._job.options.lifecycle
        path = await self._files.put(data, content_type, file_name, owner=owner, lifecycle=lifecycle)
        url = f"{self._job.origin}/v3.fal.media/{path}"
        return {"url": url, "content_type": content_type, "file_name": file_name, "file_size": len(data)}


def status_entry(job: Job, *, position: int | None) -> dict[str, Any]:
    """Return a status answer without logs and URLs (protocol 4.2)."""
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
    """Return log entries flat, or with `labels`: fal has both forms (protocol 4.2)."""
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
    """Return the model's input, which is the whole body (protocol 3). ValueError if it is not JSON."""
    return _decode(body.decode(json.detect_encoding(body), "surrogatepass")) if body.strip() else {}


def _refuse_constant(word: str) -> Any:
    """Refuse NaN and Infinity, which Python reads but JSON does not have."""
    raise ValueError(f"{word} is no JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
"""Made once: `json.loads` with `parse_constant` would make a new decoder for each body."""
