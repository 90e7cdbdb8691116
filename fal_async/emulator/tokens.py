"""Realtime tokens: `POST rest.fal.ai/tokens/`, and who comes in with one (protocol 6.2)."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from fal_async.emulator.answers import Answer, detail_entry, json_answer, method_not_allowed, request_error
from fal_async.emulator.routing import app_id

if TYPE_CHECKING:
    from fal_async.emulator.core import Call, Core

QUERY_NAME = "fal_jwt_token"
DEFAULT_SECONDS = 120


@attrs.frozen
class _Grant:
    apps: frozenset[str]
    expires_at: float


class RealtimeTokens:
    """The tokens that were given out. There are two forms, and each opens what it names:

    `/tokens/` names aliases (the app without its owner), `/tokens/realtime` whole ids with their path.
    """

    def __init__(self) -> None:
        self._grants: dict[str, _Grant] = {}

    def give(self, apps: list[str], seconds: float) -> str:
        expires_at = time.time() + seconds
        token = _jwt(apps, expires_at)
        self._grants[token] = _Grant(frozenset(apps), expires_at)
        return token

    def opens(self, token: str, endpoint_id: str, path: str) -> bool:
        grant = self._grants.get(token)
        if grant is None or grant.expires_at <= time.time():
            return False
        alias = app_id(endpoint_id).rpartition("/")[2]
        return bool(grant.apps & {alias, path})

    def revoke(self) -> None:
        """Every token given so far is refused from now on."""
        self._grants.clear()


async def realtime_token(core: Core, call: Call) -> Answer:
    if call.request.method != "POST":
        return method_not_allowed()
    newer = call.route.rest == "tokens/realtime"
    wanted = _wanted(call, "duration" if newer else "token_expiration")
    if isinstance(wanted, Answer):
        return wanted
    token = core.tokens.give(*wanted)
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


def refusal(core: Core, call: Call, *, public: bool) -> Answer | None:
    """For a stream: the key, or a token in the query as browsers send it (protocol 5.1). None: come in."""
    token = token_of(call)
    if token is None:
        what = f"application '{call.route.endpoint_id}'"
        return core.keyring.refusal(call.headers, kind=call.route.kind, public=public, what=what)
    known = core.tokens.opens(token, call.route.endpoint_id or "", call.route.rest)
    return None if known else request_error(401, "The token has expired, or is not for this application")


def token_of(call: Call) -> str | None:
    """The token in the query, where there is no key."""
    return None if "Authorization" in call.headers else call.query.get(QUERY_NAME)


def _jwt(apps: list[str], expires_at: float) -> str:
    """The look of a JWT, with the one claim that clients read, and no real signature."""
    claims: Mapping[str, Any] = {
        "iss": "fal.ai",
        "allowed_apps": apps,
        "exp": int(expires_at),
        "jti": secrets.token_hex(8),
    }
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in [*parts, b"emulator"])
