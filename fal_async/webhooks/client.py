"""Webhooks: verified events, a receiver that handles each once, tasks that wait for theirs (protocol 8)."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

from fal_async.errors import ConfigurationError
from fal_async.protocol.http import HttpRequest, Operation
from fal_async.protocol.options import check_webhook_url
from fal_async.protocol.webhook_events import WebhookEvent
from fal_async.protocol.webhooks import KEY_SET_PATH, META_PATH, HeaderFields
from fal_async.webhooks.store import Claim, MemoryStore, SeenStore
from fal_async.webhooks.verifier import WebhookVerifier

if TYPE_CHECKING:
    from fal_async.transport import Transport

logger = logging.getLogger("fal_async")
EventCallback = Callable[[WebhookEvent], Awaitable[None] | None]
_SUBMIT_LIMIT = 10.0
"""Seconds: fal gives a receiver 15 (protocol 8.2)."""


class Receipt(enum.StrEnum):
    """What became of a verified delivery."""

    HANDLED = "handled"
    DUPLICATE = "duplicate"
    BUSY = "busy"


class Arrivals:
    """Brings deliveries to the tasks that wait for them."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[WebhookEvent]] = {}
        self._submits: set[asyncio.Future[None]] = set()

    @contextlib.contextmanager
    def submitting(self) -> Iterator[None]:
        """Around a submit, up to and with the `expect` of its request id."""
        submit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._submits.add(submit)
        try:
            yield
        finally:
            self._submits.discard(submit)
            submit.set_result(None)

    @contextlib.contextmanager
    def expect(self, request_id: str) -> Iterator[asyncio.Future[WebhookEvent]]:
        """The delivery of this request, as soon as it is there."""
        arrival: asyncio.Future[WebhookEvent] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = arrival
        try:
            yield arrival
        finally:
            del self._waiting[request_id]
            arrival.cancel()

    async def take(self, event: WebhookEvent) -> bool:
        """Whether a task of this process waits for it."""
        if self._submits and event.request_id not in self._waiting:
            # The delivery of a quick request overtakes the answer to its submit, which tells its id.
            await asyncio.wait(self._submits, timeout=_SUBMIT_LIMIT)
        arrival = self._waiting.get(event.request_id)
        if arrival is not None and not arrival.done():
            arrival.set_result(event)
        return arrival is not None


class WebhookReceiver:
    """Takes deliveries in: verifies each, handles it once, resolves the tasks that wait for it.

    Made by `fal.webhooks.attach`. The framework integrations call `receive` for you.

    Attributes:
        url: the public URL, at which fal reaches this process.
        verifier: checks the deliveries.
        on_event: called once for each event that no task of this process waits for.
    """

    def __init__(
        self, url: str, verifier: WebhookVerifier, *, on_event: EventCallback | None, store: SeenStore
    ) -> None:
        self.url, self.verifier = check_webhook_url(url), verifier
        self.arrivals = Arrivals()
        self.on_event, self._store = on_event, store

    def __repr__(self) -> str:
        return f"WebhookReceiver(url={self.url.partition('?')[0]!r})"

    async def receive(
        self, headers: HeaderFields, body: bytes | bytearray, *, client: str | None = None
    ) -> Receipt:
        """One POST: its headers, its raw body, and the sender's IP address if addresses are checked.

        Answer 200 for HANDLED and DUPLICATE, 503 for BUSY; 401 for WebhookVerificationError; 5xx for any
        other error, and fal comes again. What `on_event` raises is raised here, and the event is not done.
        """
        event = await self.verifier.verify(headers, body, client=client)
        claim = await self._store.claim(event.request_id)
        if claim is not Claim.NEW:
            logger.debug("webhook of request %s: %s", event.request_id, claim)
            return Receipt.DUPLICATE if claim is Claim.DONE else Receipt.BUSY
        try:
            await self._handle(event)
        except BaseException:
            await self._store.release(event.request_id)
            raise
        await self._store.done(event.request_id)
        return Receipt.HANDLED

    async def _handle(self, event: WebhookEvent) -> None:
        if await self.arrivals.take(event) or self.on_event is None:
            return
        outcome = self.on_event(event)
        if inspect.isawaitable(outcome):
            await outcome


class Webhooks:
    """`session.webhooks`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._verifier: WebhookVerifier | None = None
        self.receiver: WebhookReceiver | None = None
        """The receiver that `subscribe(mode="webhook")` uses; None: nothing is attached."""

    def attach(
        self,
        url: str,
        *,
        on_event: EventCallback | None = None,
        store: SeenStore | None = None,
        verifier: WebhookVerifier | None = None,
        check_address: bool = False,
    ) -> WebhookReceiver:
        """A receiver at the public `url`, at which fal reaches this process.

        on_event        called (async or not) once for each event that no task of this process waits for.
                        fal allows 15 s: start what takes longer elsewhere
        store           which events were handled; default in the memory of this process
        verifier        default one on this session's hosts
        check_address   True: refuse what does not come from the addresses in `GET /v1/meta`

        ConfigurationError: no http(s) URL, or the extra `webhooks` is missing.
        """
        if verifier is not None and check_address:
            raise ConfigurationError("check_address: give the verifier that you pass a fetch_ranges instead")
        if verifier is None:
            verifier = self.make_verifier(check_address=True) if check_address else self.verifier
        self.receiver = WebhookReceiver(url, verifier, on_event=on_event, store=store or MemoryStore())
        return self.receiver

    def receiver_for(self, webhook_url: str | None) -> WebhookReceiver:
        """For `subscribe(mode="webhook")`. ConfigurationError where it can't be."""
        if self.receiver is None:
            raise ConfigurationError(
                "mode='webhook' needs a receiver: call fal.webhooks.attach(public_url) and serve it"
            )
        if webhook_url is not None:
            raise ConfigurationError("mode='webhook' sets the webhook_url itself: fal calls only one")
        return self.receiver

    async def verify(
        self, headers: HeaderFields, body: bytes | bytearray, *, client: str | None = None
    ) -> WebhookEvent:
        """The event of a delivery that you received yourself. See `WebhookVerifier.verify`."""
        return await self.verifier.verify(headers, body, client=client)

    @property
    def verifier(self) -> WebhookVerifier:
        """The session's own, made when first used. ConfigurationError: the extra `webhooks` is missing."""
        if self._verifier is None:
            self._verifier = self.make_verifier()
        return self._verifier

    def make_verifier(self, *, check_address: bool = False) -> WebhookVerifier:
        return WebhookVerifier(self.fetch_keys, fetch_ranges=self.fetch_ranges if check_address else None)

    async def aclose(self) -> None:
        """Ends what is under way; called when the session closes."""
        verifiers = {self._verifier, self.receiver.verifier if self.receiver else None}
        for verifier in verifiers - {None}:
            if verifier is not None:
                await verifier.aclose()

    async def fetch_keys(self) -> bytes:
        """The key set as it comes: for a `WebhookVerifier` of your own."""
        return await self._fetch(f"{self._transport.settings.hosts.rest}{KEY_SET_PATH}")

    async def fetch_ranges(self) -> bytes:
        """The answer of `GET /v1/meta`: for a `WebhookVerifier` of your own."""
        return await self._fetch(f"{self._transport.settings.hosts.platform}{META_PATH}")

    async def _fetch(self, url: str) -> bytes:
        # Both are public (protocol 8.3, 11.2).
        request = HttpRequest(operation=Operation.READ, method="GET", url=url, auth=False)
        return (await self._transport.send(request)).body
