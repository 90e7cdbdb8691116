"""The schema of an endpoint: `GET fal.ai/api/openapi/queue/openapi.json` (protocol 11.6)."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.jobs.endpoints import Endpoint
from fal_async.emulator.wire.answers import json_answer


async def openapi(core: Core, call: Call) -> Reply:
    """Return the document of an endpoint, for which no key is needed; 404 and null if it is unknown (11.6)."""
    endpoint = core.endpoints.find(call.query.get("endpoint_id"))
    if call.route.rest != "api/openapi/queue/openapi.json" or endpoint is None:
        return json_answer(None, 404)
    return json_answer(openapi_document(endpoint))


def openapi_document(endpoint: Endpoint) -> dict[str, Any]:
    """Return the document: input is the body of `POST /{id}`, output the body of the result's 200 (11.6)."""
    path = f"/{endpoint.endpoint_id}"
    schemas = {"Input": endpoint.input_schema or {"type": "object"}, "Output": endpoint.output_schema or {}}
    request_id = {"name": "request_id", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "openapi": "3.0.4",
        "info": {
            "title": f"Queue OpenAPI for {endpoint.endpoint_id}",
            "version": "1.0.0",
            "x-fal-metadata": {"endpointId": endpoint.endpoint_id},
        },
        "paths": {
            path: {
                "post": {"requestBody": {"required": True, **_content("Input")}, "responses": {"200": {}}}
            },
            f"{path}/requests/{{request_id}}": {
                "get": {"parameters": [request_id], "responses": {"200": _content("Output")}}
            },
        },
        "components": {"schemas": schemas},
        "servers": [{"url": "https://queue.fal.run"}],
    }


def _content(name: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}
