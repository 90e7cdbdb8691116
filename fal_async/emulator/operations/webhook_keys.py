"""The key set with which receivers verify webhooks (protocol 8.3)."""

from __future__ import annotations

from fal_async.emulator.core import Call, Core
from fal_async.emulator.wire.answers import Answer, json_answer, method_not_allowed, request_error


async def key_set(core: Core, call: Call) -> Answer:
    """Answer `GET rest.fal.ai/.well-known/jwks.json`, without a key."""
    if call.request.method != "GET":
        return method_not_allowed()
    try:
        return json_answer(core.webhooks.keys.key_set())
    except RuntimeError as error:  # the extra is missing
        return request_error(500, str(error))
