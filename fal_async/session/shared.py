"""Everything that a session and its views share: the environment, the connection pool, open parts, ledgers.

Resources are created in `view.py: View`. What they learn for one set of credentials is stored in `view.py:
Learned`.
"""

from __future__ import annotations

import asyncio
import os
import warnings
import weakref
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fal_async.cancellation import OpenWaits
from fal_async.closeable import Closeable
from fal_async.config import PoolOptions, Settings
from fal_async.environment import Environment
from fal_async.session.guarded_transport import GuardedTransport, OwnTransport
from fal_async.session.logs import turn_on_logs
from fal_async.transport import Transport

if TYPE_CHECKING:
    from fal_async.auth.credentials import KeySource
    from fal_async.keyed.session_ledger import SessionLedger
    from fal_async.platform.schema_store import SchemaStore
    from fal_async.queue.limits import Limits
    from fal_async.transport.pool import Pool

_STREAMS_WITHOUT_POOL = 450
"""Maximum number of status streams over the caller's own transport: as many as our pool allows by default."""


class Shared:
    """The parts that a session and its views share. aiohttp is loaded when the session opens and creates its pool.

    Attributes:
        environment: the settings from environment variables.
        waits: the calls that wait for a request. Closing the session ends them and cancels their requests.
        open_parts: WebSockets, batches and webhooks. They are closed after the waits and before the connections.
    """

    def __init__(self, environment: Environment, options: PoolOptions, transport: Transport | None) -> None:
        self.environment: Environment = environment
        self._options = options
        self.waits: OpenWaits = OpenWaits()
        self.open_parts: weakref.WeakSet[Closeable] = weakref.WeakSet()
        self._own: OwnTransport | None = None
        if transport is not None:
            turn_on_logs(environment.log)
            self._own = OwnTransport(transport)
        self._pool: Pool | None = None
        self._limits: Limits | None = None
        self._ledgers: dict[object, SessionLedger] = {}

    @property
    def state(self) -> str:
        """The state: "created", "open" or "closed"."""
        if self._own is not None:
            return "closed" if self._own.closed else "open"
        return "created" if self._pool is None else self._pool.state

    @property
    def is_own(self) -> bool:
        """Whether requests are sent by a transport that the caller passed as `Session(transport=...)`."""
        return self._own is not None

    def __del__(self, _warn: Any = warnings.warn) -> None:
        """Warn if the pool is open. `Session` can't do this, because handles and resources may exist longer."""
        pool = self.__dict__.get("_pool")
        if pool is not None and pool.is_open:
            _warn(
                "unclosed <Session open>: use `async with`, or `await session.aclose()`",
                ResourceWarning,
                source=self,
            )

    @property
    def pool(self) -> Pool:
        """The connection pool, created on first use."""
        if self._pool is None:
            from fal_async.transport.pool import Pool  # loads aiohttp

            turn_on_logs(self.environment.log)
            self._pool = Pool(self._options, self.environment.proxies)
        return self._pool

    @property
    def limits(self) -> Limits:
        """The limiters of polls and status streams, created on first use."""
        if self._limits is None:
            from fal_async.queue.limits import Limits, PollLimiter, StreamLimiter

            streams = self.pool.max_streams if self._own is None else _STREAMS_WITHOUT_POOL
            self._limits = Limits(polls=PollLimiter(), streams=StreamLimiter(streams))
        return self._limits

    @cached_property
    def schemas(self) -> SchemaStore:
        """The schemas that were fetched. They are public, so views with any credentials share them."""
        from fal_async.platform.schema_store import SchemaStore

        return SchemaStore()

    def transport_for(self, settings: Settings, keys: KeySource) -> Transport:
        """Return the transport of a view with these settings and this key source."""
        if self._own is not None:
            return GuardedTransport(self._own, settings, keys)
        from fal_async.transport.aiohttp_transport import AiohttpTransport

        return AiohttpTransport(self.pool, settings, keys)

    def ledger_of(self, given: Any) -> SessionLedger:
        """Return the ledger for a path, URL or `Ledger`: all views with the same one share it.

        The first keyed call opens it.
        """
        from fal_async.keyed.session_ledger import SessionLedger

        name: object = os.fspath(given) if isinstance(given, str | os.PathLike) else id(given)
        if name not in self._ledgers:
            self._ledgers[name] = SessionLedger(given)
        return self._ledgers[name]

    @property
    def ledgers(self) -> tuple[SessionLedger, ...]:
        """The ledgers that views have used."""
        return tuple(self._ledgers.values())

    def open(self) -> None:
        """Open the pool. Raises SessionStateError if it was closed, or belongs to another event loop."""
        if self._own is None:
            self.pool.http()
        else:
            self._own.check_open()

    async def aclose(self) -> None:
        """End the waits, close the open parts, then every connection. Closing twice does nothing."""
        if self._own is None:
            self.pool.check_loop()
        interrupted = await self.waits.end()
        try:
            # Concurrently, because a peer that does not respond to the close frame takes 2 seconds.
            try:
                await asyncio.gather(*(part.aclose() for part in tuple(self.open_parts)))
            finally:
                await asyncio.gather(*(ledger.aclose() for ledger in self.ledgers))
        finally:
            if self._own is None:
                await self.pool.aclose()
            else:
                self._own.closed = True
        if interrupted:
            raise asyncio.CancelledError
