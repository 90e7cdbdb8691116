"""A server-side proxy for fal's browser clients: an ASGI application that keeps the key on the server.

    routes = [Route("/api/fal/proxy", FalProxy(endpoints=["fal-ai/flux/**"], authorize=signed_in_user))]

In FastAPI: `app.router.routes.append(...)` of the same. (`mount` answers under its path with a slash at the
end: then that slash belongs into `proxyUrl`.) A client that is configured with `proxyUrl` sends each request
here, with the true URL in a header (protocol 10). What may pass is decided in `protocol/proxy/` before
anything is sent. Bodies stream through, both ways, but for the first MiB of a request's.

A stranger can hold neither the connections that the application needs (all callers together have half of them),
nor any of them by sending or reading slowly: `Timeouts.total` bounds a request's body (and a second more for each
64 KiB; 408), `Timeouts.first_byte` the time in which nothing comes, or nothing is read. A caller that leaves during
a submit has its job cancelled.
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
    """What `authorize` and `limit` get to see. The body is not read yet.

    Attributes:
        method: such as "POST".
        target: what is asked for: `route`, `endpoint_id`, `request_id`.
        headers: the caller's, names in lower case; cookies and tokens of your own application are here.
        client: the caller's IP address, or None.
        scope: the ASGI scope, such as for the session of a middleware of yours.
    """

    method: str
    target: Target
    headers: Mapping[str, str] = attrs.field(repr=False)
    client: str | None
    scope: Mapping[str, Any] = attrs.field(repr=False)


User = str | bool | None
"""Who calls: a name, or True for somebody who is not named. False, None and "" are refused."""
Authorize = Callable[[ProxyRequest], Awaitable[User] | User]
Limit = Callable[[ProxyRequest, User], Awaitable[float | None] | float | None]


class FalProxy:
    """The ASGI application.

    Args:
        endpoints: patterns of endpoint ids that may be called: `"fal-ai/flux/dev"`, `"fal-ai/*"`,
            `"fal-ai/flux/**"`, or `"**"` for all.
        authorize: says who calls, or refuses (401). Async or not. Required, unless `anonymous=True`.
        anonymous: True: everybody may call, at your cost.
        limit: called with the request and the user: seconds to wait (429 with `Retry-After`); None, or no
            more than 0, to pass.
        allow: further routes: "multipart", "tokens", "cdn_token", "webhook" (see `ProxyRoute`).
        max_body: bytes of a request body; default 32 MiB.
        headers: further request headers to pass on.
        session: whose key is used. Default the one that `fal_lifespan` keeps; standing alone (its lifespan
            is run by the server), `Session()`, set up by the environment.

    ConfigurationError where an argument is wrong.
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
                "give authorize= a function that says who calls, or say anonymous=True: everybody may then "
                "call fal at your cost"
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
        """On its own under a server: a session of its own, for as long as the server runs."""
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
            told = refusal.headers if isinstance(refusal, _TooMany) else {}
            await answer.refuse(refusal.status, refusal.reason, told)
        except FalError as error:
            logger.warning("a proxied request failed: %s", error)
            fitting = answer_to(error)
            await answer.refuse(fitting.status, fitting.body["detail"], fitting.headers)
        except OSError as error:  # not before: a time-out of ours is one, too
            logger.info("the caller of a proxied request is gone: %s", error)

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
        """Read as far as 1 MiB before a connection is taken: who sends slowly holds none."""
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
        # Infinity: for good, which no number says.
        self.headers = {"retry-after": str(math.ceil(seconds))} if math.isfinite(seconds) else {}


@attrs.frozen(kw_only=True)
class _Call:
    """What may pass of a request, as its line and its headers tell."""

    target: Target
    headers: Mapping[str, str] = attrs.field(repr=False)
    length: int | None
    """Bytes of the body; None where it comes in chunks."""


def _checked(scope: Scope, rules: ProxyRules) -> _Call:
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    return _Call(
        target=find_target(scope["method"], target_values(headers), rules),
        headers=forwarded_headers(headers, rules),
        length=check_length(headers, rules),
    )


def _request_of(call: _Call, settings: Settings) -> HttpRequest:
    """Without its body."""
    target = call.target
    # Billing tags are the server's to give (see `FORWARDED`).
    tags = tags_header(settings.tags)
    return HttpRequest(
        operation=_OPERATIONS.get(target.route, Operation.WRITE),
        method=target.method,
        url=target.url(settings.hosts),
        headers={
            **call.headers,
            **({"x-fal-tags": tags} if tags else {}),
            # Decoded on the way, an answer would have to be kept together.
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
        raise SessionStateError("no session: give FalProxy one, or the application lifespan=fal_lifespan()")
    return cast("Session", session)
