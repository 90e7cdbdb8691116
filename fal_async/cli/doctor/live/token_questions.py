"""Questions about the two routes of realtime tokens. A token costs nothing, and is never shown."""

from __future__ import annotations

import asyncio
import time

from fal_async.cli.doctor.live.not_seen import NotSeenError
from fal_async.cli.doctor.live.observations import Observations
from fal_async.cli.doctor.live.question import Question
from fal_async.cli.doctor.live.shown_responses import shown
from fal_async.errors import ApiError, ResponseDecodeError, one_line
from fal_async.protocol.realtime import (
    Disconnected,
    TokenForm,
    parse_token,
    realtime_url,
    token_request,
)

_SECONDS = 60
_FIRST_FRAME = 3.0
"""Seconds without a frame after which a session counts as accepted: a refusal comes at once."""


async def _token(seen: Observations, form: TokenForm) -> str:
    requests = seen.requests
    response = await requests.send(token_request(requests.wire.settings, requests.endpoint, form, _SECONDS))
    if not 200 <= response.status < 300:
        return shown(response)
    try:
        document = response.json()
    except ResponseDecodeError:
        return f"{response.status}, not JSON"
    if isinstance(document, str):
        return f"{response.status}, a JSON string"
    if isinstance(document, dict):
        return f"{response.status}, an object with {', '.join(sorted(document))}"
    return f"{response.status}, {type(document).__name__}"


async def _session(seen: Observations, form: TokenForm) -> str:
    """Open a realtime session with a token, send nothing, and close it."""
    requests, endpoint = seen.requests, seen.requests.realtime
    if endpoint is None:
        raise NotSeenError("not asked: --realtime ENDPOINT opens a session")
    wire = requests.wire
    response = await requests.send(token_request(wire.settings, endpoint, form, _SECONDS))
    if not 200 <= response.status < 300:
        return f"no token: {shown(response)}"
    token = parse_token(response, time.time(), _SECONDS).text
    try:
        async with wire.websocket(realtime_url(wire.settings, endpoint, token, None)) as socket:
            async with asyncio.timeout(min(_FIRST_FRAME, requests.patience)):
                return _refused_by(await socket.receive())
    except TimeoutError:
        return "accepted"
    except Disconnected as closed:
        return f"closed with {closed.code} {one_line(closed.reason, 40)}".rstrip()
    except ApiError as error:
        return f"refused with {error.status}"


def _refused_by(frame: bytes | str) -> str:
    if isinstance(frame, str) and "Unauthorized" in frame:
        return "refused by a frame Unauthorized"
    return "accepted, with a first frame"


async def _alias_session(seen: Observations) -> str:
    return await _session(seen, "alias")


async def _path_session(seen: Observations) -> str:
    return await _session(seen, "path")


async def _alias(seen: Observations) -> str:
    return await _token(seen, "alias")


async def _path(seen: Observations) -> str:
    return await _token(seen, "path")


QUESTIONS = (
    Question(
        name="token-alias",
        section="6.2",
        asks="POST /tokens/ with the alias",
        sheet="a JSON string; clients also accept an object with token or detail",
        expected=("20[01], a JSON string", "20[01], an object with *token*"),
        ask=_alias,
    ),
    Question(
        name="token-path",
        section="14, no. 7",
        asks="POST /tokens/realtime with the whole id",
        sheet="an object with token; whether the relay takes it is open",
        expected=("20[01], an object with *token*",),
        ask=_path,
    ),
    Question(
        name="realtime-alias",
        section="14, no. 7",
        asks="does realtime accept a token of /tokens/?",
        sheet="open: reports for and against",
        ask=_alias_session,
    ),
    Question(
        name="realtime-path",
        section="14, no. 7",
        asks="does realtime accept a token of /tokens/realtime?",
        sheet="open: reports for and against",
        ask=_path_session,
    ),
)
