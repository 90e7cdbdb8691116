"""Receive webhook deliveries, handle each event once, and pass it to the task that waits for it (protocol 8).

Citations such as (protocol 8.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from fal_async.callbacks import awaited, call_back, callers_function
from fal_async.checks import check_flag, check_function
from fal_async.errors import ConfigurationError
from fal_async.protocol.ledger.claim_tokens import ClaimToken, token_in
from fal_async.protocol.options import check_webhook_url
from fal_async.protocol.webhook_events import WebhookEvent
from fal_async.protocol.webhooks import HeaderFields
from fal_async.webhooks.seen_store import Claim, SeenStore
from fal_async.webhooks.verifier import WebhookVerifier

logger: logging.Logger = logging.getLogger("fal_async")
EventCallback = Callable[[WebhookEvent], Awaitable[None] | None]
"""The `on_event` of a receiver: called with an event; may be async."""


class StoreDelivery(Protocol):
    """Stores the outcome of a delivered request in the ledger."""

    async def __call__(self, event: WebhookEvent, token: str | None, *, fetch_units: bool) -> bool | None:
        """Return whether the outcome was not known before; None if no ledger has the request.

        `token`: that of the claim, from the URL that fal has called. `fetch_units`: see `Webhooks.attach`.
        """
        ...


_SUBMIT_LIMIT = 10.0
"""Seconds for which a delivery waits for running submits; fal allows 15 s for a response (protocol 8.2)."""


class Receipt(enum.StrEnum):
    """What `WebhookReceiver.receive` did with a verified delivery."""

    HANDLED = "handled"
    """The event was handled now, or its outcome is in the ledger now. Answer 200."""
    DUPLICATE = "duplicate"
    """The event was already handled, or its outcome was in the ledger already. Answer 200."""
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

    def expects(self, request_id: str) -> bool:
        """Return whether a task waits for the event of this request."""
        return request_id in self._waiting

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
        on_event: Called once with each event that no task of this process waits for, except those of
            `subscribe(mode="webhook", key=...)`; None: nothing is called.
        fetch_units: Whether each delivered result is fetched from fal, because a delivery has no billable units.
        arrivals: For internal use: the tasks that wait for deliveries.
    """

    def __init__(
        self,
        url: str,
        verifier: WebhookVerifier,
        *,
        on_event: EventCallback | None,
        store: SeenStore,
        fetch_units: bool,
        store_delivery: StoreDelivery | None,
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
        check_flag("fetch_units", fetch_units)
        self.on_event: EventCallback | None = on_event
        self.fetch_units: bool = fetch_units
        self._store, self._store_delivery = store, store_delivery

    def __repr__(self) -> str:
        return f"WebhookReceiver(url={self.url.partition('?')[0]!r})"

    async def receive(
        self,
        headers: HeaderFields,
        body: bytes | bytearray,
        *,
        client: str | None = None,
        query: str = "",
    ) -> Receipt:
        """Verify and handle one delivery, which fal sends as a POST request.

        If a ledger of the session has the request, its outcome is stored there before this returns. Then the calls
        with its key get it in every process that uses the ledger.

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
            query: The query of the URL that fal has called, such as `request.url.query`. By a token in it, the
                ledger finds a request whose id is not known yet. Default "": such an event goes to `on_event`.

        Returns:
            What was done with the delivery.

        Raises:
            WebhookVerificationError: If fal did not send the delivery.
            ConfigurationError: If `headers`, `body` or `query` have the wrong type, or the store's `claim` does not
                return a `Claim`.
            LedgerError: If the ledger can't be read or written.
            FalError: If fal's keys can't be fetched, such as TransportError; or if the delivery lacks the outcome
                of a request with a key, and the result can't be fetched.
            Exception: Whatever `on_event` or the store raises. After an error of `on_event` the event's claim is
                released, and the next delivery calls `on_event` again.
        """
        token = token_in(query)
        event = await self.verifier.verify(headers, body, client=client)
        is_first = await self._stored(event, token)
        if is_first is not None and (self.on_event is None or _is_awaited(token)):
            return Receipt.HANDLED if is_first else Receipt.DUPLICATE
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

    async def _stored(self, event: WebhookEvent, token: ClaimToken | None) -> bool | None:
        """Store the outcome in the ledger; see `StoreDelivery`. A task that waits for the event has no key."""
        if self._store_delivery is None or self.arrivals.expects(event.request_id):
            return None
        text = None if token is None else token.text
        return await self._store_delivery(event, text, fetch_units=self.fetch_units)

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


def _is_awaited(token: ClaimToken | None) -> bool:
    """Whether the request was submitted by `subscribe(mode="webhook")`, whose callers get the outcome."""
    return token is not None and token.purpose == "wait"
