"""The built-in models: pictures, text and training."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import struct
import zlib
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fal_async.emulator.builtin.model_schemas import SIZES
from fal_async.emulator.builtin.painting import paint
from tests.emulator.caller import Caller

SMALL = {"image_size": {"width": 24, "height": 16}}


@attrs.frozen
class Picture:
    width: int
    height: int
    pixels: bytes


def decoded(png: bytes) -> Picture:
    """Decode a PNG, and check its checksums: truecolour of 8 bits, filters "none" and "up" only."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks: list[tuple[bytes, bytes]] = []
    at = 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size : at + 12 + size]) == (zlib.crc32(kind + data),)
        chunks.append((kind, data))
        at += 12 + size
    assert (chunks[0][0], chunks[-1]) == (b"IHDR", (b"IEND", b""))
    width, height, *form = struct.unpack(">IIBBBBB", chunks[0][1])
    assert form == [8, 2, 0, 0, 0]
    raw = zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    return Picture(width, height, unfiltered(raw, width, height))


def unfiltered(raw: bytes, width: int, height: int) -> bytes:
    row, above, pixels = 3 * width, bytes(3 * width), bytearray()
    assert len(raw) == height * (row + 1)
    for y in range(height):
        filter_type, line = raw[y * (row + 1)], raw[y * (row + 1) + 1 : (y + 1) * (row + 1)]
        assert filter_type in (0, 2)
        above = line if filter_type == 0 else bytes((a + b) & 255 for a, b in zip(line, above, strict=True))
        pixels += above
    return bytes(pixels)


async def pictures(caller: Caller, endpoint_id: str, input: dict[str, Any]) -> tuple[Any, list[bytes]]:
    run = await caller.run(endpoint_id, input)
    assert run.status == 200, run.body
    return run, [(await caller.get(image["url"], headers={})).body for image in run.data["images"]]


@pytest.mark.parametrize("endpoint_id", ["fal-ai/flux/dev", "fal-ai/flux/schnell"])
async def test_flux_returns_pictures_in_the_requested_size_and_number(
    caller: Caller, endpoint_id: str
) -> None:
    run, files = await pictures(caller, endpoint_id, {"prompt": "a cat", "num_images": 3, **SMALL})
    assert [(p.width, p.height) for p in map(decoded, files)] == [(24, 16)] * 3
    assert len(set(files)) == 3
    assert run.headers["x-fal-billable-units"] == "3"
    for image, file in zip(run.data["images"], files, strict=True):
        assert (image["width"], image["height"], image["content_type"]) == (24, 16, "image/png")
        assert image["file_size"] == len(file)
    assert set(run.data) == {"images", "timings", "seed", "has_nsfw_concepts", "prompt"}


async def test_the_same_prompt_and_seed_give_the_same_picture(caller: Caller) -> None:
    async def drawn(**input: Any) -> bytes:
        return (await pictures(caller, "fal-ai/flux/dev", {**SMALL, **input}))[1][0]

    first = await drawn(prompt="a cat", seed=7)
    assert first == await drawn(prompt="a cat", seed=7)
    assert len({first, await drawn(prompt="a cat", seed=8), await drawn(prompt="a dog", seed=7)}) == 3


async def test_flux_without_a_seed_returns_the_seed_that_it_used(caller: Caller) -> None:
    run, [file] = await pictures(caller, "fal-ai/flux/dev", {"prompt": "a cat", **SMALL})
    again = await pictures(caller, "fal-ai/flux/dev", {"prompt": "a cat", "seed": run.data["seed"], **SMALL})
    assert again[1] == [file]


async def test_a_picture_of_the_default_size_has_many_colours(caller: Caller) -> None:
    _, [file] = await pictures(caller, "fal-ai/flux/schnell", {"prompt": "a cat"})
    picture = decoded(file)
    assert (picture.width, picture.height) == SIZES["landscape_4_3"]
    assert len(set(zip(*[iter(picture.pixels)] * 3, strict=True))) > 1000


async def test_sync_mode_answers_with_data_uris(caller: Caller) -> None:
    run = await caller.run("fal-ai/flux/dev", {"prompt": "x", "sync_mode": True, **SMALL})
    head, _, data = run.data["images"][0]["url"].partition(",")
    assert head == "data:image/png;base64"
    assert decoded(base64.b64decode(data)).width == 24


async def test_flux_logs_its_progress_step_by_step(caller: Caller) -> None:
    submitted = await caller.submit("fal-ai/flux/dev", {"prompt": "x", "num_inference_steps": 4, **SMALL})
    finished = await caller.finished(submitted)
    shown = [entry["message"].split("[")[0].strip() for entry in finished.data["logs"]]
    assert [line.split("| ")[-1] for line in shown] == ["0/4", "1/4", "2/4", "3/4", "4/4"]


@pytest.mark.parametrize(
    ("input", "loc", "kind"),
    [
        ({}, ["body", "prompt"], "missing"),
        ({"prompt": 5}, ["body", "prompt"], "string_type"),
        ({"prompt": "x", "num_images": 0}, ["body", "num_images"], "greater_than_equal"),
        ({"prompt": "x", "num_images": 5}, ["body", "num_images"], "less_than_equal"),
        ({"prompt": "x", "seed": "7"}, ["body", "seed"], "int_type"),
        ({"prompt": "x", "seed": True}, ["body", "seed"], "int_type"),
        ({"prompt": "x", "image_size": "huge"}, ["body", "image_size"], "one_of"),
        ({"prompt": "x", "image_size": {"width": 0}}, ["body", "image_size", "width"], "greater_than_equal"),
        ([], ["body"], "dict_type"),
    ],
    ids=str,
)
async def test_an_invalid_flux_input_is_refused_with_fals_error_entries(
    caller: Caller, input: Any, loc: list[str], kind: str
) -> None:
    refused = await caller.run("fal-ai/flux/dev", input)
    assert refused.status == 422
    entry = refused.data["detail"][0]
    assert (entry["loc"], entry["type"]) == (loc, kind)
    assert {"msg", "input", "url"} <= set(entry)
    assert refused.headers["x-fal-billable-units"] == "0"


async def test_all_mistakes_of_an_input_are_reported_together(caller: Caller) -> None:
    refused = await caller.run("fal-ai/flux/dev", {"num_images": 9, "seed": -1})
    assert [entry["loc"][1] for entry in refused.data["detail"]] == ["prompt", "seed", "num_images"]


async def test_the_text_model_answers_the_same_prompt_with_the_same_text(caller: Caller) -> None:
    one, same, other = [
        (await caller.run("fal-ai/any-llm", {"prompt": prompt})).data for prompt in ("a", "a", "b")
    ]
    assert one == same != other
    assert one["partial"] is False
    assert '"a"' in one["output"]
    assert (await caller.run("fal-ai/any-llm", {"prompt": 5})).status == 422


async def test_the_training_model_logs_its_progress_and_returns_files(caller: Caller) -> None:
    submitted = await caller.submit(
        "fal-ai/flux-lora-fast-training", {"images_data_url": "https://example.com/cats.zip", "steps": 40}
    )
    finished = await caller.finished(submitted)
    progress = [entry["message"] for entry in finished.data["logs"] if "loss" in entry["message"]]
    assert len(progress) == 20
    assert progress[-1].startswith("Training: 100% 40/40")
    trained = (await caller.result(submitted)).data
    weights = (await caller.get(trained["diffusers_lora_file"]["url"], headers={})).body
    (size,) = struct.unpack("<Q", weights[:8])
    [tensor] = json.loads(weights[8 : 8 + size]).values()
    assert tensor["data_offsets"] == [0, len(weights) - 8 - size]
    config = json.loads((await caller.get(trained["config_file"]["url"], headers={})).body)
    assert config == {"images_data_url": "https://example.com/cats.zip", "trigger_word": "", "steps": 40}


async def test_a_training_with_fewer_steps_than_reports_logs_each_step_once(caller: Caller) -> None:
    submitted = await caller.submit("fal-ai/flux-lora-fast-training", {"images_data_url": "u", "steps": 3})
    finished = await caller.finished(submitted)
    assert sum("loss" in entry["message"] for entry in finished.data["logs"]) == 3


@settings(max_examples=30)
@given(width=st.integers(1, 120), height=st.integers(1, 120), seed=st.text(max_size=5))
def test_paint_returns_a_valid_and_deterministic_png_for_every_size(
    width: int, height: int, seed: str
) -> None:
    png = paint(width, height, seed)
    picture = decoded(png)
    assert (picture.width, picture.height) == (width, height)
    assert paint(width, height, seed) == png


async def test_a_cancelled_picture_leaves_no_unfinished_task_behind(caller: Caller) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    submitted = await caller.submit(
        "fal-ai/flux/dev", {"prompt": "x", "num_images": 2, "image_size": "square"}
    )
    await caller.reached(submitted, "IN_PROGRESS")
    assert (await caller.cancel(submitted)).status == 202
    await caller.reached(submitted, "COMPLETED")
    gc.collect()
    assert complaints == []
