"""`fal_async.run(...)` and the other module-level calls, for scripts and notebooks: they open and close a session.

One session is kept for each event loop and each set of environment variables, and closed with the loop. So the
calls work in several calls of `asyncio.run`, and a changed FAL_KEY is used by the next call.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

from fal_async.environment import Environment, from_env
from fal_async.errors import shortened
from fal_async.session import Session
from fal_async.streaming import Beginning, EventStream

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=EventStream[Any])

_CLOSING_LIMIT = 10.0
"""Seconds for which the loop's thread waits until the sessions are closed, which takes about 7 seconds at most."""


class _ClosesSessionsFirst:
    """Replaces the `close` method of a loop, because asyncio does not notify anyone that a loop is closed.

    It has the only reference to the sessions, so that they exist as long as the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._close = loop, loop.close
        self.sessions: dict[Environment, Session] = {}

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _ClosesSessionsFirst:
        """Return the replacement of this loop's `close`, which is installed on the first call."""
        kept = loop.close
        if not isinstance(kept, cls):
            kept = cls(loop)
            setattr(loop, "close", kept)  # noqa: B010  type checkers reject an assignment to the attribute
        return kept

    def __call__(self) -> None:
        try:
            if not self._loop.is_running():  # else the loop's own `close` raises
                self._close_sessions()
        finally:
            self._close()
            if vars(self._loop).get("close") is self:
                del self._loop.close

    def _close_sessions(self) -> None:
        sessions, self.sessions = tuple(self.sessions.values()), {}
        if not sessions or self._loop.is_closed():
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._loop.run_until_complete(_close_all(sessions))
        else:
            # Another loop is running in this thread, so this loop can only run in another thread.
            closing = threading.Thread(target=lambda: self._loop.run_until_complete(_close_all(sessions)))
            closing.start()
            closing.join(_CLOSING_LIMIT)


async def _close_all(sessions: tuple[Session, ...]) -> None:
    await asyncio.gather(*(session.aclose() for session in sessions))


async def current_session() -> Session:
    """Return the session of the running loop and the present environment variables, opened on the first call."""
    kept = _ClosesSessionsFirst.of(asyncio.get_running_loop()).sessions
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
