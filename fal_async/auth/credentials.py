"""Sources of the key: one fixed `str`, or a function that is asked for each attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from fal_async.auth.key_text import authorization
from fal_async.callbacks import awaited
from fal_async.errors import ConfigurationError, TransportError
from fal_async.protocol.http import HttpRequest, HttpResponse

Send = Callable[[HttpRequest], Awaitable[HttpResponse]]
"""Sends a request that needs no key itself, such as the one for a fresh token."""


class KeySource(Protocol):
    """Gives the `Authorization` header. It is asked before a request takes a connection, so it may be slow."""

    async def header(self, send: Send) -> str | None:
        """The header for the next attempt; None where it goes without a key. ConfigurationError: there is none."""
        ...

    def refused(self, header: str) -> bool:
        """Note that fal refused this header. Whether asking again may give another one."""
        ...


class NoKey:
    """Requests go without a key: the user asked for that, a proxy has one, or the transport is the user's own."""

    async def header(self, _: Send) -> str | None:
        return None

    def refused(self, _: str) -> bool:
        return False


class FixedKey:
    """One key for the life of the session."""

    def __init__(self, value: str) -> None:
        self.value = value

    async def header(self, _: Send) -> str | None:
        return self.value

    def refused(self, _: str) -> bool:
        return False


class Rotation:
    """Tells a key that was rotated while its request was on the way from one that is simply wrong."""

    def __init__(self) -> None:
        self._refused: str | None = None
        self._wrong: str | None = None
        """What the source gave again after fal had refused it."""

    def given(self, header: str) -> str:
        """Note what the source gives now."""
        self._wrong = header if header == self._refused else None
        return header

    def refused(self, header: str) -> bool:
        """Whether asking the source again may help: not where it gave the refused header a second time."""
        self._refused = header
        return header != self._wrong

    def is_refused(self, header: str) -> bool:
        """Whether it is the header that fal refused last."""
        return header == self._refused


class AskedKey:
    """A function, async or not, that is asked for each attempt."""

    def __init__(self, function: Callable[[], str] | Callable[[], Awaitable[str]]) -> None:
        self._function = function
        self._rotation = Rotation()

    async def header(self, _: Send) -> str | None:
        text = await self._ask()
        if not isinstance(text, str):
            raise ConfigurationError(
                f"the credentials function gave a {type(text).__name__}: expected a text"
            )
        return self._rotation.given(authorization(text))

    async def _ask(self) -> object:
        try:
            return await awaited(self._function())
        except ConfigurationError:
            raise
        except Exception as error:
            # Treated like a failed connection: nothing was sent, so following a request goes on. Also for errors of
            # our own classes: a vault's 500, say, is not what fal answered to the request.
            raise TransportError(f"the credentials function failed ({type(error).__name__})") from error

    def refused(self, header: str) -> bool:
        return self._rotation.refused(header)
