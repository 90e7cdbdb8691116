"""What a session and its views have in common: the environment, the pool, and what is closed with it."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

from fal_async.closeable import Closeable
from fal_async.config import PoolOptions, Settings
from fal_async.environment import Environment
from fal_async.errors import SessionStateError
from fal_async.logs import turn_on_logs
from fal_async.transport import Transport

if TYPE_CHECKING:
    from fal_async.auth.credentials import KeySource
    from fal_async.queue.limits import Limits
    from fal_async.transport.pool import Pool

_STREAMS_WITHOUT_POOL = 450
"""Status streams at once over a transport that is not ours: as many as our own pool allows by default."""


class Shared:
    """One per session. The pool is made, and aiohttp loaded, when the session opens."""

    def __init__(self, environment: Environment, options: PoolOptions, transport: Transport | None) -> None:
        self.environment, self._options, self._transport = environment, options, transport
        self.open_parts: weakref.WeakSet[Closeable] = weakref.WeakSet()
        """Closed with the session, before its connections."""
        self._pool: Pool | None = None
        self._limits: Limits | None = None
        self._closed = False

    @property
    def state(self) -> str:
        """ "created", "open" or "closed"."""
        if self._pool is not None:
            return self._pool.state
        return "closed" if self._closed else "created"

    @property
    def closed(self) -> bool:
        """Whether it can't be used any more."""
        return self._closed if self._pool is None else self._pool.closed

    @property
    def leaks(self) -> bool:
        """Whether connections of our own are left open if nobody closes the session."""
        return self._pool is not None and self._pool.is_open

    @property
    def limits(self) -> Limits:
        """What following requests may use."""
        if self._limits is None:
            from fal_async.queue.limits import Limits, PollLimiter, StreamLimiter

            streams = _STREAMS_WITHOUT_POOL if self._transport is not None else self.pool.max_streams
            self._limits = Limits(polls=PollLimiter(), streams=StreamLimiter(streams))
        return self._limits

    @property
    def pool(self) -> Pool:
        if self._pool is None:
            from fal_async.transport.pool import Pool  # aiohttp is loaded when the first session opens

            turn_on_logs(self.environment.log)
            self._pool = Pool(self._options)
        return self._pool

    def open(self) -> None:
        """Open the pool now. SessionStateError once it was closed, or in another event loop."""
        if self._transport is None:
            self.pool.http()
        elif self._closed:
            raise SessionStateError("the session is closed: open a new one")

    def transport_for(self, settings: Settings, keys: KeySource) -> Transport:
        """What sends the requests of one view."""
        if self._transport is not None:
            return self._transport
        from fal_async.transport.aiohttp_transport import AiohttpTransport

        return AiohttpTransport(self.pool, settings, keys)

    async def aclose(self) -> None:
        """Close the open parts, then every connection. Closing twice is no error."""
        if self._transport is None:
            self.pool.check_loop()
        try:
            # Side by side: a peer that does not answer a close frame costs seconds.
            await asyncio.gather(*(part.aclose() for part in tuple(self.open_parts)))
        finally:
            self._closed = True
            if self._pool is not None:
                await self._pool.aclose()
