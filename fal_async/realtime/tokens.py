"""The tokens of realtime handshakes: fetched once per app and reused, or provided by the user (protocol 6.2).

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from fal_async.callbacks import awaited
from fal_async.errors import ConfigurationError, Secret
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.http import HttpRequest
from fal_async.protocol.realtime import Token, TokenForm, is_token, parse_token
from fal_async.single_flight import SingleFlight
from fal_async.transport import Transport

TokenProvider = Callable[[str], str] | Callable[[str], Awaitable[str]]
"""Called with the endpoint id and path before each handshake; returns a token that was fetched elsewhere."""


class RealtimeTokens:
    """The tokens of one set of credentials, by app. All views of a session with these credentials share them."""

    def __init__(self) -> None:
        self._by_app: dict[tuple[TokenForm, str], SingleFlight[Token]] = {}

    def of(self, endpoint: EndpointId, form: TokenForm) -> SingleFlight[Token]:
        name = endpoint.app_id if form == "alias" else endpoint.full
        return self._by_app.setdefault((form, name), SingleFlight())


class TokenSource(Protocol):
    """Where the tokens of one connection come from."""

    async def get(self) -> str: ...

    def rejected(self, in_a_row: int) -> bool:
        """Record that the last token of `get` was rejected. Return whether another token may be accepted.

        `in_a_row`: the number of rejections without a message in between, this one included.
        """
        ...


class ProvidedToken:
    def __init__(self, provider: TokenProvider, app: str) -> None:
        self._provider, self._app = provider, app

    async def get(self) -> str:
        token = await awaited(self._provider(self._app))
        if not isinstance(token, str) or not is_token(token):
            raise ConfigurationError(
                f"token_provider returned a {type(token).__name__}: expected a token, as a str of printable ASCII"
            )
        return Secret(token)

    def rejected(self, in_a_row: int) -> bool:
        return in_a_row == 1


class FetchedToken:
    """A token that fal issues for `request`, valid for `seconds`. `tokens` keeps it for further connections."""

    def __init__(
        self, transport: Transport, request: HttpRequest, *, seconds: int, tokens: SingleFlight[Token]
    ) -> None:
        self._transport, self._request, self._seconds = transport, request, seconds
        self._tokens = tokens
        self._given: Token | None = None
        self._is_new = False

    async def get(self) -> str:
        known = self._tokens.value
        self._given = await self._tokens.get(lambda token: token.use_until > time.time(), self._fetch)
        self._is_new = self._given is not known
        return self._given.text

    async def _fetch(self) -> Token:
        asked_at = time.time()
        return parse_token(await self._transport.send(self._request), asked_at, self._seconds)

    def rejected(self, in_a_row: int) -> bool:
        """Discard the token. Return whether another one may be accepted.

        A kept token may have expired or been revoked. But if this is not the first rejection in a row, and the
        token was new, fal refuses this user.
        """
        if self._tokens.value is self._given:
            self._tokens.value = None
        return in_a_row == 1 or not self._is_new
