"""What each stand-in takes, returns and costs: `models.json` as JSON schemas, prices and metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

import attrs

from fal_async.emulator.accounts.prices import Price, price_of
from fal_async.emulator.builtin.model_schemas import object_schema

_OF_TEXT = ("llm", "vision")
"""The categories whose models answer with text, unless their output has no field for it."""


@attrs.frozen(kw_only=True, eq=False)
class Model:
    """One stand-in.

    Attributes:
        endpoint_id: fal's id of the model.
        category: fal's category, such as "text-to-image".
        work: "upscale" or "cutout" for an image that is made of the input's image; else empty.
        sound: "wav" or "mp3" for a model that makes sound; else empty.
        price: what a unit costs.
        input: the schema of the input.
        output: the schema of the result.
        metadata: what the platform API tells about it.
    """

    endpoint_id: str
    category: str
    work: str
    sound: str
    price: Price
    input: Mapping[str, Any] = attrs.field(repr=False)
    output: Mapping[str, Any] = attrs.field(repr=False)
    metadata: Mapping[str, Any] = attrs.field(repr=False)

    @property
    def writes(self) -> bool:
        return self.category in _OF_TEXT and "output" in self.output["properties"]


@lru_cache(1)
def models() -> tuple[Model, ...]:
    """Return all stand-ins. They are read once for all emulators of a process."""
    text = files(__package__).joinpath("models.json").read_text(encoding="utf-8")
    document = json.loads(text)
    return tuple(_model(endpoint_id, row, document) for endpoint_id, row in document["models"].items())


def _model(endpoint_id: str, row: Mapping[str, Any], document: Mapping[str, Any]) -> Model:
    title = row["name"].replace(" ", "").replace(".", "")
    input, output = (
        _schema(
            f"{title}{side.title()}", row[side], row.get(f"{side}_fields", {}), document, f"{side}_fields"
        )
        for side in ("input", "output")
    )
    input = _with_nulls(input)
    metadata = {
        "display_name": row["name"],
        "category": row["category"],
        "description": f"A stand-in for fal's model {endpoint_id}: {_MADE[row['category']]}.",
        "license_type": "commercial",
    }
    return Model(
        endpoint_id=endpoint_id,
        category=row["category"],
        work=row.get("work", ""),
        sound=row.get("sound", ""),
        price=price_of(row["price"], row["unit"]),
        input=input,
        output=output,
        metadata=metadata,
    )


_MADE: Mapping[str, str] = {
    "text-to-image": "it draws an image for a prompt",
    "image-to-image": "it returns an image for an image",
    "text-to-video": "it returns a short sample video for a prompt",
    "image-to-video": "it returns a short sample video for an image",
    "video-to-video": "it returns a short sample video for a video",
    "text-to-speech": "it returns tones for a text, one for each syllable",
    "text-to-audio": "it returns tones for a prompt",
    "speech-to-text": "it returns a made-up transcription, always the same for the same sound",
    "llm": "it answers a prompt with text",
    "vision": "it answers a question about images with text",
}


def _schema(
    title: str, names: str, own: Mapping[str, Any], document: Mapping[str, Any], shared: str
) -> dict[str, Any]:
    """Return the schema of the named fields, of which a `!` marks the required ones."""
    required = [name[:-1] for name in names.split() if name.endswith("!")]
    fields = {name: own.get(name, document[shared].get(name, {})) for name in names.replace("!", "").split()}
    definitions = dict(_definitions(fields, document["objects"]))
    schema = object_schema(title, required, **fields)
    return {**schema, "$defs": definitions} if definitions else schema


def _definitions(schema: Any, objects: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the definitions to which a schema refers, and those to which they refer."""
    if isinstance(schema, list):
        for part in schema:
            yield from _definitions(part, objects)
    elif isinstance(schema, Mapping):
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            yield name, objects[name]
            yield from _definitions(objects[name], objects)
        for part in schema.values():
            yield from _definitions(part, objects)


def _with_nulls(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an input in which optional fields without a default may be null, as on fal."""
    required, fields = schema.get("required", ()), schema["properties"]
    free = {name for name, field in fields.items() if name not in required and "default" not in field}
    parts: dict[str, Any] = {
        "properties": {**fields, **{name: {**fields[name], "nullable": True} for name in free}}
    }
    if "$defs" in schema:
        parts["$defs"] = {name: _with_nulls(one) for name, one in schema["$defs"].items()}
    return {**schema, **parts}
