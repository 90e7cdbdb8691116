"""Realtime tokens: `POST rest.fal.ai/tokens/`, and the check of callers that have one (protocol 6.2)."""

from __future__ import annotations

import json

from fal_async.emulator.accounts.credential import Credential
from fal_async.emulator.core import Call, Core
from fal_async.emulator.wire.answers import (
    Answer,
    detail_entry,
    json_answer,
    method_not_allowed,
    request_error,
)

QUERY_NAME = "fal_jwt_token"
DEFAULT_SECONDS = 120


async def realtime_token(core: Core, call: Call) -> Answer:
    if call.request.method != "POST":
        return method_not_allowed()
    newer = call.route.rest == "tokens/realtime"
    wanted = _wanted(call, "duration" if newer else "token_expiration")
    if isinstance(wanted, Answer):
        return wanted
    token = core.realtime_tokens.give(call.account, *wanted)
    return json_answer({"token": token} if newer else token)


def _wanted(call: Call, seconds_name: str) -> tuple[list[str], float] | Answer:
    try:
        document = json.loads(call.body)
    except ValueError:
        document = None
    apps = document.get("allowed_apps") if isinstance(document, dict) else None
    if not isinstance(apps, list) or not apps or not all(isinstance(app, str) for app in apps):
        entry = detail_entry(["body", "allowed_apps"], "Input should be a valid list", "list_type", apps)
        return request_error(422, [entry])
    seconds = document.get(seconds_name, DEFAULT_SECONDS)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
        entry = detail_entry(
            ["body", seconds_name], "Input should be greater than 0", "greater_than", seconds
        )
        return request_error(422, [entry])
    return apps, seconds


def admit(core: Core, call: Call) -> None:
    """Let the token in the query name the caller of a status stream, if it is valid (protocol 4.3)."""
    token = token_of(call)
    endpoint_id = call.route.endpoint_id or ""
    holder = None if token is None else core.realtime_tokens.holder(token, endpoint_id, endpoint_id)
    if holder is not None:
        call.credential = Credential(account=holder)


def refusal(core: Core, call: Call, *, public: bool) -> Answer | None:
    """Return the refusal of a caller; None if its key, or the token in its query, is valid (protocol 5.1)."""
    token = token_of(call)
    if token is None:
        what = f"application '{call.route.endpoint_id}'"
        kind = call.route.kind
        return core.keyring.refusal(call.account, call.headers, kind=kind, public=public, what=what)
    holder = core.realtime_tokens.holder(token, call.route.endpoint_id or "", call.route.rest)
    if holder is None:
        return request_error(401, "The token has expired, or is not for this application")
    call.credential = Credential(account=holder)
    return holder.refusal(call.route.kind)


def token_of(call: Call) -> str | None:
    """Return the token in the query; None if the call has none, or has a key."""
    return None if "Authorization" in call.headers else call.query.get(QUERY_NAME)
