"""`Scope`: what a test gets of an emulator that it shares with other tests."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.core import Core, ScopeParts
from fal_async.emulator.event_loop import called_in_loop, in_loop
from fal_async.emulator.faults.script import FaultScript
from fal_async.emulator.jobs.books import Books
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.scopes.life import close_scope
from fal_async.emulator.scopes.scope_webhooks import ScopeWebhooks
from fal_async.emulator.storage.upload_store import Upload
from fal_async.emulator.verification import NOTHING, Checkpoint, Evidence, Verification
from fal_async.emulator.wire.recorder import RecordedRequest

if TYPE_CHECKING:
    from fal_async.config import Hosts


class _Server(Protocol):
    @property
    def url(self) -> str: ...

    @property
    def hosts(self) -> Hosts: ...


class Scope:
    """A part of an emulator for one test, which `Emulator.scope` opens.

    It has a key of its own. Requests with this key, or with tokens and URLs that were made with it, belong to the
    scope: only they are in `jobs`, `books`, `requests` and `webhooks`, get its `faults`, and use its runners. The
    endpoints, the files and the time are those of the emulator. Faults of the emulator itself also apply to
    requests of scopes, if no fault of the scope does.

    `with` and `async with` close it at the end. Its methods and properties may be used from every thread and event
    loop, also after the end.
    """

    def __init__(self, core: Core, parts: ScopeParts, server: _Server) -> None:
        self._core, self._parts, self._server = core, parts, server
        self._loop = core.loop

    def __repr__(self) -> str:
        return f"Scope({self.name!r})"

    def __enter__(self) -> Scope:
        """Return the scope."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Call `close`."""
        self.close()

    async def __aenter__(self) -> Scope:
        """Return the scope."""
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Call `close`."""
        self.close()

    @called_in_loop
    def close(self) -> list[Job]:
        """End the scope: its key and its tokens get 401 from now on, and its faults apply no more.

        Its requests that have not ended are cancelled, and webhooks that are still to be delivered are not sent. A
        warning is logged if there are such requests. Closing twice is allowed.

        Returns:
            The requests that had not ended. `jobs`, `books` and `requests` still list everything.
        """
        return close_scope(self._core, self._parts)

    # How its clients reach the emulator.

    @property
    def name(self) -> str:
        """The name, which is also the nickname of the account in ACLs (protocol 7.4)."""
        return self._parts.account.nickname

    @property
    def key(self) -> str:
        """The API key."""
        return self._parts.account.key

    @property
    def account(self) -> Account:
        """The account, with `admin_key`, `balance`, `concurrency`, `lock()` and `unlock()`."""
        return self._parts.account

    @property
    def url(self) -> str:
        """The base URL of the emulator.

        Raises:
            RuntimeError: If the emulator is not started.
        """
        return self._server.url

    @property
    def hosts(self) -> Hosts:
        """The value for `Session(scope.key, hosts=scope.hosts)`.

        Raises:
            RuntimeError: If the emulator is not started.
        """
        return self._server.hosts

    @property
    def env(self) -> Mapping[str, str]:
        """The environment variables FAL_BASE_URL and FAL_KEY, with which a program uses the scope.

        Raises:
            RuntimeError: If the emulator is not started.
        """
        return {"FAL_BASE_URL": self.url, "FAL_KEY": self.key}

    # What goes wrong, and what happened.

    @property
    def faults(self) -> FaultScript:
        """The faults of the scope, as those of the emulator: `scope.faults.add(Fault.reset(on="submit"))`.

        `times`, `after` and `chance` count calls of the scope only. The random generator for `chance` starts with
        the emulator's seed. `Fault.refuse` is not possible, because it would stop the emulator for all scopes.
        """
        return self._parts.faults

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The requests of the scope by request id, in order of arrival, as of now."""
        return self._core.jobs.of(self._parts.account)

    @property
    def books(self) -> Books:
        """How many requests were accepted per input; deleted jobs are still counted."""
        return self._parts.books

    @property
    def requests(self) -> list[RecordedRequest]:
        """The recorded HTTP requests, in order of arrival; empty with `Emulator(record=False)`."""
        return self._parts.recorder.requests()

    @property
    def uploads(self) -> Mapping[str, Upload]:
        """The uploads of the scope by upload id, as of now."""
        uploads = self._core.uploads.uploads.copy()
        return {upload_id: one for upload_id, one in uploads.items() if one.owner == self.name}

    @property
    def webhooks(self) -> ScopeWebhooks:
        """The webhook deliveries of the scope's requests."""
        return ScopeWebhooks(self._core, self._parts.account)

    def count(self, kind: str | None = None) -> int:
        """Return how many HTTP requests of a kind have arrived.

        Args:
            kind: an operation, such as "submit" or "status": a value of `RecordedRequest.kind`. None (default):
                all.

        Raises:
            ValueError: If there is no such kind.
        """
        return self._parts.recorder.count(kind)

    @called_in_loop
    def clear_requests(self) -> None:
        """Delete the recorded HTTP requests, and set all counts to 0; those of the emulator are kept."""
        self._parts.recorder.clear()

    @in_loop
    async def wait_for(self, kind: str, count: int = 1, *, timeout: float = 5.0) -> None:
        """Wait until HTTP requests of a kind have arrived. Cancelling it is safe.

        Args:
            kind: an operation, such as "submit" or "status": a value of `RecordedRequest.kind`.
            count: how many must have arrived since the scope was opened, or since the latest `clear_requests`;
                default 1.
            timeout: seconds to wait at most; default 5.

        Raises:
            TimeoutError: If fewer arrived within `timeout`.
            ValueError: If there is no such kind.
        """
        await self._parts.recorder.wait_for(kind, count, timeout)

    # Checks at the end of a test.

    def checkpoint(self) -> Checkpoint:
        """Return what has happened in the scope so far, for `verify(since=...)`."""
        return Checkpoint.of(Evidence.of(self._core, self._parts))

    def verify(
        self,
        *,
        since: Checkpoint | None = None,
        faults: bool = True,
        unexpected: bool = True,
        running: bool = True,
        repeats: bool = True,
    ) -> None:
        """Make the checks of `Emulator.verify` for what belongs to the scope.

        Args:
            since: a `checkpoint`. None (default): everything since the scope was opened.
            faults: whether each fault of the scope has applied to at least one call; faults with a `chance` need
                not. Default True.
            unexpected: whether no HTTP request had an unknown host, path, method, endpoint or request id, unless it
                got a fault; default True. It needs `Emulator(record=True)`.
            running: whether each request has ended; default True.
            repeats: whether no endpoint has accepted the same input more than once; default True.

        Raises:
            AssertionError: If a check fails; the message has a line for each problem.
        """
        checks = Verification(
            faults=faults, endpoints=False, unexpected=unexpected, running=running, repeats=repeats
        )
        if problems := checks.problems(Evidence.of(self._core, self._parts), since or NOTHING):
            raise AssertionError("\n- ".join([f"the checks of scope {self.name} failed:", *problems]))
