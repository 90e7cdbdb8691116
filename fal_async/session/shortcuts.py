"""`fal_async.run(...)` and the other module-level calls, for scripts and notebooks: they open and close a session.

One session is kept for each event loop and each set of environment variables, and closed with the loop. So the
calls work in several calls of `asyncio.run`, and a changed FAL_KEY is used by the next call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

from fal_async.environment import from_env
from fal_async.errors import shortened
from fal_async.session import Session
from fal_async.session.loop_sessions import LoopSessions
from fal_async.streaming import Beginning, EventStream

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=EventStream[Any])


async def current_session() -> Session:
    """Return the session of the running loop and the present environment variables, opened on the first call."""
    kept = LoopSessions.of(asyncio.get_running_loop()).sessions
    environment = from_env()
    session = kept.get(environment)
    if session is None or session.closed:
        session = kept[environment] = await Session().open()
    return session


def _shortcut(
    method: Callable[Concatenate[Session, P], Awaitable[R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Return a function with the signature of `method` that calls it on `current_session()`."""

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with shortened():
            return await method(await current_session(), *args, **kwargs)

    return call


def _stream_shortcut(
    method: Callable[Concatenate[Session, P], S],
) -> Callable[P, S]:
    """Return the same function for a stream. The stream is created at once, and gets the session when it begins."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> S:
        async def begin() -> Beginning:
            return await method(await current_session(), *args, **kwargs).begin()

        return cast(S, EventStream(begin))

    return call


run: Final = _shortcut(Session.run)
subscribe: Final = _shortcut(Session.subscribe)
submit: Final = _shortcut(Session.submit)
stream: Final = _stream_shortcut(Session.stream)
upload: Final = _shortcut(Session.upload)
