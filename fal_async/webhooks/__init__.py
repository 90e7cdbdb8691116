"""Webhooks: verified deliveries, a receiver that handles each once, tasks that wait for theirs (protocol 8).

`client.py` is `session.webhooks`, `receiver.py` takes deliveries in, `verifier.py` checks that they are fal's,
`seen_store.py` remembers which were handled. A name is loaded when it is first used: the stores need no asyncio.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fal_async.protocol.webhook_events import WebhookEvent
    from fal_async.webhooks.client import Webhooks
    from fal_async.webhooks.receiver import EventCallback, Receipt, WebhookReceiver
    from fal_async.webhooks.seen_store import Claim, MemoryStore, SeenStore
    from fal_async.webhooks.verifier import WebhookVerifier

_HOMES = {
    "Claim": "webhooks.seen_store",
    "EventCallback": "webhooks.receiver",
    "MemoryStore": "webhooks.seen_store",
    "Receipt": "webhooks.receiver",
    "SeenStore": "webhooks.seen_store",
    "WebhookEvent": "protocol.webhook_events",
    "WebhookReceiver": "webhooks.receiver",
    "WebhookVerifier": "webhooks.verifier",
    "Webhooks": "webhooks.client",
}

__all__ = [
    "Claim",
    "EventCallback",
    "MemoryStore",
    "Receipt",
    "SeenStore",
    "WebhookEvent",
    "WebhookReceiver",
    "WebhookVerifier",
    "Webhooks",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"fal_async.{home}"), name)
