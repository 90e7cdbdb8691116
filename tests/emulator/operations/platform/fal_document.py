"""fal's own OpenAPI document of its platform API, of which a copy may lie beside the checkout, never in it.

The copy is the file that the environment variable FAL_PLATFORM_OPENAPI names, or `shared/platform-openapi.json` in
a folder above.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.emulator.caller import Reply

VARIABLE = "FAL_PLATFORM_OPENAPI"
_GIVEN = os.environ.get(VARIABLE)
"""Read before the tests, which run without variables that begin with FAL_."""
_NEIGHBOUR = Path("shared", "platform-openapi.json")
NEWER = {"tags": {"type": "object", "additionalProperties": {"type": "string"}}}
"""Members of a billing event that fal's document did not have when it was copied (protocol 11.9)."""
_METHODS = ("get", "post", "put", "patch", "delete")


@cache
def document() -> dict[str, Any] | None:
    """Return the document, or None if this machine has no copy."""
    places = [Path(_GIVEN)] if _GIVEN else [folder / _NEIGHBOUR for folder in Path(__file__).parents]
    found = next((place for place in places if place.is_file()), None)
    return None if found is None else json.loads(found.read_text(encoding="utf-8"))


def required_document() -> dict[str, Any]:
    """Return the document, or skip the test."""
    found = document()
    if found is None:
        pytest.skip(f"no copy of fal's document: set {VARIABLE}")
    return found


def operations(fal: dict[str, Any]) -> set[tuple[str, str]]:
    """Return method and path of each operation, such as ("GET", "/models")."""
    return {
        (method.upper(), path) for path, item in fal["paths"].items() for method in _METHODS if method in item
    }


def mistakes(method: str, path: str, reply: Reply) -> list[str]:
    """Return what in an answer does not fit the document: its status, its content type, or its body."""
    if (fal := document()) is None:
        return []
    operation = fal["paths"][_pattern(fal, path)][method.lower()]
    described = operation["responses"].get(str(reply.status))
    if described is None:
        return [f"status {reply.status} is not one of {', '.join(operation['responses'])}"]
    content = described.get("content")
    if content is None:
        return [f"a body of {len(reply.body)} bytes"] if reply.body else []
    kind = reply.headers.get("Content-Type", "").partition(";")[0]
    if kind not in content:
        return [f"content type {kind} is not one of {', '.join(content)}"]
    return _wrong_members(
        content[kind]["schema"], reply.data if kind.endswith("json") else reply.body.decode()
    )


def _pattern(fal: dict[str, dict[str, Any]], path: str) -> str:
    """Return the document's path, which may have names in braces; one without braces takes precedence."""
    if path in fal["paths"]:
        return path
    parts = path.split("/")
    fitting = [
        known
        for known in fal["paths"]
        if known.count("/") == path.count("/")
        and all(a == b or a.startswith("{") for a, b in zip(known.split("/"), parts, strict=True))
    ]
    if not fitting:
        raise LookupError(f"the document has no path {path}")
    return fitting[0]


def _wrong_members(schema: dict[str, Any], data: Any) -> list[str]:
    # The document is OpenAPI 3.1, whose schemas are JSON Schema of 2020-12.
    checker = jsonschema.Draft202012Validator(
        _closed(schema), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    return [f"{error.json_path}: {error.message[:200]}" for error in checker.iter_errors(data)]


def _closed(schema: Any) -> Any:
    """Return the schema without members that it does not name, so that a misspelt optional member is found."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    if isinstance(named := closed.get("properties"), dict) and "type" in schema:
        closed.setdefault("additionalProperties", False)
        if "cost_estimate_nano_usd" in named:
            named.update(NEWER)
    return closed
