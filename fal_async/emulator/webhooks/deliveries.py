"""Webhook deliveries: what is posted, when it is tried again, and a log of it for tests (protocol 8).

fal drops private, loopback and internal targets without any request (8.2). Here they are the very point:
a receiver under test listens on loopback, so every http(s) target is called.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any

import aiohttp
import attrs

from fal_async.emulator.jobs.job import COMPLETED, Job
from fal_async.emulator.jobs.job_store import JobStore
from fal_async.emulator.webhooks.payloads import delivery_body
from fal_async.emulator.webhooks.signing import WebhookKeys

logger: logging.Logger = logging.getLogger("fal_async.emulator")
_KEPT_ATTEMPTS = 10_000


@attrs.frozen(kw_only=True)
class WebhookPolicy:
    """How often and how long a delivery is tried (protocol 8.2). The length of the pauses is not documented.

    first_limit, retry_limit        seconds that the receiver gets for its answer; real ones
    first_pause, longest_pause      seconds before a retry, doubling; divided by the emulator's `speed`
    max_retries                     tries after the first one
    """

    first_limit: float = 15.0
    retry_limit: float = 120.0
    first_pause: float = 5.0
    longest_pause: float = 120.0
    max_retries: int = 31

    def limit(self, attempt: int) -> float:
        return self.first_limit if attempt == 1 else self.retry_limit

    def pauses(self, kept: float) -> Iterator[float]:
        """Growing, until the stored result expires after `kept` seconds, and not more than `max_retries`."""
        pause, passed = self.first_pause, 0.0
        for _ in range(self.max_retries):
            passed += pause
            if passed > kept:
                return
            yield pause
            pause = min(2 * pause, self.longest_pause)


@attrs.frozen(kw_only=True)
class WebhookAttempt:
    """One POST to a receiver, as it went."""

    request_id: str
    url: str = attrs.field(repr=False)
    attempt: int
    """1 for the first; the same number again for one that was asked for."""
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    at: float
    """When it was sent, seconds since the epoch."""
    status: int | None = None
    """What the receiver answered; None where it did not."""
    error: str | None = None
    """Why there is no answer."""

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def final(self) -> bool:
        """Not tried again: delivered, or a 3xx, which is a permanent failure and not followed (8.2)."""
        return self.delivered or (self.status is not None and 300 <= self.status < 400)


class Webhooks:
    """`emulator.webhooks`: automatic deliveries, deliveries on demand, and what became of them.

    With `automatic = False` nothing is delivered by itself: call `deliver` later, twice, or never.
    """

    def __init__(self, *, jobs: JobStore, policy: WebhookPolicy, speed: float) -> None:
        self.automatic = True
        self.keys: WebhookKeys = WebhookKeys()
        self._jobs, self._policy, self._speed = jobs, policy, speed
        self._attempts: deque[WebhookAttempt] = deque(maxlen=_KEPT_ATTEMPTS)
        self._under_way: set[asyncio.Task[Any]] = set()
        self._watchers: set[asyncio.Event] = set()
        self._http: aiohttp.ClientSession | None = None
        self._open = False

    # Life.

    def open(self) -> None:
        self._open = True

    async def close(self) -> None:
        """What is under way is dropped."""
        self._open = False
        self.forget()
        if self._under_way:
            await asyncio.wait(self._under_way)
        if self._http is not None:
            http, self._http = self._http, None
            await http.close()

    def forget(self) -> None:
        """The server loses its memory: what waits for a retry is never sent."""
        for task in self._under_way:
            task.cancel()

    # What happened.

    @property
    def attempts(self) -> list[WebhookAttempt]:
        """The latest ones, in the order in which they ended."""
        return list(self._attempts)

    @property
    def under_way(self) -> int:
        """Deliveries that are being tried, or wait for their next try."""
        return len(self._under_way)

    async def wait_for(self, count: int = 1, *, timeout: float = 5.0) -> list[WebhookAttempt]:
        """Until so many attempts have ended. TimeoutError after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while len(self._attempts) < count:
                    await self._change()
        except TimeoutError:
            raise TimeoutError(
                f"{len(self._attempts)} of {count} attempts ended within {timeout:g} s"
            ) from None
        return self.attempts

    async def wait_until_idle(self, *, timeout: float = 5.0) -> None:
        """Until nothing is under way. TimeoutError after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self._under_way:
                    await self._change()
        except TimeoutError:
            raise TimeoutError(
                f"{self.under_way} deliveries are still under way after {timeout:g} s"
            ) from None

    async def tried(self, job: Job) -> None:
        """Until the job has ended, and its delivery, if there is one, was tried once."""
        await job.wait_for(COMPLETED)
        if self._to_be_delivered(job):
            while not any(attempt.request_id == job.request_id for attempt in self._attempts):
                await self._change()

    async def _change(self) -> None:
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            await changed.wait()
        finally:
            self._watchers.discard(changed)

    def _notify(self) -> None:
        for watcher in self._watchers:
            watcher.set()

    # What is sent.

    def completed(self, job: Job) -> None:
        """Called by the queue for every job that ends."""
        self._jobs.ended(job)
        url = job.options.webhook_url
        if url is not None and job.answer is not None and self._to_be_delivered(job):
            pauses = self._policy.pauses(self._jobs.kept_seconds(job.answer))
            self._keep(self._try_until_done(job, url, pauses))

    def _to_be_delivered(self, job: Job) -> bool:
        asked = job.via == "queue" and job.options.webhook_url is not None and not job.forgotten
        return asked and self._open and self.automatic

    async def deliver(
        self,
        request_id: str,
        url: str | None = None,
        *,
        age: float = 0.0,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> WebhookAttempt:
        """One attempt, now: a late one, a duplicate, or a spoilt one.

        url         default the URL given at submit
        age         seconds that the signed timestamp lies back; negative: in the future
        body        sent in place of the body that was signed
        headers     added to the signed ones, or replacing them

        KeyError where no such request was taken; ValueError where it has no webhook URL or is not complete.
        """
        job, target = self._target(request_id, url)
        true_body = delivery_body(job)
        signed = self.keys.signed_headers(request_id, true_body, timestamp=int(time.time() - age))
        sent = _unsent(job, target, 1, true_body if body is None else body, {**signed, **(headers or {})})
        return await self._post(sent, self._policy.first_limit)

    def deliver_soon(self, request_id: str, url: str | None = None, *, age: float = 0.0) -> None:
        """`deliver`, without waiting for it."""
        self._target(request_id, url)  # what is wrong with it is told to who asks
        self._keep(self.deliver(request_id, url, age=age))

    def _target(self, request_id: str, url: str | None) -> tuple[Job, str]:
        job = self._jobs.by_id.get(request_id)
        if job is None:
            raise KeyError(f"request {request_id}")
        target = url or job.options.webhook_url
        if target is None:
            raise ValueError(f"request {request_id} was submitted without a webhook: give a url")
        if job.answer is None:
            raise ValueError(f"request {request_id} is not complete: there is nothing to deliver yet")
        return job, target

    def _keep(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a webhook was not delivered: %s", error)
        self._notify()

    async def _try_until_done(self, job: Job, url: str, pauses: Iterator[float]) -> None:
        body = delivery_body(job)
        for attempt in itertools.count(1):
            # A new timestamp each time: receivers refuse one that is 300 s old (8.3).
            signed = self.keys.signed_headers(job.request_id, body)
            sent = await self._post(_unsent(job, url, attempt, body, signed), self._policy.limit(attempt))
            if sent.final or (pause := next(pauses, None)) is None:
                return
            await asyncio.sleep(pause / self._speed)

    async def _post(self, unsent: WebhookAttempt, limit: float) -> WebhookAttempt:
        try:
            async with self._client().post(
                unsent.url,
                data=unsent.body,
                headers=unsent.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=limit),
            ) as answer:
                sent = attrs.evolve(unsent, status=answer.status)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            sent = attrs.evolve(unsent, error=f"{type(error).__name__}: {error}".rstrip(": "))
        self._note(sent)
        return sent

    def _client(self) -> aiohttp.ClientSession:
        if self._http is None:
            # No connection is kept: receivers of tests come and go on the same port.
            self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0))
        return self._http

    def _note(self, attempt: WebhookAttempt) -> None:
        self._attempts.append(attempt)
        self._notify()


def _unsent(job: Job, url: str, attempt: int, body: bytes, signed: Mapping[str, str]) -> WebhookAttempt:
    return WebhookAttempt(
        request_id=job.request_id,
        url=url,
        attempt=attempt,
        headers={"Content-Type": "application/json", **signed},
        body=body,
        at=time.time(),
    )
