"""A server-side proxy for fal's browser clients: an ASGI application that keeps the key on the server.

    routes = [Route("/api/fal/proxy", FalProxy(endpoints=["fal-ai/flux/**"], authorize=signed_in_user))]

In FastAPI use `app.router.routes.append(Route(...))`. (A `mount` serves its path only with a trailing slash, which
`proxyUrl` then needs too.) A client with `proxyUrl` sends each HTTP request to the proxy, with the real URL in a
header (protocol 10). `protocol/proxy/` decides whether the HTTP request is allowed, before anything is sent to fal.
Bodies are streamed in both directions, except for the first MiB of a request body, which is read before a
connection is used.

Callers can't use up the session's connections: all callers together may use half of them, and slow callers are
disconnected. A request body must arrive within `Timeouts.total` plus a second for each 64 KiB (else 408). A caller
may not pause for longer than `Timeouts.first_byte` while it reads the response, or half of that while it sends the
body. If a caller disconnects during a submit, the request is cancelled on fal.

Citations such as (protocol 10) are sections of `fal_async/protocol/README.md`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, cast

import attrs

from fal_async.callbacks import awaited
from fal_async.config import Settings
from fal_async.errors import ConfigurationError, FalError, RequestRef, SessionStateError
from fal_async.integrations.asgi_exchange import CallerLeft, RawAnswer, Receive, RequestBody, Scope, Send
from fal_async.integrations.disconnect import finished_before
from fal_async.integrations.error_answers import answer_to
from fal_async.integrations.proxied_exchange import ProxiedExchange
from fal_async.options import tags_header
from fal_async.protocol.http import HttpRequest, Operation
from fal_async.protocol.proxy.headers import (
    check_length,
    forwarded_headers,
    target_values,
    too_large,
)
from fal_async.protocol.proxy.rules import DEFAULT_MAX_PROXIED_BODY, ProxyRoute, ProxyRules, Refusal
from fal_async.protocol.proxy.target import MAX_TOKEN_BODY, Target, checked_token_body, find_target
from fal_async.session import Session
from fal_async.version import __version__

logger: logging.Logger = logging.getLogger("fal_async")
_OPERATIONS: Mapping[ProxyRoute, Operation] = {
    ProxyRoute.RUN: Operation.RUN,
    ProxyRoute.SUBMIT: Operation.SUBMIT,
    ProxyRoute.STATUS: Operation.STATUS,
    ProxyRoute.RESULT: Operation.RESULT,
    ProxyRoute.CANCEL: Operation.CANCEL,
}


@attrs.frozen(kw_only=True)
class ProxyRequest:
    """The argument of `authorize` and `limit`. The body has not been read yet.

    Attributes:
        method: The HTTP method, such as "POST".
        target: The operation that the caller asks for, with `route`, `endpoint_id` and `request_id`.
        headers: The caller's headers, with names in lower case. They include your application's cookies and tokens.
        client: The caller's IP address; None if the server does not know it.
        scope: The ASGI scope, to which middleware may have added values, such as the user's web session.
    """

    method: str
    target: Target
    headers: Mapping[str, str] = attrs.field(repr=False)
    client: str | None
    scope: Mapping[str, Any] = attrs.field(repr=False)


User = str | bool | None
"""The result of `authorize`: a user's name, or True for a user without a name. False, None and "" are refused."""
Authorize = Callable[[ProxyRequest], Awaitable[User] | User]
"""The `authorize` of FalProxy: returns the caller's user; may be async."""
Limit = Callable[[ProxyRequest, User], Awaitable[float | None] | float | None]
"""The `limit` of FalProxy: returns how many seconds the caller must wait; None allows the call; may be async."""


class FalProxy:
    """The proxy, an ASGI application (protocol 10).

    Args:
        endpoints: Patterns of the endpoint ids that may be called: `"fal-ai/flux/dev"`, `"fal-ai/*"` (one segment),
            `"fal-ai/flux/**"` (that app and everything below), or `"**"` for all.
        authorize: Returns the user of a ProxyRequest, or a false value to refuse it (401); may be async. Required,
            unless `anonymous=True`.
        anonymous: Whether everyone may call, at your cost; then `authorize` must be None. Default False.
        limit: Called with the ProxyRequest and the user; may be async. Returns how many seconds the caller must
            wait (429 with `Retry-After`), or None or a number <= 0 to allow the call. None (default): no limit.
        allow: Routes that are allowed in addition: "multipart", "tokens", "cdn_token", "webhook" (see
            `ProxyRoute`). Default none.
        max_body: Maximum number of bytes of a request body (else 413). Default 32 MiB.
        headers: Names of request headers that are passed on to fal in addition. Default none.
        session: The session whose API key is used. None (default): the session of `fal_lifespan`. If the proxy is
            the whole application, so that the server runs the proxy's own lifespan, None means `Session()`,
            configured by environment variables, which the proxy opens and closes.

    Attributes:
        rules: The checked `endpoints`, `allow`, `max_body` and `headers`.

    Raises:
        ConfigurationError: If an argument is invalid.
    """

    def __init__(
        self,
        *,
        endpoints: Collection[str],
        authorize: Authorize | None = None,
        anonymous: bool = False,
        limit: Limit | None = None,
        allow: Collection[str] = (),
        max_body: int = DEFAULT_MAX_PROXIED_BODY,
        headers: Collection[str] = (),
        session: Session | None = None,
    ) -> None:
        if (authorize is None) is not anonymous:
            raise ConfigurationError(
                "expected either authorize=, a function that returns the caller's user, or anonymous=True, "
                "which lets everyone call fal at your cost"
            )
        self.rules: ProxyRules = ProxyRules(
            endpoints=endpoints, allow=allow, max_body=max_body, headers=headers
        )
        self._authorize, self._limit, self._session = authorize, limit, session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._serve(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Run the lifespan of a proxy that is the whole application: keep a session open until the server stops."""
        await receive()  # startup
        made = self._session is None
        try:
            session = self._session = self._session or Session()
            await session.open()
        except FalError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()  # shutdown
        if made:
            await session.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = RawAnswer(send)
        try:
            await self._pass_on(scope, receive, answer)
        except Refusal as refusal:
            headers = refusal.headers if isinstance(refusal, _TooMany) else {}
            await answer.refuse(refusal.status, refusal.reason, headers)
        except FalError as error:
            logger.warning("a proxied request failed: %s", error)
            fitting = answer_to(error)
            await answer.refuse(fitting.status, fitting.body["detail"], fitting.headers)
        except OSError as error:  # after FalError, because some FalErrors are also TimeoutErrors, so OSErrors
            logger.info("the caller of a proxied request has disconnected: %s", error)

    async def _pass_on(self, scope: Scope, receive: Receive, answer: RawAnswer) -> None:
        call = _checked(scope, self.rules)
        await self._admit(_proxy_request(scope, call.target))
        session = _session_of(scope, self._session)
        timeouts = session.settings.timeouts
        answer.patience = timeouts.first_byte or answer.patience
        body = RequestBody(receive, self.rules.max_body, timeouts)
        try:
            request = await self._with_body(_request_of(call, session.settings), call, body)
        except CallerLeft:
            return
        exchange = ProxiedExchange(session, call.target.route, request, answer)
        work = asyncio.ensure_future(exchange.relay())
        finished = await finished_before(work, body.gone())
        if body.refusal is not None:
            raise body.refusal
        if finished:
            work.result()

    async def _admit(self, request: ProxyRequest) -> None:
        user: User = True
        if self._authorize is not None:
            user = await awaited(self._authorize(request))
            if not user:
                raise Refusal(401, "not signed in")
        seconds = None if self._limit is None else await awaited(self._limit(request, user))
        if seconds is not None and seconds > 0:
            raise _TooMany(seconds)

    async def _with_body(self, request: HttpRequest, call: _Call, body: RequestBody) -> HttpRequest:
        """Add the body. Up to 1 MiB is read here, so that slow senders don't occupy a connection."""
        whole = await body.read_ahead()
        target = call.target
        if target.route in (ProxyRoute.TOKENS, ProxyRoute.CDN_TOKEN):
            if whole is None or len(whole) > MAX_TOKEN_BODY:
                raise too_large(MAX_TOKEN_BODY)
            return attrs.evolve(request, body=checked_token_body(whole, target, self.rules))
        if target.method == "GET" and whole != b"":
            raise too_large(0)
        if whole is not None:
            return attrs.evolve(request, body=whole or None)
        length = {} if call.length is None else {"content-length": str(call.length)}
        return attrs.evolve(request, headers={**request.headers, **length}, body=body.chunks)


class _TooMany(Refusal):
    def __init__(self, seconds: float) -> None:
        super().__init__(429, "too many requests")
        # Infinity means that a retry is never allowed, which `Retry-After` can't express.
        self.headers = {"retry-after": str(math.ceil(seconds))} if math.isfinite(seconds) else {}


@attrs.frozen(kw_only=True)
class _Call:
    """The parts of an allowed HTTP request that are passed on, without the body."""

    target: Target
    headers: Mapping[str, str] = attrs.field(repr=False)
    length: int | None
    """Bytes of the body; None if it is chunked."""


def _checked(scope: Scope, rules: ProxyRules) -> _Call:
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    return _Call(
        target=find_target(scope["method"], target_values(headers), rules),
        headers=forwarded_headers(headers, rules),
        length=check_length(headers, rules),
    )


def _request_of(call: _Call, settings: Settings) -> HttpRequest:
    """Build the HTTP request to fal, without its body."""
    target = call.target
    # Billing tags come from the server's settings, never from the caller (see `FORWARDED`).
    tags = tags_header(settings.tags)
    return HttpRequest(
        operation=_OPERATIONS.get(target.route, Operation.WRITE),
        method=target.method,
        url=target.url(settings.hosts),
        headers={
            **call.headers,
            **({"x-fal-tags": tags} if tags else {}),
            # A compressed response would be decoded here, and could not be passed on byte by byte.
            "accept-encoding": "identity",
            "x-fal-client-proxy": f"fal_async/{__version__}",
        },
        ref=RequestRef(endpoint_id=target.endpoint_id, request_id=target.request_id),
    )


def _proxy_request(scope: Scope, target: Target) -> ProxyRequest:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    client = scope.get("client")
    return ProxyRequest(
        method=scope["method"],
        target=target,
        headers=headers,
        client=None if client is None else client[0],
        scope=scope,
    )


def _session_of(scope: Scope, given: Session | None) -> Session:
    session = given or scope.get("state", {}).get("fal")
    if session is None:
        raise SessionStateError(
            "the proxy has no session: pass session= to FalProxy, or lifespan=fal_lifespan() to the application"
        )
    return cast("Session", session)
