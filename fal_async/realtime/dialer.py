"""The handshakes of a realtime connection (protocol 6.1), and a second one if a kept token is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from fal_async.config import Settings
from fal_async.errors import AuthenticationError, PermissionDeniedError
from fal_async.protocol.endpoint import EndpointId
from fal_async.protocol.realtime import realtime_url
from fal_async.realtime.tokens import TokenSource
from fal_async.transport import Transport, WebSocket


class Dialer:
    """Opens the WebSockets of one connection, each with a valid token."""

    def __init__(
        self,
        transport: Transport,
        settings: Settings,
        endpoint: EndpointId,
        *,
        max_buffering: int | None,
        max_message_size: int,
        heartbeat: float | None,
        connect_timeout: float,
        headers: Mapping[str, str],
        token: TokenSource | None,
    ) -> None:
        self._transport, self._settings = transport, settings
        self._endpoint, self._max_buffering = endpoint, max_buffering
        self._max_message_size, self._heartbeat = max_message_size, heartbeat
        self._connect_timeout, self._headers, self._token = connect_timeout, headers, token

    async def dial(self, exits: contextlib.AsyncExitStack) -> WebSocket:
        """Open a WebSocket, which `exits` closes. Raises the errors of the token service and of the handshake."""
        try:
            return await self._handshake(exits)
        except (AuthenticationError, PermissionDeniedError):
            if not self.token_rejected(1):
                raise
        return await self._handshake(exits)

    def token_rejected(self, in_a_row: int) -> bool:
        """Record that the token was rejected. Return whether a new token may help.

        `in_a_row`: the number of rejections without a message in between, this one included.
        """
        return self._token is not None and self._token.rejected(in_a_row)

    async def _handshake(self, exits: contextlib.AsyncExitStack) -> WebSocket:
        token = None if self._token is None else await self._token.get()
        return await exits.enter_async_context(
            self._transport.websocket(
                realtime_url(self._settings, self._endpoint, token, self._max_buffering),
                headers=self._headers,
                auth=token is None,
                max_size=self._max_message_size,
                heartbeat=self._heartbeat,
                connect_timeout=self._connect_timeout,
                endpoint_id=self._endpoint.full,
            )
        )
