"""A model that answers as its output schema says, with files that exist: always the same for the same input."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from fal_async.emulator.builtin.model_schemas import SIZES
from fal_async.emulator.jobs.job import JobContext
from fal_async.emulator.schemas.file_places import FileWish
from fal_async.emulator.schemas.input_check import InputCheck
from fal_async.emulator.schemas.model_document import ModelDocument
from fal_async.emulator.schemas.sample_files import made_file
from fal_async.emulator.schemas.sample_values import NoSample, Wanted, sample

_COUNTS = ("num_images", "num_videos", "num_outputs", "num_samples", "num_results")
_MAX_COUNT = 16
_ATTEMPTS = 8
_USUAL_SIZE = (512, 512)
"""Pixels, if neither the input nor its schema has a size."""
_MAX_PIXELS = 4_000_000
"""A larger picture would take more than 0.5 s of computing. It is drawn smaller, in the same proportions."""
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

    def __init__(self, document: ModelDocument, seconds: float) -> None:
        """Store the document, and the seconds that a request takes at speed 1.

        Raises:
            ValueError: If no output can be made that fits the schema, or `seconds` is below 0.
        """
        if seconds < 0:
            raise ValueError(f"seconds={seconds}: expected a number >= 0")
        self.__doc__ = str(document.input.get("description", "")) or None
        self._document, self._seconds = document, seconds
        self._check = InputCheck(document.output, document.endpoint_id)
        self._sample({})

    async def __call__(self, input: Any, job: JobContext) -> Any:
        given = {**_defaults(self._document.input), **(input if isinstance(input, Mapping) else {})}
        job.log("Working")
        await job.sleep(self._seconds)
        return await _Filling(given, self._seed(given), job).filled(self._sample(given))

    def _seed(self, given: Mapping[str, Any]) -> str:
        text = json.dumps([self._document.endpoint_id, given], sort_keys=True, default=repr)
        return hashlib.sha256(text.encode()).hexdigest()

    def _sample(self, given: Mapping[str, Any]) -> Any:
        """Return an output with wishes in place of files: the first one that fits the schema."""
        seed, why = self._seed(given), "it has keywords that are not followed"
        # A member of the input may not fit where its name occurs in the output.
        for repeated in (given, {}) if given else ({},):
            for attempt in range(_ATTEMPTS):
                try:
                    wanted = Wanted(seed=seed, count=_count(given), repeated=repeated, attempt=attempt)
                    found = sample(self._document.output, wanted)
                    if self._check.fits(_standing_in(found)):
                        return found
                except NoSample as error:
                    why = str(error)
        raise ValueError(
            f"{self._document.endpoint_id}: no output can be made for its schema ({why}). Add an `example` to the "
            "schema, or write the function of the endpoint yourself"
        )


class _Filling:
    """Puts files in place of the wishes of one output."""

    def __init__(self, given: Mapping[str, Any], seed: str, job: JobContext) -> None:
        self._seed, self._job = seed, job
        self._size = _size(given)
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
        made = await made_file(wish.kind, f"{self._seed}|{self._number}", *self._size)
        if self._inline:
            stored = {"url": f"data:{made.content_type};base64,{base64.b64encode(made.data).decode()}"}
        else:
            name = f"{wish.kind}-{self._seed[:8]}-{self._number}.{made.suffix}"
            stored = await self._job.file(made.data, made.content_type, name)
        told = {**made.about, **stored, "content_type": made.content_type}
        return _object(wish, told) if wish.members else told["url"]


def _object(wish: FileWish, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file object with the members that its schema has."""
    # `file_data` would be the bytes of the file, which fal's schemas have and its answers lack.
    about = {name: value for name, value in wish.about.items() if name != "file_data"}
    return {**about, **{name: value for name, value in told.items() if name in wish.members}}


def _standing_in(value: Any) -> Any:
    """Return an output as it will be, with one URL for all files."""
    if isinstance(value, FileWish):
        return _object(value, _STAND_IN) if value.members else _STAND_IN["url"]
    if isinstance(value, dict):
        return {name: _standing_in(one) for name, one in value.items()}
    return [_standing_in(one) for one in value] if isinstance(value, list) else value


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


def _size(given: Mapping[str, Any]) -> tuple[int, int]:
    """Return the size of pictures that the input asks for, in pixels (protocol 13)."""
    width, height = next(_sizes(given), _USUAL_SIZE)
    smaller = min(1.0, (_MAX_PIXELS / (width * height)) ** 0.5)
    return max(1, int(width * smaller)), max(1, int(height * smaller))


def _sizes(given: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    wanted = given.get("image_size")
    for sides in (wanted, given):
        if isinstance(sides, Mapping) and all(_is_side(sides.get(name)) for name in ("width", "height")):
            yield sides["width"], sides["height"]
    if isinstance(wanted, str) and wanted in SIZES:
        yield SIZES[wanted]
    across, _, down = str(given.get("aspect_ratio", "")).partition(":")
    if across.isdecimal() and down.isdecimal() and 0 < int(across) < 100 and 0 < int(down) < 100:
        unit = 1024 / max(int(across), int(down))
        yield max(1, round(int(across) * unit)), max(1, round(int(down) * unit))


def _is_side(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 100_000
