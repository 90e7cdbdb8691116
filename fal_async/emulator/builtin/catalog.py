"""What the built-in models cost, what they take and return, and how fal's platform presents them (11.6, 11.8)."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.builtin import flux, model_schemas
from fal_async.emulator.builtin.text import DEFAULT_MODEL

_TRAINING_ID = "fal-ai/flux-lora-fast-training"


def _image_model(name: str, description: str, minutes: float, *tags: str) -> dict[str, Any]:
    """Return the metadata of a model that makes images from text; it takes about so many minutes."""
    return {
        "display_name": name,
        "category": "text-to-image",
        "description": description,
        "tags": list(tags),
        "license_type": "commercial",
        "duration_estimate": minutes,
    }


def _flux_schemas(name: str, variant: flux.Variant) -> dict[str, Any]:
    input = model_schemas.flux_input(name, variant.steps, variant.max_steps)
    return {"input_schema": input, "output_schema": model_schemas.flux_output(name)}


FLUX_DEV: dict[str, Any] = {
    **_flux_schemas("FluxDev", flux.DEV),
    "price": "0.025",
    "unit": "image",
    "metadata": {
        **_image_model("FLUX.1 [dev]", "Draws an image for a prompt, in about 28 steps.", 0.05),
        "group": {"key": "flux-1", "label": "FLUX.1"},
        "training_endpoint_ids": [_TRAINING_ID],
    },
}
FLUX_SCHNELL: dict[str, Any] = {
    **_flux_schemas("FluxSchnell", flux.SCHNELL),
    "price": "0.003",
    "unit": "image",
    "metadata": {
        **_image_model("FLUX.1 [schnell]", "Draws an image for a prompt, in four steps.", 0.01, "turbo"),
        "group": {"key": "flux-1", "label": "FLUX.1"},
    },
}
ANY_LLM: dict[str, Any] = {
    "input_schema": model_schemas.llm_input(DEFAULT_MODEL),
    "output_schema": model_schemas.LLM_OUTPUT,
    "price": "0.001",
    "unit": "request",
    "metadata": {
        "display_name": "Any LLM",
        "category": "llm",
        "description": "Answers a prompt with text, at once or word by word.",
        "license_type": "commercial",
    },
}
LCM: dict[str, Any] = {
    "input_schema": model_schemas.LCM_INPUT,
    "output_schema": model_schemas.LCM_OUTPUT,
    "price": "0.0005",
    "unit": "image",
    "metadata": _image_model(
        "Fast LCM Diffusion", "Draws small images, fast enough for realtime.", 0.002, "realtime"
    ),
}
TRAINING: dict[str, Any] = {
    "input_schema": model_schemas.TRAINING_INPUT,
    "output_schema": model_schemas.TRAINING_OUTPUT,
    "price": "2",
    "unit": "training",
    "metadata": {
        "display_name": "Train FLUX LoRA",
        "category": "training",
        "description": "Trains a LoRA for FLUX.1 [dev] on an archive of images.",
        "kind": "training",
        "license_type": "commercial",
        "duration_estimate": 0.5,
        "inference_endpoint_ids": ["fal-ai/flux/dev"],
    },
}
