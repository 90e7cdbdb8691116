"""Webhooks: verify deliveries, handle each once, and pass results to tasks that wait for them (protocol 8).

`client.py` is `session.webhooks`, `receiver.py` receives deliveries, `verifier.py` checks that fal sent them, and
`seen_store.py` remembers which events were handled. Names are loaded on first use, so that importing a store does
not import asyncio.

Citations such as (protocol 8.2) are sections of `fal_async/protocol/README.md`.
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
