"""Input and output of one path of a mounted application, from the application's own `/openapi.json`."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import attrs

from fal_async.emulator.apps.mounted_request import Ask
from fal_async.emulator.apps.mounts import Mount
from fal_async.emulator.core import Core

_LIMIT = 5.0
"""Seconds for the application's answer."""
_REFERENCE = re.compile(r"#/components/schemas/([^/\"]+)")


@attrs.frozen
class Schemas:
    """The JSON schemas of the input and output of one path, whose `$defs` have what they refer to."""

    input: Mapping[str, Any]
    output: Mapping[str, Any]


async def schemas_of(core: Core, mount: Mount, endpoint_id: str) -> Schemas | None:
    """Return the schemas of an endpoint; None if the application does not describe a POST to its path."""
    with suppress(Exception):  # an application that is down, or describes itself wrongly, has no schemas
        async with asyncio.timeout(_LIMIT):
            document = await _own_document(core, mount)
        return _of_path(document, f"/{endpoint_id[len(mount.app_id) + 1 :]}")
    return None


async def paths_of(core: Core, mount: Mount) -> list[str]:
    """Return the paths to which the application describes a POST, in its order; none if it describes nothing."""
    with suppress(Exception):
        async with asyncio.timeout(_LIMIT):
            document = await _own_document(core, mount)
        return [path for path in document["paths"] if _member(document, "paths", path, "post") is not None]
    return []


def _of_path(document: Any, path: str) -> Schemas | None:
    operation = _member(document, "paths", path, "post")
    if operation is None:
        return None
    body = operation.get("requestBody")
    body = _member(document, *_place(body)) or body
    answers = sorted(status for status in operation.get("responses", {}) if status.startswith("2"))
    answer = _member(operation, "responses", answers[0]) if answers else None
    return Schemas(_schema(document, body) or {"type": "object"}, _schema(document, answer) or {})


async def _own_document(core: Core, mount: Mount) -> Any:
    await core.mounts.ready(mount.application)
    async with mount.application.ask(Ask(method="GET", path="/openapi.json")) as response:
        body = b"".join([piece async for piece in response.pieces()])
        return json.loads(body) if response.status == 200 else None


def _member(value: Any, *names: str) -> Any:
    """Return a nested member of a JSON object, or None if it has none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if names else None


def _place(value: Any) -> list[str]:
    """Return the names that lead to the target of a local reference; none if the value is not one."""
    reference = value.get("$ref", "") if isinstance(value, Mapping) else ""
    return reference.removeprefix("#/").split("/") if reference.startswith("#/") else []


def _schema(document: Any, content: Any) -> dict[str, Any] | None:
    """Return the JSON schema of a body, with its definitions, or None if it has none."""
    schema = _member(content, "content", "application/json", "schema")
    if not schema:
        return None
    schema = _member(document, *_place(schema)) or schema
    definitions: dict[str, Any] = {}
    _collect(schema, _member(document, "components", "schemas") or {}, definitions)
    return {**_renamed(schema), "$defs": {name: _renamed(one) for name, one in definitions.items()}}


def _collect(schema: Any, known: Mapping[str, Any], found: dict[str, Any]) -> None:
    """Add the definitions to `found` that a schema refers to, directly or not."""
    for name in _REFERENCE.findall(json.dumps(schema)):
        if name in known and name not in found:
            found[name] = known[name]
            _collect(known[name], known, found)


def _renamed(schema: Any) -> Any:
    """Return a schema whose references lead to its own `$defs`."""
    if isinstance(schema, Mapping):
        return {
            name: _REFERENCE.sub(r"#/$defs/\1", value) if name == "$ref" else _renamed(value)
            for name, value in schema.items()
        }
    return [_renamed(one) for one in schema] if isinstance(schema, list) else schema
