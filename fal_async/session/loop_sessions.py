"""Sessions that are closed with their event loop, for calls in loops that the caller does not control."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from fal_async.session.facade import Session
from fal_async.session.view import View

_CLOSING_LIMIT = 10.0
"""Seconds for which a thread waits until the sessions are closed, which takes about 7 seconds at most."""


class LoopSessions:
    """The sessions of one event loop, by any key. It replaces the loop's `close` method, so that it can close them.

    asyncio does not notify anyone that a loop is closed. This object has the only reference to the sessions, so
    that they exist as long as the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._close = loop, loop.close
        self.sessions: dict[object, Session] = {}

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> LoopSessions:
        """Return the replacement of this loop's `close`, which is installed on the first call."""
        kept = loop.close
        if not isinstance(kept, cls):
            kept = cls(loop)
            setattr(loop, "close", kept)  # noqa: B010  type checkers reject an assignment to the attribute
        return kept

    def __call__(self) -> None:
        try:
            if not self._loop.is_running():  # else the loop's own `close` raises
                self._close_sessions(tuple(self.sessions.values()))
                self.sessions = {}
        finally:
            self._close()
            if vars(self._loop).get("close") is self:
                del self._loop.close

    def close_session(self, key: object) -> None:
        """Close the session with a key, if there is one, before its loop is closed.

        If the loop is running in this thread, the session is closed later, with its loop.
        """
        session = self.sessions.get(key)
        if session is None or (self._loop.is_running() and self._loop is _running_loop()):
            return
        del self.sessions[key]
        self._close_sessions((session,))

    def _close_sessions(self, sessions: tuple[Session, ...]) -> None:
        if not sessions or self._loop.is_closed():
            return
        if self._loop.is_running():
            asyncio.run_coroutine_threadsafe(_close_all(sessions), self._loop).result(_CLOSING_LIMIT)
        elif _running_loop() is None:
            self._loop.run_until_complete(_close_all(sessions))
        else:
            # Another loop is running in this thread, so this loop can only run in another thread.
            closing = threading.Thread(target=lambda: self._loop.run_until_complete(_close_all(sessions)))
            closing.start()
            closing.join(_CLOSING_LIMIT)


class SessionOfEachLoop(Session):
    """A session for tests, which may be used in several event loops: its first call in a loop opens one there.

    Args:
        make: returns a new session, or in a view of this object a new view of the running loop's session.
    """

    def __init__(self, make: Callable[[], Session]) -> None:
        self._make, self._without_loop = make, make()
        self._parent = None
        self._loops: list[asyncio.AbstractEventLoop] = []
        self._views: list[SessionOfEachLoop] = []

    @property
    def _view(self) -> View:  # type: ignore[override]
        return self._here()._view

    def with_options(self, **options: Any) -> Session:
        """Create a view, as `Session.with_options` does, that may also be used in several event loops."""
        view = SessionOfEachLoop(lambda: self._here().with_options(**options))
        self._views.append(view)
        return view

    def close_all(self) -> None:
        """Close the sessions of all loops that are not closed."""
        for session in (*self._views, self):
            for loop in session._loops:
                if not loop.is_closed():
                    LoopSessions.of(loop).close_session(session)

    def _here(self) -> Session:
        """Return the session of the running loop; without a running loop, one that is not open."""
        loop = _running_loop()
        if loop is None:
            return self._without_loop
        sessions = LoopSessions.of(loop).sessions
        if self not in sessions:
            sessions[self] = self._make()
            self._loops.append(loop)
        return sessions[self]


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _close_all(sessions: tuple[Session, ...]) -> None:
    await asyncio.gather(*(session.aclose() for session in sessions))
