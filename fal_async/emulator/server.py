"""The emulator itself: its options, its life, and what it serves."""

from __future__ import annotations

import os
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING

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
from fal_async.emulator.jobs.endpoints import EndpointTable
from fal_async.emulator.jobs.job_store import JobStore
from fal_async.emulator.jobs.runner_table import RunnerTable
from fal_async.emulator.listener import Listener
from fal_async.emulator.registration import Registration
from fal_async.emulator.storage.file_store import FileStore
from fal_async.emulator.storage.upload_store import MAX_TOKEN_LIFETIME, UploadStore
from fal_async.emulator.webhooks.deliveries import WebhookPolicy, Webhooks
from fal_async.emulator.wire.recorder import Recorder

if TYPE_CHECKING:
    from fal_async.config import Hosts


class Emulator(Controls, Registration):
    """A local fal on one loopback port. `async with Emulator() as emulator:`, or `start()` and `stop()`.

    host, port      where to listen; port 0 (default) takes a free one
    ssl             a server-side TLS context: then it speaks https only. With a certificate for fal's host
                    names and DNS bent towards it, clients run against it without any change
    key             of its account; any other gets 401, unless it is that of one that `add_account` made
    require_key     False: everybody may call
    runners         how many requests an endpoint runs at a time, unless it says otherwise; default 2
    concurrency     how many requests the account runs at a time, whatever their endpoints: the queue lets the
                    others wait, direct calls get 429 (protocol 9.4); default no limit
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
    forget_after    seconds after which an ended job is kept no longer: its memory is free, its id answers 404;
                    default it is kept. `books` keeps what was taken all the same
    file_lifetime   seconds that a produced file is there, unless its request asks for something else; default ever
    gone_status     what is answered for a file that is there no longer: 403, 404 (default) or 410
    plain_pictures  True: the built-in models' pictures are of one colour, made once for each size
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
        concurrency: int | None = None,
        speed: float = 1.0,
        folder: str | os.PathLike[str] | None = None,
        retention: float | None = None,
        keep_alive: float = 15.0,
        webhooks: WebhookPolicy | None = None,
        retry_pause: float = 0.5,
        record: bool = True,
        keep_requests: int = 10_000,
        keep_jobs: int = 100_000,
        forget_after: float | None = None,
        file_lifetime: float | None = None,
        gone_status: int = 404,
        plain_pictures: bool = False,
        seed: int = 0,
        builtins: bool = True,
        cdn_token_lifetime: float = MAX_TOKEN_LIFETIME,
        min_part_size: int = 1,
        history: RequestHistory | None = None,
        ssl: SSLContext | None = None,
    ) -> None:
        if not 0 <= port <= 65535:
            raise ValueError(f"port must be from 0 to 65535, not {port}")
        _check_above_0(speed=speed, keep_alive=keep_alive)
        _check_from_0(retry_pause=retry_pause, retention=retention)
        _check_from_0(forget_after=forget_after, file_lifetime=file_lifetime)
        where = None if folder is None else Path(folder)
        files = FileStore(where, lifetime=file_lifetime, gone_status=gone_status)
        jobs = JobStore(retention=retention, limit=keep_jobs, forget_after=forget_after)
        hooks = Webhooks(jobs=jobs, policy=webhooks or WebhookPolicy(), speed=speed)
        core = Core(
            endpoints=EndpointTable[Mount](),
            mounts=Mounts(),
            jobs=jobs,
            runners=RunnerTable(
                speed=speed,
                retry_pause=retry_pause,
                files=files,
                completed=hooks.completed,
                new_id=jobs.new_id,
            ),
            webhooks=hooks,
            files=files,
            uploads=UploadStore(token_lifetime=cdn_token_lifetime, min_part_size=min_part_size),
            keyring=Keyring(key, require=require_key, concurrency=concurrency),
            history=history or RequestHistory(),
            realtime_tokens=RealtimeTokenStore(),
            faults=FaultScript(seed),
            recorder=Recorder(record=record, limit=keep_requests),
            keep_alive=keep_alive,
        )
        Controls.__init__(self, core)
        Registration.__init__(self, core, runners)
        self._listener = Listener(host=host, port=port, tls=ssl)
        self._downtime = Downtime(core, self._listener)
        self._gateway = Gateway(core, admin=Admin(self._downtime), downtime=self._downtime)
        for endpoint_id, function, details in builtin_endpoints(plain_pictures) if builtins else ():
            self.endpoint(endpoint_id, **details)(function)

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


def _check_above_0(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be greater than 0, not {value}")


def _check_from_0(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value >= 0:
            raise ValueError(f"{name} must be 0 or more, not {value}")
