"""`fal.realtime`: makes realtime connections and checks their options (protocol 6).

Citations such as (protocol 4.2) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from fal_async.checks import check_function, check_int, check_seconds
from fal_async.closeable import Closeable
from fal_async.config import Settings
from fal_async.errors import ConfigurationError
from fal_async.options import clean_headers
from fal_async.protocol.endpoint import Endpoint, EndpointId
from fal_async.protocol.realtime import (
    DEFAULT_PATH,
    TOKEN_SECONDS,
    TokenForm,
    check_max_buffering,
    token_request,
)
from fal_async.protocol.reconnecting import Keep, Reconnect, Throttle, Unsent
from fal_async.realtime.codec import Codec, Decode, Encode
from fal_async.realtime.connection import RealtimeConnection
from fal_async.realtime.dialer import Dialer
from fal_async.realtime.reader import OnTimings
from fal_async.realtime.reconnecting import OnReconnect
from fal_async.realtime.tokens import FetchedToken, ProvidedToken, RealtimeTokens, TokenProvider, TokenSource
from fal_async.transport import Transport

DEFAULT_MAX_MESSAGE_SIZE = 64 * 1024 * 1024
_OPEN_TIMEOUT = 90.0
"""Seconds for a handshake, which may wait for a runner (protocol 6.1)."""
_CALLED_WITH = {
    "encode": ("message",),
    "decode": ("frame",),
    "token_provider": ("endpoint",),
    "on_reconnect": ("reconnected",),
    "on_timings": ("seconds",),
}


class Realtime:
    """Opens realtime connections: `fal.realtime`."""

    def __init__(
        self,
        transport: Transport,
        settings: Settings,
        *,
        tokens: RealtimeTokens,
        connections: weakref.WeakSet[Closeable],
    ) -> None:
        """`connections`: the open connections, which the session closes when it is closed."""
        self._transport, self._settings = transport, settings
        self._tokens, self._connections = tokens, connections

    def connect(
        self,
        endpoint_id: str | Endpoint[Any, Any],
        *,
        path: str = DEFAULT_PATH,
        # Messages
        max_buffering: int | None = None,
        encode: Encode | None = None,
        decode: Decode | None = None,
        throttle: float | None = None,
        max_message_size: int | None = DEFAULT_MAX_MESSAGE_SIZE,
        receive_buffer: int = 64,
        # Reconnecting
        reconnect: bool | Reconnect = True,
        keep: Keep = "latest",
        max_unsent: int = 64,
        heartbeat: float | None = 20.0,
        # Authentication
        use_token: bool = True,
        token_provider: TokenProvider | None = None,
        token_form: TokenForm = "alias",
        token_seconds: int = TOKEN_SECONDS,
        # Callbacks
        on_reconnect: OnReconnect | None = None,
        on_timings: OnTimings | None = None,
        # The handshake
        connect_timeout: float = _OPEN_TIMEOUT,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RealtimeConnection:
        """Return a connection to a model: `async with fal.realtime.connect("fal-ai/...") as connection:`.

        The connection is opened when the block is entered. For the errors of the handshake, see
        `RealtimeConnection`. fal's documentation: https://docs.fal.ai/model-apis/real-time/quickstart

        Args:
            endpoint_id: such as `"fal-ai/fast-lcm-diffusion"`, or an `Endpoint`.
            path: the endpoint's realtime path, added to the endpoint id; default "/realtime".
            max_buffering: how many messages the server buffers before it discards the oldest, 1 to 60. None
                (default): the app decides.
            encode: a function that converts a message into a frame: `bytes` for a binary frame, `str` for a text
                frame. For apps that use JSON, pass `json.dumps`. None (default): msgpack.
            decode: a function that converts a frame into a message, such as `json.loads`. None (default): msgpack.
            throttle: the shortest time between two sent messages, in seconds. If several messages are sent within
                this time, only the newest of them is sent, at the end of the time. None (default): no limit.
            max_message_size: the size of the largest message that can be received, in bytes. A larger one closes
                the connection. Default 64 MiB; None: no limit.
            receive_buffer: how many received messages are buffered; default 64. While the buffer is full, nothing
                is read from the connection, so that the server has to wait.
            reconnect: whether a lost connection is replaced: True (default), False, or a
                `Reconnect(attempts=..., ...)`. See `RealtimeConnection`.
            keep: which messages are kept while there is no connection. "latest" (default): only the newest. "all":
                up to `max_unsent`; when there are so many, `send` waits.
            max_unsent: how many messages are kept with `keep="all"`; default 64.
            heartbeat: seconds without any data from the server after which a ping is sent. If nothing arrives for
                as long again, the connection counts as lost. Default 20; None: no pings.
            use_token: whether the handshake is authenticated by a short-lived token for this app, which is fetched
                once and used for further connections, too. Default True. False: it is authenticated by the API key.
            token_provider: a function, async or not, that returns a token that was fetched elsewhere. It is called
                with the endpoint id and path before each handshake. None (default): see `use_token`.
            token_form: how the request for a token names the app: "alias" (default), or "path" for
                `/tokens/realtime`.
            token_seconds: the lifetime that is requested for a token, in seconds; default 120.
            on_reconnect: a function, async or not, that is called with a `Reconnected` when a lost connection was
                replaced. It may send, but it can't receive, because nothing is read until it returns. None
                (default): `recv` raises a RealtimeError if messages were not answered.
            on_timings: a function, async or not, that is called with the seconds that the model reports as its run
                time. It can't receive either. None (default): no function.
            connect_timeout: seconds for one handshake, which may wait for a runner; default 90.
            hint: fal prefers a runner that reported this hint. None (default): no hint.
            headers: further headers of the handshake. None (default): no further headers.

        Returns:
            A connection that is not open yet.

        Raises:
            ConfigurationError: an argument is wrong, or msgpack is needed and not installed.
        """
        check_max_buffering(max_buffering)
        counts = {"max_message_size": max_message_size, "receive_buffer": receive_buffer}
        for name, count in {**counts, "token_seconds": token_seconds}.items():
            check_int(name, count, least=1, or_none=True)
        for name, seconds in {"heartbeat": heartbeat, "connect_timeout": connect_timeout}.items():
            check_seconds(name, seconds, or_none=True)
        functions = {"encode": encode, "decode": decode, "token_provider": token_provider}
        for name, function in {**functions, "on_reconnect": on_reconnect, "on_timings": on_timings}.items():
            check_function(name, function, takes=_CALLED_WITH[name])
        endpoint = EndpointId.parse(endpoint_id, path)
        dialer = Dialer(
            self._transport,
            self._settings,
            endpoint,
            max_buffering=max_buffering,
            max_message_size=max_message_size or 0,
            heartbeat=heartbeat,
            connect_timeout=connect_timeout,
            headers=_handshake_headers(hint, headers),
            token=self._token_source(
                endpoint,
                use_token=use_token,
                provider=token_provider,
                form=token_form,
                seconds=token_seconds,
            ),
        )
        connection = RealtimeConnection(
            dialer,
            Codec(encode, decode),
            endpoint_id=endpoint.full,
            reconnect=Reconnect.of(reconnect),
            unsent=Unsent(keep, max_unsent),
            receive_buffer=receive_buffer,
            throttle=None if throttle is None else Throttle(throttle),
            on_reconnect=on_reconnect,
            on_timings=on_timings,
        )
        self._connections.add(connection)
        return connection

    def _token_source(
        self,
        endpoint: EndpointId,
        *,
        use_token: bool,
        provider: TokenProvider | None,
        form: TokenForm,
        seconds: int,
    ) -> TokenSource | None:
        if not use_token:
            if provider is not None:
                raise ConfigurationError(
                    "token_provider= and use_token=False can't be combined: pass one of them"
                )
            return None
        if provider is not None:
            return ProvidedToken(provider, endpoint.full)
        request = token_request(self._settings, endpoint, form, seconds)
        tokens = self._tokens.of(endpoint, form)
        return FetchedToken(self._transport, request, seconds=seconds, tokens=tokens)


def _handshake_headers(hint: str | None, headers: Mapping[str, str] | None) -> Mapping[str, str]:
    return clean_headers({} if hint is None else {"X-Fal-Runner-Hint": hint}) | clean_headers(headers)
