"""The result of a stand-in: one part for each field of the model's output."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any

from fal_async.emulator.builtin.painters import Painter
from fal_async.emulator.builtin.stand_ins import drawn_images, sounds, transcripts
from fal_async.emulator.builtin.stand_ins.drawn_images import Picture
from fal_async.emulator.builtin.stand_ins.orders import Order
from fal_async.emulator.builtin.stand_ins.samples import video_of
from fal_async.emulator.builtin.stand_ins.table import Model
from fal_async.emulator.jobs.job import JobContext
from fal_async.emulator.wire.data_uris import data_uri

_ABOUT_IMAGES = ("width", "height")


class Output:
    """Makes the parts of one result. `seconds`: how long the work took, before division by `speed`."""

    def __init__(self, model: Model, order: Order, job: JobContext, paint: Painter, seconds: float) -> None:
        self._model, self._order, self._job, self._paint = model, order, job, paint
        self._seconds = seconds

    async def document(self) -> dict[str, Any]:
        """Return the result: every required field of the output, and the optional ones that the emulator knows."""
        required = self._model.output.get("required", ())
        found: dict[str, Any] = {}
        for name, schema in self._model.output["properties"].items():
            if name in _FILES and (name in required or self._wanted(name)):
                found[name] = await _FILES[name](self, schema)
            elif name in _VALUES:
                found[name] = _VALUES[name](self)
        return found

    def _wanted(self, name: str) -> bool:
        return name == "mask_image" and bool(self._order.values.get("output_mask"))

    # Files.

    async def images(self, _: Mapping[str, Any]) -> list[dict[str, Any]]:
        made = [await drawn_images.draw(self._order, self._paint, n) for n in range(self._order.count())]
        return [await self._image(picture, number) for number, picture in enumerate(made)]

    async def image(self, _: Mapping[str, Any]) -> dict[str, Any]:
        mask = bool(self._order.values.get("mask_only"))
        if self._model.work == "upscale":
            return await self._image(await drawn_images.upscale(self._order, self._paint))
        if self._model.work == "cutout":
            return await self._image(await drawn_images.cut_out(self._order, self._paint, mask=mask))
        return await self._image(await drawn_images.draw(self._order, self._paint))

    async def mask_image(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return await self._image(await drawn_images.cut_out(self._order, self._paint, mask=True), 1)

    async def _image(self, picture: Picture, number: int = 0) -> dict[str, Any]:
        size = {"width": picture.width, "height": picture.height}
        return {**await self._file(picture.data, "image/png", f"image-{number}.png"), **size}

    async def video(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        video = video_of(self._order)
        file = await self._file(video.data, video.content_type, f"output.{video.suffix}")
        return {**file, **self._facts(schema, video.facts())}

    async def audio(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        file = await self._file(self.sound.data, self.sound.content_type, f"output.{self.sound.kind}")
        return {**file, **self._facts(schema, self.sound.facts())}

    async def empty(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return await self._job.file(b"", "application/octet-stream", "latents.bin")

    async def _file(self, data: bytes, content_type: str, name: str) -> dict[str, Any]:
        if self._order.values.get("sync_mode") is not True:
            return await self._job.file(data, content_type, name)
        # The form of a result that fal does not keep (protocol 13).
        return {"url": data_uri(data, content_type), "content_type": content_type}

    def _facts(self, schema: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return those facts of a file that the model's own kind of file has."""
        kind = self._model.output.get("$defs", {}).get(str(schema.get("$ref")).rpartition("/")[2], {})
        return {name: value for name, value in facts.items() if name in kind.get("properties", {})}

    # Values.

    @property
    def order(self) -> Order:
        return self._order

    @property
    def seconds(self) -> float:
        return self._seconds

    @cached_property
    def sound(self) -> sounds.Sound:
        return sounds.made(self._order, self._model.sound)

    @cached_property
    def transcript(self) -> transcripts.Transcript:
        return transcripts.heard(self._order)

    def chunks(self) -> list[dict[str, Any]]:
        level, speakers = (self._order.values.get(name) for name in ("chunk_level", "diarize"))
        return [] if level == "none" else self.transcript.chunks(level, speakers=bool(speakers))

    def speakers(self) -> list[dict[str, Any]]:
        if not self._order.values.get("diarize"):
            return []
        return [{"timestamp": [0.0, self.transcript.seconds], "speaker": "SPEAKER_00"}]

    def unsafe(self) -> list[bool]:
        checked = (
            self._order.values.get("image_urls") if "images" not in self._model.output["properties"] else None
        )
        return [False] * (len(checked) if isinstance(checked, list) else self._order.count())


_FILES: Mapping[str, Callable[[Output, Mapping[str, Any]], Awaitable[Any]]] = {
    "images": Output.images,
    "image": Output.image,
    "mask_image": Output.mask_image,
    "video": Output.video,
    "audio": Output.audio,
    "audio_file": Output.audio,
    "audio_url": Output.audio,
    "debug_latents": Output.empty,
    "debug_per_pass_latents": Output.empty,
}
_VALUES: Mapping[str, Callable[[Output], Any]] = {
    "seed": lambda result: result.order.seed,
    "prompt": lambda result: result.order.text,
    "actual_prompt": lambda result: result.order.text,
    "revised_prompt": lambda result: result.order.text,
    "lyrics": lambda result: result.order.values.get("lyrics") or "",
    "tags": lambda result: result.order.text,
    "description": lambda _: "",
    "timings": lambda result: {"inference": result.seconds},
    "has_nsfw_concepts": Output.unsafe,
    "nsfw_probability": lambda _: 0.01,
    "num_images": lambda result: result.order.count(),
    "custom_voice_id": lambda result: f"voice_{result.order.seed:08x}",
    "video_id": lambda result: f"video_{result.order.seed:08x}",
    "duration_ms": lambda result: round(1000 * result.sound.seconds),
    "text": lambda result: result.transcript.text,
    "output": lambda result: result.transcript.text,
    "partial": lambda _: False,
    "chunks": Output.chunks,
    "words": lambda result: result.transcript.timed_words(),
    "diarization_segments": Output.speakers,
    "inferred_languages": lambda result: [result.transcript.language],
    "languages": lambda result: [result.transcript.language],
    "language_code": lambda result: result.transcript.language,
    "language_probability": lambda _: 1.0,
}
