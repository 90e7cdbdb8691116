"""Realtime, `wss://fal.run/{id}/realtime`: the handshake and the check of callers (protocol 6.1, 6.2)."""

from __future__ import annotations

import asyncio

from aiohttp import web

from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.faults.delivery import stall
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.jobs.job import COMPLETED
from fal_async.emulator.jobs.options import BadOption, CallOptions, parse_options
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.operations.realtime_session import Session
from fal_async.emulator.operations.realtime_tokens import refusal, token_of
from fal_async.emulator.operations.submit import open_job
from fal_async.emulator.wire.answers import Answer, bad_request, request_error
from fal_async.emulator.wire.realtime_frames import UNAUTHORIZED

MAX_BUFFERING = range(1, 61)
"""`max_buffering` is an int from 1 to 60 (protocol 6.1)."""
POLICY_VIOLATION = 1008


async def realtime(core: Core, call: Call) -> Reply:
    if core.recordings is not None and (refused := core.recordings.session(call)) is not None:
        return refused
    rest = call.route.rest
    # fal's Swift client, and its JS client for old apps, use the path "ws" (protocol 6.1).
    find = core.endpoints.find_used
    endpoint = find(rest, call.route.endpoint_id) or find(rest, rest.removesuffix("/ws"))
    options = await admission(core, call, endpoint)
    if not isinstance(options, CallOptions):
        return options
    if endpoint is None or endpoint.is_workflow:
        return core.endpoints.missing(rest)
    connection = await accept(call)
    await _serve(core, call, endpoint, options, connection)
    return connection


async def admission(core: Core, call: Call, served: Served | None) -> CallOptions | Reply:
    """Return the caller's options, or the reply that refuses the caller."""
    # A bad key is refused with 401, a bad token with a frame after the handshake (6.3).
    by_token = token_of(call) is not None
    refused = refusal(core, call, public=served is not None and served.public)
    if refused is not None and not by_token:
        return refused
    if served is None:
        return core.endpoints.missing(call.route.rest)
    options = _options(call)
    if isinstance(options, Answer):
        return options
    await stall(call.effect)
    return options if refused is None else await _reject(call)


async def _reject(call: Call) -> web.WebSocketResponse:
    connection = await accept(call)
    await connection.send_str(UNAUTHORIZED)
    await connection.close(code=POLICY_VIOLATION)
    return connection


async def accept(call: Call, protocol: str | None = None) -> web.WebSocketResponse:
    # No autoping, because the session must not answer pings while a fault makes it silent.
    protocols = () if protocol is None else (protocol,)
    connection = web.WebSocketResponse(
        max_msg_size=0, compress=False, autoping=False, timeout=1, protocols=protocols
    )
    await connection.prepare(call.request)
    return connection


def _options(call: Call) -> CallOptions | Answer:
    text = call.query.get("max_buffering")
    if text is not None and not (text.isdecimal() and int(text) in MAX_BUFFERING):
        return bad_request(f"Invalid max_buffering: {text!r} is not an integer from 1 to 60")
    try:
        return parse_options(call.headers, {})
    except BadOption as error:
        return request_error(400, str(error), "bad_request")


async def _serve(
    core: Core, call: Call, endpoint: Endpoint, options: CallOptions, connection: web.WebSocketResponse
) -> None:
    """Run the session, which occupies one runner until it ends."""
    job = call.job = open_job(core, call, endpoint, options, None, via="realtime")
    wanted = call.query.get("max_buffering")
    buffering = endpoint.realtime.buffering if wanted is None else int(wanted)
    runners = core.runners.of(endpoint, job.account)
    session = Session(call, endpoint, connection, core.clock, buffering=buffering)
    runners.enter(job, session.run)
    try:
        await job.wait_for(COMPLETED)
    except asyncio.CancelledError:
        # aiohttp closes the connection as soon as it has read a close frame, which cancels this call.
        if not await session.closed_in_order():
            runners.stop(job, "client_disconnected")
        raise
