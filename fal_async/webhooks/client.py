"""`session.webhooks`: attach a receiver, verify deliveries, and fetch the keys that verify them (protocol 8).

Citations such as (protocol 8.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

from fal_async.config import Hosts
from fal_async.errors import (
    ConfigurationError,
    short_tracebacks,
)
from fal_async.protocol.http import HttpRequest, Operation
from fal_async.protocol.webhook_events import WebhookEvent
from fal_async.protocol.webhooks import KEY_SET_PATH, META_PATH, HeaderFields
from fal_async.transport import Transport
from fal_async.webhooks.receiver import EventCallback, StoreDelivery, WebhookReceiver
from fal_async.webhooks.seen_store import MemoryStore, SeenStore
from fal_async.webhooks.verifier import WebhookVerifier


@short_tracebacks
class Webhooks:
    """Receive and verify webhook deliveries: `session.webhooks` (protocol 8).

    Attributes:
        receiver: The receiver that the last `attach` returned, which `subscribe(mode="webhook")` uses; None before
            the first `attach`.
    """

    def __init__(
        self, transport: Transport, hosts: Hosts, store_delivery: StoreDelivery | None = None
    ) -> None:
        self._transport, self._hosts, self._store_delivery = transport, hosts, store_delivery
        self._verifier: WebhookVerifier | None = None
        self.receiver: WebhookReceiver | None = None

    def attach(
        self,
        url: str,
        *,
        on_event: EventCallback | None = None,
        store: SeenStore | None = None,
        verifier: WebhookVerifier | None = None,
        check_address: bool = False,
        fetch_units: bool = False,
    ) -> WebhookReceiver:
        """Make a receiver of webhook deliveries and attach it to this session, in place of an earlier receiver.

        Args:
            url: The public http(s) URL at which fal reaches this process.
            on_event: Called once with each event that no task of this process waits for, except those of
                `subscribe(mode="webhook", key=...)`, which the ledger stores; may be async. fal allows 15 s for the
                first delivery (protocol 8.2), so longer work must run elsewhere. None (default): such events are
                only marked as handled.
            store: Remembers which events were handled that the ledger does not store. None (default): a
                `MemoryStore`, for one process.
            verifier: Checks that fal sent the deliveries. None (default): a verifier that fetches fal's keys from
                this session's hosts.
            check_address: Whether deliveries from addresses that `GET /v1/meta` does not list are also refused
                (protocol 8.2); default False. Can't be combined with `verifier`.
            fetch_units: Whether each delivered result is fetched from fal, with one HTTP request, because only that
                response has `billable_units`; for `mode="webhook"` and for requests of the ledger. Default False.

        Returns:
            The receiver. Serve it with `webhook_route` or `webhook_router`, or call its `receive` in your own
            handler.

        Raises:
            ConfigurationError: If `url` is not an http(s) URL, another argument is invalid, or the extra
                `webhooks` is not installed.
        """
        if verifier is not None and check_address:
            raise ConfigurationError(
                "check_address=True can't be combined with verifier: pass fetch_ranges to your WebhookVerifier"
            )
        if verifier is None:
            verifier = self.make_verifier(check_address=True) if check_address else self.verifier
        self.receiver = WebhookReceiver(
            url,
            verifier,
            on_event=on_event,
            store=MemoryStore() if store is None else store,
            fetch_units=fetch_units,
            store_delivery=self._store_delivery,
        )
        return self.receiver

    def receiver_for(self, webhook_url: str | None) -> WebhookReceiver:
        """Return the receiver for `subscribe(mode="webhook")`.

        Args:
            webhook_url: The caller's argument, which must be None.

        Raises:
            ConfigurationError: If no receiver is attached, or `webhook_url` is not None: fal calls only one URL.
        """
        if self.receiver is None:
            raise ConfigurationError(
                "mode='webhook' needs a receiver: call fal.webhooks.attach(public_url) and serve it"
            )
        if webhook_url is not None:
            raise ConfigurationError(
                "webhook_url can't be combined with mode='webhook', which uses the attached receiver's URL"
            )
        return self.receiver

    async def verify(
        self, headers: HeaderFields, body: bytes | bytearray, *, client: str | None = None
    ) -> WebhookEvent:
        """Verify a delivery that your own code received, with this session's `verifier`.

        Repeated deliveries are not detected. Cancelling is safe: a running fetch of fal's keys continues, and later
        checks use the keys.

        Args:
            headers: The headers of the HTTP request: a mapping with names in any case, or pairs.
            body: The raw body.
            client: The sender's IP address, which this verifier does not check. Default None.

        Returns:
            The event.

        Raises:
            WebhookVerificationError: If fal did not send the delivery. Answer 401.
            ConfigurationError: If `headers` or `body` have the wrong type, or the extra `webhooks` is not
                installed.
            FalError: If fal's keys can't be fetched, such as TransportError. Answer 5xx, and fal delivers again.
        """
        return await self.verifier.verify(headers, body, client=client)

    @property
    def verifier(self) -> WebhookVerifier:
        """The session's verifier, made on first use.

        Raises ConfigurationError if the extra `webhooks` is not installed.
        """
        if self._verifier is None:
            self._verifier = self.make_verifier()
        return self._verifier

    def make_verifier(self, *, check_address: bool = False) -> WebhookVerifier:
        """Return a new verifier that fetches fal's keys from this session's hosts.

        Args:
            check_address: Whether it also checks the sender's address (protocol 8.2); default False.

        Raises:
            ConfigurationError: If the extra `webhooks` is not installed.
        """
        return WebhookVerifier(self.fetch_keys, fetch_ranges=self.fetch_ranges if check_address else None)

    async def aclose(self) -> None:
        """Cancel running fetches of fal's keys. The session calls this method when it is closed.

        Cancelling is safe: `aclose` can be called again. Raises nothing.
        """
        for verifier in {self._verifier, self.receiver.verifier if self.receiver else None}:
            if verifier is not None:
                await verifier.aclose()

    async def fetch_keys(self) -> bytes:
        """Return the body of fal's key set (protocol 8.3), for a `WebhookVerifier` that you make yourself.

        Cancelling is safe.

        Raises:
            ApiError: If fal answers with an error.
            TransportError: If fal can't be reached.
        """
        return await self._fetch(f"{self._hosts.rest}{KEY_SET_PATH}")

    async def fetch_ranges(self) -> bytes:
        """Return the body of `GET /v1/meta` (protocol 8.2), for a `WebhookVerifier` that you make yourself.

        Cancelling is safe.

        Raises:
            ApiError: If fal answers with an error.
            TransportError: If fal can't be reached.
        """
        return await self._fetch(f"{self._hosts.platform}{META_PATH}")

    async def _fetch(self, url: str) -> bytes:
        # Both URLs are public and need no API key (protocol 8.3, 11.2).
        request = HttpRequest(operation=Operation.READ, method="GET", url=url, auth=False)
        return (await self._transport.send(request)).body
