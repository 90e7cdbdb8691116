"""Encode small files as data URIs, for use inside an input (protocol 7.5).

These functions block the calling thread, which is fine for kilobytes. For larger files use
`await session.storage.upload(...)`, which does not block the event loop.
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
    """Encode `data` as a `data:` URI.

    Args:
        data: Bytes (also bytearray or memoryview), or a `str`, which is encoded as UTF-8.
        content_type: Such as "image/png". None (default): guessed from the first 32 bytes of bytes, else
            "application/octet-stream"; for a `str` it is "text/plain;charset=utf-8".

    Returns:
        The URI, in base64.

    Raises:
        ConfigurationError: If `data` is neither bytes nor `str`, or `content_type` is not a media type.
    """
    if not isinstance(data, str | bytes | bytearray | memoryview):
        raise ConfigurationError(f"data is of type {type(data).__name__}: expected bytes or str")
    if isinstance(data, str):
        return data_uri(data.encode(), check_content_type(content_type) or "text/plain;charset=utf-8")
    return data_uri(data, check_content_type(content_type) or guess_content_type(None, bytes(data[:HEAD])))


def encode_file(path: str | os.PathLike[str], content_type: str | None = None) -> str:
    """Encode the file at `path` as a `data:` URI.

    Args:
        path: The path of the file; `~` is the home folder.
        content_type: Such as "image/png". None (default): the type of the name's suffix, unless the first 32 bytes
            clearly show another type. Without a known suffix these bytes decide; if they are unknown too, it is
            "application/octet-stream".

    Returns:
        The URI, in base64.

    Raises:
        UploadError: If the file can't be read.
        ConfigurationError: If `path` is not a path, or `content_type` is not a media type.
    """
    if not isinstance(path, str | bytes | os.PathLike):
        raise ConfigurationError(f"path is of type {type(path).__name__}: expected a path")
    try:
        data = Path(os.path.expanduser(os.fsdecode(path))).read_bytes()
    except (OSError, ValueError) as error:
        raise UploadError(f"{os.fsdecode(path)!r} can't be read: {why(error)}") from error
    kind = check_content_type(content_type) or guess_content_type(os.fsdecode(path), data[:HEAD])
    return data_uri(data, kind)


def encode_image(image: Any, format: str = "png") -> str:
    """Encode a Pillow image as a `data:` URI.

    The image is rotated according to its EXIF orientation. Transparent pixels are blended with white if the format
    has no transparency. Of an animation, the current frame is encoded.

    Args:
        image: The Pillow image.
        format: "png" (default), "jpeg" or "jpg", "webp", "gif", "bmp" or "tiff".

    Returns:
        The URI, in base64.

    Raises:
        ConfigurationError: If `format` is unknown, or `image` is not a Pillow image, has no pixels, or can't be
            stored in that format.
        UploadError: If the image can't be read because it is truncated or closed.
    """
    if not is_image(image):
        raise ConfigurationError(f"image is of type {type(image).__name__}: expected a Pillow image")
    return data_uri(image_bytes(image, format), f"image/{image_format(format).lower()}")
