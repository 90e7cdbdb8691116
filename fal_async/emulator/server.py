"""The emulator itself: its options, and how it starts, pauses and stops.

Citations such as (protocol 9.4) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal
from functools import partial
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING

from fal_async.emulator.accounts.history import RequestHistory
from fal_async.emulator.accounts.keys import Keyring
from fal_async.emulator.accounts.prices import PriceList
from fal_async.emulator.accounts.realtime_token_store import RealtimeTokenStore
from fal_async.emulator.admin.admin import Admin
from fal_async.emulator.builtin import builtin_endpoints
from fal_async.emulator.builtin.painters import drawn, plain
from fal_async.emulator.controls import Controls
from fal_async.emulator.core import Core
from fal_async.emulator.defaults import (
    DEFAULT_HOST,
    DEFAULT_KEY,
    DEFAULT_RUNNERS,
    check_above_0,
    check_from_0,
    check_port,
)
from fal_async.emulator.downtime import Downtime
from fal_async.emulator.event_loop import EmulatorLoop, called_in_loop, in_loop
from fal_async.emulator.faults.script import FaultScript
from fal_async.emulator.gateway import Gateway
from fal_async.emulator.jobs.job_store import JobStore
from fal_async.emulator.jobs.runner_table import RunnerTable
from fal_async.emulator.listener import Listener
from fal_async.emulator.loop_thread import LoopThread
from fal_async.emulator.recordings.recordings import Recordings
from fal_async.emulator.registration import Registration
from fal_async.emulator.schemas.endpoint_parts import checked_stand_ins
from fal_async.emulator.scopes.life import open_scope
from fal_async.emulator.scopes.scope import Scope
from fal_async.emulator.state.saved_state import LoadedState, load_state, save_state, source_with
from fal_async.emulator.storage.file_store import FileStore
from fal_async.emulator.storage.upload_store import MAX_TOKEN_LIFETIME, UploadStore
from fal_async.emulator.timing.clock import ClockKind
from fal_async.emulator.timing.virtual_clock import clock_of
from fal_async.emulator.webhooks.deliveries import WebhookPolicy, Webhooks
from fal_async.emulator.wire.recorder import Recorder

if TYPE_CHECKING:
    from fal_async.config import Hosts


class Emulator(Controls, Registration):
    """Serve a complete local fal on one loopback port.

    `with Emulator() as emulator:` runs it in a thread with an event loop of its own, so that synchronous code,
    other threads and every event loop can use it. `async with Emulator() as emulator:`, or `start()` and `stop()`,
    run it in the caller's event loop. Either way, its methods and properties may be used from other threads and
    loops, and endpoint functions run in the emulator's event loop. A client of it is
    `Session(credentials=emulator.key, hosts=emulator.hosts)`.

    Args:
        host: address to listen on; default 127.0.0.1.
        port: port to listen on, 0 to 65535; 0 (default) chooses a free one.
        key: API key of the emulator's own account, in the form id:secret; default "emulator:key". Any other key
            gets 401, unless it belongs to an account that `add_account` made.
        require_key: whether callers need a known key; default True. If False, callers without one use the
            emulator's own account.
        runners: how many requests each endpoint runs at a time, unless the endpoint has its own `runners`;
            default 2.
        concurrency: how many requests of the emulator's own account run at a time, over all endpoints. Further
            queued requests wait, further direct calls get 429 (protocol 9.4). None (default): no limit. Accounts
            that `add_account` makes have their own limit.
        balance: US dollars of the emulator's own account, which each billed request lowers. When it reaches 0,
            further submits and direct calls get 403, exhausted balance (protocol 9.4). None (default): no limit.
        speed: time factor of emulated work, default 1: with 50, a model's 2 s take 40 ms. It divides `job.sleep`,
            the pause before fal retries a request and the pauses between webhook attempts, and multiplies
            `inference_time`. Times that clients measure are real: start timeout, retention, keep-alive and faults.
        clock: "real" (default), or virtual time, in which a training of ten minutes takes a moment. "auto": time
            moves on as soon as only time is waited for, to the next moment at which work goes on: the end
            of a `job.sleep`, the pause before fal retries a request, the next attempt of a webhook. "manual": only
            `advance` moves it, which "auto" allows, too. What ends after some time passes along: start timeouts,
            retention, tokens, limits of sessions; but a result or a file that nobody has fetched yet expires only
            by `advance`. Faults, downtimes and keep-alive comments take real time.
        folder: directory for uploaded and produced files. None (default): a temporary one, deleted on stop.
        retention: seconds for which a result can be fetched after completion. None (default): fal's rule, 1 h, or
            6 min for results of 10 KB and more (protocol 4.4).
        keep_alive: seconds between the comments of an idle stream; default 15, as on fal.
        webhooks: time limits, pauses and number of webhook attempts. None (default): fal's (protocol 8.2).
        retry_pause: seconds, divided by `speed`, until fal retries a failed request; default 0.5.
        record: whether HTTP requests are stored in `requests`; default True. If False, they are only counted.
        keep_requests: how many HTTP requests are stored; default 10,000. When there are more, or when the stored
            bodies have more than 256 MiB together, the oldest ones are deleted; `count` still includes them.
        keep_jobs: how many jobs are kept; default 100,000. When there are more, those that completed first are
            deleted. Waiting and running jobs are never deleted.
        forget_after: seconds after its completion at which a job is deleted, even if there are fewer than
            `keep_jobs`: its request id gets 404, and the next submit removes it from `jobs`. `books` still counts
            it. None (default): no limit.
        file_lifetime: seconds for which a produced file can be read, unless its request asks for another lifetime.
            None (default): no limit.
        gone_status: HTTP status for a file that has expired: 403, 404 (default) or 410.
        plain_pictures: whether the built-in models, and those of `endpoint_from`, return pictures of one colour,
            made once per size; default False: they draw one for each input.
        seed: seed of the random generator for faults with a `chance`; default 0.
        builtins: whether the built-in models are served; default True.
        cdn_token_lifetime: seconds for which a CDN token is valid; default 30 days, fal's longest (protocol 7.1).
        min_part_size: bytes that each part of a multipart upload must have, except for the last; default 1.
        recordings: a folder of recordings from which calls are answered, or into which real fal is recorded. None
            (default): none, or the copy that `state` has.
        history: what the platform API's request history shows, and when. None (default): everything, at once.
        ssl: server-side TLS context; the emulator then serves https only. Clients can run against it unchanged if
            its certificate covers fal's host names and DNS resolves these names to the emulator. None (default):
            the emulator serves http.
        state: folder that `save` has written, from which the emulator goes on; it is only read. What it has takes
            the place of `key`, `concurrency` and `balance`. None (default): the emulator begins with nothing.

    Raises:
        FileNotFoundError: If there is no folder `state`.
        TypeError: If `recordings` is not a `Recordings`.
        RuntimeError: If `state` has keys of webhooks, and the package `cryptography` is missing.
        ValueError: If an argument is out of range, `key` does not have the form id:secret, `recordings` can't be
            read, or `state` is not a saved state, is damaged, or has a newer format; the message names file and
            field.
    """

    _thread: LoopThread | None = None

    def __init__(
        self,
        *,
        host: str = DEFAULT_HOST,
        port: int = 0,
        key: str = DEFAULT_KEY,
        require_key: bool = True,
        runners: int = DEFAULT_RUNNERS,
        concurrency: int | None = None,
        balance: Decimal | float | str | None = None,
        speed: float = 1.0,
        clock: ClockKind = "real",
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
        recordings: Recordings | None = None,
        history: RequestHistory | None = None,
        ssl: SSLContext | None = None,
        state: str | os.PathLike[str] | None = None,
    ) -> None:
        check_port(port)
        check_above_0(speed=speed, keep_alive=keep_alive)
        check_from_0(retry_pause=retry_pause, retention=retention, forget_after=forget_after)
        check_from_0(file_lifetime=file_lifetime)
        self._loaded: LoadedState | None = None if state is None else load_state(Path(state))
        loop, time, prices = EmulatorLoop(), clock_of(clock, speed), PriceList()
        files = FileStore(folder, time, lifetime=file_lifetime, gone_status=gone_status)
        jobs = JobStore(loop, time, prices, retention=retention, limit=keep_jobs, forget_after=forget_after)
        hooks = Webhooks(loop, jobs=jobs, policy=webhooks or WebhookPolicy(), clock=time)
        runner_table = RunnerTable(
            clock=time, retry_pause=retry_pause, files=files, completed=hooks.completed, new_id=jobs.new_id
        )
        core = Core(
            loop=loop,
            clock=time,
            jobs=jobs,
            runners=runner_table,
            webhooks=hooks,
            files=files,
            uploads=UploadStore(time, token_lifetime=cdn_token_lifetime, min_part_size=min_part_size),
            keyring=Keyring(key, time, require=require_key, concurrency=concurrency, balance=balance),
            realtime_tokens=RealtimeTokenStore(time),
            history=history or RequestHistory(),
            prices=prices,
            faults=FaultScript(seed),
            recorder=Recorder(record=record, limit=keep_requests),
            keep_alive=keep_alive,
            recordings=source_with(recordings, key, self._loaded),
        )
        Controls.__init__(self, core)
        Registration.__init__(self, core, runners, plain if plain_pictures else drawn)
        self._listener = Listener(host=host, port=port, tls=ssl)
        self._downtime = Downtime(core, self._listener)
        self._gateway = Gateway(core, admin=Admin(self, self._downtime), downtime=self._downtime)
        if builtins:
            self._serve_builtins(plain_pictures, runners)
        if self._loaded is not None:
            self._loaded.restore(core, self)
        self._created = self.checkpoint()

    def _serve_builtins(self, plain_pictures: bool, runners: int) -> None:
        for endpoint_id, function, details in builtin_endpoints(plain_pictures):
            self._serve_builtin(endpoint_id, function, **details)
        for endpoint, price in checked_stand_ins(plain_pictures, runners):
            self._core.serve(endpoint, price)

    # Start, stop and outages.

    def __enter__(self) -> Emulator:
        """Start a thread with an event loop, call `start` in it, and return the emulator."""
        self._check_stopped()
        thread = LoopThread()
        self._loop.loop = thread.loop
        try:
            thread.complete(self._start())
        except BaseException:
            self._loop.loop = None
            thread.end()
            raise
        self._thread = thread
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Call `stop`, and end the thread.

        Raises:
            RuntimeError: As `stop`, or if an endpoint function blocks the thread.
        """
        thread, self._thread = self._thread, None
        if thread is None or not thread.is_here:
            return
        try:
            thread.complete(self._stop())
        finally:
            self._loop.loop = None
            thread.end()

    async def __aenter__(self) -> Emulator:
        """Call `start`, and return the emulator."""
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Call `stop`."""
        await self.stop()

    async def start(self) -> None:
        """Start the mounted applications and listen.

        Cancelling it is safe: the applications are stopped and the socket is closed.

        Raises:
            RuntimeError: If the emulator is already started, or a mounted application fails to start.
            OSError: If the port is in use or cannot be bound.
            ValueError: If a file of `state` is missing, or can't be copied.
        """
        self._check_stopped()
        if self._thread is None:
            self._loop.loop = asyncio.get_running_loop()
        try:
            await self._start()
        except BaseException:
            self._leave_loop()
            raise

    def _check_stopped(self) -> None:
        if self._listener.is_open:
            raise RuntimeError(f"the emulator is already started, at {self.url}")

    def _leave_loop(self) -> None:
        if self._thread is None:
            self._loop.loop = None

    @in_loop
    async def _start(self) -> None:
        await self._core.mounts.open()
        loaded, self._loaded = self._loaded, None
        try:
            if loaded is not None:
                await loaded.bring_files(self._core)
            await self._listener.open(self._gateway.handle)
        except BaseException:
            self._loaded = loaded
            await self._core.files.close()
            await self._core.mounts.close()
            raise
        self._core.clock.open()
        self._core.webhooks.open()
        if loaded is not None:
            loaded.resume(self._core, self.url)

    @in_loop
    async def save(self, folder: str | os.PathLike[str]) -> None:
        """Save the whole state to a folder, from which `Emulator(state=folder)` goes on.

        A state that the folder has is replaced as a whole; if this fails or is killed, it is still there. Requests
        that run continue. If it is cancelled, the folder has the new state or the one before.

        Args:
            folder: a folder that doesn't exist, is empty, or has a saved state. Only its owner may read what is
                saved, since that includes keys and tokens of this emulator.

        Raises:
            OSError: If a file can't be written.
            RuntimeError: If the emulator is not started.
            ValueError: If the folder has something else.
        """
        self._listener.check_open()
        await save_state(self._core, self.url, Path(folder))

    def allow_saving(self, folder: str | os.PathLike[str]) -> None:
        """Let `POST /_emulator/state/save` save the state to a folder, and to no other one.

        Without it, the call is refused, since everyone on this machine may send it.

        Args:
            folder: as in `save`.
        """
        self._core.saving[:] = [partial(self.save, folder)]

    async def stop(self) -> None:
        """Stop serving, and leave no task, socket or temporary file behind.

        Running requests and pending webhook deliveries are cancelled. Stopping twice is allowed. If `stop` is
        cancelled, call it again.

        Raises:
            RuntimeError: If an endpoint function does not return within 5 s of being cancelled, or if the event
                loop in which the emulator was started does not run.
        """
        await self._stop()
        self._leave_loop()

    @in_loop
    async def _stop(self) -> None:
        recordings = self._core.recordings
        await self._downtime.close()
        await self._core.clock.close()
        try:
            await self._listener.close()
            await self._core.webhooks.close()
            if recordings is not None:
                await recordings.halt()
            await self._core.runners.close()
        finally:
            try:
                if recordings is not None:
                    await recordings.close()
                await self._core.mounts.close()
            finally:
                await self._core.files.close()

    @in_loop
    async def pause(self) -> None:
        """Reset open connections and refuse new ones until `resume`; jobs continue.

        If `pause` is cancelled, some connections may still be open: call `drop_connections`.

        Raises:
            RuntimeError: If the emulator is not started.
        """
        await self._listener.pause()

    @in_loop
    async def resume(self) -> None:
        """Listen again, on the same port; does nothing if the emulator is listening. Cancelling it is safe.

        Raises:
            RuntimeError: If the emulator is not started.
        """
        await self._listener.resume()

    @called_in_loop
    def drop_connections(self) -> None:
        """Reset every open connection; new ones are accepted at once.

        Raises:
            RuntimeError: If the emulator is not started.
        """
        self._downtime.drop_connections()

    @in_loop
    async def restart(self, *, keep_memory: bool = True, downtime: float = 0.0) -> None:
        """Stop listening for a while, then listen again on the same port.

        If it is cancelled, the downtime ends early: the emulator listens again.

        Args:
            keep_memory: whether requests survive; default True. If False, running and waiting requests and pending
                webhook deliveries are cancelled, and every request id gets 404. `jobs` still lists the requests,
                with `forgotten` set. Endpoints, faults, keys and recorded HTTP requests are kept in any case.
            downtime: real seconds until the emulator listens again; default 0.

        Raises:
            RuntimeError: If the emulator is not started, or, with `keep_memory=False`, if an endpoint function does
                not return within 5 s of being cancelled.
        """
        await self._downtime.restart(keep_memory=keep_memory, downtime=downtime)

    @called_in_loop
    def go_away(self, seconds: float, *, after: float = 0.0) -> None:
        """Schedule a `pause` and the `resume` after it, without waiting for them.

        Args:
            seconds: real seconds between `pause` and `resume`.
            after: real seconds until `pause`; default 0.
        """
        self._downtime.go_away(seconds, after=after)

    @called_in_loop
    def restart_soon(self, *, keep_memory: bool, downtime: float, after: float = 0.0) -> None:
        """Schedule a `restart`, without waiting for it.

        Args:
            keep_memory: as in `restart`.
            downtime: as in `restart`, in real seconds.
            after: real seconds until the restart begins; default 0.
        """
        self._downtime.restart_soon(keep_memory=keep_memory, downtime=downtime, after=after)

    # The address and the connections.

    @property
    def url(self) -> str:
        """The base URL, such as `http://127.0.0.1:8765`.

        Raises:
            RuntimeError: If the emulator is not started.
        """
        return self._listener.url

    @property
    def hosts(self) -> Hosts:
        """The value for `Session(hosts=...)`: all of fal's hosts, on this emulator.

        Raises:
            RuntimeError: If the emulator is not started.
        """
        from fal_async.config import Hosts  # the only thing that the emulator imports from the client

        return Hosts.local(self.url)

    @called_in_loop
    def scope(self, name: str | None = None, *, key: str | None = None) -> Scope:
        """Open a part of the emulator for one test, with its own key, faults, jobs, books and requests.

        `with emulator.scope("checkout") as scope:` or `async with` closes it at the end. Its clients use
        `scope.key`.

        Args:
            name: its name, which no open scope and no account may have. None (default): the emulator chooses one.
            key: its API key, in the form id:secret. None (default): a new one.

        Returns:
            The scope.

        Raises:
            ValueError: If the key does not have the form id:secret, or the name or the key is already in use.
        """
        return Scope(self._core, open_scope(self._core, name, key), self)

    @property
    def connections_opened(self) -> int:
        """How many connections were opened since `start`, those before a restart included; 0 if not started."""
        return self._listener.opened

    @property
    def connections_open(self) -> int:
        """How many connections are open now; 0 if not started."""
        return self._listener.open_now
