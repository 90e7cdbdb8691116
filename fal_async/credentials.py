"""Where the key comes from: a text, a function asked for each request, or the command line's login."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fal_async.config import Credentials, authorization
from fal_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    FalError,
    TransportError,
)
from fal_async.protocol.login import LoginFile, access_token_of, is_fresh, parse_login_file, refresh_request

if TYPE_CHECKING:
    from fal_async.transport import Transport

LOGIN_FILE = "auth0_token"


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


class Login:
    """The login of fal's command line, read only; its token is refreshed in memory (protocol 1.4)."""

    def __init__(self, home: str) -> None:
        self._path = Path(home).expanduser() / LOGIN_FILE
        self._token: str | None = None
        self._refused: str | None = None
        self._lock = asyncio.Lock()

    async def header(self, transport: Transport) -> str | None:
        now = time.time()
        if self._token is None or not is_fresh(self._token, now):
            async with self._lock:  # one refresh, however many requests need it
                if self._token is None or not is_fresh(self._token, now):
                    self._token = await self._find(transport, now)
        return None if self._token is None else f"Bearer {self._token}"

    def renew(self) -> bool:
        refused, self._token = self._token, None
        changed = refused is not None and refused != self._refused
        self._refused = refused
        return changed

    async def _find(self, transport: Transport, now: float) -> str | None:
        login = await asyncio.to_thread(self._read)
        if login is None:
            return None
        stored = login.access_token
        if stored is not None and stored != self._refused and is_fresh(stored, now):
            return stored
        return await self._refresh(transport, login)

    def _read(self) -> LoginFile | None:
        try:
            return parse_login_file(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"the fal login at {self._path} can't be read ({type(error).__name__}): set FAL_KEY instead"
            ) from error

    async def _refresh(self, transport: Transport, login: LoginFile) -> str:
        request = refresh_request(transport.settings.hosts, login)
        try:
            response = await transport.send(request)
        except ApiError as error:
            raise AuthenticationError(
                "the fal login has expired: run `fal auth login` again, or set FAL_KEY", status=error.status
            ) from error
        return access_token_of(response)


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
    return Login(home)
