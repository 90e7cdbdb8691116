"""Pillow images as files: upright, in a mode that the format holds, and under the type that they have.

Pillow is loaded by whoever made the image.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from fal_async.errors import ConfigurationError, FalError, UploadError
from fal_async.protocol.storage.media import OCTETS, guess_content_type

FORMATS: Mapping[str, str] = {
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "gif": "GIF",
    "bmp": "BMP",
    "tiff": "TIFF",
}
"""By the names that people use, Pillow's."""
_BY_TYPE: Mapping[str, str] = {
    **{f"image/{name}": name for name in FORMATS},
    "image/jpg": "jpeg",
    "image/pjpeg": "jpeg",
    "image/x-png": "png",
    "image/x-bmp": "bmp",
    "image/x-ms-bmp": "bmp",
    "image/tif": "tiff",
}
_KNOWN = ", ".join(f"image/{name}" for name in FORMATS if name != "jpg")
_TURNED = 0x0112
"""The EXIF tag of the orientation: 1 is upright."""
_ALPHA = ("LA", "RGBA")
_USUAL = {"YCbCr": "RGB", "HSV": "RGB", "RGBX": "RGB", "RGBa": "RGBA", "PA": "RGBA", "La": "LA"}
_WIDE = ("I;16", "I;16L", "I;16B", "I;16N")


def format_of(content_type: str | None, file_name: str | None) -> str:
    """What a picture of this type, or else of this name, is encoded as; "png" where neither says.

    ConfigurationError for a type that no picture is encoded as: its label would be wrong.
    """
    asked = content_type
    if asked is None:
        asked = guess_content_type(file_name, b"")
        if asked == OCTETS:
            return "png"
    known = _BY_TYPE.get(asked.partition(";")[0].strip().lower())
    if known is None:
        where = f"content_type={content_type!r}" if content_type is not None else f"file_name={file_name!r}"
        raise ConfigurationError(f"{where}: a Pillow image can be sent as one of {_KNOWN}")
    return known


def image_format(format: str) -> str:
    """Pillow's name of the format."""
    known = FORMATS.get(str(format).lower().lstrip("."))
    if known is None:
        raise ConfigurationError(f"format={format!r}: expected one of {', '.join(FORMATS)}")
    return known


def image_bytes(image: Any, format: str) -> bytes:
    """A Pillow image, encoded. Takes its time: to be called in a thread where a loop runs.

    Raises:
        UploadError: it can't be read: it is truncated, or closed.
        ConfigurationError: the format can't hold it, and there is no conversion that would surely be meant.
    """
    name = image_format(format)
    _load(image)
    try:
        fitting = _fitting(_upright(image), name)
        out = io.BytesIO()
        fitting.save(out, format=name)
    except FalError:
        raise
    except Exception as error:  # too large for the format, or of an origin that Pillow does not encode
        words = f"{image.width} x {image.height}, mode {image.mode!r}: {error or type(error).__name__}"
        raise ConfigurationError(
            f"the image can't be sent as {name} ({words}); convert or resize it"
        ) from error
    return out.getvalue()


def _load(image: Any) -> None:
    try:
        image.load()
    except Exception as error:  # Pillow's readers raise what they meet
        raise UploadError(f"the image can't be read: {error or type(error).__name__}") from error
    if 0 in image.size:
        raise ConfigurationError(f"the image is empty: {image.width} x {image.height} pixels")


def _upright(image: Any) -> Any:
    """As it is to be seen: what lies in its file on its side, with a tag that says so, is turned."""
    try:
        turned = image.getexif().get(_TURNED, 1) not in (1, None)
    except Exception:  # EXIF that can't be read says nothing
        return image
    if not turned:
        return image
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _fitting(image: Any, name: str) -> Any:
    """In a mode that the format holds, and that readers of it understand."""
    image = _in_usual_mode(image, name)
    if image.mode in _WIDE or image.mode == "F" or name == "PNG":
        return image
    if name == "TIFF":  # which has no transparent colour
        return image.convert("RGBA") if "transparency" in image.info else image
    if name == "WEBP" or (name == "GIF" and image.mode != "LA"):
        return image  # Pillow converts, transparency included
    if name == "GIF":
        return image.convert("RGBA")
    if image.mode in _ALPHA or "transparency" in image.info:
        return _on_white(image)
    if name == "JPEG" and image.mode not in ("L", "RGB"):
        return image.convert("L" if image.mode == "1" else "RGB")
    return image


def _in_usual_mode(image: Any, name: str) -> Any:
    """One of 1, L, LA, P, RGB and RGBA; numbers of 16 bits, and floats, only where the format takes them."""
    mode = image.mode
    if mode == "F" and name != "TIFF":
        raise _refused(image, name)
    if mode == "I":
        image = _integers(image, name)
    if image.mode in _WIDE:
        return _sixteen_bits(image) if name in ("PNG", "TIFF") else _eight_bits(image)
    if mode in ("CMYK", "LAB"):
        return _by_profile(image)
    into = _USUAL.get(mode)
    return image.convert(into) if into else image


def _refused(image: Any, name: str) -> ConfigurationError:
    return ConfigurationError(
        f"an image of mode {image.mode!r} can't be sent as {name}, as nothing says which of its values are black "
        'and white: scale them to 0..255 and convert it to "L"; or send it as image/tiff'
    )


def _integers(image: Any, name: str) -> Any:
    """Grey of 32 bits, as arrays of integers become: with 8 or 16 bits, if that is what its values have."""
    low, high = image.getextrema()
    if low < 0 or high > 0xFFFF:
        if name == "TIFF":
            return image
        raise _refused(image, name)
    return image.convert("L") if high <= 0xFF else image.convert("I;16")


def _sixteen_bits(image: Any) -> Any:
    return image if image.mode in ("I;16", "I;16B") else image.convert("I").convert("I;16")


def _eight_bits(image: Any) -> Any:
    scaled = image.convert("I").point(lambda value: value * (1 / 256))
    return scaled.convert("L")


def _by_profile(image: Any) -> Any:
    """Colours of print, or of a laboratory, as the screen's; by the image's own profile where it has one."""
    from PIL import ImageCms

    profile: Any = image.info.get("icc_profile")
    try:
        source: Any = ImageCms.createProfile("LAB") if image.mode == "LAB" else io.BytesIO(profile or b"")
        seen: Any = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImportError, OSError, ImageCms.PyCMSError):
        if image.mode == "LAB":
            raise
        seen = image.convert("RGB")
    seen.info.pop("icc_profile", None)
    return seen


def _on_white(image: Any) -> Any:
    from PIL import Image

    picture = image.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")
