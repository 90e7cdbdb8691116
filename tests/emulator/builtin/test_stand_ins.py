"""The stand-ins for fal's models: their results are true to their schemas, and their files are real."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest
from PIL import Image

from fal_async.emulator import Emulator, JobContext
from fal_async.emulator.builtin.painting import encoded
from fal_async.emulator.builtin.stand_ins.table import Model, models
from tests.emulator.caller import Caller, Reply, calling

ELSEWHERE = "https://example.com/cat.jpg"
SAMPLES = {"string": "a cat", "integer": 2, "number": 1.0, "boolean": False}
IDS = frozenset(model.endpoint_id for model in models())


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with calling(Emulator(speed=1000)) as caller:
        yield caller


def least_input(model: Model) -> dict[str, Any]:
    """Return the required fields of a model's input."""

    def value(name: str, field: dict[str, Any]) -> Any:
        if field.get("type") == "array":
            return [ELSEWHERE]
        plain = ELSEWHERE if name.endswith("_url") else SAMPLES.get(field.get("type", ""))
        return field.get("default", field["enum"][0] if "enum" in field else plain)

    return {name: value(name, model.input["properties"][name]) for name in model.input.get("required", ())}


def png(width: int, height: int, mode: str = "RGB", **options: Any) -> bytes:
    written = io.BytesIO()
    image = Image.new(mode, (width, height))
    pixels = image.load()
    assert pixels is not None
    for x in range(width):
        for y in range(height):
            pixels[x, y] = (x, y, 40)[: len(mode)]
    image.save(written, **{"format": "PNG", **options})
    return written.getvalue()


def wav(seconds: float) -> bytes:
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(2 * round(8000 * seconds)))
    return written.getvalue()


def data_uri(data: bytes, content_type: str = "image/png") -> str:
    return f"data:{content_type};base64,{base64.b64encode(data).decode()}"


async def result(caller: Caller, endpoint_id: str, **input: Any) -> Any:
    run = await caller.run(endpoint_id, input)
    assert run.status == 200, run.body
    return run.data


async def file_of(caller: Caller, file: dict[str, Any]) -> Reply:
    reply = await caller.get(file["url"], headers={})
    assert (reply.status, reply.headers["Content-Type"]) == (200, file["content_type"])
    assert len(reply.body) == file["file_size"]
    return reply


async def image_of(caller: Caller, file: dict[str, Any]) -> Image.Image:
    image = Image.open(io.BytesIO((await file_of(caller, file)).body))
    image.load()
    assert (file["width"], file["height"], file["content_type"]) == (*image.size, "image/png")
    return image


async def test_every_stand_in_answers_its_least_input_as_its_schema_says() -> None:
    async with calling(Emulator(speed=10_000, plain_pictures=True)) as caller:
        runs = await asyncio.gather(
            *(caller.run(model.endpoint_id, least_input(model)) for model in models())
        )
        for model, run in zip(models(), runs, strict=True):
            assert run.status == 200, (model.endpoint_id, run.body)
            jsonschema.Draft202012Validator(dict(model.output)).validate(run.data)
            assert float(run.headers["x-fal-billable-units"]) >= 0


def test_the_defaults_of_every_stand_in_are_valid_for_their_own_schemas() -> None:
    for model in models():
        for name, field in model.input["properties"].items():
            if "default" in field:
                scope = {**field, "$defs": model.input.get("$defs", {})}
                assert jsonschema.Draft202012Validator(scope).is_valid(field["default"]), (model, name)


async def test_every_stand_in_has_a_category_a_price_and_an_openapi_document(caller: Caller) -> None:
    rows, cursor = dict[str, Any](), "MQ=="
    while cursor:
        query = {"limit": "100", "expand": "openapi-3.0", "cursor": cursor}
        page = (await caller.get("/api.fal.ai/v1/models", params=query)).data
        rows |= {row["endpoint_id"]: row for row in page["models"]}
        cursor = page["next_cursor"]
    assert rows.keys() > IDS
    for endpoint_id in IDS:
        assert rows[endpoint_id]["metadata"]["category"] != "other"
        assert f"/{endpoint_id}" in rows[endpoint_id]["openapi"]["paths"]
    prices = await caller.get("/api.fal.ai/v1/models/pricing", params={"endpoint_id": "fal-ai/veo3"})
    assert [(row["unit_price"], row["unit"]) for row in prices.data["prices"]] == [(0.4, "second")]


@pytest.mark.parametrize(
    ("endpoint_id", "input", "mistakes"),
    [
        ("fal-ai/veo3", {}, [(["body", "prompt"], "missing")]),
        ("fal-ai/veo3", {"prompt": 1}, [(["body", "prompt"], "string_type")]),
        ("fal-ai/veo3", {"prompt": "a", "duration": "5s"}, [(["body", "duration"], "one_of")]),
        (
            "fal-ai/qwen-image",
            {"prompt": "a", "num_images": 5},
            [(["body", "num_images"], "less_than_equal")],
        ),
        (
            "fal-ai/qwen-image",
            {"prompt": "a", "num_images": 0},
            [(["body", "num_images"], "greater_than_equal")],
        ),
        ("fal-ai/qwen-image", {"prompt": "a", "seed": "x"}, [(["body", "seed"], "int_type")]),
        ("fal-ai/qwen-image", {"prompt": "a", "sync_mode": 1}, [(["body", "sync_mode"], "bool_type")]),
        ("fal-ai/qwen-image", {"prompt": "a", "image_size": "huge"}, [(["body", "image_size"], "one_of")]),
        (
            "fal-ai/qwen-image",
            {"prompt": "a", "image_size": {"width": 0}},
            [(["body", "image_size", "width"], "greater_than_equal")],
        ),
        (
            "fal-ai/qwen-image",
            {"prompt": "a", "guidance_scale": []},
            [(["body", "guidance_scale"], "float_type")],
        ),
        (
            "fal-ai/nano-banana/edit",
            {"image_urls": [1]},
            [(["body", "prompt"], "missing"), (["body", "image_urls", 0], "string_type")],
        ),
        ("fal-ai/nano-banana/edit", [], [(["body"], "dict_type")]),
    ],
    ids=str,
)
async def test_a_wrong_input_gets_fals_error_with_one_entry_for_each_mistake(
    caller: Caller, endpoint_id: str, input: Any, mistakes: list[tuple[list[str], str]]
) -> None:
    run = await caller.run(endpoint_id, input)
    assert run.status == 422
    found = [(entry["loc"], entry["type"]) for entry in run.data["detail"]]
    assert found[: len(mistakes)] == mistakes


@pytest.mark.parametrize(
    ("endpoint_id", "input", "status"),
    [
        ("fal-ai/veo3", {"prompt": "a", "seed": None, "negative_prompt": None}, 200),
        ("fal-ai/whisper", {"audio_url": ELSEWHERE, "language": None, "num_speakers": None}, 200),
        ("fal-ai/minimax/speech-02-hd", {"text": "a", "voice_setting": {"emotion": None}}, 200),
        ("fal-ai/minimax/speech-02-hd", {"text": "a", "voice_setting": None, "language_boost": None}, 200),
        ("fal-ai/veo3", {"prompt": None}, 422),
        ("fal-ai/veo3", {"prompt": "a", "duration": None}, 422),
    ],
    ids=str,
)
async def test_an_optional_field_without_a_default_may_be_null_and_another_may_not(
    caller: Caller, endpoint_id: str, input: Any, status: int
) -> None:
    assert (await caller.run(endpoint_id, input)).status == status


@pytest.mark.parametrize(
    ("endpoint_id", "input", "size"),
    [
        ("fal-ai/qwen-image", {}, (1024, 768)),
        ("fal-ai/qwen-image", {"image_size": "square"}, (512, 512)),
        ("fal-ai/qwen-image", {"image_size": {"width": 40, "height": 30}}, (40, 30)),
        ("fal-ai/imagen4/preview", {"aspect_ratio": "16:9"}, (1360, 768)),
        ("fal-ai/nano-banana-2", {"aspect_ratio": "9:16", "resolution": "0.5K"}, (384, 688)),
        ("fal-ai/gpt-image-1/text-to-image", {"image_size": "1536x1024"}, (1536, 1024)),
        ("fal-ai/nano-banana/edit", {"image_urls": [data_uri(png(64, 48))]}, (64, 48)),
        ("fal-ai/nano-banana/edit", {"image_urls": [data_uri(png(64, 48, format="JPEG"))]}, (64, 48)),
        ("fal-ai/nano-banana/edit", {"image_urls": [data_uri(png(64, 48, format="WEBP"))]}, (64, 48)),
        ("fal-ai/nano-banana/edit", {"image_urls": [data_uri(png(64, 48, format="GIF"))]}, (64, 48)),
        ("fal-ai/nano-banana/edit", {"image_urls": [ELSEWHERE]}, (1024, 1024)),
    ],
    ids=str,
)
async def test_an_image_has_the_size_that_the_input_asks_for(
    endpoint_id: str, input: Any, size: tuple[int, int]
) -> None:
    async with calling(Emulator(speed=1000, plain_pictures=True)) as caller:
        document = await result(caller, endpoint_id, prompt="a cat", **input)
        assert (await image_of(caller, document["images"][0])).size == size


async def test_the_same_input_gives_the_same_images_and_another_prompt_others(caller: Caller) -> None:
    small = {"image_size": {"width": 32, "height": 32}, "num_images": 2}
    bodies = [
        [(await file_of(caller, image)).body for image in document["images"]]
        for prompt in ("a cat", "a cat", "a dog")
        for document in [await result(caller, "fal-ai/qwen-image", prompt=prompt, **small)]
    ]
    assert bodies[0] == bodies[1]
    assert len({*bodies[0], *bodies[2]}) == 4


@pytest.mark.parametrize(
    "endpoint_id", ["fal-ai/qwen-image", "fal-ai/flux/dev", "fal-ai/any-llm", "fal-ai/f5-tts"]
)
async def test_half_of_a_surrogate_pair_in_a_prompt_is_no_failure(caller: Caller, endpoint_id: str) -> None:
    body = {"prompt": "\ud800", "gen_text": "\ud800", "ref_audio_url": "data:,", "model_type": "F5-TTS"}
    small = {"image_size": {"width": 8, "height": 8}}
    sent = await caller.call("POST", f"/fal.run/{endpoint_id}", data=json.dumps({**body, **small}))
    assert sent.status == 200, sent.body


async def test_sync_mode_returns_images_as_data_uris(caller: Caller) -> None:
    document = await result(
        caller, "fal-ai/qwen-image", prompt="a", sync_mode=True, image_size={"width": 8, "height": 8}
    )
    assert document["images"][0]["url"].startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize(("scale", "size"), [(2, (6, 4)), (4, (12, 8)), (1.5, (4, 3))])
async def test_an_upscaler_returns_the_pixels_of_its_image_in_the_larger_size(
    caller: Caller, mode: str, scale: float, size: tuple[int, int]
) -> None:
    source = Image.open(io.BytesIO(png(3, 2, mode)))
    document = await result(caller, "fal-ai/esrgan", image_url=data_uri(unfiltered(source)), scale=scale)
    image = await image_of(caller, document["image"])
    assert (image.size, image.mode) == (size, mode)
    for x in range(size[0]):
        for y in range(size[1]):
            nearest = (x * 3 // size[0], y * 2 // size[1])
            assert image.getpixel((x, y)) == source.getpixel(nearest)


def unfiltered(image: Image.Image) -> bytes:
    """Return the image as a PNG of rows without a filter."""
    size = image.width * len(image.mode)
    raw = image.tobytes()
    rows = b"".join(b"\0" + raw[at : at + size] for at in range(0, len(raw), size))
    return encoded(image.width, image.height, rows, alpha=image.mode == "RGBA")


async def test_an_upscaler_magnifies_a_picture_that_the_emulator_has_made(caller: Caller) -> None:
    size = {"width": 40, "height": 30}
    made = (await result(caller, "fal-ai/flux/dev", prompt="a cat", image_size=size, seed=1))["images"][0]
    document = await result(caller, "fal-ai/clarity-upscaler", image_url=made["url"], upscale_factor=2)
    small, large = await image_of(caller, made), await image_of(caller, document["image"])
    assert large.size == (80, 60)
    assert large.resize((40, 30), Image.Resampling.NEAREST).tobytes() == small.tobytes()


async def test_an_image_that_cannot_be_read_is_upscaled_to_a_drawn_one_of_the_right_size(
    caller: Caller,
) -> None:
    document = await result(caller, "fal-ai/aura-sr", image_url=data_uri(png(10, 5, format="JPEG")))
    assert (await image_of(caller, document["image"])).size == (40, 20)


@pytest.mark.parametrize("url", [data_uri(png(40, 30)), ELSEWHERE], ids=["given", "elsewhere"])
@pytest.mark.parametrize(
    "endpoint_id", ["fal-ai/birefnet", "fal-ai/imageutils/rembg", "fal-ai/bria/background/remove"]
)
async def test_background_removal_returns_a_png_with_alpha(endpoint_id: str, url: str) -> None:
    async with calling(Emulator(speed=1000, plain_pictures=True)) as caller:
        image = await image_of(caller, (await result(caller, endpoint_id, image_url=url))["image"])
    assert image.mode == "RGBA"
    middle, corner = (image.width // 2, image.height // 2), (0, 0)
    assert [image.getpixel(at)[3] for at in (middle, corner)] == [255, 0]  # type: ignore[index]


async def test_birefnet_returns_its_mask_beside_the_image_or_instead_of_it(caller: Caller) -> None:
    url = data_uri(png(40, 30))
    both = await result(caller, "fal-ai/birefnet/v2", image_url=url, output_mask=True)
    alone = await result(caller, "fal-ai/birefnet/v2", image_url=url, mask_only=True)
    masks = [await image_of(caller, both["mask_image"]), await image_of(caller, alone["image"])]
    assert [(mask.mode, mask.getpixel((20, 15)), mask.getpixel((0, 0))) for mask in masks] == [
        ("RGB", (255, 255, 255), (0, 0, 0))
    ] * 2
    assert "mask_image" not in alone


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (data_uri(b"not an image"), "image_load_error"),
        ("data:image/png;base64,***", "file_download_error"),
        ("data:", "file_download_error"),
        ("{base}/v3.fal.media/files/b/0a8c11ef/cat.png", "file_download_error"),
    ],
    ids=str,
)
async def test_an_unreadable_image_gets_fals_error_for_the_field(caller: Caller, url: str, kind: str) -> None:
    image_url = url.format(base=caller.emulator.url)
    run = await caller.run("fal-ai/esrgan", {"image_url": image_url})
    assert run.status == 422
    assert [(entry["loc"], entry["type"]) for entry in run.data["detail"]] == [(["body", "image_url"], kind)]


@pytest.mark.parametrize(
    ("endpoint_id", "input", "start"),
    [
        ("fal-ai/veo3", {"prompt": "a"}, "landscape"),
        ("fal-ai/veo3", {"prompt": "a", "aspect_ratio": "9:16"}, "portrait"),
        ("fal-ai/luma-dream-machine/ray-2", {"prompt": "a", "aspect_ratio": "9:16"}, "portrait"),
        ("fal-ai/kling-video/v1/standard/text-to-video", {"prompt": "a", "aspect_ratio": "1:1"}, "square"),
        ("fal-ai/wan-i2v", {"prompt": "a", "image_url": data_uri(png(20, 40))}, "portrait"),
        ("fal-ai/minimax/video-01/image-to-video", {"prompt": "a", "image_url": ELSEWHERE}, "landscape"),
        ("fal-ai/hunyuan-video", {"prompt": "a"}, "landscape"),
    ],
    ids=str,
)
async def test_a_video_is_an_mp4_in_about_the_asked_form(
    caller: Caller, endpoint_id: str, input: Any, start: str
) -> None:
    video = (await result(caller, endpoint_id, **input))["video"]
    body = (await file_of(caller, video)).body
    assert (video["content_type"], body[4:8]) == ("video/mp4", b"ftyp")
    # The box `tkhd` of the first track ends with width and height, as fixed-point numbers.
    at = body.index(b"tkhd")
    width, height = (int.from_bytes(body[at + 80 + n : at + 82 + n]) for n in (0, 4))
    assert (width, height) == {"landscape": (320, 180), "portrait": (180, 320), "square": (240, 240)}[start]


async def test_a_video_without_background_is_a_webm_if_asked_for(caller: Caller) -> None:
    url = f"{ELSEWHERE}.mp4"
    document = await result(
        caller, "fal-ai/birefnet/v2/video", video_url=url, video_output_type="VP9 (.webm)"
    )
    video = document["video"]
    assert (await file_of(caller, video)).body[:4] == b"\x1aE\xdf\xa3"
    assert (video["content_type"], video["width"], video["fps"]) == ("video/webm", 320, 12)


async def test_speech_takes_longer_for_longer_texts(caller: Caller) -> None:
    lengths = []
    for words in (1, 20):
        audio = (await result(caller, "fal-ai/kokoro/american-english", prompt="word " * words))["audio"]
        assert audio["content_type"] == "audio/wav"
        with wave.open(io.BytesIO((await file_of(caller, audio)).body)) as file:
            lengths.append(file.getnframes() / file.getframerate())
    assert lengths == [1.0, 6.0]


async def test_speech_as_mp3_has_the_length_that_the_result_names(caller: Caller) -> None:
    document = await result(caller, "fal-ai/minimax/speech-02-hd", text="word " * 12)
    body = (await file_of(caller, document["audio"])).body
    assert (document["audio"]["content_type"], body[:1]) == ("audio/mpeg", b"\xff")
    assert document["duration_ms"] == round(1000 * len(body) / 4000)
    refused = await caller.run(
        "fal-ai/minimax/speech-02-hd", {"text": "a", "audio_setting": {"format": "wav"}}
    )
    (entry,) = refused.data["detail"]
    assert (entry["loc"], entry["type"]) == (["body", "audio_setting", "format"], "one_of")


async def test_a_speech_model_tells_the_facts_that_its_kind_of_file_has(caller: Caller) -> None:
    document = await result(caller, "fal-ai/playai/tts/v3", input="hello", voice="Jennifer")
    assert {"duration", "sample_rate", "channels"} < document["audio"].keys()


async def test_a_transcription_depends_on_the_sound_and_its_times_on_the_length(caller: Caller) -> None:
    heard = [
        await result(caller, "fal-ai/whisper", audio_url=data_uri(wav(seconds), "audio/x-wav"), **more)
        for seconds, more in ((8, {}), (8, {}), (4, {}), (8, {"chunk_level": "word", "diarize": True}))
    ]
    assert heard[0] == heard[1]
    assert len({document["text"] for document in heard}) == 2
    assert heard[0]["chunks"][-1]["timestamp"][1] == 8.0
    assert " ".join(chunk["text"] for chunk in heard[0]["chunks"]) == heard[0]["text"]
    assert len(heard[3]["chunks"]) == len(heard[3]["text"].split()) == 20
    assert [part["speaker"] for part in heard[3]["diarization_segments"]] == ["SPEAKER_00"]


async def test_the_length_of_an_mp3_is_read_of_its_first_frame(caller: Caller) -> None:
    spoken = await result(caller, "fal-ai/minimax/speech-02-hd", text="word " * 20)
    document = await result(caller, "fal-ai/wizper", audio_url=spoken["audio"]["url"])
    assert document["chunks"][-1]["timestamp"][1] == round(spoken["duration_ms"] / 1000, 2)


async def test_words_of_a_transcription_have_times_and_speakers(caller: Caller) -> None:
    document = await result(caller, "fal-ai/elevenlabs/speech-to-text", audio_url=ELSEWHERE)
    assert [set(word) for word in document["words"][:1]] == [{"text", "start", "end", "type", "speaker_id"}]
    assert document["language_code"] == "en"


async def test_a_vision_model_streams_its_answer_word_by_word(caller: Caller) -> None:
    input = {"prompt": "what is it", "image_urls": [ELSEWHERE], "model": "google/gemini-2.5-flash"}
    url = f"{caller.emulator.url}/fal.run/openrouter/router/vision/stream"
    async with caller.http.post(
        url, json=input, headers={"Authorization": f"Key {caller.emulator.key}"}
    ) as response:
        events = [json.loads(line[6:]) async for line in response.content if line.startswith(b"data: ")]
    assert events[0]["output"] == "You"
    assert events[-1]["usage"]["completion_tokens"] == len(events)
    assert (await result(caller, "openrouter/router/vision", **input))["output"] == events[-1]["output"]


@pytest.mark.parametrize(
    ("endpoint_id", "input", "units"),
    [
        ("fal-ai/qwen-image", {"prompt": "a", "num_images": 3, "image_size": {"width": 8, "height": 8}}, "3"),
        ("fal-ai/veo3", {"prompt": "a"}, "8"),
        ("fal-ai/veo3", {"prompt": "a", "duration": "4s"}, "4"),
        ("fal-ai/kokoro/american-english", {"prompt": "x" * 500}, "0.5"),
        ("fal-ai/whisper", {"audio_url": data_uri(wav(6), "audio/wav")}, "0.1"),
        ("fal-ai/hunyuan-video", {"prompt": "a"}, "1"),
    ],
    ids=str,
)
async def test_a_stand_in_bills_in_the_unit_of_its_price(
    caller: Caller, endpoint_id: str, input: Any, units: str
) -> None:
    assert (await caller.run(endpoint_id, input)).headers["x-fal-billable-units"] == units


async def test_a_model_reads_data_uris_and_files_of_the_emulator_and_nothing_else(caller: Caller) -> None:
    @caller.emulator.endpoint("me/reader")
    async def reader(input: Any, job: JobContext) -> Any:
        kept = (await job.file(b"kept", "text/plain", "kept.txt"))["url"]
        urls = [kept, f"{kept}?identity=x", "data:,a%20b", "DATA:text/plain;base64,YQ%3D%3D", ELSEWHERE]
        read = [await job.read(url) for url in urls]
        caller.emulator.expire_files(kept)
        with pytest.raises(FileNotFoundError):
            await job.read(kept)
        return [None if data is None else data.decode() for data in read]

    assert (await caller.run("me/reader", {})).data == ["kept", "kept", "a b", "a", None]


async def test_a_caller_with_fals_host_names_can_pass_on_the_urls_of_files(caller: Caller) -> None:
    headers = {"Authorization": f"Key {caller.emulator.key}", "Host": "fal.run"}

    async def called(endpoint_id: str, **input: Any) -> Any:
        url = f"{caller.emulator.url}/{endpoint_id}"
        async with caller.http.post(url, json=input, headers=headers) as response:
            return await response.json()

    made = await called("fal-ai/qwen-image", prompt="a", image_size={"width": 6, "height": 4})
    assert made["images"][0]["url"].startswith("https://v3.fal.media/")
    larger = await called("fal-ai/esrgan", image_url=made["images"][0]["url"])
    assert (larger["image"]["width"], larger["image"]["height"]) == (12, 8)


async def test_stand_ins_are_left_out_with_the_built_in_models() -> None:
    async with calling(Emulator(builtins=False)) as caller:
        assert (await caller.run("fal-ai/veo3", {"prompt": "a"})).status == 404
