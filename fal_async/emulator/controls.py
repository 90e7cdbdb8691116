"""What a test asks of the emulator, and what it does to the account: the part of `Emulator` without its life."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.accounts.history import RequestHistory
from fal_async.emulator.core import Core
from fal_async.emulator.faults.script import FaultScript
from fal_async.emulator.jobs.books import Books
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.storage.upload_store import Upload
from fal_async.emulator.webhooks.deliveries import Webhooks
from fal_async.emulator.wire.recorder import RecordedRequest


class Controls:
    def __init__(self, core: Core) -> None:
        self._core = core

    @property
    def folder(self) -> Path | None:
        """Where its files lie; None before the first of them, without a folder of your own."""
        return self._core.files.folder

    @property
    def key(self) -> str:
        """Of the emulator's own account; others: `accounts`."""
        return self._core.keyring.main.key

    @property
    def accounts(self) -> Mapping[str, Account]:
        """By nickname; the first is the emulator's own, whose `key` is the emulator's."""
        return self._core.keyring.accounts

    def add_account(
        self, key: str, *, nickname: str | None = None, concurrency: int | None = None
    ) -> Account:
        """One more account, whose requests, uploads, balance and history the others don't see.

        nickname        how ACLs name it; default the first half of the key
        concurrency     how many of its requests run at a time; default no limit

        ValueError where the key is none, or it or the nickname is taken.
        """
        return self._core.keyring.add(key, nickname=nickname, concurrency=concurrency)

    # What happened.

    @property
    def jobs(self) -> Mapping[str, Job]:
        """Every request that was taken, by request id, in order of arrival; direct runs too (`via="run"`)."""
        return self._core.jobs.by_id

    @property
    def books(self) -> Books:
        """What was taken, and so is paid for, by input: also where `jobs` keeps it no longer."""
        return self._core.jobs.books

    @property
    def requests(self) -> list[RecordedRequest]:
        """What was asked, in order of arrival."""
        return self._core.recorder.requests()

    @property
    def uploads(self) -> Mapping[str, Upload]:
        """Every upload that was begun, by the id that the emulator gave it."""
        return self._core.uploads.uploads

    def count(self, kind: str | None = None) -> int:
        """How many requests of this kind arrived, such as "submit" or "status"; all without a kind.

        ValueError for a kind that does not exist.
        """
        return self._core.recorder.count(kind)

    def clear_requests(self) -> None:
        """Forget the recorded requests, and count from zero."""
        self._core.recorder.clear()

    async def wait_for(self, kind: str, count: int = 1, *, timeout: float = 5.0) -> None:
        """Until so many requests of this kind have arrived. TimeoutError after `timeout` seconds."""
        await self._core.recorder.wait_for(kind, count, timeout)

    # What goes wrong.

    @property
    def faults(self) -> FaultScript:
        return self._core.faults

    @property
    def history(self) -> RequestHistory:
        """What the platform API's request history shows, and when: its fields may be set."""
        return self._core.history

    def rotate_key(self, new: str) -> None:
        """The old key gets 401 from now on."""
        self._core.keyring.main.key = new

    @property
    def webhooks(self) -> Webhooks:
        """Deliveries: what was sent, and more of them on demand."""
        return self._core.webhooks

    def rotate_webhook_key(self, *, retire: bool = False) -> None:
        """A new key signs deliveries from now on. With `retire` the old ones leave the key set."""
        self._core.webhooks.keys.rotate(retire=retire)

    def lock_account(self, *, polls: bool = True) -> None:
        """403, exhausted balance, on every call; with `polls=False` on run and submit only (protocol 9.4)."""
        self._core.keyring.main.lock(polls=polls)

    def unlock_account(self) -> None:
        self._core.keyring.main.unlock()

    def add_login(self, refresh_token: str, *, expires_in: float = 86_400.0) -> None:
        """A CLI login: auth.fal.ai gives this refresh token access tokens that live so many seconds."""
        self._core.keyring.add_login(refresh_token, expires_in, self._core.keyring.main)

    def revoke_realtime_tokens(self) -> None:
        """Realtime tokens given so far are refused; open sessions go on (protocol 6.2)."""
        self._core.realtime_tokens.revoke()

    def revoke_tokens(self) -> None:
        """Access tokens given so far get 401; their refresh tokens stay good."""
        self._core.keyring.forget_tokens()

    def revoke_cdn_tokens(self) -> None:
        """The CDN refuses the tokens given so far with 401; new ones can be had."""
        self._core.uploads.revoke_tokens()

    def forget_uploads(self) -> None:
        """Uploads that were begun but not completed are gone, as after their time on fal."""
        self._core.uploads.forget_unfinished()

    def expire_files(self, *urls: str, status: int | None = None) -> None:
        """These files are gone, without URLs all; `status` (403, 404 or 410) is answered for them, by default
        the emulator's `gone_status`. KeyError where one is no file of the emulator's."""
        self._core.files.expire(urls, status)
