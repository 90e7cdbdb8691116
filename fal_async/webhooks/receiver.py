"""A receiver of deliveries: handles each once, and brings them to the tasks that wait for them (protocol 8)."""

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
        self.url: str = check_webhook_url(url)
        self.verifier: WebhookVerifier = verifier
        self.arrivals: Arrivals = Arrivals()
        check_function("on_event", on_event, takes=("event",))
        missing = [name for name in ("claim", "done", "release") if not callable(getattr(store, name, None))]
        if missing:
            raise ConfigurationError(f"store is a {type(store).__name__}, without {', '.join(missing)}()")
        self.on_event: EventCallback | None = on_event
        self._store = store

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
                f"store.claim() gave a {type(said).__name__}: expected a Claim"
            ) from None

    async def _release(self, key: str) -> None:
        try:
            await awaited(self._store.release(key))
        except Exception as error:  # why the event was not handled is the error that counts
            logger.warning("webhook of request %s: its store could not release it: %r", key, error)

    async def _handle(self, event: WebhookEvent) -> None:
        if not await self.arrivals.take(event):
            await call_back(self.on_event, event)
