"""wma.fal.run, the WebRTC bridge (protocol 6.6). The emulator has no WebRTC, so no app of it can be found there."""

from __future__ import annotations

import json
from typing import Any

from fal_async.emulator.core import Call, Core
from fal_async.emulator.wire.answers import Answer, json_answer, method_not_allowed

_NEEDED = {"ice": ("app_id",), "session": ("app_id", "sdp", "type"), "session/heartbeat": ("session_id",)}
"""The fields of the body, by path."""


async def wma(core: Core, call: Call) -> Answer:
    if call.account is core.keyring.anonymous:
        return json_answer({"error": "Authentication is required to use WMA"}, 401)
    needed = _NEEDED.get(call.route.rest)
    if needed is None:
        return json_answer({"error": "Not found"}, 404)
    if call.request.method != "POST":
        return method_not_allowed()
    form = _form(call.body)
    missing = [name for name in needed if not isinstance(form.get(name), str)]
    if missing:
        return Answer(422, {"Content-Type": "text/plain"}, f"missing field `{missing[0]}`")
    if call.route.rest == "session/heartbeat":
        return json_answer({"alive": False})
    app = form["app_id"]
    return json_answer({"error": f"Application '{app}' has no WMA session: the emulator has no WebRTC"}, 404)


def _form(body: bytes) -> dict[str, Any]:
    try:
        form = json.loads(body)
    except ValueError:
        return {}
    return form if isinstance(form, dict) else {}
