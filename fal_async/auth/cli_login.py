"""The login of fal's command line as a source of keys."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fal_async.errors import ApiError, AuthenticationError, ConfigurationError
from fal_async.protocol.cli_login import (
    LoginFile,
    access_token_of,
    is_fresh,
    parse_login_file,
    refresh_request,
)

if TYPE_CHECKING:
    from fal_async.transport import Transport

LOGIN_FILE = "auth0_token"


class Login:
    """Read only; its token is refreshed in memory (protocol 1.4)."""

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
