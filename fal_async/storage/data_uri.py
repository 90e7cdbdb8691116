"""Data URIs by hand: for small files that go inside the input (protocol 7.5).

These functions work at once and in this thread: fine for kilobytes. For larger files use
`await session.storage.upload(...)`, which keeps the event loop free.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fal_async.errors import ConfigurationError, UploadError
from fal_async.protocol.storage.input_files import is_image
from fal_async.protocol.storage.media import HEAD, check_content_type, data_uri, guess_content_type
from fal_async.storage.local_paths import why
from fal_async.storage.pictures import image_bytes, image_format


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
    """The file at `path` as a `data:` URI, by default of the type that its content or its name has.

    UploadError where it can't be read; ConfigurationError for a path or a content type that is none.
    """
    if not isinstance(path, str | bytes | os.PathLike):
        raise ConfigurationError(f"path is a {type(path).__name__}: expected a path")
    try:
        data = Path(os.path.expanduser(os.fsdecode(path))).read_bytes()
    except (OSError, ValueError) as error:
        raise UploadError(f"{os.fsdecode(path)!r} can't be read: {why(error)}") from error
    kind = check_content_type(content_type) or guess_content_type(os.fsdecode(path), data[:HEAD])
    return data_uri(data, kind)


def encode_image(image: Any, format: str = "png") -> str:
    """A Pillow image as a `data:` URI, in "png" (default), "jpeg" or "jpg", "webp", "gif", "bmp" or "tiff".

    It is turned upright as its EXIF orientation says. Transparency is laid on white where the format has none; of
    an animation the current frame is sent.

    Raises:
        ConfigurationError: another format; no Pillow image; an empty one, or one that the format can't hold.
        UploadError: it can't be read, as it is truncated or closed.
    """
    if not is_image(image):
        raise ConfigurationError(f"image is a {type(image).__name__}: expected a Pillow image")
    return data_uri(image_bytes(image, format), f"image/{image_format(format).lower()}")
