"""`fal_async.run(...)` and its like, for scripts and notebooks: a session that nobody has to open or close.

One session is kept for each running event loop and each environment, and closed when that loop shuts down,
so these work across several `asyncio.run` calls, and a changed FAL_KEY is never answered with the old one.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from fal_async.environment import Environment, from_env
from fal_async.errors import shortened
from fal_async.models import T
from fal_async.session import Session
from fal_async.streaming import Beginning, EventStream

P = ParamSpec("P")
R = TypeVar("R")

_sessions: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Environment, Session]] = (
    weakref.WeakKeyDictionary()
)
_keepers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[AsyncGenerator[Session, None]]] = (
    weakref.WeakKeyDictionary()
)


async def current_session() -> Session:
    """The kept session of the running loop."""
    loop = asyncio.get_running_loop()
    kept = _sessions.setdefault(loop, {})
    environment = from_env()
    session = kept.get(environment)
    if session is None or session.closed:
        keeper = _keep_until_it_ends(loop)
        session = kept[environment] = await anext(keeper)
        _keepers.setdefault(loop, []).append(keeper)
    return session


async def _keep_until_it_ends(loop: asyncio.AbstractEventLoop) -> AsyncGenerator[Session, None]:
    # `asyncio.run` ends with `shutdown_asyncgens`, which closes this generator, and so the session.
    async with Session() as session:
        try:
            yield session
        finally:
            # A session knows its loop: kept any longer, it would keep the loop, too.
            _sessions.pop(loop, None)
            _keepers.pop(loop, None)


def _shortcut(
    method: Callable[Concatenate[Session, P], Awaitable[R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """The same call, with the same signature, on the kept session."""

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with shortened():
            return await method(await current_session(), *args, **kwargs)

    return call


def _stream_shortcut(
    method: Callable[Concatenate[Session, P], EventStream[T]],
) -> Callable[P, EventStream[T]]:
    """The same for a stream, which is made at once and looks for the session when it begins."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> EventStream[T]:
        async def begin() -> Beginning:
            return await method(await current_session(), *args, **kwargs).begin()

        return EventStream(begin)

    return call


run: Final = _shortcut(Session.run)
subscribe: Final = _shortcut(Session.subscribe)
submit: Final = _shortcut(Session.submit)
stream: Final = _stream_shortcut(Session.stream)
upload: Final = _shortcut(Session.upload)
