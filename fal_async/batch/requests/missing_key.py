"""Tells whether a ConfigurationError is about one input, or about a session without an API key."""

from __future__ import annotations

import asyncio

from fal_async.auth.credentials import KeySource
from fal_async.errors import ConfigurationError, FalError
from fal_async.queue.operations import QueueOperations


async def affects_all(error: FalError, keys: KeySource, operations: QueueOperations) -> bool:
    """Return whether every further item would get this error, because the session has no API key.

    The API key is looked up only after a ConfigurationError, because a run that is complete in the ledger needs
    none.
    """
    if not isinstance(error, ConfigurationError):
        return False
    try:
        async with asyncio.timeout(operations.settings.timeouts.first_byte):
            await keys.header(operations.transport.send)
    except ConfigurationError:
        return True
    except (FalError, TimeoutError):
        return False
    return False
