"""`GET /models`: the endpoints, found by id, by words, by category and by status (protocol 11.1, 11.8)."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from fal_async.emulator.builtin.painting import one_colour
from fal_async.emulator.core import Call, Core
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.operations.openapi import openapi_document
from fal_async.emulator.operations.platform.page_numbers import page_of
from fal_async.emulator.operations.platform.platform_errors import not_found
from fal_async.emulator.operations.platform.query_values import choice, listed
from fal_async.emulator.wire.answers import Answer, json_answer
from fal_async.emulator.wire.data_uris import data_uri

_STATUSES = ("active", "deprecated")
_CATEGORY = "other"
"""The category of an endpoint that has none."""
_SIDE = 64
"""Pixels."""


async def models(core: Core, call: Call) -> Answer:
    """List models. A key is not needed (11.7)."""
    wanted, expand = listed(call, "endpoint_id"), listed(call, "expand")
    status, category = choice(call, "status", _STATUSES), call.query.get("category")
    words = call.query.get("q", "").lower().split()

    def matches(row: dict[str, Any]) -> bool:
        details = row["metadata"]
        text = " ".join(
            [row["endpoint_id"], *(details[name] for name in ("display_name", "description", "category"))]
        ).lower()
        found = all(word in text for word in words)
        return found and status in (None, details["status"]) and category in (None, details["category"])

    rows = [_row(core, call, served) for served in _named(core, wanted)]
    page, more = page_of([row for row in rows if matches(row)], call)
    return json_answer({"models": [await _expanded(core, row, expand) for row in page], **more})


def _named(core: Core, wanted: list[str]) -> list[Served]:
    served = {one.endpoint_id: one for one in core.endpoints if not one.is_workflow}
    if unknown := [endpoint_id for endpoint_id in wanted if endpoint_id not in served]:
        raise not_found(f"Model not found: {', '.join(unknown)}")
    return [one for endpoint_id, one in served.items() if not wanted or endpoint_id in wanted]


def _row(core: Core, call: Call, served: Served) -> dict[str, Any]:
    return {"endpoint_id": served.endpoint_id, "metadata": metadata(core, call, served)}


def metadata(core: Core, call: Call, served: Served) -> dict[str, Any]:
    """Return what fal tells about a model; `Emulator.endpoint(metadata=...)` changes and adds members."""
    created = datetime.fromtimestamp(served.created_at, UTC).isoformat(timespec="milliseconds")
    url = f"{call.origin}/fal.run/{served.endpoint_id}"
    found: dict[str, Any] = {
        "display_name": served.endpoint_id.partition("/")[2].replace("-", " ").replace("/", " ").title(),
        "category": _CATEGORY,
        "description": described(served),
        "status": "active",
        "tags": [],
        "updated_at": created.replace("+00:00", "Z"),
        "is_favorited": None if call.account is core.keyring.anonymous else False,
        "thumbnail_url": _thumbnail(),
        "model_url": url,
        "date": created.replace("+00:00", "Z"),
        "highlighted": False,
        "kind": "inference",
        "pinned": False,
    }
    if isinstance(served, Endpoint) and served.streams:
        found["stream_url"] = f"{url}/stream"
    return {**found, **served.metadata}


def described(served: Served) -> str:
    """Return the first line of the function's docstring; empty without one."""
    text = served.function.__doc__ if isinstance(served, Endpoint) else None
    return inspect.cleandoc(text or "").partition("\n")[0]


@lru_cache(1)
def _thumbnail() -> str:
    return data_uri(one_colour(_SIDE, _SIDE), "image/png")


async def _expanded(core: Core, row: dict[str, Any], expand: list[str]) -> dict[str, Any]:
    if "openapi-3.0" in expand:
        document = await openapi_document(core, row["endpoint_id"])
        row["openapi"] = document or _failed("it has no OpenAPI document")
    if "enterprise_status" in expand:
        row["enterprise_status"] = enterprise_status(row["endpoint_id"])
    return row


def enterprise_status(endpoint_id: str) -> str:
    return "ready" if endpoint_id.startswith("fal-ai/") else "pending"


def _failed(why: str) -> dict[str, Any]:
    return {"error": {"code": "expansion_failed", "message": f"The model could not be expanded: {why}"}}
