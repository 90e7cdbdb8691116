"""The one place that touches aiohttp and backoff: connections, time limits, retries, errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fal_async.transport.aiohttp_transport import Transport
from fal_async.transport.pool import Pool
from fal_async.transport.response_body import OpenResponse

if TYPE_CHECKING:
    # For annotations: a session makes its WebSockets by `Transport.websocket`.
    from fal_async.transport.websocket import WebSocket

__all__ = ["OpenResponse", "Pool", "Transport", "WebSocket"]
