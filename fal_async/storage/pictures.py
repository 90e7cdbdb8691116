"""Encode Pillow images as files, upright and in a mode that the format supports.

This module imports Pillow only inside functions, which run only if the caller has an image and so has imported it.
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
"""Pillow's names of the formats, by suffix."""
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
_ORIENTATION = 0x0112
"""The EXIF tag of the orientation: 1 is upright."""
_ALPHA = ("LA", "RGBA")
_USUAL = {"YCbCr": "RGB", "HSV": "RGB", "RGBX": "RGB", "RGBa": "RGBA", "PA": "RGBA", "La": "LA"}
_WIDE = ("I;16", "I;16L", "I;16B", "I;16N")


def format_of(content_type: str | None, file_name: str | None) -> str:
    """Return the format for this content type, or else for this file name; "png" if neither decides.

    Raises ConfigurationError for a type that is not supported, because the file would get a wrong content type.
    """
    asked = content_type
    if asked is None:
        asked = guess_content_type(file_name, b"")
        if asked == OCTETS:
            return "png"
    known = _BY_TYPE.get(asked.partition(";")[0].strip().lower())
    if known is None:
        where = f"content_type={content_type!r}" if content_type is not None else f"file_name={file_name!r}"
        raise ConfigurationError(f"{where}: expected one of {_KNOWN} for a Pillow image")
    return known


def image_format(format: str) -> str:
    """Return Pillow's name of the format. Raises ConfigurationError if it is unknown."""
    known = FORMATS.get(str(format).lower().lstrip("."))
    if known is None:
        raise ConfigurationError(f"format={format!r}: expected one of {', '.join(FORMATS)}")
    return known


def image_bytes(image: Any, format: str) -> bytes:
    """Encode a Pillow image. Slow: call it in a thread if an event loop is running.

    Raises:
        UploadError: If the image can't be read because it is truncated or closed.
        ConfigurationError: If the format can't store the image, and no conversion is clearly what the caller wants.
    """
    name = image_format(format)
    _load(image)
    try:
        fitting = _fitting(_upright(image), name)
        out = io.BytesIO()
        fitting.save(out, format=name)
    except FalError:
        raise
    except Exception as error:  # too large for the format, or a mode that Pillow can't encode
        words = f"{image.width} x {image.height}, mode {image.mode!r}: {error or type(error).__name__}"
        raise ConfigurationError(
            f"the image can't be sent as {name} ({words}); convert or resize it"
        ) from error
    return out.getvalue()


def _load(image: Any) -> None:
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise many kinds of exceptions
        raise UploadError(f"the image can't be read: {error or type(error).__name__}") from error
    if 0 in image.size:
        raise ConfigurationError(f"the image is empty: {image.width} x {image.height} pixels")


def _upright(image: Any) -> Any:
    """Rotate the image as its EXIF orientation says."""
    try:
        turned = image.getexif().get(_ORIENTATION, 1) not in (1, None)
    except Exception:  # EXIF data that can't be read is ignored
        return image
    if not turned:
        return image
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _fitting(image: Any, name: str) -> Any:
    """Convert the image to a mode that the format, and common readers of it, support."""
    image = _in_usual_mode(image, name)
    if image.mode in _WIDE or image.mode == "F" or name == "PNG":
        return image
    if name == "TIFF":  # TIFF has no transparent palette colour
        return image.convert("RGBA") if "transparency" in image.info else image
    if name == "WEBP" or (name == "GIF" and image.mode != "LA"):
        return image  # Pillow converts it, with transparency
    if name == "GIF":
        return image.convert("RGBA")
    if image.mode in _ALPHA or "transparency" in image.info:
        return _on_white(image)
    if name == "JPEG" and image.mode not in ("L", "RGB"):
        return image.convert("L" if image.mode == "1" else "RGB")
    return image


def _in_usual_mode(image: Any, name: str) -> Any:
    """Convert to one of the modes 1, L, LA, P, RGB and RGBA.

    An image with 16 bits or floats is left as it is if the format supports them.
    """
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
        f"an image of mode {image.mode!r} can't be sent as {name}, because its values for black and white are not "
        'known: scale them to 0..255 and convert it to "L", or send it as image/tiff'
    )


def _integers(image: Any, name: str) -> Any:
    """Convert 32-bit grey (images made from integer arrays) to 8 or 16 bits if its values fit."""
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
    """Convert CMYK or LAB to RGB, with the image's own colour profile if it has one."""
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
