"""One accepted request, and the `JobContext` with which an endpoint's function uses it.

`runners.py` decides when a job runs and when it is completed. Citations such as (protocol 4.2) are sections of
`fal_async/protocol/README.md`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote

import attrs

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.accounts.credential import Credential
from fal_async.emulator.accounts.prices import Price
from fal_async.emulator.event_loop import EmulatorLoop, in_loop
from fal_async.emulator.faults.choice import Choice
from fal_async.emulator.jobs.changes import Watcher
from fal_async.emulator.jobs.options import CallOptions
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.storage.lifecycle import Lifecycle
from fal_async.emulator.timing.clock import Activity, Clock
from fal_async.emulator.wire.answers import Answer
from fal_async.emulator.wire.data_uris import data_of, is_data_uri

T = TypeVar("T")

IN_QUEUE, IN_PROGRESS, COMPLETED = "IN_QUEUE", "IN_PROGRESS", "COMPLETED"
"""There is no status for failed or cancelled requests: both are COMPLETED (protocol 4.2)."""

_NO_STEPS: Mapping[str, str] = MappingProxyType({})
"""One value for nearly all jobs."""
_FILE_HOSTS = ("v3.fal.media", "v3b.fal.media")
_TYPES_BY_STATUS = {400: "bad_request", 499: "client_cancelled", 504: "request_timeout"}


@attrs.define(eq=False, kw_only=True)
class Job:
    """A request that the emulator accepted, through the queue or as a direct call.

    A realtime session is one job, however many messages it has. Tests may read a job; only the emulator changes it.

    Attributes:
        request_id: the request id.
        endpoint_id: the endpoint id that was called; for a mounted application with the path below it.
        served: the endpoint or application whose runners the job uses.
        credential: the caller's account and key.
        input: the input, as JSON values; None for a realtime session, and for input of an application that is not
            JSON.
        via: how the request was made: "queue", "run", "stream", "realtime" or "websocket".
        options: options from headers and query.
        headers: headers of the call; looking up a name ignores its case.
        origin: base URL that the caller used; URLs in answers begin with it.
        choice: what the request has chosen for itself by the header `X-Fal-Emulator` or the input's `__emulator__`;
            None (default): nothing.
        submitted_at: when the request arrived, in seconds since the epoch.
        started_at: when the latest attempt started, in seconds since the epoch; None before the first attempt.
        completed_at: when the job was completed, in seconds since the epoch; None before that.
        fetched_at: when its result was first fetched, in seconds since the epoch; None before that.
        state: "IN_QUEUE", "IN_PROGRESS" or "COMPLETED", which includes failed and cancelled (protocol 4.2).
        attempts: how many attempts were started; more than 1 if fal retried the request.
        gateway_request_id: id of the current attempt; that of the first attempt is `request_id` (protocol 4.7).
        cancel_requests: how often a cancel was requested, with any outcome.
        logs: the log entries.
        answer: the result or error as an HTTP answer; None before completion.
        error: `error` of the COMPLETED status; None unless the job failed.
        error_type: `error_type` of the COMPLETED status; None unless the job failed.
        held_at: position in fal's queue in which a recording holds the job, although a runner performs it; None if
            it is not held.
        exception: the exception that the endpoint raised, unless it was a `ModelError`; None without one.
        inference_time: seconds of the last attempt, multiplied by `speed`, or as recorded; None before completion,
            and if no attempt was started.
        billable_units: what fal would bill, 0 if the job failed; None before completion, unless the endpoint called
            `bill`.
        price: the price of a unit when the job was completed; None before that, and if the endpoint has no price.
        payloads_deleted: whether the caller deleted input and output (protocol 11.10); then `input` is None and
            `answer` has no body.
        workflow_request_id: request id of the workflow of which the job is a step; None for other jobs.
        steps: of a workflow's job the request ids of the steps that were begun, by node; empty for other jobs.
        recording: path in the folder of recordings of the one that the job was played from, or recorded to; None
            without one.
        forgotten: whether a restart without memory deleted the job for clients, so that its id gets 404;
            `Emulator.jobs` still lists it.
        watchers: events that are set when the state or the logs change. Few jobs have more than one, and most have
            none, for which a tuple takes the least memory.
    """

    request_id: str
    endpoint_id: str
    served: Served = attrs.field(repr=False)
    credential: Credential = attrs.field(repr=False)
    input: Any = attrs.field(repr=False)
    via: str = "queue"
    options: CallOptions = attrs.field(factory=CallOptions, repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    origin: str = attrs.field(default="", repr=False)
    choice: Choice | None = attrs.field(default=None, repr=False)
    submitted_at: float
    started_at: float | None = None
    completed_at: float | None = None
    fetched_at: float | None = None
    state: str = IN_QUEUE
    attempts: int = 0
    gateway_request_id: str = ""
    cancel_requests: int = 0
    logs: list[dict[str, Any]] = attrs.field(factory=list, repr=False)
    answer: Answer | None = attrs.field(default=None, repr=False)
    error: str | None = None
    error_type: str | None = None
    held_at: int | None = attrs.field(default=None, repr=False)
    exception: BaseException | None = None
    inference_time: float | None = None
    billable_units: float | None = None
    price: Price | None = None
    payloads_deleted: bool = False
    workflow_request_id: str | None = None
    steps: Mapping[str, str] = _NO_STEPS
    recording: str | None = None
    forgotten: bool = False
    _loop: EmulatorLoop = attrs.field(factory=EmulatorLoop, repr=False)
    _clock: Clock = attrs.field(factory=Clock, repr=False)
    watchers: tuple[Watcher, ...] = attrs.field(default=(), init=False, repr=False)

    @property
    def account(self) -> Account:
        """The caller's account."""
        return self.credential.account

    @property
    def cost(self) -> Decimal:
        """What the job cost, in US dollars; 0 before completion, if it failed, and without a price."""
        return Decimal() if self.price is None else self.price.cost(self.billable_units or 0)

    @property
    def failed(self) -> bool:
        """Whether the job is completed with an error; False before completion."""
        return self.answer is not None and not 200 <= self.answer.status < 400

    def watch(self, changed: Watcher) -> None:
        """Set an event at each change from now on; only the emulator calls this.

        Args:
            changed: the event.
        """
        self.watchers = (*self.watchers, changed)

    def unwatch(self, changed: Watcher) -> None:
        """Undo `watch`; only the emulator calls this.

        Args:
            changed: the event.
        """
        self.watchers = tuple(one for one in self.watchers if one is not changed)

    def move(self, state: str) -> None:
        """Set the state and wake the watchers; only the emulator calls this.

        Args:
            state: the new state.
        """
        self.state = state
        self.notify()

    def hold(self, position: int) -> None:
        """Let the job wait at a position of fal's queue; only the emulator calls this.

        Args:
            position: how many requests are ahead.
        """
        self.held_at = position
        self.move(IN_QUEUE)

    def release(self) -> None:
        """End `hold`: the job runs from now on; only the emulator calls this."""
        if self.held_at is not None:
            self.held_at = None
            self.begin()

    def begin(self) -> None:
        """Note that the job runs from now on; only the emulator calls this."""
        self.started_at = self._clock.now()
        self.move(IN_PROGRESS)

    def complete(self, answer: Answer, at: float) -> None:
        """Complete the job; only the emulator calls this.

        Args:
            answer: the result or error.
            at: the time, in seconds since the epoch.
        """
        self.answer, self.completed_at = answer, at
        if self.failed:
            self.error, self.error_type = _describe(answer)
        self.move(COMPLETED)

    def delete_payloads(self) -> None:
        """Delete input and output of a completed job; only the emulator calls this."""
        self.payloads_deleted, self.input = True, None
        if self.answer is not None:
            self.answer = Answer(self.answer.status)

    def log(self, message: str, level: str) -> None:
        """Add a log entry; only the emulator calls this.

        Args:
            message: the line.
            level: name of the level.
        """
        timestamp = datetime.fromtimestamp(self._clock.now(), UTC).isoformat()
        self.logs.append({"message": message, "timestamp": timestamp, "level": level, "source": "USER"})
        self.notify()

    def add_entry(self, entry: Mapping[str, Any]) -> None:
        """Add a recorded log entry as it is; only the emulator calls this.

        Args:
            entry: the entry, as fal sent it.
        """
        self.logs.append(dict(entry))
        self.notify()

    def notify(self) -> None:
        """Wake the watchers; only the emulator calls this."""
        for watcher in self.watchers:
            watcher.set()

    @in_loop
    async def wait_for(self, state: str, timeout: float | None = None) -> str:
        """Wait until the job is in a state, or completed. Cancelling the wait is safe: the job continues.

        Args:
            state: "IN_QUEUE", "IN_PROGRESS" or "COMPLETED".
            timeout: seconds to wait at most. None (default): no limit.

        Returns:
            The state of the job now: `state`, or "COMPLETED".

        Raises:
            TimeoutError: If the job is neither in that state nor completed after `timeout`.
        """
        changed = asyncio.Event()
        self.watch(changed)
        try:
            async with asyncio.timeout(timeout):
                while self.state not in (state, COMPLETED):
                    changed.clear()
                    await changed.wait()
        finally:
            self.unwatch(changed)
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

    async def read(self, path: str) -> bytes: ...


class JobContext:
    """The second argument of an endpoint's function, with the methods that a running request can use.

    Attributes:
        request_id: id of the request.
        endpoint_id: the endpoint that was called.
        headers: headers of the call; looking up a name ignores its case.
    """

    def __init__(self, job: Job, *, activity: Activity, files: FileKeeper) -> None:
        self._job, self._activity, self._files = job, activity, files
        self.request_id: str = job.request_id
        self.endpoint_id: str = job.endpoint_id
        self.headers: Mapping[str, str] = job.headers

    @property
    def via(self) -> str:
        """How the request was made: "queue", "run", "stream", "realtime" or "websocket"."""
        return self._job.via

    @property
    def attempt(self) -> int:
        """Number of the attempt: 1 for the first, more if fal retried the request."""
        return self._job.attempts

    def log(self, message: str, level: str = "INFO") -> None:
        """Add a log line to the request.

        Args:
            message: the line.
            level: name of the level; fal has no fixed list (protocol 14, no. 15). Default "INFO".
        """
        self._job.log(message, level)

    async def sleep(self, seconds: float) -> None:
        """Sleep in place of work that takes time.

        Raises nothing, except that it is cancelled when the request is cancelled.

        Args:
            seconds: how long the work would take on fal. The sleep is divided by the emulator's `speed`; virtual
                time moves on instead.
        """
        await self._activity.sleep(seconds)

    async def wait_for(self, awaitable: Awaitable[T]) -> T:
        """Await something that is neither work nor time, such as an event of a test.

        With virtual time, the emulator waits for a request that does anything but `sleep`; this is how an endpoint
        lets the time move on. It is cancelled when the request is cancelled.

        Args:
            awaitable: what to await.

        Returns:
            Its result.

        Raises:
            Exception: What `awaitable` raises.
        """
        with self._activity.pause():
            return await awaitable

    def bill(self, units: float) -> None:
        """Set what a success costs, instead of the endpoint's `billable_units`.

        Args:
            units: the value of `x-fal-billable-units`.
        """
        self._job.billable_units = units

    async def file(self, data: bytes, content_type: str, file_name: str) -> dict[str, Any]:
        """Store a produced file, which this emulator serves. If it is cancelled, the file is not served.

        Args:
            data: the bytes of the file.
            content_type: media type of the file, such as "image/png".
            file_name: name of the file; each character but ASCII letters, digits, ".", "_" and "-" becomes "_".

        Returns:
            The file object (protocol 13): `url`, `content_type`, `file_name` and `file_size` in bytes.

        Raises:
            OSError: If the file cannot be written.
        """
        owner, lifecycle = self._job.account.nickname, self._job.options.lifecycle
        path = await self._files.put(data, content_type, file_name, owner=owner, lifecycle=lifecycle)
        url = f"{self._job.origin}/v3.fal.media/{path}"
        return {"url": url, "content_type": content_type, "file_name": file_name, "file_size": len(data)}

    async def read(self, url: str) -> bytes | None:
        """Return the bytes of a file that the input names: a data URI, or a file of this emulator.

        The emulator reads nothing from the network. Cancelling the call is safe.

        Args:
            url: a data URI, or the URL of an uploaded or produced file.

        Returns:
            The bytes; None if the URL is another server's.

        Raises:
            FileNotFoundError: If this emulator does not have the file, or it has expired.
            ValueError: If the data URI is malformed.
        """
        if is_data_uri(url):
            return data_of(url)
        base = f"{self._job.origin}/"
        host, _, path = url.partition("?")[0].removeprefix(base).partition("/")
        is_own = url.startswith(base) and host in _FILE_HOSTS
        return await self._files.read(unquote(path)) if is_own else None


Work = Callable[[Any, JobContext], Awaitable[Any]]
"""What a runner executes: a call of the endpoint, a stream, a session, or a call of an application."""


def status_entry(job: Job, *, position: int | None) -> dict[str, Any]:
    """Return the fields of a status answer, without logs and URLs (protocol 4.2)."""
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
    """Return log entries with or without `labels`: fal has both forms (protocol 4.2)."""
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
    try:
        input = _decode(body.decode(json.detect_encoding(body), "surrogatepass")) if body.strip() else {}
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    # The inputs of an endpoint have the same keys, which would otherwise take 50 bytes each in every job.
    return {sys.intern(key): value for key, value in input.items()} if isinstance(input, dict) else input


def _refuse_constant(word: str) -> Any:
    """Refuse NaN and Infinity, which Python reads but JSON does not have."""
    raise ValueError(f"{word} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
"""One decoder for all bodies: `json.loads` with `parse_constant` would make one for each body."""
