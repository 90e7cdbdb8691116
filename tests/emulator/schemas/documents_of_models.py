"""OpenAPI documents in the style of fal's (protocol 11.6), for models that the emulator makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IMAGE_SIZE = {
    "title": "ImageSize",
    "type": "object",
    "properties": {
        "width": {"type": "integer", "minimum": 1, "maximum": 14142, "default": 512},
        "height": {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "default": 512},
    },
}
IMAGE = {
    "title": "Image",
    "type": "object",
    "required": ["url"],
    "properties": {
        "url": {"type": "string"},
        "content_type": {"type": "string", "nullable": True, "examples": ["image/png"]},
        "file_name": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "file_size": {"type": "integer", "nullable": True},
        "file_data": {"type": "string", "format": "binary"},
        "width": {"type": "integer", "nullable": True},
        "height": {"type": "integer", "nullable": True},
    },
}
INPUT = {
    "title": "PainterInput",
    "type": "object",
    "x-fal-order-properties": ["prompt", "num_images", "image_size", "image_url", "seed", "mode", "strength"],
    "required": ["prompt"],
    "properties": {
        "prompt": {"type": "string", "minLength": 1, "title": "Prompt"},
        "num_images": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1},
        "image_size": {
            "anyOf": [
                {"$ref": "#/components/schemas/ImageSize"},
                {"type": "string", "enum": ["square_hd", "square", "portrait_4_3"]},
            ],
            "default": "square",
        },
        "image_url": {"type": "string", "_fal_ui_field": "image"},
        "seed": {"type": "integer", "nullable": True},
        "mode": {"type": "string", "enum": ["fast", "slow"], "default": "fast"},
        "strength": {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "null"}]},
        "sync_mode": {"type": "boolean", "default": False},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
    },
}
OUTPUT = {
    "title": "PainterOutput",
    "type": "object",
    "required": ["images", "seed", "prompt"],
    "properties": {
        "images": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/Image"},
            "examples": [[{"url": "https://fal.media/files/a.png"}]],
        },
        "seed": {"type": "integer"},
        "prompt": {"type": "string"},
        "has_nsfw_concepts": {"type": "array", "items": {"type": "boolean"}},
        "timings": {"type": "object", "additionalProperties": {"type": "number"}},
    },
}


def document(
    endpoint_id: str = "acme/painter",
    input: Mapping[str, Any] | None = None,
    output: Mapping[str, Any] | None = None,
    **schemas: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the document of a model; its schemas may refer to `schemas`, ImageSize and Image by name."""

    def body(name: str) -> dict[str, Any]:
        return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}

    request = f"/{endpoint_id}/requests/{{request_id}}"
    status = {"responses": {"200": body("QueueStatus")}}
    return {
        "openapi": "3.0.4",
        "info": {
            "title": f"Queue OpenAPI for {endpoint_id}",
            "version": "1.0.0",
            "description": "Paints.",
            "x-fal-metadata": {"endpointId": endpoint_id, "category": "text-to-image"},
        },
        "paths": {
            f"{request}/status": {"get": status},
            f"{request}/cancel": {"put": status},
            f"/{endpoint_id}": {
                "post": {
                    "requestBody": {"required": True, **body("TheInput")},
                    "responses": status["responses"],
                }
            },
            request: {"get": {"responses": {"200": body("TheOutput")}}},
        },
        "components": {
            "schemas": {
                "TheInput": INPUT if input is None else input,
                "TheOutput": OUTPUT if output is None else output,
                "QueueStatus": {"type": "object"},
                "ImageSize": IMAGE_SIZE,
                "Image": IMAGE,
                **schemas,
            }
        },
    }
