"""One HTTP request from the socket to the answer: it is read, recorded, given a fault, checked and answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.admin.page_routes import PAGE, wants_page
from fal_async.emulator.core import Call, Core, Reply, ScopeParts
from fal_async.emulator.downtime import Downtime
from fal_async.emulator.faults.delivery import deliver, stall
from fal_async.emulator.faults.effect import NO_EFFECT
from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.operations import (
    fallback_chain,
    files,
    http_over_websocket,
    login,
    openapi,
    queued_request,
    realtime,
    realtime_tokens,
    rest_calls,
    status_stream,
    storage_access,
    stream,
    submit,
    uploads,
    webhook_keys,
)
from fal_async.emulator.operations.mounted import mounted_operations
from fal_async.emulator.operations.other_hosts import key_values, wma
from fal_async.emulator.operations.other_hosts.model_text import model_text
from fal_async.emulator.operations.platform import platform_operations
from fal_async.emulator.operations.request_choice import chosen_fault
from fal_async.emulator.scopes.life import scope_of
from fal_async.emulator.storage.upload_body import STREAMED, Body
from fal_async.emulator.wire.answers import (
    Answer,
    as_platform_error,
    bad_request,
    json_answer,
    method_not_allowed,
    request_error,
)
from fal_async.emulator.wire.cors import preflight
from fal_async.emulator.wire.http_connection import break_off, no_answer, to_response
from fal_async.emulator.wire.recorder import Entry
from fal_async.emulator.wire.routing import PLATFORM_HOST, Route, app_id, parse, refined

Service = Callable[[Core, Call], Awaitable[Reply]]
_PUBLIC_PLATFORM = frozenset({"v1/models", "v1/meta"})


async def index(core: Core, call: Call) -> Answer:
    hosts = [
        "fal.run",
        "queue.fal.run",
        "rest.fal.ai",
        "v3.fal.media",
        "v3b.fal.media",
        "api.fal.ai/v1",
        "fal.ai",
        "auth.fal.ai",
        "ws.fal.run",
    ]
    return json_answer(
        {
            "service": "fal emulator",
            "hosts": {host: f"{call.origin}/{host}" for host in hosts},
            "endpoints": sorted(endpoint.endpoint_id for endpoint in core.endpoints),
            "admin": f"{call.origin}/_emulator",
        }
    )


async def catalog(core: Core, call: Call) -> Reply:
    """Answer fal.ai: the text for agents, or an OpenAPI document."""
    return await model_text(core, call) or await openapi.openapi(core, call)


async def unknown(_: Core, call: Call) -> Answer:
    return request_error(404, f"/{call.route.host}/{call.route.rest} is not served by the emulator")


async def wrong_method(_: Core, __: Call) -> Answer:
    return method_not_allowed()


SERVICES: Mapping[str, Service] = {
    "run": fallback_chain.run,
    "stream": stream.stream,
    "realtime": realtime.realtime,
    "realtime_token": realtime_tokens.realtime_token,
    "websocket": http_over_websocket.websocket,
    "submit": submit.submit,
    "status": queued_request.status,
    "status_stream": status_stream.status_stream,
    "result": queued_request.result,
    "cancel": queued_request.cancel,
    "file": files.file,
    "cdn_token": uploads.cdn_token,
    "initiate": uploads.initiate,
    "upload": uploads.upload,
    "multipart": uploads.multipart,
    "part": uploads.part,
    "complete": uploads.complete,
    "gcs_part": uploads.gcs_part,
    "gcs_complete": uploads.gcs_complete,
    "cdn_sign": files.sign,
    "storage": storage_access.storage,
    "token": login.token,
    "openapi": catalog,
    "rest": rest_calls.rest,
    "platform": platform_operations.platform,
    "key_set": webhook_keys.key_set,
    "kv": key_values.kv,
    "wma": wma.wma,
    "index": index,
    "wrong_method": wrong_method,
}
"""One row per operation."""
_WITHOUT_KEY = frozenset({"file", "token", "openapi", "key_set", "index", "admin", "unknown"}) | frozenset(
    {"stream", "realtime"}  # they check their callers, who may have a token in the query
    | {
        "upload",
        "multipart",
        "part",
        "complete",
        "cdn_sign",
        "kv",
    }  # a CDN token or a signature instead (7.1)
    | {"wma"}  # its error has another form
)
_SENT_PIECEMEAL = frozenset({"status_stream", "stream", "realtime", "websocket"})
"""Operations whose answers are sent in pieces, so that their services apply faults of the connection."""


class Gateway:
    def __init__(self, core: Core, *, admin: Service, downtime: Downtime) -> None:
        self._core, self._downtime = core, downtime
        self._services = {**SERVICES, "admin": admin}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if (question := preflight(request)) is not None:
            return question
        call = Call(
            request=request,
            route=_route(request),
            credential=self._core.keyring.credential_of(request.headers),
        )
        if call.route.kind == "status_stream":
            realtime_tokens.admit(self._core, call)
        call.job = self._named_job(call.route, call.account)
        try:
            call.body = b"" if call.route.kind in STREAMED else await _read(request)
        except web.RequestPayloadError as error:
            return to_response(bad_request(f"The request body could not be read: {error}"))
        self._core.clock.stir()
        scope = scope_of(self._core, call)
        entry = self._recorded(call, scope)
        if call.route.kind in STREAMED:
            _continue(request)
            call.streamed = Body(request, entry)
        fault = self._fault_of(call, scope)
        call.effect = NO_EFFECT if fault is None else fault.effect
        response = None
        try:
            if call.effect is NO_EFFECT:
                reply = await self._answer(call)
                response = to_response(reply) if isinstance(reply, Answer) else reply
            else:
                response = await self._respond(call)
        except ConnectionError:
            pass  # the client has left
        finally:
            self._core.clock.stir()
            if entry is not None:
                entry.endpoint_id, entry.request_id = call.endpoint_id, call.request_id
                entry.status = None if response is None else response.status
                entry.fault = None if fault is None else fault.kind
                if (ended := self._core.recorder.ended) is not None:
                    ended(entry, response, entry.fault)
        return no_answer() if response is None else response

    def _recorded(self, call: Call, scope: ScopeParts | None) -> Entry | None:
        """Count a request, and return its entry; None if it would be neither stored nor logged."""
        recorder = self._core.recorder
        entry = _entry(call, self._core.clock.now()) if recorder.keeps or recorder.ended is not None else None
        recorder.open(call.route.kind, entry)
        if scope is not None:
            scope.recorder.open(call.route.kind, entry)
        return entry

    def _fault_of(self, call: Call, scope: ScopeParts | None) -> Fault | None:
        """Return the fault that the call chooses, else that of its scope, else that of the emulator, or None."""
        everywhere = self._core.faults
        own = everywhere if scope is None else scope.faults
        kind, endpoint_id = call.route.kind, call.endpoint_id
        fault = chosen_fault(own, call) or own.take(kind, endpoint_id)
        return everywhere.take(kind, endpoint_id) if fault is None and own is not everywhere else fault

    async def _respond(self, call: Call) -> web.StreamResponse | None:
        """Return the response of a call with a fault, or None if the connection ends without an answer."""
        effect = call.effect
        if effect.away is not None:
            self._downtime.go_away(effect.away)
        reply: Reply | None = None
        if effect.executes(piecemeal=call.route.kind in _SENT_PIECEMEAL):
            reply = await self._answer(call)
            if effect.overtaken and call.job is not None:
                await self._core.webhooks.tried(call.job)
        elif call.streamed is not None:
            await call.streamed.discard(effect.read_share)
        if isinstance(reply, web.StreamResponse) and reply.prepared:
            return reply
        if (instead := effect.instead(call.request_id)) is not None:
            is_platforms = call.route.host == PLATFORM_HOST and not effect.verbatim
            return to_response(as_platform_error(instead) if is_platforms else instead)
        if reply is None or effect.ending is not None:
            await stall(effect)
            break_off(call.request, effect.ending or "close")
            return None
        if isinstance(reply, web.StreamResponse):
            return reply
        return await deliver(call.request, effect.spoil(reply), effect)

    async def _answer(self, call: Call) -> Reply:
        kind = call.route.kind
        if kind not in _WITHOUT_KEY and (refused := self._refusal(call)):
            return refused
        if (reply := await mounted_operations.serve(self._core, call)) is not None:
            return reply
        return await self._services.get(kind, unknown)(self._core, call)

    def _refusal(self, call: Call) -> Answer | None:
        if call.account is not self._core.keyring.anonymous:
            refused = call.account.refusal(call.route.kind)
        elif call.route.kind == "platform":
            refused = self._refuse_anonymous(call, public=call.route.rest in _PUBLIC_PLATFORM)
        else:
            refused = self._refuse_anonymous(call, public=self._is_public(call))
        is_platforms = call.route.host == PLATFORM_HOST
        return as_platform_error(refused) if refused is not None and is_platforms else refused

    def _refuse_anonymous(self, call: Call, *, public: bool) -> Answer | None:
        what = f"application '{call.route.endpoint_id}'" if call.route.endpoint_id else "this resource"
        return self._core.keyring.refusal(
            call.account, call.headers, kind=call.route.kind, public=public, what=what
        )

    def _is_public(self, call: Call) -> bool:
        if call.job is not None:
            return call.job.served.public
        return self._core.endpoints.is_public(call.route.endpoint_id)

    def _named_job(self, route: Route, account: Account) -> Job | None:
        """Return the job of the path; None if the caller may not see it, or if the path names another app.

        The path may name the job's app or its full endpoint id (protocol 2).
        """
        job = None if route.request_id is None else self._core.jobs.find(route.request_id)
        if (
            job is None
            or job.via != "queue"
            or route.endpoint_id not in (app_id(job.endpoint_id), job.endpoint_id)
        ):
            return None
        return job if job.account is account or self._anyone_may_see(job, account) else None

    def _anyone_may_see(self, job: Job, account: Account) -> bool:
        """Return whether a job is visible to other accounts: its endpoint is public, and one side has no key."""
        return job.served.public and self._core.keyring.anonymous in (job.account, account)


def _route(request: web.BaseRequest) -> Route:
    route = refined(parse(request.method, request.path, request.host), request.method, request.headers)
    return PAGE if route.kind == "index" and wants_page(request.method, request.headers) else route


async def _read(request: web.BaseRequest) -> bytes:
    if not request.can_read_body:
        return b""
    _continue(request)
    return await request.content.read()


def _continue(request: web.BaseRequest) -> None:
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        # aiohttp sends this in its router, which is not used here; curl waits a second for it.
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _entry(call: Call, at: float) -> Entry:
    return Entry(
        method=call.request.method,
        path=call.request.path,
        host_segment=call.route.host,
        query=call.request.query,
        headers=call.request.headers,
        body=call.body,
        size=len(call.body),
        kind=call.route.kind,
        endpoint_id=call.endpoint_id,
        request_id=call.request_id,
        at=at,
    )
