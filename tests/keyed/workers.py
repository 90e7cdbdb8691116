"""Several workers on one ledger, behind one URL to which fal delivers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
from aiohttp import web

from fal_async import FalError, Session, WebhookVerificationError
from fal_async.emulator import Emulator
from fal_async.webhooks import EventCallback, Receipt, WebhookReceiver
from tests.quick import session_on
from tests.servers.serving import listening


@attrs.define(eq=False)
class Door:
    """The public URL of the workers.

    Attributes:
        to: the worker that gets the next deliveries; the first one if None.
        receipts: what the workers did with the deliveries; None for one that was answered with an error.
        passes_query: whether the worker gets the query of the URL.
    """

    url: str = ""
    workers: list[Session] = attrs.field(factory=list)
    to: Session | None = None
    receipts: list[Receipt | None] = attrs.field(factory=list)
    passes_query: bool = True

    def receiver_of(self, fal: Session) -> WebhookReceiver:
        receiver = fal.webhooks.receiver
        assert receiver is not None
        return receiver

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        receiver = self.receiver_of(self.to or self.workers[0])
        query = request.rel_url.raw_query_string if self.passes_query else ""
        try:
            receipt = await receiver.receive(request.headers, await request.read(), query=query)
        except WebhookVerificationError:
            return web.Response(status=401)
        except (FalError, ConnectionError):
            self.receipts.append(None)
            return web.Response(status=503)
        self.receipts.append(receipt)
        return web.Response(status=503 if receipt is Receipt.BUSY else 200)


@asynccontextmanager
async def workers(
    emulator: Emulator, *ledgers: Any, on_event: EventCallback | None = None, fetch_units: bool = False
) -> AsyncIterator[Door]:
    """Open a session for each ledger, and serve the URL to which fal delivers to all of them."""
    door = Door()
    async with AsyncExitStack() as stack:
        for ledger in ledgers:
            door.workers.append(await stack.enter_async_context(session_on(emulator, ledger=ledger)))
        url = await stack.enter_async_context(listening(door.handle))  # closed before the sessions
        door.url = f"{url}/hook?app=1"
        for fal in door.workers:
            fal.webhooks.attach(door.url, on_event=on_event, fetch_units=fetch_units)
        yield door
