"""The one place that touches aiohttp and backoff: connections, time limits, retries, errors."""

from __future__ import annotations

from fal_async.transport.pool import Pool
from fal_async.transport.sending import OpenResponse, Transport
from fal_async.transport.websocket import WebSocket

__all__ = ["OpenResponse", "Pool", "Transport", "WebSocket"]
