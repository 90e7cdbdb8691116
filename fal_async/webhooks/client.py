"""`session.webhooks`: attaches receivers, verifies deliveries, fetches what that takes (protocol 8)."""

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
from fal_async.webhooks.receiver import EventCallback, WebhookReceiver
from fal_async.webhooks.seen_store import MemoryStore, SeenStore
from fal_async.webhooks.verifier import WebhookVerifier


@short_tracebacks
class Webhooks:
    """`session.webhooks`."""

    def __init__(self, transport: Transport, hosts: Hosts) -> None:
        self._transport, self._hosts = transport, hosts
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
        self.receiver = WebhookReceiver(
            url, verifier, on_event=on_event, store=MemoryStore() if store is None else store
        )
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
        for verifier in {self._verifier, self.receiver.verifier if self.receiver else None}:
            if verifier is not None:
                await verifier.aclose()

    async def fetch_keys(self) -> bytes:
        """The key set as it comes: for a `WebhookVerifier` of your own."""
        return await self._fetch(f"{self._hosts.rest}{KEY_SET_PATH}")

    async def fetch_ranges(self) -> bytes:
        """The answer of `GET /v1/meta`: for a `WebhookVerifier` of your own."""
        return await self._fetch(f"{self._hosts.platform}{META_PATH}")

    async def _fetch(self, url: str) -> bytes:
        # Both are public (protocol 8.3, 11.2).
        request = HttpRequest(operation=Operation.READ, method="GET", url=url, auth=False)
        return (await self._transport.send(request)).body
