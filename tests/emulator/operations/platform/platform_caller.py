"""A caller of the emulator's platform API that checks each answer against a copy of fal's own document."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tests.emulator.caller import Caller, Reply
from tests.emulator.operations.platform import fal_document

HOST = "/api.fal.ai/v1"


@attrs.frozen
class Platform:
    caller: Caller

    async def get(self, path: str, *, key: str | None = None, **query: Any) -> Reply:
        return await self.call("GET", path, key=key, params=query)

    async def post(self, path: str, body: Any, *, key: str | None = None) -> Reply:
        return await self.call("POST", path, key=key, json=body)

    async def call(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> Reply:
        """Call a path such as `models`; `key`: an API key, or None for the emulator's; "" for none."""
        key = self.caller.emulator.key if key is None else key
        sent = {**({"Authorization": f"Key {key}"} if key else {}), **(headers or {})}
        reply = await self.caller.call(method, f"{HOST}/{path}", headers=sent, **options)
        if wrong := fal_document.mistakes(method, f"/{path}", reply):
            pytest.fail(f"{method} {path} {reply.status}: {'; '.join(wrong)}")
        return reply

    async def listed(
        self, path: str, name: str, *, key: str | None = None, **query: Any
    ) -> list[dict[str, Any]]:
        """Return one list of a successful answer."""
        reply = await self.get(path, key=key, **query)
        assert reply.status == 200, reply.data
        rows: list[dict[str, Any]] = reply.data[name]
        return rows


def refused(reply: Reply) -> tuple[int, str]:
    """Return the status and the type of an error."""
    return reply.status, reply.data["error"]["type"]
