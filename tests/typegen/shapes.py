"""Ten schemas of different shapes, in the style of fal's documents, each with an input and an output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

_FILE: Mapping[str, Any] = {
    "title": "File",
    "type": "object",
    "required": ["url"],
    "properties": {
        "url": {"type": "string", "title": "Url", "description": "The URL where the file can be downloaded."},
        "content_type": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "The mime type."},
        "file_name": {"type": "string", "nullable": True},
        "file_size": {"type": "integer"},
    },
}
_IMAGE: Mapping[str, Any] = {
    "title": "Image",
    "description": "Represents an image file.",
    "type": "object",
    "required": ["url"],
    "x-fal-order-properties": ["url", "width", "height"],
    "properties": {
        "height": {"type": "integer"},
        "width": {"type": "integer"},
        "url": {"type": "string", "format": "uri", "maxLength": 2083, "minLength": 1},
    },
}
_SIZE: Mapping[str, Any] = {
    "title": "ImageSize",
    "type": "object",
    "properties": {
        "width": {"type": "integer", "default": 512, "exclusiveMinimum": 0, "maximum": 14142},
        "height": {"type": "integer", "default": 512, "exclusiveMinimum": 0, "maximum": 14142},
    },
}


@attrs.frozen(kw_only=True)
class Shape:
    """An endpoint with its schemas, and the input and output that its tests use."""

    endpoint_id: str
    input: Mapping[str, Any]
    output: Mapping[str, Any]
    sent: Mapping[str, Any]
    answer: Any


TEXT_TO_IMAGE = Shape(
    endpoint_id="fal-ai/flux/dev",
    input={
        "title": "DevTextToImageInput",
        "type": "object",
        "required": ["prompt"],
        "x-fal-order-properties": ["prompt", "image_size", "num_images", "output_format", "seed", "loras"],
        "properties": {
            "num_images": {
                "type": "integer",
                "title": "Num Images",
                "description": "The number of images to generate.",
                "minimum": 1,
                "maximum": 4,
                "default": 1,
            },
            "prompt": {"type": "string", "description": "The prompt to generate an image from."},
            "image_size": {
                "anyOf": [
                    {"$ref": "#/$defs/ImageSize"},
                    {
                        "type": "string",
                        "enum": [
                            "square_hd",
                            "square",
                            "portrait_4_3",
                            "portrait_16_9",
                            "landscape_4_3",
                            "landscape_16_9",
                        ],
                    },
                ],
                "default": "landscape_4_3",
                "description": "The size of the generated image.",
            },
            "seed": {
                "anyOf": [{"type": "integer"}, {"type": "null"}],
                "description": "The same seed and the same prompt give the same image every time.",
            },
            "output_format": {"allOf": [{"$ref": "#/$defs/OutputFormat"}], "default": "jpeg"},
            "loras": {"type": "array", "items": {"$ref": "#/$defs/LoraWeight"}, "default": []},
            "sync_mode": {"type": "boolean", "default": False},
        },
        "$defs": {
            "ImageSize": _SIZE,
            "OutputFormat": {"type": "string", "enum": ["jpeg", "png"], "title": "OutputFormat"},
            "LoraWeight": {
                "type": "object",
                "required": ["path"],
                "properties": {
                    "path": {"type": "string", "description": "URL or the path to the LoRA weights."},
                    "scale": {"type": "number", "minimum": 0, "maximum": 4, "default": 1},
                },
            },
        },
    },
    output={
        "title": "Output",
        "type": "object",
        "required": ["images", "timings", "seed", "has_nsfw_concepts", "prompt"],
        "properties": {
            "images": {"type": "array", "items": {"$ref": "#/$defs/Image"}},
            "timings": {"type": "object", "additionalProperties": {"type": "number"}},
            "seed": {"type": "integer"},
            "has_nsfw_concepts": {"type": "array", "items": {"type": "boolean"}},
            "prompt": {"type": "string"},
        },
        "$defs": {"Image": _IMAGE},
    },
    sent={
        "prompt": "a cat",
        "image_size": {"width": 640, "height": 480},
        "num_images": 2,
        "loras": [{"path": "https://example.com/lora", "scale": 0.5}],
    },
    answer={
        "images": [{"url": "https://example.com/cat.png", "width": 640, "height": 480}],
        "timings": {"inference": 0.5},
        "seed": 7,
        "has_nsfw_concepts": [False],
        "prompt": "a cat",
    },
)

FILES = Shape(
    endpoint_id="fal-ai/kling-video/v2.1/edit",
    input={
        "type": "object",
        "required": ["prompt", "image_urls"],
        "properties": {
            "prompt": {"type": "string"},
            "image_urls": {
                "type": "array",
                "minItems": 1,
                "maxItems": 9,
                "items": {"type": "string", "_fal_ui_field": "image"},
                "description": "Reference images.\n\nFormats: JPEG, PNG.\n- at most 10 MB each",
            },
            "voice": {"type": "string", "ui": {"field": "audio"}, "description": "A recorded voice."},
            "elements": {
                "type": "array",
                "items": {"$ref": "#/$defs/Element"},
                "nullable": True,
                "description": "Elements to keep consistent.",
            },
            "webhook_url": {"type": "string", "description": "Not a file."},
            "mask": {"$ref": "#/$defs/Image"},
        },
        "$defs": {
            "Element": {
                "type": "object",
                "required": ["frontal_image_url"],
                "properties": {
                    "frontal_image_url": {"type": "string"},
                    "reference_image_urls": {"type": "array", "items": {"type": "string"}},
                },
            },
            "Image": _IMAGE,
        },
    },
    output={
        "type": "object",
        "required": ["video"],
        "properties": {"video": {"$ref": "#/$defs/File"}, "frames": {"type": "array", "items": _IMAGE}},
        "$defs": {"File": _FILE},
    },
    sent={
        "prompt": "two cats",
        "image_urls": ["https://example.com/a.png"],
        "elements": [{"frontal_image_url": "https://example.com/b.png"}],
        "mask": {"url": "https://example.com/c.png", "width": 8},
    },
    answer={"video": {"url": "https://example.com/v.mp4", "content_type": None}, "frames": []},
)

UNIONS = Shape(
    endpoint_id="fal-ai/unions",
    input={
        "type": "object",
        "required": ["duration"],
        "properties": {
            "duration": {"anyOf": [{"type": "integer", "enum": [5, 10]}, {"const": "auto"}]},
            "guidance": {
                "anyOf": [
                    {"type": "number", "minimum": 0},
                    {"type": "array", "items": {"type": "number"}},
                ],
                "default": 3.5,
            },
            "text": {
                "oneOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "string"}},
                    {"type": "null"},
                ]
            },
            "resolution": {"enum": [480, 720.5, "1080p"], "default": 480},
            "anything": {"description": "Any JSON value."},
        },
    },
    output={
        "type": "object",
        "required": ["value", "either", "state"],
        "properties": {
            "value": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "boolean"}]},
            "either": {"anyOf": [{"$ref": "#/$defs/Picture"}, {"$ref": "#/$defs/Clip"}]},
            "same": {"anyOf": [{"$ref": "#/$defs/Left"}, {"$ref": "#/$defs/Right"}]},
            "state": {"type": "string", "enum": ["done", "partial"]},
        },
        "$defs": {
            "Picture": {"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}},
            "Clip": {
                "type": "object",
                "required": ["seconds"],
                "properties": {"seconds": {"type": "number"}},
            },
            "Left": {"type": "object", "properties": {"x": {"type": "integer"}}},
            "Right": {"type": "object", "properties": {"y": {"type": "integer"}}},
        },
    },
    sent={"duration": 5, "guidance": [1.5, 2.5], "text": "hello", "resolution": "1080p"},
    answer={"value": 3, "either": {"seconds": 1.5}, "same": {"y": 2}, "state": "done"},
)

DISCRIMINATED = Shape(
    endpoint_id="fal-ai/storyboard",
    input={
        "type": "object",
        "required": ["shots"],
        "properties": {
            "shots": {
                "type": "array",
                "items": {
                    "oneOf": [{"$ref": "#/$defs/TextShot"}, {"$ref": "#/$defs/ImageShot"}],
                    "discriminator": {
                        "propertyName": "type",
                        "mapping": {"text": "#/$defs/TextShot", "image": "#/$defs/ImageShot"},
                    },
                },
            },
        },
        "$defs": {
            "TextShot": {
                "type": "object",
                "required": ["text"],
                "properties": {
                    "type": {"type": "string", "const": "text", "default": "text"},
                    "text": {"type": "string"},
                },
            },
            "ImageShot": {
                "type": "object",
                "required": ["type", "image_url"],
                "properties": {
                    "type": {"type": "string", "enum": ["image"]},
                    "image_url": {"type": "string", "format": "uri"},
                },
            },
        },
    },
    output={
        "type": "object",
        "required": ["parts"],
        "properties": {
            "parts": {
                "type": "array",
                "items": {
                    "oneOf": [{"$ref": "#/$defs/Still"}, {"$ref": "#/$defs/Moving"}],
                    "discriminator": {"propertyName": "kind"},
                },
            },
        },
        "$defs": {
            "Still": {
                "type": "object",
                "required": ["kind", "url"],
                "properties": {"kind": {"const": "still"}, "url": {"type": "string"}},
            },
            "Moving": {
                "type": "object",
                "required": ["kind", "url"],
                "properties": {
                    "kind": {"const": "moving"},
                    "url": {"type": "string"},
                    "seconds": {"type": "number"},
                },
            },
        },
    },
    sent={
        "shots": [
            {"type": "text", "text": "a cat"},
            {"type": "image", "image_url": "https://example.com/cat.png"},
        ]
    },
    answer={"parts": [{"kind": "still", "url": "https://a"}, {"kind": "moving", "url": "b", "seconds": 2}]},
)

RECURSIVE = Shape(
    endpoint_id="workflows/me/tree",
    input={
        "type": "object",
        "required": ["root"],
        "properties": {
            "root": {"$ref": "#/$defs/Node"},
            "fallback": {"allOf": [{"$ref": "#/$defs/TreeInput"}], "description": "Used if it fails."},
        },
        "$defs": {
            "Node": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}, "default": []},
                    "parent": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                },
            },
            "TreeInput": {
                "type": "object",
                "required": ["root"],
                "properties": {
                    "root": {"$ref": "#/$defs/Node"},
                    "fallback": {
                        "allOf": [{"$ref": "#/$defs/TreeInput"}],
                        "description": "Used if it fails.",
                    },
                },
            },
        },
    },
    output={
        "type": "object",
        "required": ["tree"],
        "properties": {"tree": {"$ref": "#/$defs/Node"}, "index": {"$ref": "#/$defs/Index"}},
        "$defs": {
            "Node": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}, "default": []},
                    "parent": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                },
            },
            "Index": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Index"}},
        },
    },
    sent={"root": {"name": "a", "children": [{"name": "b"}]}, "fallback": {"root": {"name": "c"}}},
    answer={"tree": {"name": "a", "children": [{"name": "b", "children": []}]}, "index": {"a": {"b": {}}}},
)

INHERITED = Shape(
    endpoint_id="fal-ai/flux-lora-fast-training",
    input={
        "allOf": [
            {"$ref": "#/$defs/BaseTraining"},
            {
                "type": "object",
                "required": ["steps"],
                "properties": {
                    "steps": {"type": "integer", "minimum": 100, "multipleOf": 100},
                    "trigger": {"type": "string", "minLength": 2, "maxLength": 20, "pattern": "^[a-z\\d]+$"},
                },
            },
        ],
        "description": "Trains a style.",
        "$defs": {
            "BaseTraining": {
                "type": "object",
                "required": ["images_data_url"],
                "properties": {
                    "images_data_url": {"type": "string", "description": "URL of a zip file."},
                    "learning_rate": {"type": "number", "exclusiveMinimum": 0, "default": 0.0001},
                    "options": {
                        "type": "object",
                        "properties": {"resume": {"type": "boolean"}, "caption": {"type": "string"}},
                        "default": {"resume": True, "caption": 'a "style"'},
                    },
                    "tags": {"type": "array", "items": {"type": "string"}, "default": ["x", "y"]},
                    "is_style": {"type": "boolean", "default": True, "deprecated": True},
                },
            },
        },
    },
    output={
        "allOf": [{"$ref": "#/$defs/Trained"}],
        "$defs": {
            "Trained": {
                "type": "object",
                "required": ["diffusers_lora_file"],
                "properties": {"diffusers_lora_file": {"$ref": "#/$defs/File"}},
            },
            "File": _FILE,
        },
    },
    sent={"steps": 200, "images_data_url": "https://example.com/a.zip", "options": {"resume": False}},
    answer={"diffusers_lora_file": {"url": "https://example.com/lora", "file_size": 12}},
)

NULLS = Shape(
    endpoint_id="fal-ai/nulls",
    input={
        "type": "object",
        "required": ["mask", "note"],
        "properties": {
            "mask": {
                "anyOf": [{"type": "string"}, {"type": "null"}],
                "description": "null: the whole image.",
            },
            "safety": {"type": ["string", "null"], "enum": ["low", "high", None], "default": "high"},
            "seed": {"type": ["integer", "null"], "default": None},
            "weights": {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
            "note": {"type": "null"},
        },
    },
    output={
        "type": "object",
        "required": ["mask", "scores"],
        "properties": {
            "mask": {"type": "string", "nullable": True},
            "scores": {"type": "array", "items": {"type": ["number", "null"]}},
        },
    },
    sent={"mask": None, "note": None, "safety": None, "weights": [0.5, None]},
    answer={"mask": None, "scores": [1.5, None]},
)

MAPS = Shape(
    endpoint_id="fal-ai/maps",
    input={
        "type": "object",
        "properties": {
            "weights": {"type": "object", "additionalProperties": {"type": "number"}},
            "layers": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Layer"}},
            "extra": {"type": "object", "additionalProperties": True},
            "box": {
                "type": "array",
                "prefixItems": [{"type": "integer"}] * 4,
                "minItems": 4,
                "maxItems": 4,
            },
            "images": {
                "type": "object",
                "additionalProperties": {"type": "string", "ui": {"field": "image"}},
            },
        },
        "additionalProperties": False,
        "$defs": {
            "Layer": {
                "type": "object",
                "properties": {"opacity": {"type": "number"}},
                "additionalProperties": {"type": "string"},
            },
        },
    },
    output={
        "type": "object",
        "required": ["masks", "boxes"],
        "properties": {
            "masks": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Image"}},
            "boxes": {
                "type": "array",
                "items": {
                    "type": "array",
                    "prefixItems": [{"type": "number"}, {"type": "number"}],
                    "maxItems": 2,
                },
            },
            "raw": {},
        },
        "$defs": {
            "Image": {**_IMAGE, "properties": {"url": {"type": "string"}, "alpha": {"type": "boolean"}}}
        },
    },
    sent={"weights": {"a": 0.5}, "layers": {"sky": {"opacity": 0.25}}, "box": [0, 0, 4, 4]},
    answer={"masks": {"cat": {"url": "https://a", "alpha": True}}, "boxes": [[1, 2]], "raw": {"x": [1]}},
)

NAMES = Shape(
    endpoint_id="3d-studio/class",
    input={
        "type": "object",
        "required": ["class", "3d"],
        "properties": {
            "class": {"type": "string"},
            "3d": {"type": "boolean"},
            "x-y": {"type": "string"},
            "x_y": {"type": "string"},
            "from": {"type": "integer"},
            "list": {"type": "array", "items": {"type": "string"}},
            "str": {"type": "string"},
            "json": {"type": "string"},
            "copy": {"type": "boolean"},
            "model_config": {"type": "string"},
            "model_name": {"type": "string"},
            "_private": {"type": "string"},
            "__mangled": {"type": "string"},
            "größe": {"type": "integer", "description": "Die Größe der Tür \u2013 in \u201eMetern\u201c"},
            "\ufb01t": {"type": "string"},
            "image": {"$ref": "#/$defs/NamesImage"},
            "": {"type": "string"},
        },
        "$defs": {
            "NamesImage": {
                "type": "object",
                "required": ["in"],
                "description": 'Ends with a quote "',
                "properties": {
                    "in": {
                        "type": "string",
                        "description": 'A """docstring""" with \\ and \\N{x} and ends\\',
                    },
                    "FileInput": {"type": "string", "description": "\u202eTrojan\u0000\u2028source"},
                },
            },
        },
    },
    output={
        "type": "object",
        "required": ["class", "in"],
        "properties": {
            "class": {"type": "string", "enum": ["a'b", 'a"b', "both \"'", "new\nline", "back\\slash"]},
            "in": {"type": "object", "properties": {"3d": {"type": "integer"}}},
            "import": {"type": "array", "items": {"type": "integer"}},
        },
    },
    sent={"class": "x", "3d": True, "x-y": "1", "x_y": "2", "list": ["a"], "image": {"in": "y"}},
    answer={"class": "a'b", "in": {"3d": 3}, "import": [1]},
)

EMPTY = Shape(
    endpoint_id="fal-ai/ping",
    input={"type": "object", "properties": {}},
    output={"type": "object", "properties": {}, "description": "Nothing."},
    sent={},
    answer={},
)

SHAPES = (
    TEXT_TO_IMAGE,
    FILES,
    UNIONS,
    DISCRIMINATED,
    RECURSIVE,
    INHERITED,
    NULLS,
    MAPS,
    NAMES,
    EMPTY,
)
