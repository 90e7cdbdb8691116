"""Pillow images in every call that takes them: modes, EXIF orientation, and content types."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from fal_async import ConfigurationError, FalError, File, Session, UploadError, encode_image
from fal_async.emulator import Emulator
from fal_async.protocol.storage.media import parse_data_uri
from tests.storage.pictures import header, some_file, stored

FORMATS = ["png", "jpeg", "webp", "gif", "bmp", "tiff"]
GREY, WIDE = ["1", "L", "LA", "La", "I", "F"], ["I;16", "I;16L", "I;16B", "I;16N"]
MODES = [*GREY, *WIDE, "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"]

Way = Callable[[Session, Emulator, Any], Awaitable[bytes]]


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


async def _uploaded(fal: Session, emulator: Emulator, image: Any) -> bytes:
    return stored(emulator, await fal.storage.upload(image))


async def _in_input(fal: Session, emulator: Emulator, image: Any) -> bytes:
    return stored(emulator, (await fal.storage.transform_input({"a": [image]}))["a"][0])


async def _inline(fal: Session, emulator: Emulator, image: Any) -> bytes:
    (uri,) = await fal.storage.transform_input([image], inline_below=1_000_000)
    return parse_data_uri(uri)[0]


async def _encoded(fal: Session, emulator: Emulator, image: Any) -> bytes:
    return parse_data_uri(encode_image(image))[0]


WAYS: dict[str, Way] = {
    "upload": _uploaded,
    "File": lambda fal, emulator, image: _uploaded(fal, emulator, File(image)),
    "input": _in_input,
    "inline": _inline,
    "encode_image": _encoded,
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))


# Modes.


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_every_mode_is_encoded_in_every_format_or_refused_with_a_hint(
    mode: str, format: str
) -> None:
    image = Image.new(mode, (4, 3))
    if mode == "P":
        image.putpalette([0, 0, 0])  # without one, Pillow before 13 writes a BMP that it can't read
    if mode == "F" and format != "tiff":
        with pytest.raises(ConfigurationError, match="scale them"):
            encode_image(image, format)
        return
    data, kind = parse_data_uri(encode_image(image, format))
    seen = opened(data)
    assert (kind, seen.format, seen.size) == (f"image/{format}", format.upper(), (4, 3))
    assert image.mode == mode, "the caller's image is unchanged"


@every_way
async def test_a_cmyk_image_is_uploaded_as_rgb(fal: Session, emulator: Emulator, way: Way) -> None:
    data = await way(fal, emulator, Image.new("CMYK", (4, 4), (0, 255, 255, 0)))
    seen = opened(data)
    assert seen.mode == "RGB"
    red, green, blue = seen.getpixel((0, 0))  # type: ignore[misc]
    assert red > 200 > 60 > max(green, blue)
    assert "icc_profile" not in seen.info, "the printer's profile would be wrong for RGB"


def test_a_lab_image_is_encoded_with_its_colours_in_rgb() -> None:
    screen = Image.new("RGB", (2, 2), (200, 30, 60))
    lab: Any = ImageCms.profileToProfile(
        screen, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    seen = opened(parse_data_uri(encode_image(lab))[0]).getpixel((0, 0))
    assert all(abs(a - b) < 6 for a, b in zip(seen, (200, 30, 60), strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "value", "format", "seen"),
    [
        ("I;16", 40_000, "png", 40_000),
        ("I;16B", 40_000, "png", 40_000),
        ("I;16", 40_000, "jpeg", 156),
        ("I;16", 40_000, "bmp", 156),
        ("I", 200, "png", 200),
        ("I", 200, "jpeg", 200),
        ("I", 40_000, "png", 40_000),
        ("I", 40_000, "jpeg", 156),
        ("F", 0.25, "tiff", 0.25),
        ("1", 1, "jpeg", 255),
    ],
)
def test_a_grey_image_keeps_its_brightness_when_its_depth_changes(
    mode: str, value: float, format: str, seen: float
) -> None:
    data, _ = parse_data_uri(encode_image(Image.new(mode, (4, 4), value), format))
    assert opened(data).getpixel((1, 1)) == seen


@pytest.mark.parametrize("value", [-1, 70_000])
def test_an_integer_image_out_of_range_is_refused(value: int) -> None:
    with pytest.raises(ConfigurationError, match="scale them"):
        encode_image(Image.new("I", (4, 4), value))


def _see_through(mode: str) -> Image.Image:
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    if mode == "P with a transparent colour":
        made = Image.new("P", (4, 4), 0)
        made.putpalette([0, 0, 0] * 256)
        made.info["transparency"] = 0
        return made
    made = picture.convert(mode)
    if made.convert("RGBA").getpixel((0, 0)) != (255, 0, 0, 0) and mode == "PA":
        pytest.skip("Pillow before 12 loses the transparency of such an image")
    return made


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "P with a transparent colour"])
@pytest.mark.parametrize("format", FORMATS)
def test_transparent_pixels_stay_transparent_or_become_white(mode: str, format: str) -> None:
    seen = opened(parse_data_uri(encode_image(_see_through(mode), format))[0]).convert("RGBA")
    red, green, blue, alpha = seen.getpixel((0, 0))  # type: ignore[misc]
    assert alpha == 0 or (red, green, blue) == (255, 255, 255)


# Images that can't be read.


def _truncated(tmp_path: Path) -> Image.Image:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(out, "PNG")
    return Image.open(io.BytesIO(out.getvalue()[:500]))


def _closed(tmp_path: Path) -> Image.Image:
    image = Image.new("RGB", (4, 4))
    image.close()
    return image


def _closed_file(tmp_path: Path) -> Image.Image:
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(path)
    with Image.open(path) as image:
        return image


@every_way
@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (_truncated, UploadError, "can't be read"),
        (_closed, UploadError, "can't be read"),
        (_closed_file, UploadError, "can't be read"),
        (lambda _: Image.new("RGB", (0, 4)), ConfigurationError, "is empty: 0 x 4 pixels"),
    ],
    ids=["truncated", "closed image", "closed file", "empty"],
)
async def test_an_unreadable_or_empty_image_is_refused_before_anything_is_sent(
    fal: Session,
    emulator: Emulator,
    tmp_path: Path,
    way: Way,
    make: Callable[[Path], Image.Image],
    error: type[FalError],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        await way(fal, emulator, make(tmp_path))
    assert emulator.requests == []


@pytest.mark.parametrize("format", ["webp", "jpeg", "gif"])
def test_an_image_that_is_too_large_for_its_format_is_refused_with_a_hint(format: str) -> None:
    with pytest.raises(ConfigurationError, match=r"can't be sent as .*66000 x 1.*resize it"):
        encode_image(Image.new("L", (66_000, 1)), format)


# EXIF orientation.

_UNDONE = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""For each EXIF orientation, the transposition from the upright picture to the stored one."""
CORNERS = {(2, 2): "red", (29, 2): "lime", (2, 45): "blue", (29, 45): "white"}


def _upright() -> Image.Image:
    picture = Image.new("RGB", (32, 48))
    for (x, y), colour in CORNERS.items():
        picture.paste(colour, (x - x % 16, y - y % 24, x - x % 16 + 16, y - y % 24 + 24))
    return picture


def _lying(orientation: int, format: str) -> Image.Image:
    """Return the picture as a phone stores it: rotated, with the orientation in its EXIF data."""
    exif, out, undone = Image.Exif(), io.BytesIO(), _UNDONE[orientation]
    exif[0x0112] = orientation
    picture = _upright() if undone is None else _upright().transpose(undone)
    picture.save(out, format, exif=exif, quality=95)
    return Image.open(io.BytesIO(out.getvalue()))


def _is_upright(data: bytes) -> bool:
    seen = opened(data)
    named = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
    right = seen.size == (32, 48) and seen.getexif().get(0x0112, 1) == 1
    return right and all(
        abs(value - wanted) < 60
        for place, colour in CORNERS.items()
        for value, wanted in zip(seen.convert("RGB").getpixel(place), named[colour], strict=True)  # type: ignore[arg-type]
    )


@every_way
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", list(_UNDONE))
async def test_a_photo_is_rotated_as_its_exif_orientation_says(
    fal: Session, emulator: Emulator, way: Way, format: str, orientation: int
) -> None:
    photo = _lying(orientation, format)
    assert _is_upright(await way(fal, emulator, photo))
    assert photo.getexif()[0x0112] == orientation, "the caller's image is unchanged"


@pytest.mark.parametrize("format", FORMATS)
def test_a_rotated_photo_is_upright_in_every_format(format: str) -> None:
    assert _is_upright(parse_data_uri(encode_image(_lying(6, "JPEG"), format))[0])


# Types.


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"content_type": "image/jpg"}, "jpeg"),
        ({"content_type": "IMAGE/JPEG"}, "jpeg"),
        ({"content_type": "image/jpeg; q=1"}, "jpeg"),
        ({"content_type": "image/pjpeg"}, "jpeg"),
        ({"content_type": "image/x-ms-bmp"}, "bmp"),
        ({"content_type": "image/TIFF"}, "tiff"),
        ({"content_type": "image/webp", "file_name": "a.png"}, "webp"),
        ({"file_name": "a.JPG"}, "jpeg"),
        ({"file_name": "a.tif"}, "tiff"),
        ({"file_name": "a.gif"}, "gif"),
        ({"file_name": "a"}, "png"),
        ({"file_name": "a.unknown"}, "png"),
        ({}, "png"),
    ],
    ids=str,
)
async def test_an_image_is_sent_with_the_content_type_of_its_encoding(
    fal: Session, emulator: Emulator, options: dict[str, Any], kind: str
) -> None:
    image = Image.new("RGB", (4, 4))
    for file, more in ((image, options), (File(image, **options), {}), (File(File(image), **options), {})):
        data = stored(emulator, await fal.storage.upload(file, **more))
        assert header(emulator, "upload", "Content-Type") == f"image/{kind}"
        assert opened(data).format == kind.upper()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"content_type": "image/avif"}, "content_type='image/avif'"),
        ({"content_type": "video/mp4"}, "content_type='video/mp4'"),
        ({"content_type": "application/octet-stream"}, "content_type="),
        ({"file_name": "a.mp4"}, "file_name='a.mp4'"),
    ],
    ids=str,
)
async def test_a_content_type_that_images_cannot_have_is_refused(
    fal: Session, emulator: Emulator, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"{words}.*one of image/jpeg, image/png"):
        await fal.storage.upload(Image.new("RGB", (4, 4)), **options)
    assert emulator.requests == []


async def test_a_file_with_a_wrong_suffix_is_sent_with_the_type_of_its_content(
    fal: Session, emulator: Emulator, tmp_path: Path
) -> None:
    path, out = some_file(tmp_path, 0, name="photo.png"), io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "JPEG")
    path.write_bytes(out.getvalue())
    for file in (path, File(out.getvalue(), file_name="photo.png")):
        await fal.storage.upload(file)
        assert header(emulator, "upload", "Content-Type") == "image/jpeg"
        (uri,) = await fal.storage.transform_input([file], inline_below=100_000)
        assert uri.startswith("data:image/jpeg;")
    await fal.storage.upload(path, content_type="image/png")
    assert header(emulator, "upload", "Content-Type") == "image/png", "the caller's type has precedence"
