"""The login of fal's command line as a source of keys."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from fal_async.auth.credentials import Rotation, Send
from fal_async.config import Hosts
from fal_async.errors import ApiError, AuthenticationError, ConfigurationError
from fal_async.protocol.cli_login import (
    LoginFile,
    access_token_of,
    is_fresh,
    parse_login_file,
    refresh_request,
)
from fal_async.single_flight import SingleFlight

LOGIN_FILE = "auth0_token"


class CliLogin:
    """Read only; its token is refreshed in memory (protocol 1.4), once, however many requests need it."""

    def __init__(self, home: str, hosts: Hosts) -> None:
        self._path, self._hosts = Path(home).expanduser() / LOGIN_FILE, hosts
        self._token, self._rotation = SingleFlight[str](), Rotation()

    async def header(self, send: Send) -> str | None:
        token = await self._token.get(self._is_good, lambda: self._find(send))
        return self._rotation.given(f"Bearer {token}") if token else None

    def refused(self, header: str) -> bool:
        return self._rotation.refused(header)

    def _is_good(self, token: str) -> bool:
        return not self._rotation.is_refused(f"Bearer {token}") and is_fresh(token, time.time())

    async def _find(self, send: Send) -> str:
        """Empty where there is no login."""
        login = await asyncio.to_thread(self._read)
        if login is None:
            return ""
        if login.access_token is not None and self._is_good(login.access_token):
            return login.access_token
        return await self._refresh(send, login)

    def _read(self) -> LoginFile | None:
        try:
            return parse_login_file(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"the fal login at {self._path} can't be read ({type(error).__name__}): set FAL_KEY instead"
            ) from error

    async def _refresh(self, send: Send, login: LoginFile) -> str:
        try:
            response = await send(refresh_request(self._hosts, login))
        except ApiError as error:
            raise AuthenticationError(
                "the fal login has expired: run `fal auth login` again, or set FAL_KEY", status=error.status
            ) from error
        return access_token_of(response)
