"""`fal.realtime`: checks the options of realtime connections and makes them (protocol 6)."""

from __future__ import annotations

import weakref
from collections.abc import Mapping

from fal_async.checks import check_function, check_int, check_seconds
from fal_async.closeable import Closeable
from fal_async.config import Settings
from fal_async.errors import ConfigurationError
from fal_async.options import clean_headers
from fal_async.protocol.endpoint import EndpointId
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
        """`connections`: what the session has to close."""
        self._transport, self._settings = transport, settings
        self._tokens, self._connections = tokens, connections

    def connect(
        self,
        endpoint_id: str,
        *,
        path: str = DEFAULT_PATH,
        # What is sent and received
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

        Nothing is sent before the block is entered, which raises what the handshake raises: see
        `RealtimeConnection`. fal's documentation: https://docs.fal.ai/model-apis/real-time/quickstart

        Args:
            endpoint_id: such as `"fal-ai/fast-lcm-diffusion"`.
            path: the endpoint's realtime path, added to the endpoint id; default "/realtime".
            max_buffering: how many messages the server buffers before it drops the oldest, 1 to 60. None (default):
                the app decides.
            encode: a function that makes a frame of a message: `bytes` for a binary frame, `str` for a text frame.
                `json.dumps` does for apps that speak JSON. None (default): msgpack.
            decode: a function that makes a message of a frame, such as `json.loads`. None (default): msgpack.
            throttle: the least time between two sent messages, in seconds. Of the messages in between, only the
                newest is sent when its time comes. None (default): no limit.
            max_message_size: the limit of a received message, in bytes; a larger one ends the connection. Default
                64 MiB; None: no limit.
            receive_buffer: how many received messages are buffered; default 64. When the buffer is full, reading
                stops, so that the server has to wait.
            reconnect: True (default), False, or a `Reconnect(attempts=..., ...)`. See `RealtimeConnection`.
            keep: which messages are kept while there is no connection: "latest" (default) only the newest, "all" up
                to `max_unsent`; then `send` waits.
            max_unsent: how many messages are kept with `keep="all"`; default 64.
            heartbeat: seconds of silence after which a ping is sent; the connection is lost if nothing arrives for
                as long again. Default 20; None: no pings.
            use_token: True (default): a short-lived token is fetched for this app and kept for further connections.
                False: the handshake has the key itself.
            token_provider: a function, async or not, that returns a token that was fetched elsewhere. It is called
                with the endpoint id and path before each handshake. None (default): see `use_token`.
            token_form: how a fetched token names the app: "alias" (default), or "path" for `/tokens/realtime`.
            token_seconds: the lifetime that is requested for a fetched token, in seconds; default 120.
            on_reconnect: a function, async or not, that is called with a `Reconnected` when a lost connection was
                replaced. It may send, but can't receive, as nothing is read until it returns. None (default):
                `recv` raises a RealtimeError if messages were not answered.
            on_timings: a function, async or not, that is called with the seconds that the model reports to have
                taken. It can't receive either. None (default): not reported.
            connect_timeout: seconds for one handshake, which may wait for a runner; default 90.
            hint: prefers a runner that reported this hint. None (default): none.
            headers: more headers of the handshake. None (default): none.

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
