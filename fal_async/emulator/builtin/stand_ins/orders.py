"""The input of a stand-in: checked as fal does, with the defaults filled in, and with the files that it names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from fal_async.emulator.builtin.checking import Checker
from fal_async.emulator.builtin.stand_ins.images import size_in_pixels
from fal_async.emulator.builtin.stand_ins.table import Model
from fal_async.emulator.jobs.job import JobContext
from fal_async.emulator.wire.answers import ModelError, detail_entry

_IMAGES = (
    "image_url",
    "image_urls",
    "reference_image_urls",
    "model_image",
    "start_image_url",
    "first_frame_url",
)
_SOUNDS = ("audio_url", "ref_audio_url")
_TEXTS = ("text", "prompt", "gen_text", "input", "tags")
_LIMIT = 2**32


@attrs.frozen(kw_only=True)
class Order:
    """What is asked of a stand-in.

    Attributes:
        values: the input, with defaults.
        text: the prompt or the words to speak; empty without one.
        seed: the seed of the input, else one that is always the same for the same input.
        image: the first image of the input, if this emulator can read it; else None.
        sound: the sound of the input, if this emulator can read it; else None.
    """

    values: Mapping[str, Any]
    text: str
    seed: int
    image: bytes | None = attrs.field(default=None, repr=False)
    sound: bytes | None = attrs.field(default=None, repr=False)

    @property
    def source_size(self) -> tuple[int, int] | None:
        """Width and height of the input's image, in pixels."""
        return None if self.image is None else size_in_pixels(self.image)

    def count(self) -> int:
        """Return how many images are wanted."""
        wanted = self.values.get("num_images")
        return wanted if isinstance(wanted, int) else 1


async def read_order(model: Model, input: Any, job: JobContext) -> Order:
    """Return the order. Raise ModelError with all mistakes, or if a file of this emulator cannot be read."""
    check = Checker(input)
    values = check.fields(model.input)
    check.finish()
    texts = (values.get(name) for name in _TEXTS)
    image, sound = await _file(values, _IMAGES, job), await _file(values, _SOUNDS, job)
    if image is not None and size_in_pixels(image) is None:
        raise _refused(values, _IMAGES, "The image could not be loaded", "image_load_error")
    return Order(
        values=values,
        text=next((text for text in texts if isinstance(text, str) and text), ""),
        seed=_seed(values),
        image=image,
        sound=sound,
    )


def _seed(values: Mapping[str, Any]) -> int:
    if isinstance(seed := values.get("seed"), int):
        return seed
    text = json.dumps(values, sort_keys=True)
    return (
        int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
        % _LIMIT
    )


async def _file(values: Mapping[str, Any], names: Sequence[str], job: JobContext) -> bytes | None:
    url = _first(values, names)
    if url is None:
        return None
    try:
        return await job.read(url)
    except (FileNotFoundError, ValueError) as error:
        raise _refused(values, names, "The file could not be downloaded", "file_download_error") from error


def _first(values: Mapping[str, Any], names: Sequence[str]) -> str | None:
    for name in names:
        value = values.get(name)
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, str):
            return value
    return None


def _refused(values: Mapping[str, Any], names: Sequence[str], msg: str, kind: str) -> ModelError:
    name = next(name for name in names if values.get(name))
    return ModelError(422, [detail_entry(["body", name], msg, kind, values[name])])
