"""Tokens of the CLI login: `POST auth.fal.ai/oauth/token` (protocol 1.4)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.wire.answers import json_answer, method_not_allowed, request_error


async def token(core: Core, call: Call) -> Reply:
    """Answer `POST auth.fal.ai/oauth/token`, with a form or JSON."""
    if call.route.rest != "oauth/token":
        return request_error(404, "Not Found")
    if call.request.method != "POST":
        return method_not_allowed()
    try:
        form = _form(call)
    except ValueError as error:
        return json_answer({"error": "invalid_request", "error_description": str(error)}, 400)
    return core.keyring.grant(form)


def _form(call: Call) -> dict[str, Any]:
    if call.request.content_type != "application/json":
        return dict(parse_qsl(call.body.decode()))
    form = json.loads(call.body)
    if not isinstance(form, dict):
        raise ValueError("expected a JSON object")
    return form
