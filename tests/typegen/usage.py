"""A program that uses the types of the ten shapes, for each style."""

from __future__ import annotations

import re

PROGRAM = '''
"""Calls each endpoint with its types. Type checkers check this program, and the tests run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import shapes_STYLE as shapes
from fal_async import NULL, File, Result, Session


async def call_all(fal: Session) -> dict[str, Any]:
    """Return the output of each endpoint."""
    image = await fal.subscribe(
        shapes.flux_dev,
        shapes.FluxDevInput(
            prompt="a cat",
            image_size=shapes.ImageSize(width=640, height=480),
            num_images=2,
            loras=[shapes.LoraWeight(path="https://example.com/lora", scale=0.5)],
        ),
    )
    assert_type(image, Result[shapes.FluxDevOutput, str])
    assert_type(image.data.images[0].url, str)
    assert image.data.images[0].width == 640
    assert image.data.timings == {"inference": 0.5}

    video = await fal.subscribe(
        shapes.kling_video_v2_1_edit,
        shapes.KlingVideoV21EditInput(
            prompt="two cats",
            image_urls=["https://example.com/a.png"],
            elements=[shapes.Element(frontal_image_url="https://example.com/b.png")],
            mask=shapes.ImageInput(url="https://example.com/c.png", width=8),
        ),
    )
    assert video.data.video.url == "https://example.com/v.mp4"

    values = await fal.subscribe(
        shapes.unions,
        shapes.UnionsInput(duration=5, guidance=[1.5, 2.5], text="hello", resolution="1080p"),
    )
    assert_type(values.data.value, int | str | bool)
    assert values.data.value == 3
    assert values.data.state == "done"

    parts = await fal.subscribe(
        shapes.storyboard,
        shapes.StoryboardInput(
            shots=[
                shapes.TextShot(TEXTtext="a cat"),
                shapes.ImageShot(IMAGEimage_url="https://example.com/cat.png"),
            ]
        ),
    )
    assert parts.data.parts[0].url == "https://a"

    tree = await fal.subscribe(
        shapes.tree,
        shapes.TreeInput(
            root=shapes.NodeInput(name="a", children=[shapes.NodeInput(name="b")]),
            fallback=shapes.TreeInput(root=shapes.NodeInput(name="c")),
        ),
    )
    assert tree.data.tree.name == "a"

    lora = await fal.subscribe(
        shapes.flux_lora_fast_training,
        shapes.FluxLoraFastTrainingInput(
            steps=200,
            images_data_url="https://example.com/a.zip",
            options=shapes.FluxLoraFastTrainingInputOptions(resume=False),
        ),
    )
    assert lora.data.diffusers_lora_file.file_size == 12

    nulls = await fal.subscribe(
        shapes.nulls, shapes.NullsInput(mask=NULL, note=NULL, safety=NULL, weights=[0.5, None])
    )
    assert_type(nulls.data.scores, list[float | None])
    assert nulls.data.mask is None

    maps = await fal.subscribe(
        shapes.maps,
        shapes.MapsInput(
            weights={"a": 0.5}, layers={"sky": shapes.Layer(opacity=0.25)}, box=(0, 0, 4, 4)
        ),
    )
    assert_type(maps.data.masks["cat"].url, str)
    assert maps.data.boxes == [(1, 2)]

    ping = await fal.subscribe(shapes.ping, shapes.PingInput())
    found = (image, video, values, parts, tree, lora, nulls, maps, ping)
    return {result.request_id: result.data for result in found}


async def send_files(fal: Session, path: Path) -> None:
    """Send files of several kinds."""
    with path.open("rb") as opened:
        await fal.subscribe(
            shapes.kling_video_v2_1_edit,
            shapes.KlingVideoV21EditInput(
                prompt="files",
                image_urls=[path, File(b"x", file_name="b.png"), "https://example.com/c.png"],
                elements=[shapes.Element(frontal_image_url=opened)],
            ),
        )


def mistakes() -> None:
    """Never called. mypy reports each of these, or else that its comment is not needed."""
    shapes.FluxDevInput(prompt="x", numimages=4)  # type: ignore[UNKNOWN]
    shapes.FluxDevInput()  # type: ignore[MISSING]
    shapes.FluxDevInput(prompt="x", output_format="gif")  # type: ignore[TYPE]
    shapes.FluxDevInput(prompt="x", image_size="square", num_images="4")  # type: ignore[TYPE]
'''


def program(style: str) -> str:
    """Return the program for a style."""
    is_mapping = style == "typeddict"
    codes = {
        "UNKNOWN": "typeddict-unknown-key" if is_mapping else "call-arg",
        "MISSING": "typeddict-item" if is_mapping else "call-arg",
        "TYPE": "typeddict-item" if is_mapping else "arg-type",
    }
    text = PROGRAM.lstrip().replace("STYLE", style)
    for word, code in codes.items():
        text = text.replace(f"[{word}]", f"[{code}]")
    text = text.replace("TEXT", 'type="text", ' * is_mapping).replace("IMAGE", 'type="image", ' * is_mapping)
    if not is_mapping:
        return text
    text = re.sub(r"\bNULL, (?=File)", "", text).replace("NULL", "None")
    return re.sub(r"(?<=\.data)(?:\.\w+|\[[^]]+\])+", lambda found: _keys(found[0]), text)


def _keys(path: str) -> str:
    """Return attributes as keys: `["images"][0]` for `.images[0]`."""
    return re.sub(r"\.(\w+)", r'["\1"]', path)
