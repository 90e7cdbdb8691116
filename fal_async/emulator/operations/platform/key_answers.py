"""`/keys`: list, make and delete the API keys of the caller's account (protocol 11.2, 11.11)."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.accounts.api_keys import ApiKey
from fal_async.emulator.core import Call, Core
from fal_async.emulator.operations.platform.page_numbers import paged
from fal_async.emulator.operations.platform.platform_clock import iso
from fal_async.emulator.operations.platform.query_values import body_object, listed, text_member
from fal_async.emulator.wire.answers import Answer, json_answer

_LONGEST_ALIAS = 255


def keys(core: Core, call: Call) -> Answer:
    """List the keys of scope API, the emulator's own first, then in order of creation."""
    creator = "creator_info" in listed(call, "expand")
    return paged("keys", call.account.api_keys, call, lambda key: _row(core, call, key, creator=creator))


def _row(core: Core, call: Call, key: ApiKey, *, creator: bool) -> dict[str, Any]:
    row = {"key_id": key.key_id, "alias": key.alias, "scope": "API", "created_at": iso(core, key.created_at)}
    name = call.account.nickname
    return {**row, "creator_nickname": name, "creator_email": f"{name}@example.com"} if creator else row


def create(_: Core, call: Call) -> Answer:
    alias = text_member(body_object(call), "alias", _LONGEST_ALIAS)
    made = call.account.add_api_key(alias)
    secret = made.key.partition(":")[2]
    return json_answer({"key_id": made.key_id, "key_secret": secret, "key": made.key}, 201)


def delete(_: Core, call: Call, key_id: str) -> Answer:
    """Delete a key. An unknown id is a 204, too (11.11)."""
    call.account.delete_api_key(key_id)
    return Answer(204)
