"""Data URIs by hand: for small files that go inside the input (protocol 7.5).

These functions work at once and in this thread: fine for kilobytes. For larger files use
`await session.storage.upload(...)`, which keeps the event loop free.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from fal_async.errors import ConfigurationError
from fal_async.protocol.storage.input_files import is_image
from fal_async.protocol.storage.media import HEAD, check_content_type, data_uri, guess_content_type

_FORMATS = {
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "gif": "GIF",
    "bmp": "BMP",
    "tiff": "TIFF",
}
_WRITABLE_MODES = {"JPEG": ("L", "RGB", "CMYK"), "BMP": ("1", "L", "P", "RGB")}


def encode(data: bytes | str, content_type: str | None = None) -> str:
    """`data` as a `data:` URI. Text is sent as UTF-8, `text/plain` by default; bytes are looked at for a type.

    ConfigurationError for a content type that is none, and for what is neither bytes nor text.
    """
    if not isinstance(data, str | bytes | bytearray | memoryview):
        raise ConfigurationError(f"data is a {type(data).__name__}: expected bytes or a text")
    if isinstance(data, str):
        return data_uri(data.encode(), check_content_type(content_type) or "text/plain;charset=utf-8")
    return data_uri(data, check_content_type(content_type) or guess_content_type(None, bytes(data[:HEAD])))


def encode_file(path: str | os.PathLike[str], content_type: str | None = None) -> str:
    """The file at `path` as a `data:` URI. OSError where it can't be read."""
    data = Path(path).read_bytes()
    kind = check_content_type(content_type) or guess_content_type(os.fspath(path), data[:HEAD])
    return data_uri(data, kind)


def encode_image(image: Any, format: str = "png") -> str:
    """A Pillow image as a `data:` URI, in "png" (default), "jpeg" or "jpg", "webp", "gif", "bmp" or "tiff".

    What JPEG can't hold (transparency, palettes) is laid on white. ConfigurationError for another format, and
    for what is no Pillow image.
    """
    if not is_image(image):
        raise ConfigurationError(f"image is a {type(image).__name__}: expected a Pillow image")
    return data_uri(image_bytes(image, format), f"image/{image_format(format).lower()}")


def image_format(format: str) -> str:
    """Pillow's name of the format."""
    known = _FORMATS.get(str(format).lower().lstrip("."))
    if known is None:
        raise ConfigurationError(f"format={format!r}: expected one of {', '.join(_FORMATS)}")
    return known


def image_bytes(image: Any, format: str) -> bytes:
    """A Pillow image, encoded. Takes its time: to be called in a thread where a loop runs."""
    name = image_format(format)
    fitting = _WRITABLE_MODES.get(name)
    if fitting is not None and image.mode not in fitting:
        image = _on_white(image)
    out = io.BytesIO()
    image.save(out, format=name)
    return out.getvalue()


def _on_white(image: Any) -> Any:
    from PIL import Image  # there, since an image of it was given

    picture = image.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")
