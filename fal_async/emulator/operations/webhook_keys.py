"""Webhooks over HTTP: the key set (protocol 8.3), and what a test asks for under `/_emulator`."""

from __future__ import annotations

from typing import Any

import attrs

from fal_async.emulator.core import Call, Core
from fal_async.emulator.wire.answers import Answer, json_answer, method_not_allowed, request_error


async def key_set(core: Core, call: Call) -> Answer:
    """`GET rest.fal.ai/.well-known/jwks.json`, no key."""
    if call.request.method != "GET":
        return method_not_allowed()
    try:
        return json_answer(core.webhooks.keys.key_set())
    except RuntimeError as error:  # the extra is missing
        return request_error(500, str(error))


def list_attempts(core: Core, _: Any) -> list[dict[str, Any]]:
    return [
        {**attrs.asdict(attempt, recurse=False), "body": attempt.body.decode(errors="replace")}
        for attempt in core.webhooks.attempts
    ]


def deliver(core: Core, wanted: Any) -> None:
    """`{"request_id", "url"?, "age"?, "copies"?}`: late ones and duplicates."""
    for _ in range(int(wanted.get("copies", 1))):
        core.webhooks.deliver_soon(
            str(wanted["request_id"]), wanted.get("url"), age=float(wanted.get("age", 0))
        )


def set_automatic(core: Core, wanted: Any) -> None:
    core.webhooks.automatic = bool(wanted["automatic"])


def rotate_key(core: Core, wanted: Any) -> None:
    core.webhooks.keys.rotate(retire=bool(wanted.get("retire", False)))
