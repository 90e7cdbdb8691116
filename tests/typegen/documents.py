"""Schemas as the client reads them from fal's documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fal_async.protocol.schemas.endpoint_schema import EndpointSchema, parse_schema
from tests.typegen.shapes import Shape


def schema_of(shape: Shape) -> EndpointSchema:
    return endpoint_schema(shape.endpoint_id, shape.input, shape.output)


def endpoint_schema(
    endpoint_id: str, input: Mapping[str, Any], output: Mapping[str, Any] | None = None
) -> EndpointSchema:
    """Return the schema of an endpoint, read from an OpenAPI document in fal's form."""

    def body(schema: Mapping[str, Any] | None) -> dict[str, Any]:
        return {"content": {"application/json": {"schema": schema or {}}}}

    document = {
        "openapi": "3.0.4",
        "paths": {
            f"/{endpoint_id}": {"post": {"requestBody": body(input)}},
            f"/{endpoint_id}/requests/{{request_id}}": {"get": {"responses": {"200": body(output)}}},
        },
    }
    return parse_schema(document, endpoint_id)
