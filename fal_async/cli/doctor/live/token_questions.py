"""Questions about the two routes of realtime tokens. A token costs nothing, and is never shown."""

from __future__ import annotations

from fal_async.cli.doctor.live.observations import Observations
from fal_async.cli.doctor.live.question import Question
from fal_async.cli.doctor.live.shown_responses import shown
from fal_async.errors import ResponseDecodeError
from fal_async.protocol.realtime import TokenForm, token_request

_SECONDS = 60


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
)
