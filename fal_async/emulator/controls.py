"""The part of `Emulator` that tests use: what happened, what goes wrong, and the accounts.

Citations such as (protocol 9.4) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.accounts.history import RequestHistory
from fal_async.emulator.core import Core
from fal_async.emulator.event_loop import called_in_loop, in_loop
from fal_async.emulator.faults.script import FaultScript
from fal_async.emulator.jobs.books import Books
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.storage.upload_store import Upload
from fal_async.emulator.verification import Checkpoint, Evidence, Verification
from fal_async.emulator.webhooks.deliveries import Webhooks
from fal_async.emulator.wire.access_log import AccessLog
from fal_async.emulator.wire.recorder import RecordedRequest
from fal_async.emulator.wire.shared_mapping import SharedMapping


class Controls:
    """The methods and properties of `Emulator` that do not start or stop it."""

    _created: Checkpoint
    """The state after the emulator was created, with its built-in models."""

    def __init__(self, core: Core) -> None:
        self._core, self._loop = core, core.loop

    @property
    def folder(self) -> Path | None:
        """The directory of uploaded and produced files.

        It is None before the first file, unless `Emulator(folder=...)` was given.
        """
        return self._core.files.folder

    @property
    def key(self) -> str:
        """The API key of the emulator's own account; `accounts` has the keys of the others."""
        return self._core.keyring.main.key

    @property
    def admin_key(self) -> str:
        """The admin key of the emulator's own account, which operations about money and keys need (protocol 11.7).

        By default, it is `key` with "-admin" after the id: "emulator-admin:key".
        """
        return self._core.keyring.main.admin_key

    @property
    def accounts(self) -> Mapping[str, Account]:
        """The accounts by nickname, in order of creation; the first is the emulator's own."""
        return SharedMapping(self._core.keyring.accounts)

    @called_in_loop
    def add_account(
        self, key: str, *, nickname: str | None = None, concurrency: int | None = None
    ) -> Account:
        """Add an account, which has its own requests, uploads, balance and history.

        Args:
            key: its API key, in the form id:secret.
            nickname: name of the account in ACLs (protocol 7.4). None (default): the part of the key before the
                colon.
            concurrency: how many of its requests run at a time, over all endpoints. None (default): no limit.

        Returns:
            The new account; tests may change its `key` and `concurrency`, or lock it.

        Raises:
            ValueError: If the key does not have the form id:secret, the key or the nickname is already in use, or
                `concurrency` is below 1.
        """
        return self._core.keyring.add(key, nickname=nickname, concurrency=concurrency)

    # Requests, jobs and uploads so far.

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The accepted requests by request id, in order of arrival, direct calls (`via="run"`) included.

        Completed ones are deleted as `Emulator(keep_jobs=..., forget_after=...)` says.
        """
        return SharedMapping(self._core.jobs.by_id)

    @property
    def books(self) -> Books:
        """How many requests were accepted, and would be billed, per input; deleted jobs are still counted."""
        return self._core.jobs.books

    @property
    def requests(self) -> list[RecordedRequest]:
        """The recorded HTTP requests, in order of arrival; empty with `Emulator(record=False)`."""
        return self._core.recorder.requests()

    @property
    def uploads(self) -> Mapping[str, Upload]:
        """All uploads that were started, by upload id."""
        return SharedMapping(self._core.uploads.uploads)

    @property
    def misses(self) -> Sequence[str]:
        """The calls that were refused because `recordings` has none of them: a line for each, in their order.

        It names the nearest recording, and how the call differs from it.
        """
        source = self._core.recordings
        return () if source is None else tuple(miss.text for miss in source.misses)

    def count(self, kind: str | None = None) -> int:
        """Return how many HTTP requests of a kind have arrived.

        Args:
            kind: an operation, such as "submit" or "status": a value of `RecordedRequest.kind`. None (default):
                all.

        Raises:
            ValueError: If there is no such kind.
        """
        return self._core.recorder.count(kind)

    @called_in_loop
    def clear_requests(self) -> None:
        """Delete the recorded HTTP requests, and set all counts to 0."""
        self._core.recorder.clear()

    @in_loop
    async def wait_for(self, kind: str, count: int = 1, *, timeout: float = 5.0) -> None:
        """Wait until HTTP requests of a kind have arrived. Cancelling it is safe.

        Args:
            kind: an operation, such as "submit" or "status": a value of `RecordedRequest.kind`.
            count: how many must have arrived since the start or the latest `clear_requests`; default 1.
            timeout: seconds to wait at most; default 5.

        Raises:
            TimeoutError: If fewer arrived within `timeout`.
            ValueError: If there is no such kind.
        """
        await self._core.recorder.wait_for(kind, count, timeout)

    def log_requests(self, write: Callable[[str], None] | None, *, everything: bool = False) -> None:
        """Write a line for each HTTP request that ends from now on: an access log, without keys and tokens.

        Args:
            write: function that gets each line, without a line break, such as `print`. None: no log, as by default.
            everything: whether polls of a status, and calls of `/_emulator`, are logged also if they succeed;
                default False.
        """
        self._core.recorder.ended = None if write is None else AccessLog(write, everything=everything)

    # Time.

    @property
    def now(self) -> float:
        """The emulator's time, in seconds since the epoch: that of the machine, or virtual time."""
        return self._core.clock.now()

    @in_loop
    async def advance(self, seconds: float) -> None:
        """Move virtual time on, and let everything happen that is due on the way, in order.

        It returns when all requests that run sleep, and the webhooks that were due have been sent. If it is
        cancelled, the time stands at a moment on the way.

        Args:
            seconds: how far, at least 0.

        Raises:
            RuntimeError: If the emulator works in real time, or if a request does something for 10 s that is
                neither `job.sleep` nor `job.wait_for`.
            ValueError: If `seconds` is negative, or goes beyond the year 9999.
        """
        await self._core.clock.advance(seconds)

    # Checks at the end of a test.

    def checkpoint(self) -> Checkpoint:
        """Return what has happened so far, for `verify(since=...)` of an emulator that several tests share."""
        return Checkpoint.of(Evidence.of(self._core))

    def verify(
        self,
        *,
        since: Checkpoint | None = None,
        faults: bool = True,
        endpoints: bool = True,
        unexpected: bool = True,
        running: bool = True,
        repeats: bool = True,
    ) -> None:
        """Check at the end of a test that what it prepared was used, and that nothing else has happened.

        Running requests have up to 1 s to end, because the emulator notices a moment later that a client has left.

        Args:
            since: a `checkpoint`, after which the test began. None (default): everything since the emulator was
                created.
            faults: whether each fault has applied to at least one call; faults with a `chance` need not. Default
                True.
            endpoints: whether each registered endpoint and application was called; default True. The built-in
                models need not be.
            unexpected: whether no HTTP request had an unknown host, path, method, endpoint, request id or API key,
                unless it got a fault; default True. It needs `Emulator(record=True)`.
            running: whether each request has ended; default True.
            repeats: whether no endpoint has accepted the same input more than once, since fal would bill each of
                them; default True.

        Raises:
            AssertionError: If a check fails; the message has a line for each problem.
        """
        checks = Verification(
            faults=faults, endpoints=endpoints, unexpected=unexpected, running=running, repeats=repeats
        )
        if problems := checks.problems(Evidence.of(self._core), since or self._created):
            raise AssertionError("\n- ".join(["the checks of the emulator failed:", *problems]))

    # Faults, keys, tokens, webhooks and files that a test can change.

    @property
    def faults(self) -> FaultScript:
        """The scripted faults, to which `emulator.faults.add(Fault.reset(on="submit"))` adds one."""
        return self._core.faults

    @property
    def history(self) -> RequestHistory:
        """What the platform API's request history shows, and when; its fields may be changed at any time."""
        return self._core.history

    def rotate_key(self, new: str) -> None:
        """Replace the API key of the emulator's own account; the old key gets 401 from now on.

        Args:
            new: the new API key, in the form id:secret.

        Raises:
            ValueError: If `new` does not have that form.
        """
        self._core.keyring.main.key = new

    @property
    def webhooks(self) -> Webhooks:
        """Webhook deliveries: a log of the attempts, and deliveries on demand."""
        return self._core.webhooks

    @called_in_loop
    def rotate_webhook_key(self, *, retire: bool = False) -> None:
        """Sign deliveries with a new key from now on.

        Args:
            retire: whether the old keys are removed from the published key set (protocol 8.3); default False.

        Raises:
            RuntimeError: If the package `cryptography` is missing.
        """
        self._core.webhooks.keys.rotate(retire=retire)

    def lock_account(self, *, polls: bool = True) -> None:
        """Answer calls of the emulator's own account with 403, exhausted balance (protocol 9.4).

        Args:
            polls: whether all calls get 403; default True. If False, only submits and direct calls do, since they
                are billed.
        """
        self._core.keyring.main.lock(polls=polls)

    def unlock_account(self) -> None:
        """Undo `lock_account`."""
        self._core.keyring.main.unlock()

    @called_in_loop
    def add_login(self, refresh_token: str, *, expires_in: float = 86_400.0) -> None:
        """Add a CLI login of the emulator's own account (protocol 1.4).

        Args:
            refresh_token: the token that auth.fal.ai exchanges for access tokens.
            expires_in: seconds for which each access token is valid; default one day.
        """
        self._core.keyring.add_login(refresh_token, expires_in, self._core.keyring.main)

    @called_in_loop
    def revoke_realtime_tokens(self) -> None:
        """Refuse all realtime tokens issued so far; open sessions continue (protocol 6.2)."""
        self._core.realtime_tokens.revoke()

    @called_in_loop
    def revoke_tokens(self) -> None:
        """Refuse all access tokens issued so far with 401; refresh tokens stay valid."""
        self._core.keyring.forget_tokens()

    @called_in_loop
    def revoke_cdn_tokens(self) -> None:
        """Refuse all CDN tokens issued so far with 401; clients can request new ones."""
        self._core.uploads.revoke_tokens()

    @called_in_loop
    def forget_uploads(self) -> None:
        """Delete the uploads that are not complete, as fal does after some time."""
        self._core.uploads.forget_unfinished()

    @called_in_loop
    def expire_files(self, *urls: str, status: int | None = None) -> None:
        """Delete files as if they had expired: reading them fails.

        Args:
            *urls: URLs of files of this emulator. Without URLs, all files expire.
            status: HTTP status for readers, 403, 404 or 410. None (default): the emulator's `gone_status`.

        Raises:
            KeyError: If this emulator has no file at one of the URLs; then no file expires.
            ValueError: If `status` is another number.
        """
        self._core.files.expire(urls, status)
