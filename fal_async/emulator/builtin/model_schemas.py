"""The JSON schemas of the built-in models, in the style of fal's (protocol 11.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]
SIZES: Mapping[str, tuple[int, int]] = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
MAX_SIDE = 14142
"""Pixels: width and height are from 1 to 14142 (protocol 13)."""


def object_schema(title: str, required: Sequence[str] = (), **properties: Schema) -> dict[str, Any]:
    """Return the schema of an object, whose properties have titles and an order as fal's do."""
    titled = {name: {"title": name.replace("_", " ").title(), **one} for name, one in properties.items()}
    schema = {
        "title": title,
        "type": "object",
        "x-fal-order-properties": list(properties),
        "properties": titled,
    }
    return {**schema, "required": list(required)} if required else schema


def _with(schema: Schema, **definitions: Schema) -> dict[str, Any]:
    return {**schema, "$defs": definitions}


def _of(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def _said(kind: str, description: str, **details: Any) -> dict[str, Any]:
    return {"type": kind, "description": description, **details}


def _integer(description: str, low: int, high: int | None = None, **details: Any) -> dict[str, Any]:
    limits = {"minimum": low} if high is None else {"minimum": low, "maximum": high}
    return _said("integer", description, **limits, **details)


_SIDE = _integer("The size in this direction, in pixels.", 1, MAX_SIDE, default=512)
_IMAGE_SIZE = object_schema("ImageSize", width=_SIDE, height=_SIDE)
_IMAGE = object_schema(
    "Image",
    ["url"],
    url=_said("string", "The URL of the image."),
    width=_said("integer", "The width, in pixels.", nullable=True),
    height=_said("integer", "The height, in pixels.", nullable=True),
    content_type=_said("string", "The media type of the image.", default="image/png", examples=["image/png"]),
    file_name=_said("string", "The name of the file.", nullable=True),
    file_size=_said("integer", "The size of the file, in bytes.", nullable=True),
)
_FILE = object_schema(
    "File",
    ["url"],
    url=_said("string", "The URL of the file."),
    content_type=_said("string", "The media type of the file.", nullable=True),
    file_name=_said("string", "The name of the file.", nullable=True),
    file_size=_said("integer", "The size of the file, in bytes.", nullable=True),
)
_PROMPT = _said("string", "What the image shows.", examples=["a lighthouse in the fog, oil painting"])
_SEED = _integer(
    "The same seed and prompt give the same image. Without it, one is chosen.", 0, 2**63 - 1, nullable=True
)
_IMAGES = {"type": "array", "description": "The images.", "items": _of("Image")}
_TIMINGS = _said("object", "Seconds by step of the work.", additionalProperties={"type": "number"})
_FLAGS = {"type": "array", "description": "Whether an image is unsafe.", "items": {"type": "boolean"}}
_OUTPUT = {
    "images": _IMAGES,
    "timings": _TIMINGS,
    "seed": _said("integer", "The seed that was used."),
    "has_nsfw_concepts": _FLAGS,
    "prompt": _said("string", "The prompt that was used."),
}


def flux_input(name: str, steps: int, max_steps: int) -> Schema:
    """Return the input of a FLUX model; `steps` is the default of its steps."""
    size = {
        "description": "A named size, or width and height.",
        "anyOf": [_of("ImageSize"), {"type": "string", "enum": list(SIZES)}],
        "default": "landscape_4_3",
    }
    quality = "How closely the image follows the prompt. It has no effect in the emulator."
    inline = "Whether images are returned as data URIs in place of URLs."
    schema = object_schema(
        f"{name}Input",
        ["prompt"],
        prompt=_PROMPT,
        image_size=size,
        num_inference_steps=_integer("How many steps the work has.", 1, max_steps, default=steps),
        seed=_SEED,
        guidance_scale=_said("number", quality, minimum=1, maximum=20, default=3.5),
        sync_mode=_said("boolean", inline, default=False),
        num_images=_integer("How many images are made.", 1, 4, default=1),
        enable_safety_checker=_said("boolean", "It has no effect in the emulator.", default=True),
        output_format=_said(
            "string", "The emulator makes PNGs in any case.", enum=["jpeg", "png"], default="jpeg"
        ),
        acceleration=_said(
            "string", "It has no effect in the emulator.", enum=["none", "regular", "high"], default="none"
        ),
    )
    return _with(schema, ImageSize=_IMAGE_SIZE)


def flux_output(name: str) -> Schema:
    return _with(object_schema(f"{name}Output", list(_OUTPUT), **_OUTPUT), Image=_IMAGE)


LCM_INPUT: Schema = object_schema(
    "FastLcmDiffusionInput",
    ["prompt"],
    prompt=_PROMPT,
    size=_integer("Width and height, in pixels.", 64, 1024, default=512),
    seed=_SEED,
)
_ID = _said("string", "The request id.")
LCM_OUTPUT: Schema = _with(
    object_schema("FastLcmDiffusionOutput", list(_OUTPUT), **_OUTPUT, request_id=_ID), Image=_IMAGE
)


def llm_input(default_model: str) -> Schema:
    return object_schema(
        "AnyLlmInput",
        ["prompt"],
        prompt=_said("string", "The question.", examples=["Why is the sky blue?"]),
        model=_said("string", "The name of a language model.", default=default_model),
    )


LLM_OUTPUT: Schema = object_schema(
    "AnyLlmOutput",
    ["output"],
    output=_said("string", "The text so far."),
    reasoning=_said("string", "The thoughts of the model.", nullable=True),
    partial=_said("boolean", "Whether more text follows.", default=False),
    error=_said("string", "What went wrong.", nullable=True),
)
TRAINING_INPUT: Schema = object_schema(
    "FluxLoraFastTrainingInput",
    ["images_data_url"],
    images_data_url=_said("string", "The URL of a zip archive with the images."),
    trigger_word=_said("string", "The word in prompts that stands for the subject.", default=""),
    steps=_integer("How many steps the training has.", 1, 10_000, default=1000),
)
TRAINING_OUTPUT: Schema = _with(
    object_schema(
        "FluxLoraFastTrainingOutput",
        ["diffusers_lora_file", "config_file"],
        diffusers_lora_file={"description": "The weights.", **_of("File")},
        config_file={"description": "The settings of the training.", **_of("File")},
    ),
    File=_FILE,
)
