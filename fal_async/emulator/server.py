"""The emulator itself: its options, its life, and what it serves."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from fal_async.emulator.accounts.history import RequestHistory
from fal_async.emulator.accounts.keys import Keyring
from fal_async.emulator.accounts.realtime_token_store import RealtimeTokenStore
from fal_async.emulator.admin import Admin
from fal_async.emulator.apps.interface import Mount
from fal_async.emulator.apps.mounts import Mounts
from fal_async.emulator.builtin import builtin_endpoints
from fal_async.emulator.controls import Controls
from fal_async.emulator.core import Core
from fal_async.emulator.defaults import DEFAULT_HOST, DEFAULT_KEY, DEFAULT_RUNNERS
from fal_async.emulator.downtime import Downtime
from fal_async.emulator.faults.script import FaultScript
from fal_async.emulator.gateway import Gateway
from fal_async.emulator.jobs.endpoints import (
    Endpoint,
    EndpointFunction,
    EndpointTable,
    check_app_id,
    check_function,
)
from fal_async.emulator.jobs.job_store import JobStore
from fal_async.emulator.jobs.realtime_options import RealtimeOptions
from fal_async.emulator.jobs.runners import RunnerTable
from fal_async.emulator.jobs.served import check_runners
from fal_async.emulator.listener import Listener
from fal_async.emulator.storage.file_store import FileStore
from fal_async.emulator.storage.upload_store import MAX_TOKEN_LIFETIME, UploadStore
from fal_async.emulator.webhooks.deliveries import WebhookPolicy, Webhooks
from fal_async.emulator.wire.recorder import Recorder

if TYPE_CHECKING:
    from fal_async.config import Hosts

F = TypeVar("F", bound=EndpointFunction)


class Emulator(Controls):
    """A local fal on one loopback port. `async with Emulator() as emulator:`, or `start()` and `stop()`.

    host, port      where to listen; port 0 (default) takes a free one
    ssl             a server-side TLS context: then it speaks https only. With a certificate for fal's host
                    names and DNS bent towards it, clients run against it without any change
    key             the one key that is accepted; any other gets 401
    require_key     False: everybody may call
    runners         how many requests an endpoint runs at a time, unless it says otherwise; default 2
    speed           time factor of work: with 50, a model's 2 s take 40 ms. Default 1.
                    It divides `job.sleep` and the pause before a retry, and multiplies `inference_time`.
                    What meets the client's clock is not scaled: start timeout, retention, keep-alive, faults.
    folder          where produced and uploaded files go and stay; default a temporary one, removed on stop
    retention       seconds that a result is kept; default fal's rule: 1 h, and 6 min from 10 KB on
    keep_alive      seconds between the comments of an idle status stream; default 15, as on fal
    webhooks        time limits, pauses and number of webhook deliveries (a `WebhookPolicy`); default fal's
    retry_pause     seconds (scaled) before the platform tries a failed request again; default 0.5
    record          False: requests are counted but not kept
    keep_requests, keep_jobs  how many recorded requests, and how many jobs, are kept: the latest ones
    seed            of the generator behind faults with a `chance`
    builtins        False: without the built-in models
    cdn_token_lifetime  seconds that a CDN token is good for; default 30 days, fal's longest
    history         what the platform API's request history shows, and when (a `RequestHistory`)
    min_part_size   bytes that each part of an upload but the last must have; default 1
    """

    def __init__(
        self,
        *,
        host: str = DEFAULT_HOST,
        port: int = 0,
        key: str = DEFAULT_KEY,
        require_key: bool = True,
        runners: int = DEFAULT_RUNNERS,
        speed: float = 1.0,
        folder: str | os.PathLike[str] | None = None,
        retention: float | None = None,
        keep_alive: float = 15.0,
        webhooks: WebhookPolicy | None = None,
        retry_pause: float = 0.5,
        record: bool = True,
        keep_requests: int = 10_000,
        keep_jobs: int = 100_000,
        seed: int = 0,
        builtins: bool = True,
        cdn_token_lifetime: float = MAX_TOKEN_LIFETIME,
        min_part_size: int = 1,
        history: RequestHistory | None = None,
        ssl: SSLContext | None = None,
    ) -> None:
        _check_numbers(port, speed, keep_alive, retry_pause, retention)
        self._runners = runners
        files = FileStore(None if folder is None else Path(folder))
        jobs = JobStore(retention=retention, limit=keep_jobs)
        hooks = Webhooks(jobs=jobs, policy=webhooks or WebhookPolicy(), speed=speed)
        core = Core(
            endpoints=EndpointTable[Mount](),
            mounts=Mounts(),
            jobs=jobs,
            runners=RunnerTable(speed=speed, retry_pause=retry_pause, files=files, completed=hooks.completed),
            webhooks=hooks,
            files=files,
            uploads=UploadStore(token_lifetime=cdn_token_lifetime, min_part_size=min_part_size),
            keyring=Keyring(key, require=require_key),
            history=history or RequestHistory(),
            realtime_tokens=RealtimeTokenStore(),
            faults=FaultScript(seed),
            recorder=Recorder(record=record, limit=keep_requests),
            keep_alive=keep_alive,
        )
        super().__init__(core)
        self._listener = Listener(host=host, port=port, tls=ssl)
        self._downtime = Downtime(core, self._listener)
        self._gateway = Gateway(core, admin=Admin(self._downtime), downtime=self._downtime)
        for endpoint_id, function, options in builtin_endpoints() if builtins else ():
            self.endpoint(endpoint_id, **options)(function)

    # Life.

    async def __aenter__(self) -> Emulator:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. RuntimeError where it already does, or a mounted application fails to start;
        OSError where the port is taken."""
        if self._listener.is_open:
            raise RuntimeError(f"the emulator is already started, at {self.url}")
        await self._core.mounts.open()
        try:
            await self._listener.open(self._gateway.handle)
        except BaseException:
            await self._core.mounts.close()
            raise
        self._core.webhooks.open()

    async def stop(self) -> None:
        """Leaves no task, socket or temporary file behind. Stopping twice is no error."""
        await self._downtime.close()
        try:
            await self._listener.close()
            await self._core.webhooks.close()
            await self._core.runners.close()
        finally:
            try:
                await self._core.mounts.close()
            finally:
                await self._core.files.close()

    async def pause(self) -> None:
        """Open connections are reset, new ones refused. The jobs go on."""
        await self._listener.pause()

    async def resume(self) -> None:
        """Listen again, on the same port."""
        await self._listener.resume()

    def drop_connections(self) -> None:
        """Reset every open connection; new ones are served at once."""
        self._downtime.drop_connections()

    async def restart(self, *, keep_memory: bool = True, downtime: float = 0.0) -> None:
        """Gone for `downtime` real seconds, then back on the same port.

        With `keep_memory=False` everything that ran or waited is lost, and every request id answers 404;
        `jobs` still lists them, as `forgotten`. Endpoints, faults, the key and the recorded requests stay.
        """
        await self._downtime.restart(keep_memory=keep_memory, downtime=downtime)

    def go_away(self, seconds: float, *, after: float = 0.0) -> None:
        """`pause`, and `resume` after so many seconds, without waiting for it: a request may ask."""
        self._downtime.go_away(seconds, after=after)

    def restart_soon(self, *, keep_memory: bool, downtime: float, after: float = 0.0) -> None:
        """`restart`, without waiting for it."""
        self._downtime.restart_soon(keep_memory=keep_memory, downtime=downtime, after=after)

    # Where it is.

    @property
    def url(self) -> str:
        return self._listener.url

    @property
    def hosts(self) -> Hosts:
        """For `Session(hosts=...)`."""
        from fal_async.config import Hosts  # the client's one value that is needed here, and only here

        return Hosts.local(self.url)

    @property
    def connections_opened(self) -> int:
        """Since the start, restarts included."""
        return self._listener.opened

    @property
    def connections_open(self) -> int:
        return self._listener.open_now

    # Endpoints.

    def endpoint(
        self,
        endpoint_id: str,
        *,
        runners: int | None = None,
        public: bool = False,
        ignores_cancel: bool = False,
        log_window: int | None = None,
        log_labels: bool = False,
        billable_units: float = 1,
        input_schema: Mapping[str, Any] | None = None,
        output_schema: Mapping[str, Any] | None = None,
        realtime: RealtimeOptions | None = None,
    ) -> Callable[[F], F]:
        """Serve an async function `(input)` or `(input, job)` under this id; the options are `Endpoint`'s.

        An async generator streams: under `/stream` its values are events (`bytes`: chunks of a binary body;
        `Event`: an event with more than data); called plainly or through the queue, its last value is the
        result. Under `/realtime` each input of a session gets one answer, or all that a generator yields.
        """

        def register(function: F) -> F:
            self._core.endpoints.add(
                Endpoint(
                    endpoint_id=endpoint_id,
                    function=function,
                    takes_job=check_function(function),
                    runners=self._runners if runners is None else runners,
                    public=public,
                    ignores_cancel=ignores_cancel,
                    log_window=log_window,
                    log_labels=log_labels,
                    billable_units=billable_units,
                    input_schema=input_schema,
                    output_schema=output_schema,
                    realtime=realtime or RealtimeOptions(),
                )
            )
            return function

        return register

    def mount(
        self,
        app_id: str,
        application: Callable[[Any, Any, Any], Awaitable[None]] | str,
        *,
        runners: int | None = None,
        public: bool = False,
        ignores_cancel: bool = False,
        billable_units: float = 1,
    ) -> None:
        """Put a whole application behind the queue, under `owner/app`: every path below is its own.

        `application`: an ASGI application (FastAPI, Starlette, ...), which is called in this process and whose
        lifespan is the emulator's; or the base URL of one that runs by itself, `http://127.0.0.1:8000`.
        A submit or a call of `owner/app/sub/path` is one of `/sub/path`, when one of `runners` is free, which
        all paths share. It is not sped up by `speed`. What it answers is the result; the header
        `x-fal-billable-units` says what it costs, otherwise `billable_units`.
        A cancel is told by `POST {path}/cancel` with the same `x-fal-request-id`; an application that does not
        take it is cut off, unless it `ignores_cancel`.
        An endpoint with the exact id wins. TypeError or ValueError says what the arguments should have been.
        """
        check_app_id(app_id)
        check_runners(wanted := self._runners if runners is None else runners)
        mount = Mount(
            endpoint_id=app_id,
            application=self._core.mounts.take(application),
            runners=wanted,
            public=public,
            runs_on=ignores_cancel,
            billable_units=billable_units,
        )
        self._core.endpoints.mount(mount)


def _check_numbers(
    port: int, speed: float, keep_alive: float, retry_pause: float, retention: float | None
) -> None:
    if not 0 <= port <= 65535:
        raise ValueError(f"port must be from 0 to 65535, not {port}")
    for name, value in {"speed": speed, "keep_alive": keep_alive}.items():
        if not value > 0:
            raise ValueError(f"{name} must be greater than 0, not {value}")
    for name, value in {"retry_pause": retry_pause, "retention": retention or 0}.items():
        if not value >= 0:
            raise ValueError(f"{name} must be 0 or more, not {value}")
