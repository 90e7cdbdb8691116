"""A model that answers as its output schema says, with files that exist: always the same for the same input."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import attrs

from fal_async.emulator.builtin.painters import Painter, drawn
from fal_async.emulator.builtin.stand_ins import sounds
from fal_async.emulator.builtin.stand_ins.dimensions import size_of
from fal_async.emulator.builtin.stand_ins.orders import Order
from fal_async.emulator.builtin.stand_ins.samples import video_of
from fal_async.emulator.jobs.job import JobContext
from fal_async.emulator.schemas.file_places import FileWish
from fal_async.emulator.schemas.input_check import InputCheck, require
from fal_async.emulator.schemas.model_document import ModelDocument
from fal_async.emulator.schemas.sample_values import NoSample, Wanted, sample
from fal_async.emulator.wire.answers import json_answer
from fal_async.emulator.wire.data_uris import data_uri

_COUNTS = ("num_images", "num_videos", "num_outputs", "num_samples", "num_results")
_MAX_COUNT = 16
_ATTEMPTS = 8
_TEXTS = ("prompt", "text", "input")
_STAND_IN: Mapping[str, Any] = {
    "url": "https://v3.fal.media/files/a.png",
    "content_type": "image/png",
    "file_name": "a.png",
    "file_size": 1000,
    "width": 512,
    "height": 512,
}


class SampleModel:
    """The function of an endpoint that is made from a document."""

    def __init__(self, document: ModelDocument, seconds: float, paint: Painter = drawn) -> None:
        """Store the document, the seconds that a request takes at speed 1, and what draws the pictures.

        Raises:
            ModuleNotFoundError: If jsonschema is missing.
            ValueError: If no output can be made that fits the schema, or `seconds` is below 0.
        """
        require("jsonschema", f"the schema of {document.endpoint_id}")
        if seconds < 0:
            raise ValueError(f"seconds={seconds}: expected a number >= 0")
        self._document, self._seconds, self._paint = document, seconds, paint
        self._check = InputCheck(document.output, document.endpoint_id)
        self.sampled({})

    async def __call__(self, input: Any, job: JobContext) -> Any:
        given = {**_defaults(self._document.input), **(input if isinstance(input, Mapping) else {})}
        job.log("Working")
        await job.sleep(self._seconds)
        filling = _Filling(given, self._seed(given), job, self._paint)
        output = await filling.filled(self.sampled(given))
        return json_answer(output) if isinstance(output, str) else output

    def _seed(self, given: Mapping[str, Any]) -> str:
        text = json.dumps([self._document.endpoint_id, given], sort_keys=True, default=repr)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def sampled(self, given: Mapping[str, Any]) -> Any:
        """Return an output with wishes in place of files: the first one that fits the schema.

        Raises:
            ValueError: If none of the tried ones fits.
        """
        seed, why = self._seed(given), "it has keywords that are not followed"
        # A member of the input may not fit where its name occurs in the output.
        for repeated in (given, {}) if given else ({},):
            for attempt in range(_ATTEMPTS):
                try:
                    wanted = Wanted(seed=seed, count=_count(given), repeated=repeated, attempt=attempt)
                    found = sample(self._document.output, wanted)
                    if self._check.fits(standing_in(found)):
                        return found
                except NoSample as error:
                    why = str(error)
        raise ValueError(
            f"{self._document.endpoint_id}: no output can be made for its schema ({why}). Add an `example` to the "
            "schema, or write the function of the endpoint yourself"
        )


@attrs.frozen(kw_only=True)
class _Made:
    """A file, and what it tells about itself in the words of fal's file objects."""

    data: bytes = attrs.field(repr=False)
    content_type: str
    suffix: str
    about: Mapping[str, Any] = attrs.field(factory=dict)


class _Filling:
    """Puts files in place of the wishes of one output."""

    def __init__(self, given: Mapping[str, Any], seed: str, job: JobContext, paint: Painter) -> None:
        self._seed, self._job, self._paint = seed, job, paint
        texts = (given[name] for name in _TEXTS if isinstance(given.get(name), str))
        self._order = Order(values=given, text=next(texts, ""), seed=int(seed[:8], 16))
        self._inline = given.get("sync_mode") is True
        self._number = 0

    async def filled(self, value: Any) -> Any:
        if isinstance(value, FileWish):
            return await self._file(value)
        if isinstance(value, dict):
            return {name: await self.filled(one) for name, one in value.items()}
        return [await self.filled(one) for one in value] if isinstance(value, list) else value

    async def _file(self, wish: FileWish) -> Any:
        self._number += 1
        made = await self._made(wish.kind)
        if self._inline:
            stored = {"url": data_uri(made.data, made.content_type)}
        else:
            name = f"{wish.kind}-{self._seed[:8]}-{self._number}.{made.suffix}"
            stored = await self._job.file(made.data, made.content_type, name)
        told = {**made.about, **stored, "content_type": made.content_type}
        return _object(wish, told) if wish.members else told["url"]

    async def _made(self, kind: str) -> _Made:
        if kind == "image":
            width, height = size_of(self._order)
            data = await self._paint(width, height, f"{self._seed}|{self._number}")
            size = {"width": width, "height": height}
            return _Made(data=data, content_type="image/png", suffix="png", about=size)
        if kind == "audio":
            sound = sounds.made(self._order, "wav")
            return _Made(
                data=sound.data, content_type=sound.content_type, suffix=sound.kind, about=sound.facts()
            )
        if kind == "video":
            video = video_of(self._order)
            return _Made(
                data=video.data, content_type=video.content_type, suffix=video.suffix, about=video.facts()
            )
        data = self._seed.encode()
        return _Made(data=data, content_type="application/octet-stream", suffix="bin")


def _object(wish: FileWish, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file object with the members that its schema has."""
    # `file_data` would be the bytes of the file, which fal's schemas have and its answers lack.
    about = {name: value for name, value in wish.about.items() if name != "file_data"}
    return {**about, **{name: value for name, value in told.items() if name in wish.members}}


def standing_in(value: Any) -> Any:
    """Return an output as it will be, with one URL for all files."""
    if isinstance(value, FileWish):
        return _object(value, _STAND_IN) if value.members else _STAND_IN["url"]
    if isinstance(value, dict):
        return {name: standing_in(one) for name, one in value.items()}
    return [standing_in(one) for one in value] if isinstance(value, list) else value


def _defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    members = schema.get("properties", {})
    return {
        name: part["default"]
        for name, part in members.items()
        if isinstance(part, dict) and "default" in part
    }


def _count(given: Mapping[str, Any]) -> int:
    found = next((given[name] for name in _COUNTS if isinstance(given.get(name), int)), 1)
    return min(max(found, 1), _MAX_COUNT)
