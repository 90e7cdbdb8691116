"""Where the key comes from: a text, a function asked for each request, or the command line's login."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from fal_async.config import Credentials, authorization
from fal_async.errors import ConfigurationError, FalError, TransportError

if TYPE_CHECKING:
    from fal_async.transport import Transport


class KeySource(Protocol):
    """Gives the `Authorization` header."""

    async def header(self, transport: Transport) -> str | None:
        """None: there is no key."""
        ...

    def renew(self) -> bool:
        """fal refused the key. Whether asking again may give another one."""
        ...


class NoKey:
    async def header(self, _: Transport) -> str | None:
        return None

    def renew(self) -> bool:
        return False


class FixedKey:
    def __init__(self, value: str) -> None:
        self.value = value

    async def header(self, _: Transport) -> str | None:
        return self.value

    def renew(self) -> bool:
        return False


class AskedKey:
    """A function, async or not, that is asked for each request."""

    def __init__(self, function: Callable[[], str] | Callable[[], Awaitable[str]]) -> None:
        self._function = function
        self._given: str | None = None
        self._refused: str | None = None

    async def header(self, _: Transport) -> str | None:
        text = await self._ask()
        if not isinstance(text, str):
            raise ConfigurationError(
                f"the credentials function gave a {type(text).__name__}: expected a text"
            )
        self._given = authorization(text)
        return self._given

    async def _ask(self) -> object:
        try:
            answer = self._function()
            return await answer if inspect.isawaitable(answer) else answer
        except FalError:
            raise
        except Exception as error:
            # As without a connection: nothing was sent, and whoever waits for a paid request bears with it.
            raise TransportError(f"the credentials function failed ({type(error).__name__})") from error

    def renew(self) -> bool:
        """Once for each key: it may have been rotated while the request was on its way."""
        changed, self._refused = self._given != self._refused, self._given
        return changed


def key_source(credentials: Credentials | None, env_key: str | None, home: str) -> KeySource:
    """The chain of protocol 1.4: what was given, the environment, the command line's login."""
    if callable(credentials):
        return AskedKey(credentials)
    if credentials is not None:
        if not isinstance(credentials, str):
            raise ConfigurationError(
                f"credentials is a {type(credentials).__name__}: expected 'key_id:key_secret' or a function"
            )
        return FixedKey(authorization(credentials))
    if env_key is not None:
        return FixedKey(authorization(env_key))
    from fal_async.auth.cli_login import Login

    return Login(home)
