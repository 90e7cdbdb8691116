"""A store that kills its process at one call of one of its methods, as a power cut would."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Literal, cast

import attrs

from fal_async.ledger.store import Store


@attrs.frozen(kw_only=True)
class Kill:
    """The point at which to kill: before or after the `nth` call (from 1) of `method`; "any" means any method."""

    method: str
    when: Literal["before", "after"]
    nth: int = 1


class _KillingStore:
    def __init__(self, store: Store, kill: Kill) -> None:
        self._store, self._kill, self._left = store, kill, kill.nth

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._store, name)
        if not callable(inner) or self._kill.method not in ("any", name):
            return inner
        return functools.partial(self._called, inner)

    async def _called(self, inner: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        self._left -= 1
        strikes = self._left == 0
        if strikes and self._kill.when == "before":
            die()
        given = await inner(*args, **kwargs)
        if strikes:
            die()
        return given


def killing(store: Store, kill: Kill) -> Store:
    """Return a store that passes all calls to `store`, and kills the process at that point."""
    return cast("Store", _KillingStore(store, kill))


def die() -> None:
    """Kill the process, so that nothing is flushed or closed."""
    os.kill(os.getpid(), signal.SIGKILL)
