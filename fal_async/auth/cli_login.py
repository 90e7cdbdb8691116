"""The login of fal's command line as a key source."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from fal_async.auth.credentials import Rotation, Send
from fal_async.auth.key_text import NO_KEY, authorization
from fal_async.config import Hosts
from fal_async.errors import ApiError, AuthenticationError, ConfigurationError, TransportError
from fal_async.protocol.cli_login import (
    LoginFile,
    access_token_of,
    is_fresh,
    parse_login_file,
    refresh_request,
)
from fal_async.single_flight import SingleFlight

LOGIN_FILE = "auth0_token"


def login_path(home: str) -> Path | None:
    """Return the path of the login file; None if the user has no home directory, as in some containers."""
    try:
        return Path(home).expanduser() / LOGIN_FILE
    except RuntimeError:
        return None


class CliLogin:
    """Reads the login file, and never writes it. The token is refreshed in memory (protocol 1.4)."""

    def __init__(self, home: str, hosts: Hosts) -> None:
        self._home, self._hosts = home, hosts
        self._token, self._rotation = SingleFlight[str](), Rotation()

    async def header(self, send: Send) -> str | None:
        token = await self._token.get(self._is_good, lambda: self._find(send))
        if not token:
            raise ConfigurationError(NO_KEY)
        return self._rotation.given(authorization(f"Bearer {token}"))

    def refused(self, header: str) -> bool:
        return self._rotation.refused(header)

    def _is_good(self, token: str) -> bool:
        return not self._rotation.is_refused(f"Bearer {token}") and is_fresh(token, time.time())

    async def _find(self, send: Send) -> str:
        """Return a valid access token, refreshed if necessary; `""` if there is no login."""
        try:
            login = await asyncio.to_thread(self._read)
        except RuntimeError:  # no thread can be started, for example because the loop is being closed
            login = self._read()
        if login is None:
            return ""
        if login.access_token is not None and self._is_good(login.access_token):
            return login.access_token
        return await self._refresh(send, login)

    def _read(self) -> LoginFile | None:
        path = login_path(self._home)
        if path is None:
            return None
        try:
            return parse_login_file(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the fal login at {path} can't be read ({type(error).__name__}): set FAL_KEY instead"
            ) from error

    async def _refresh(self, send: Send, login: LoginFile) -> str:
        try:
            response = await send(refresh_request(self._hosts, login))
        except ApiError as error:
            if error.status >= 500 or error.status == 429:
                raise TransportError(f"fal's login service responded with {error.status}") from error
            raise AuthenticationError(
                "the fal login has expired: run `fal auth login` again, or set FAL_KEY", status=error.status
            ) from error
        return access_token_of(response)
