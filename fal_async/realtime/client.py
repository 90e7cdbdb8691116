"""`session.realtime`: opens realtime connections, checks their options, dials them (protocol 6)."""

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
"""Seconds: a handshake may wait for a runner (protocol 6.1)."""
_CALLED_WITH = {
    "encode": ("message",),
    "decode": ("frame",),
    "token_provider": ("endpoint",),
    "on_reconnect": ("reconnected",),
    "on_timings": ("seconds",),
}


class Realtime:
    """`fal.realtime`: opens realtime connections. `connections` is the session's list of what it has to close."""

    def __init__(
        self,
        transport: Transport,
        settings: Settings,
        *,
        tokens: RealtimeTokens,
        connections: weakref.WeakSet[Closeable],
    ) -> None:
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
        # Coming back
        reconnect: bool | Reconnect = True,
        keep: Keep = "latest",
        max_unsent: int = 64,
        heartbeat: float | None = 20.0,
        # Who we are
        use_token: bool = True,
        token_provider: TokenProvider | None = None,
        token_form: TokenForm = "alias",
        token_seconds: int = TOKEN_SECONDS,
        # What is told
        on_reconnect: OnReconnect | None = None,
        on_timings: OnTimings | None = None,
        # The handshake
        connect_timeout: float = _OPEN_TIMEOUT,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RealtimeConnection:
        """A conversation with a model: `async with fal.realtime.connect("fal-ai/...") as connection:`.

        Nothing is sent before the block is entered. https://docs.fal.ai/model-apis/real-time/quickstart

        Args:
            path: the endpoint's realtime path.
            max_buffering: how many messages the server buffers, 1 to 60, before it drops the oldest; None:
                the app's own figure.
            encode, decode: between messages and frames; default msgpack. `encode` may give `str` for a text
                frame; `json.dumps` and `json.loads` do for apps that speak JSON.
            throttle: seconds between two messages that are sent; of those in between the newest is sent when
                its time comes, the others are dropped.
            max_message_size: bytes of a message received, default 64 MiB; a larger one ends the connection.
                None: no limit.
            receive_buffer: messages that wait to be received, default 64; beyond that reading stops, and the
                server feels it.
            reconnect: True (default), False, or a `Reconnect(attempts=..., ...)`. See `RealtimeConnection`.
            keep, max_unsent: what becomes of messages sent while there is no connection: "latest" (default)
                keeps the newest only, "all" up to `max_unsent` of them; then `send` waits.
            heartbeat: seconds of silence after which the peer is asked whether it lives; it has as long
                to answer. Default 20; None: never.
            use_token: True: a short-lived token is fetched for this app and kept for the next connections.
                False: the key itself goes with the handshake.
            token_provider: gives the token, called with the endpoint id and path before each handshake.
            token_form: how a token names the app: "alias" (default), or "path" for `/tokens/realtime`.
            token_seconds: the life that is asked for; default 120.
            on_reconnect: called with a `Reconnected` when a lost connection stands again; may be async. It may
                send; it can't wait for a message, as nothing is read before it is done. Without one, `recv` raises
                a RealtimeError where messages were on the way.
            on_timings: called with the seconds that the model says it took; likewise.
            connect_timeout: seconds for one handshake, default 90: it may wait for a runner.
            hint: prefers a runner that reported this hint. headers: more headers of the handshake.

        Raises:
            ConfigurationError: for a wrong option, or where msgpack is needed and not installed.
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
                raise ConfigurationError("token_provider and use_token=False exclude one another")
            return None
        if provider is not None:
            return ProvidedToken(provider, endpoint.full)
        request = token_request(self._settings, endpoint, form, seconds)
        tokens = self._tokens.of(endpoint, form)
        return FetchedToken(self._transport, request, seconds=seconds, tokens=tokens)


def _handshake_headers(hint: str | None, headers: Mapping[str, str] | None) -> Mapping[str, str]:
    return clean_headers({} if hint is None else {"X-Fal-Runner-Hint": hint}) | clean_headers(headers)
