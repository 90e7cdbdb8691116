"""The schema of an endpoint: `GET fal.ai/api/openapi/queue/openapi.json` (protocol 11.6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fal_async.emulator.apps.mounts import Mount
from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.jobs.served import Served
from fal_async.emulator.operations.application_schemas import schemas_of
from fal_async.emulator.operations.openapi_schemas import COMPONENTS, components_of
from fal_async.emulator.wire.answers import json_answer

_WORDS = re.compile(r"[A-Za-z0-9]+")
_STATUS: Mapping[str, Any] = {
    "title": "QueueStatus",
    "type": "object",
    "required": ["status", "request_id"],
    "properties": {
        "status": {"type": "string", "enum": ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]},
        "request_id": {"type": "string", "description": "The request id."},
        "response_url": {"type": "string", "description": "Where the result can be fetched."},
        "status_url": {"type": "string", "description": "Where the status can be fetched."},
        "cancel_url": {"type": "string", "description": "Where the request can be cancelled."},
        "logs": {"type": ["array", "null"], "items": {"type": "object"}},
        "metrics": {"type": "object", "description": "Figures of a completed request."},
        "queue_position": {"type": "integer", "description": "How many requests are ahead of this one."},
    },
}
_CANCELLED: Mapping[str, Any] = {
    "title": "CancelOutcome",
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"type": "string", "enum": ["OK", "CANCELLATION_REQUESTED", "ALREADY_COMPLETED"]}
    },
}
_KEY = {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Key id:secret"}
_LOGS = {
    "name": "logs",
    "in": "query",
    "required": False,
    "description": "Whether the answer has the log lines: 1 or 0.",
    "schema": {"type": "number"},
}


async def openapi(core: Core, call: Call) -> Reply:
    """Return the document of an endpoint, for which no key is needed; 404 and null if it is unknown (11.6)."""
    endpoint_id = call.query.get("endpoint_id", "")
    is_its = call.route.rest == "api/openapi/queue/openapi.json"
    document = await openapi_document(core, endpoint_id) if is_its else None
    return json_answer(document, 404 if document is None else 200)


async def openapi_document(core: Core, endpoint_id: str) -> dict[str, Any] | None:
    """Return the document: input is the body of `POST /{id}`, output the body of the result's 200 (11.6).

    Return None if the endpoint is unknown, or of an application that does not describe it.
    """
    served = core.endpoints.serving(endpoint_id)
    if isinstance(served, Endpoint):
        if served.document is not None:
            return dict(served.document)
        wanted, made = served.input_schema or {"type": "object"}, served.output_schema or {}
        return _document(endpoint_id, served, wanted, made)
    if isinstance(served, Mount) and (schemas := await schemas_of(core, served, endpoint_id)) is not None:
        return _document(endpoint_id, served, schemas.input, schemas.output)
    return None


def _document(
    endpoint_id: str, served: Served, wanted: Mapping[str, Any], made: Mapping[str, Any]
) -> dict[str, Any]:
    input, output = _name(endpoint_id, wanted, "Input"), _name(endpoint_id, made, "Output")
    if input == output:
        output = f"{output}Output"
    schemas = {input: wanted, output: made, "QueueStatus": _STATUS, "CancelOutcome": _CANCELLED}
    return {
        "openapi": "3.0.4",
        "info": _info(endpoint_id, served.metadata),
        "components": {"securitySchemes": {"apiKeyAuth": _KEY}, "schemas": components_of(schemas)},
        "paths": _paths(endpoint_id, input, output),
        "servers": [{"url": "https://queue.fal.run"}],
        "security": [{"apiKeyAuth": []}],
    }


def _name(endpoint_id: str, schema: Mapping[str, Any], what: str) -> str:
    """Return the name of a schema: its title, else one made from the endpoint id."""
    title = "".join(_WORDS.findall(str(schema.get("title", ""))))
    path = endpoint_id.partition("/")[2]
    return title or "".join(word[0].upper() + word[1:] for word in _WORDS.findall(path)) + what


def _info(endpoint_id: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    page = f"https://fal.ai/models/{endpoint_id}"
    return {
        "title": f"Queue OpenAPI for {endpoint_id}",
        "version": "1.0.0",
        "description": f"The OpenAPI schema for the {endpoint_id} queue.",
        "x-fal-metadata": {
            "endpointId": endpoint_id,
            "category": metadata.get("category", "other"),
            "thumbnailUrl": metadata.get("thumbnail_url", ""),
            "playgroundUrl": page,
            "documentationUrl": f"{page}/api",
        },
    }


def _paths(endpoint_id: str, input: str, output: str) -> dict[str, Any]:
    request = f"/{endpoint_id}/requests/{{request_id}}"
    named = {"name": "request_id", "in": "path", "required": True, "schema": {"type": "string"}}
    submit = {
        "requestBody": {"required": True, **_json(input)},
        "responses": _answers("QueueStatus", "The status."),
    }
    return {
        f"/{endpoint_id}": {"post": submit},
        f"{request}/status": {
            "get": {"parameters": [named, _LOGS], "responses": _answers("QueueStatus", "The status.")}
        },
        f"{request}/cancel": {
            "put": {
                "parameters": [named],
                "responses": _answers("CancelOutcome", "The outcome of the cancel."),
            }
        },
        request: {"get": {"parameters": [named], "responses": _answers(output, "The result.")}},
    }


def _answers(name: str, description: str) -> dict[str, Any]:
    return {"200": {"description": description, **_json(name)}}


def _json(name: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": COMPONENTS + name}}}}
