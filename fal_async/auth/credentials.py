"""Key sources: a fixed `str`, or a function that is called for each attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from fal_async.auth.key_text import authorization
from fal_async.callbacks import awaited
from fal_async.errors import ConfigurationError, TransportError
from fal_async.protocol.http import HttpRequest, HttpResponse

Send = Callable[[HttpRequest], Awaitable[HttpResponse]]
"""Sends an HTTP request that needs no fal key, such as the one that refreshes a token."""


class KeySource(Protocol):
    """Provides the `Authorization` header. It may take long, because a request gets its connection only later."""

    async def header(self, send: Send) -> str | None:
        """Return the header for the next attempt; None for an attempt without a key.

        Raises:
            ConfigurationError: there is no key, or it is malformed.
        """
        ...

    def refused(self, header: str) -> bool:
        """Record that fal refused this header. Return whether to ask the source again, which may have a new key."""
        ...


class NoKey:
    """Sends no fal key, for `ANONYMOUS`, for a proxy that adds the key, or for a transport of the caller."""

    async def header(self, _: Send) -> str | None:
        return None

    def refused(self, _: str) -> bool:
        return False


class FixedKey:
    """One fal key, which never changes."""

    def __init__(self, value: str) -> None:
        self.value = value

    async def header(self, _: Send) -> str | None:
        return self.value

    def refused(self, _: str) -> bool:
        return False


class Rotation:
    """Distinguishes a key that was replaced while an HTTP request used it from a key that is wrong."""

    def __init__(self) -> None:
        self._refused: str | None = None
        self._wrong: str | None = None  # a header that the source returned again after fal had refused it

    def given(self, header: str) -> str:
        """Record the header that the source returns now."""
        self._wrong = header if header == self._refused else None
        return header

    def refused(self, header: str) -> bool:
        """Return whether asking the source again may help: False if it returned the refused header twice."""
        self._refused = header
        return header != self._wrong

    def is_refused(self, header: str) -> bool:
        """Return whether fal refused this header last."""
        return header == self._refused


class AskedKey:
    """A function, async or not, that is called for each attempt."""

    def __init__(self, function: Callable[[], str] | Callable[[], Awaitable[str]]) -> None:
        self._function = function
        self._rotation = Rotation()

    async def header(self, _: Send) -> str | None:
        text = await self._ask()
        if not isinstance(text, str):
            raise ConfigurationError(
                f"the credentials function returned a {type(text).__name__}: expected str 'key_id:key_secret'"
            )
        return self._rotation.given(authorization(text))

    async def _ask(self) -> object:
        try:
            return await awaited(self._function())
        except ConfigurationError:
            raise
        except Exception as error:
            # Treated like a failed connection: nothing was sent, and a request that is followed is polled again.
            # This is right even for a FalError, because it is not fal's response to this request.
            raise TransportError(f"the credentials function failed ({type(error).__name__})") from error

    def refused(self, header: str) -> bool:
        return self._rotation.refused(header)
