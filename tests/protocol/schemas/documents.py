"""OpenAPI documents in the style of fal's, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VIDEO = "acme/video/edit"
LORA = {
    "title": "LoraWeight",
    "type": "object",
    "required": ["path"],
    "x-fal-order-properties": ["path", "scale"],
    "properties": {
        "path": {"type": "string", "title": "Path"},
        "scale": {"type": "number", "minimum": 0, "maximum": 4, "default": 1},
    },
}
INPUT = {
    "title": "VideoInput",
    "type": "object",
    "required": ["prompt", "image_url"],
    "x-fal-order-properties": ["image_url", "prompt", "missing"],
    "properties": {
        "prompt": {
            "type": "string",
            "maxLength": 2000,
            "description": "What is\n  seen.",
            "examples": ["a cat"],
        },
        "image_url": {"type": "string", "_fal_ui_field": "image"},
        "num_images": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1},
        "image_size": {
            "anyOf": [
                {"$ref": "#/components/schemas/ImageSize"},
                {"type": "string", "enum": ["square", "portrait"]},
            ],
            "default": "square",
        },
        "seed": {"type": "integer", "nullable": True, "title": "Seed"},
        "strength": {"anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}]},
        "loras": {"type": "array", "items": {"$ref": "#/components/schemas/LoraWeight"}, "maxItems": 3},
        "format": {"type": "string", "enum": ["png", "jpeg"], "default": "png"},
        "root": {"allOf": [{"$ref": "#/components/schemas/Node"}], "nullable": True, "default": None},
        "mask_urls": {"type": "array", "items": {"type": "string", "format": "uri"}},
        "webhook_url": {"type": "string", "format": "uri"},
        "extra": {"type": "object", "additionalProperties": {"type": "integer"}},
        "ratio": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
    },
}
NODE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
    },
}
SCHEMAS: Mapping[str, Any] = {
    "VideoInput": INPUT,
    "LoraWeight": LORA,
    "Node": NODE,
    "ImageSize": {
        "type": "object",
        "properties": {"width": {"type": "integer"}, "height": {"type": "integer"}},
    },
    "VideoOutput": {
        "type": "object",
        "required": ["video"],
        "properties": {"video": {"$ref": "#/components/schemas/File"}},
    },
    "File": {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]},
    "QueueStatus": {"type": "object", "properties": {"status": {"type": "string"}}},
}


def body(name: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}


def document(
    *, path: str = f"/{VIDEO}", schemas: Mapping[str, Any] = SCHEMAS, first: str = "VideoInput"
) -> dict[str, Any]:
    """Return the document of an endpoint that is served under `path`."""
    return {
        "openapi": "3.0.4",
        "info": {
            "title": "Queue OpenAPI",
            "x-fal-metadata": {
                "endpointId": VIDEO,
                "category": "image-to-video",
                "playgroundUrl": "https://fal.ai/models/acme/video/edit",
                "documentationUrl": "https://fal.ai/models/acme/video/edit/api",
                "thumbnailUrl": "",
            },
        },
        "paths": {
            f"{path}/requests/{{request_id}}/status": {"get": {"responses": {"200": body("QueueStatus")}}},
            f"{path}/requests/{{request_id}}/cancel": {"put": {"responses": {"200": {}}}},
            path: {"post": {"requestBody": body(first), "responses": {"200": body("QueueStatus")}}},
            f"{path}/requests/{{request_id}}": {"get": {"responses": {"200": body("VideoOutput")}}},
        },
        "components": {"schemas": schemas},
    }
