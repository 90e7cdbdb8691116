"""The schemas that a session has fetched, for a limited time. All views share them, because they are public."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial

import attrs

from fal_async.errors import FalError
from fal_async.protocol.schemas.endpoint_schema import EndpointSchema
from fal_async.single_flight import SingleFlight

logger: logging.Logger = logging.getLogger("fal_async")
Fetch = Callable[[], Awaitable[EndpointSchema]]
KEPT_FOR = 600.0
"""Seconds for which a schema is used before it is fetched again."""
FAILED_FOR = 30.0
"""Seconds after a failed fetch for which checks do without the schema."""
CHECK_LIMIT = 5.0
"""Seconds that a check waits for a schema."""
_MOST = 128
"""Maximum number of endpoints whose schemas are kept. One may have several 100 KB."""


@attrs.define(eq=False)
class _Entry:
    flight: SingleFlight[tuple[EndpointSchema, float]] = attrs.field(factory=SingleFlight)
    failed_at: float | None = None


class SchemaStore:
    """Fetches the schema of an endpoint once for all tasks that need it, and keeps it for 10 minutes.

    `clock` returns seconds; `limit` is how many seconds a check waits for a schema.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, limit: float = CHECK_LIMIT) -> None:
        self._clock, self._limit = clock, limit
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def get(self, endpoint_id: str, fetch: Fetch) -> EndpointSchema:
        """Return the kept schema, else that of `fetch`, whose errors are raised. A failure is not kept."""
        entry = self._entry(endpoint_id)
        schema, _ = await entry.flight.get(self._is_fresh, partial(self._timed, fetch))
        entry.failed_at = None
        return schema

    async def get_if_possible(self, endpoint_id: str, fetch: Fetch) -> EndpointSchema | None:
        """Return the schema for a check; None if it can't be had in time, and for 30 seconds after that.

        The first failure is logged.
        """
        entry = self._entry(endpoint_id)
        if self._failed_recently(entry):
            return None
        try:
            async with asyncio.timeout(self._limit):
                return await self.get(endpoint_id, fetch)
        except (FalError, TimeoutError) as error:
            if isinstance(error, FalError) and error.from_caller:
                raise
            if not self._failed_recently(entry):
                why = error if isinstance(error, FalError) else f"no answer within {self._limit:g} s"
                logger.debug("inputs of %s are not checked, as fal's schema is missing: %s", endpoint_id, why)
            entry.failed_at = self._clock()
            return None

    def _entry(self, endpoint_id: str) -> _Entry:
        entry = self._entries.setdefault(endpoint_id, _Entry())
        self._entries.move_to_end(endpoint_id)
        if len(self._entries) > _MOST:
            self._entries.popitem(last=False)
        return entry

    async def _timed(self, fetch: Fetch) -> tuple[EndpointSchema, float]:
        return await fetch(), self._clock()

    def _is_fresh(self, kept: tuple[EndpointSchema, float]) -> bool:
        return self._clock() - kept[1] < KEPT_FOR

    def _failed_recently(self, entry: _Entry) -> bool:
        return entry.failed_at is not None and self._clock() - entry.failed_at < FAILED_FOR
