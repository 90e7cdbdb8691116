"""Receive webhook deliveries, handle each event once, and pass it to the task that waits for it (protocol 8).

Citations such as (protocol 8.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Awaitable, Callable, Iterator

from fal_async.callbacks import awaited, call_back, callers_function
from fal_async.checks import check_function
from fal_async.errors import ConfigurationError
from fal_async.protocol.options import check_webhook_url
from fal_async.protocol.webhook_events import WebhookEvent
from fal_async.protocol.webhooks import HeaderFields
from fal_async.webhooks.seen_store import Claim, SeenStore
from fal_async.webhooks.verifier import WebhookVerifier

logger: logging.Logger = logging.getLogger("fal_async")
EventCallback = Callable[[WebhookEvent], Awaitable[None] | None]
"""The `on_event` of a receiver: called with an event; may be async."""
_SUBMIT_LIMIT = 10.0
"""Seconds for which a delivery waits for running submits; fal allows 15 s for a response (protocol 8.2)."""


class Receipt(enum.StrEnum):
    """What `WebhookReceiver.receive` did with a verified delivery."""

    HANDLED = "handled"
    """The event was handled now. Answer 200."""
    DUPLICATE = "duplicate"
    """The event was already handled. Answer 200."""
    BUSY = "busy"
    """An earlier delivery of the event is being handled, and may fail. Answer 503, so that fal delivers again."""


class Arrivals:
    """Passes deliveries to the tasks that wait for them."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[WebhookEvent]] = {}
        self._submits: set[asyncio.Future[None]] = set()

    @contextlib.contextmanager
    def submitting(self) -> Iterator[None]:
        """Mark a submit as running. Leave the block after `expect` was entered with its request id."""
        submit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._submits.add(submit)
        try:
            yield
        finally:
            self._submits.discard(submit)
            submit.set_result(None)

    @contextlib.contextmanager
    def expect(self, request_id: str) -> Iterator[asyncio.Future[WebhookEvent]]:
        """Yield a future that gets the event of this request when it is delivered."""
        arrival: asyncio.Future[WebhookEvent] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = arrival
        try:
            yield arrival
        finally:
            del self._waiting[request_id]
            arrival.cancel()

    async def take(self, event: WebhookEvent) -> bool:
        """Pass `event` to the task that waits for it, and return whether there is one.

        While submits run, this first waits for their request ids, for a limited time.
        """
        if self._submits and event.request_id not in self._waiting:
            # A fast request may be delivered before the response of its submit, which has the request id, arrives.
            await asyncio.wait(self._submits, timeout=_SUBMIT_LIMIT)
        arrival = self._waiting.get(event.request_id)
        if arrival is not None and not arrival.done():
            arrival.set_result(event)
        return arrival is not None


class WebhookReceiver:
    """Verifies deliveries, handles each event once, and passes it to the task that waits for it.

    `fal.webhooks.attach` makes a receiver. The integrations for web frameworks call `receive` for you.

    Attributes:
        url: The public URL at which fal reaches this process.
        verifier: Checks that fal sent the deliveries.
        on_event: Called once with each event that no task of this process waits for; None: nothing is called.
        arrivals: For internal use: the tasks that wait for deliveries.
    """

    def __init__(
        self, url: str, verifier: WebhookVerifier, *, on_event: EventCallback | None, store: SeenStore
    ) -> None:
        self.url: str = check_webhook_url(url)
        self.verifier: WebhookVerifier = verifier
        self.arrivals: Arrivals = Arrivals()
        check_function("on_event", on_event, takes=("event",))
        missing = [name for name in ("claim", "done", "release") if not callable(getattr(store, name, None))]
        if missing:
            raise ConfigurationError(
                f"store is of type {type(store).__name__}: expected a SeenStore, but it lacks {', '.join(missing)}"
            )
        self.on_event: EventCallback | None = on_event
        self._store = store

    def __repr__(self) -> str:
        return f"WebhookReceiver(url={self.url.partition('?')[0]!r})"

    async def receive(
        self, headers: HeaderFields, body: bytes | bytearray, *, client: str | None = None
    ) -> Receipt:
        """Verify and handle one delivery, which fal sends as a POST request.

        Answer 200 for HANDLED and DUPLICATE, 503 for BUSY, 401 for WebhookVerificationError and 5xx for any other
        error. fal delivers again after a 4xx or 5xx (protocol 8.2).

        If this call is cancelled while `on_event` runs, the event's claim in the store is released, and the next
        delivery handles the event. If it is cancelled within the store's `claim` or `done`, the claim can remain
        until it expires, and deliveries get BUSY until then.

        Args:
            headers: The headers of the HTTP request: a mapping with names in any case, or pairs.
            body: The raw body, not parsed.
            client: The sender's IP address, which is required if the verifier checks addresses. None (default):
                such a verifier refuses the delivery.

        Returns:
            What was done with the delivery.

        Raises:
            WebhookVerificationError: If fal did not send the delivery.
            ConfigurationError: If `headers` or `body` have the wrong type, or the store's `claim` does not return
                a `Claim`.
            FalError: If fal's keys can't be fetched, such as TransportError.
            Exception: Whatever `on_event` or the store raises. After an error of `on_event` the event's claim is
                released, and the next delivery calls `on_event` again.
        """
        event = await self.verifier.verify(headers, body, client=client)
        with callers_function():
            claim = await self._claim(event.request_id)
        if claim is not Claim.NEW:
            logger.debug("webhook of request %s: %s", event.request_id, claim)
            return Receipt.DUPLICATE if claim is Claim.DONE else Receipt.BUSY
        try:
            await self._handle(event)
        except BaseException:
            await self._release(event.request_id)
            raise
        with callers_function():
            await awaited(self._store.done(event.request_id))
        return Receipt.HANDLED

    async def _claim(self, key: str) -> Claim:
        said = await awaited(self._store.claim(key))
        try:
            return Claim(said)
        except ValueError:
            raise ConfigurationError(
                f"store.claim() returned a {type(said).__name__}: expected a Claim"
            ) from None

    async def _release(self, key: str) -> None:
        try:
            await awaited(self._store.release(key))
        except Exception as error:  # only logged, because the caller gets the error of the handling
            logger.warning("webhook of request %s: the store could not release it: %r", key, error)

    async def _handle(self, event: WebhookEvent) -> None:
        if not await self.arrivals.take(event):
            await call_back(self.on_event, event)
