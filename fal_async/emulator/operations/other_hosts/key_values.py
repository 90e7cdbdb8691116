"""kv.fal.media, where fal's package for apps stores texts by name, with a CDN token (protocol 7.7)."""

from __future__ import annotations

import re

from fal_async.emulator.accounts.key_value_store import LIFETIMES
from fal_async.emulator.core import Call, Core
from fal_async.emulator.wire.answers import Answer, json_answer

_PATH = re.compile(r"(get|set|delete)/([^/]+)/(.+)")
_METHODS = {"get": "GET", "set": "PUT", "delete": "DELETE"}


async def kv(core: Core, call: Call) -> Answer:
    owner = core.uploads.holder(call.headers.get("Authorization"))
    if owner is None:
        return _error(401, "Invalid or expired token")
    path = _PATH.fullmatch(call.route.rest)
    if path is None or call.request.method != _METHODS[path[1]]:
        return _error(404, "Not found")
    place = (owner, path[2], path[3])
    if path[1] == "get":
        value = core.key_values.get(place, core.clock.now())
        return _error(404, "Key not found") if value is None else json_answer({"value": value})
    if path[1] == "delete":
        core.key_values.delete(place)
        return json_answer({})
    return _set(core, call, place)


def _set(core: Core, call: Call, place: tuple[str, str, str]) -> Answer:
    text = call.query.get("ttl", str(LIFETIMES[-1]))
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) not in LIFETIMES:
        return _error(422, f"ttl must be from {LIFETIMES[0]} to {LIFETIMES[-1]} seconds")
    try:
        value = call.body.decode()
    except UnicodeDecodeError:
        return _error(422, "The value must be text")
    core.key_values.set(place, value, core.clock.now() + int(text))
    return json_answer({})


def _error(status: int, text: str) -> Answer:
    return json_answer({"error": text}, status)
