"""`fal_async.run(...)` and its like, for scripts and notebooks: a session that nobody has to open or close.

One session is kept for each running event loop and each environment, and closed when that loop is closed,
so these work across several `asyncio.run` calls, and a changed FAL_KEY is never answered with the old one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from fal_async.environment import Environment, from_env
from fal_async.errors import shortened
from fal_async.models import T
from fal_async.session import Session
from fal_async.streaming import Beginning, EventStream

P = ParamSpec("P")
R = TypeVar("R")

_CLOSING_LIMIT = 10.0
"""Seconds; a session closes within some seven."""


class _ClosesSessionsFirst:
    """In place of a loop's `close`: asyncio tells nobody that a loop ends, unless `asyncio.run` ends it.

    The sessions are kept here, on the loop itself, so that they are gone when the loop is.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._close = loop, loop.close
        self.sessions: dict[Environment, Session] = {}

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _ClosesSessionsFirst:
        """The one of this loop."""
        kept = loop.close
        if not isinstance(kept, cls):
            kept = cls(loop)
            setattr(loop, "close", kept)  # noqa: B010  as an attribute, type checkers take it for a mistake
        return kept

    def __call__(self) -> None:
        try:
            if not self._loop.is_running():  # where it runs, its own `close` says so
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
            # Another loop runs in this thread: until that one is done, none can run here.
            closing = threading.Thread(target=lambda: self._loop.run_until_complete(_close_all(sessions)))
            closing.start()
            closing.join(_CLOSING_LIMIT)


async def _close_all(sessions: tuple[Session, ...]) -> None:
    await asyncio.gather(*(session.aclose() for session in sessions))


async def current_session() -> Session:
    """The kept session of the running loop."""
    kept = _ClosesSessionsFirst.of(asyncio.get_running_loop()).sessions
    environment = from_env()
    session = kept.get(environment)
    if session is None or session.closed:
        session = kept[environment] = await Session().open()
    return session


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
