"""Webhook deliveries: what is posted, when it is retried, and a log of the attempts for tests (protocol 8).

fal sends nothing to private, loopback and internal targets (8.2). The emulator calls every http(s) target, since a
receiver under test listens on loopback. Citations such as (protocol 8.2) are sections of
`fal_async/protocol/README.md`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Container, Coroutine, Iterator, Mapping
from typing import Any

import aiohttp
import attrs

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.event_loop import EmulatorLoop, called_in_loop, in_loop
from fal_async.emulator.jobs.job import COMPLETED, Job
from fal_async.emulator.jobs.job_store import JobStore
from fal_async.emulator.timing.clock import Clock
from fal_async.emulator.webhooks.payloads import delivery_body
from fal_async.emulator.webhooks.pending_delivery import PendingDelivery
from fal_async.emulator.webhooks.signing import WebhookKeys

logger: logging.Logger = logging.getLogger("fal_async.emulator")
_KEPT_ATTEMPTS = 10_000
_AT_A_TIME = 100
"""Attempts that are made concurrently, each on its own connection. Ten thousand requests that end together would
otherwise exceed the limit of open files, and the emulator could not accept connections either."""


@attrs.frozen(kw_only=True)
class WebhookPolicy:
    """How often, and with which time limits, a webhook is delivered (protocol 8.2).

    Pass it as `Emulator(webhooks=WebhookPolicy(...))`. fal does not document the length of the pauses.

    Attributes:
        first_limit: time limit of the first attempt, in seconds; default 15. `speed` does not change it.
        retry_limit: time limit of each retry, in seconds; default 120. `speed` does not change it.
        first_pause: seconds before the first retry, divided by the emulator's `speed`; default 5. Each further
            pause is twice as long as the one before.
        longest_pause: the longest pause after the first one, in seconds, divided by `speed`; default 120.
        max_retries: how many attempts are made after the first; default 31.
    """

    first_limit: float = 15.0
    retry_limit: float = 120.0
    first_pause: float = 5.0
    longest_pause: float = 120.0
    max_retries: int = 31

    def limit(self, attempt: int) -> float:
        """Return the time limit of an attempt, in seconds.

        Args:
            attempt: number of the attempt, from 1.
        """
        return self.first_limit if attempt == 1 else self.retry_limit

    def pauses(self, kept: float) -> Iterator[float]:
        """Yield the seconds before each retry, not yet divided by `speed`.

        There are no more retries after `max_retries`, or when the stored result has expired.

        Args:
            kept: seconds for which the result is stored.
        """
        pause, passed = self.first_pause, 0.0
        for _ in range(self.max_retries):
            passed += pause
            if passed > kept:
                return
            yield pause
            pause = min(2 * pause, self.longest_pause)


@attrs.frozen(kw_only=True)
class WebhookAttempt:
    """One POST to a webhook receiver, and its outcome.

    Attributes:
        request_id: id of the request whose result was sent.
        url: URL of the receiver.
        attempt: number of the attempt, from 1; always 1 for `Webhooks.deliver`.
        headers: headers that were sent, with the signature.
        body: body that was sent.
        at: when the attempt began, in seconds since the epoch.
        status: HTTP status of the receiver's response; None without a response.
        error: why there was no response; None if there was one.
    """

    request_id: str
    url: str = attrs.field(repr=False)
    attempt: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    at: float
    status: int | None = None
    error: str | None = None

    @property
    def delivered(self) -> bool:
        """Whether the receiver responded with 2xx."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def final(self) -> bool:
        """Whether its response rules out a retry: 2xx, or 3xx, a permanent failure (protocol 8.2)."""
        return self.delivered or (self.status is not None and 300 <= self.status < 400)


class Webhooks:
    """The webhook deliveries of an emulator, as `emulator.webhooks`.

    Attributes:
        automatic: whether a webhook is delivered when its request is completed; default True. A test that sets
            False calls `deliver` itself: late, twice or never.
        keys: the signing keys.
        ended: how many attempts have ended so far.
    """

    def __init__(self, loop: EmulatorLoop, *, jobs: JobStore, policy: WebhookPolicy, clock: Clock) -> None:
        self.automatic = True
        self._on_demand: set[Account] = set()
        self.keys: WebhookKeys = WebhookKeys()
        self.ended: int = 0
        self._jobs, self._policy, self._clock = jobs, policy, clock
        self._loop = loop
        self._attempts: deque[WebhookAttempt] = deque(maxlen=_KEPT_ATTEMPTS)
        self._under_way: set[asyncio.Task[Any]] = set()
        self._pending: dict[asyncio.Task[Any], PendingDelivery] = {}
        self._watchers: set[asyncio.Event] = set()
        self._http: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(_AT_A_TIME)
        self._open = False

    def open(self) -> None:
        """Deliver webhooks from now on."""
        self._open = True
        self._places = asyncio.Semaphore(_AT_A_TIME)  # it belongs to the event loop of its first use

    async def close(self) -> None:
        """Cancel the pending deliveries, and deliver no more. Raises nothing.

        If it is cancelled, call it again.
        """
        self._open = False
        self.forget()
        if self._under_way:
            await asyncio.wait(self._under_way)
        if self._http is not None:
            http, self._http = self._http, None
            await http.close()

    def forget(self, request_ids: Container[str] | None = None) -> None:
        """Cancel the pending deliveries, retries included, as `restart(keep_memory=False)` does.

        Args:
            request_ids: ids of the requests. None (default): all requests.
        """
        for task in self._under_way:
            if request_ids is None or task.get_name() in request_ids:
                task.cancel()

    def set_automatic(self, account: Account, automatic: bool) -> None:
        """Set whether webhooks of one account are delivered automatically; only the emulator calls this.

        Args:
            account: the account.
            automatic: as the attribute `automatic`, which applies to all accounts.
        """
        (self._on_demand.discard if automatic else self._on_demand.add)(account)

    def is_automatic(self, account: Account) -> bool:
        """Return what `set_automatic` has set, True by default; only the emulator calls this.

        Args:
            account: the account.
        """
        return account not in self._on_demand

    @property
    def attempts(self) -> list[WebhookAttempt]:
        """The latest 10,000 attempts, in the order in which they ended."""
        return list(self._attempts)

    @property
    def under_way(self) -> int:
        """How many automatic and `deliver_soon` deliveries are being sent, or wait for a retry."""
        return len(self._under_way)

    @in_loop
    async def wait_for(self, count: int = 1, *, timeout: float = 5.0) -> list[WebhookAttempt]:
        """Wait until a number of attempts have ended. Cancelling it is safe.

        Args:
            count: how many attempts must have ended since the emulator started, at most 10,000; default 1.
            timeout: seconds to wait at most; default 5.

        Returns:
            The value of `attempts`.

        Raises:
            TimeoutError: If fewer attempts ended within `timeout`.
        """
        return await self.wait_for_attempts(lambda: self.attempts, count, timeout)

    @in_loop
    async def wait_for_attempts(
        self, ended: Callable[[], list[WebhookAttempt]], count: int, timeout: float
    ) -> list[WebhookAttempt]:
        """Wait until a function returns enough attempts; only the emulator calls this. Cancelling it is safe.

        Args:
            ended: returns the attempts that count.
            count: how many are enough.
            timeout: seconds to wait at most.

        Returns:
            The attempts.

        Raises:
            TimeoutError: If fewer attempts ended within `timeout`.
        """
        try:
            async with asyncio.timeout(timeout):
                while len(ended()) < count:
                    await self._change()
        except TimeoutError:
            raise TimeoutError(f"{len(ended())} of {count} attempts ended within {timeout:g} s") from None
        return ended()

    @in_loop
    async def wait_until_idle(self, *, timeout: float = 5.0) -> None:
        """Wait until no delivery is pending. Cancelling it is safe.

        Args:
            timeout: seconds to wait at most; default 5.

        Raises:
            TimeoutError: If a delivery is still pending after `timeout`.
        """
        try:
            async with asyncio.timeout(timeout):
                while self._under_way:
                    await self._change()
        except TimeoutError:
            raise TimeoutError(
                f"after {timeout:g} s, deliveries are still pending: {self.under_way}"
            ) from None

    async def tried(self, job: Job) -> None:
        """Wait until a job is completed and its webhook, if it has one, was sent once, with or without success.

        Raises nothing. Cancelling it is safe.

        Args:
            job: the job.
        """
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

    def completed(self, job: Job) -> None:
        """Deliver a job's webhook, if it has one; the queue calls this for every completed job.

        Args:
            job: the job.
        """
        self._jobs.ended(job)
        url = job.options.webhook_url
        if url is not None and self._to_be_delivered(job):
            self.begin(PendingDelivery(job=job, url=url, due=self._clock.now()))

    @property
    def pending(self) -> list[PendingDelivery]:
        """The automatic deliveries that are not done, in order of their beginning."""
        return list(self._pending.values())

    def begin(self, delivery: PendingDelivery) -> None:
        """Make the attempts of a delivery, the first one when it is due; only the emulator calls this.

        Args:
            delivery: the delivery.
        """
        task = self._keep(delivery.job.request_id, self._try_until_done(delivery))
        self._pending[task] = delivery

    def _to_be_delivered(self, job: Job) -> bool:
        asked = job.via == "queue" and job.options.webhook_url is not None and not job.forgotten
        return asked and self._open and self.automatic and self.is_automatic(job.account)

    @in_loop
    async def deliver(
        self,
        request_id: str,
        url: str | None = None,
        *,
        age: float = 0.0,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> WebhookAttempt:
        """Make one attempt now: a late delivery, a duplicate, or a manipulated one.

        If this call is cancelled, the receiver may have got the delivery, but `attempts` does not list this
        attempt.

        Args:
            request_id: id of the request.
            url: URL of the receiver. None (default): the webhook URL that the submit gave.
            age: seconds that are subtracted from the signed timestamp; negative: it is in the future. Default 0.
            body: bytes to send instead of the signed body. None (default): the signed body.
            headers: headers to add to the signed ones, or to replace them. None (default): none.

        Returns:
            The attempt. If the receiver fails or does not respond, `deliver` does not raise; see `status` and
            `error`.

        Raises:
            KeyError: If there is no such request.
            ValueError: If the request is not completed, or if it has no webhook and no `url` is given.
            RuntimeError: If the package `cryptography` is missing.
        """
        job, target = self._target(request_id, url)
        true_body = delivery_body(job)
        signed = self.keys.signed_headers(request_id, true_body, timestamp=int(time.time() - age))
        sent = _unsent(
            job,
            target,
            1,
            true_body if body is None else body,
            {**signed, **(headers or {})},
            self._clock.now(),
        )
        return await self._post(sent, self._policy.first_limit)

    @called_in_loop
    def deliver_soon(self, request_id: str, url: str | None = None, *, age: float = 0.0) -> None:
        """Schedule a `deliver`, without waiting for it. Its later errors are only logged.

        Args:
            request_id: as in `deliver`.
            url: as in `deliver`.
            age: as in `deliver`, in seconds.

        Raises:
            KeyError: If there is no such request.
            ValueError: If the request is not completed, or if it has no webhook and no `url` is given.
        """
        self._target(request_id, url)  # raises here, not in the background
        self._keep(request_id, self.deliver(request_id, url, age=age))

    def _target(self, request_id: str, url: str | None) -> tuple[Job, str]:
        job = self._jobs.by_id.get(request_id)
        if job is None:
            raise KeyError(f"the emulator has no request {request_id}")
        target = url or job.options.webhook_url
        if target is None:
            raise ValueError(f"request {request_id} was submitted without a webhook: pass url=")
        if job.answer is None:
            raise ValueError(f"request {request_id} is not complete: wait until it has a result to deliver")
        return job, target

    def _keep(self, request_id: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=request_id)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        self._pending.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a webhook was not delivered: %s", error)
        self._notify()

    async def _try_until_done(self, delivery: PendingDelivery) -> None:
        job, url, body = delivery.job, delivery.url, delivery_body(delivery.job)
        pauses = itertools.islice(self._pauses(job), delivery.attempt - 1, None)
        if (left := delivery.due - self._clock.now()) > 0:
            await self._clock.sleep(left * self._clock.speed)
        while True:
            async with self._places:
                # A new timestamp for each attempt, since receivers refuse one that is 300 s old (8.3).
                signed = self.keys.signed_headers(job.request_id, body)
                unsent = _unsent(job, url, delivery.attempt, body, signed, self._clock.now())
                sent = await self._post(unsent, self._policy.limit(delivery.attempt))
            if sent.final or (pause := next(pauses, None)) is None:
                return
            delivery.attempt += 1
            delivery.due = self._clock.now() + pause / self._clock.speed
            await self._clock.sleep(pause)

    def _pauses(self, job: Job) -> Iterator[float]:
        kept = 0.0 if job.answer is None else self._jobs.kept_seconds(job.answer)
        return self._policy.pauses(kept)

    async def _post(self, unsent: WebhookAttempt, limit: float) -> WebhookAttempt:
        try:
            with self._clock.activity("a webhook delivery"):
                status = await self._status_of_post(unsent, limit)
            sent = attrs.evolve(unsent, status=status)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            sent = attrs.evolve(unsent, error=f"{type(error).__name__}: {error}".rstrip(": "))
        self._note(sent)
        return sent

    async def _status_of_post(self, unsent: WebhookAttempt, limit: float) -> int:
        async with self._client().post(
            unsent.url,
            data=unsent.body,
            headers=unsent.headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=limit),
        ) as answer:
            return answer.status

    def _client(self) -> aiohttp.ClientSession:
        if self._http is None:
            # Connections are not reused, since receivers in tests start and stop on the same port.
            self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0))
        return self._http

    def _note(self, attempt: WebhookAttempt) -> None:
        self._attempts.append(attempt)
        self.ended += 1
        self._notify()


def _unsent(
    job: Job, url: str, attempt: int, body: bytes, signed: Mapping[str, str], at: float
) -> WebhookAttempt:
    return WebhookAttempt(
        request_id=job.request_id,
        url=url,
        attempt=attempt,
        headers={"Content-Type": "application/json", **signed},
        body=body,
        at=at,
    )
