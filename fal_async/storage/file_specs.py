"""What a file is: for its upload, and to recognise it before that."""

from __future__ import annotations

from typing import Any

from fal_async.protocol.storage.media import HEAD, guess_content_type, plain_name
from fal_async.protocol.storage.uploads import FileSpec
from fal_async.storage.file_body import digest_of
from fal_async.storage.file_objects import UNNAMED
from fal_async.storage.sources import Source, opened


async def spec_of(source: Source, lifecycle: str | None) -> FileSpec:
    """What fal is told of it."""
    name = plain_name(source.name) or UNNAMED
    guessed = guess_content_type(name, await source.read(0, HEAD))
    return FileSpec(
        size=source.size,
        content_type=source.content_type or guessed,
        file_name=name,
        lifecycle=lifecycle,
    )


async def digest_of_file(file: Any) -> tuple[str, str]:
    """Its content type and its SHA-256 (hex), as it would be uploaded now.

    ConfigurationError for what can be read only once; UploadError for what can't be read.
    """
    async with opened(file, again=True) as source:
        spec = await spec_of(source, None)
        sha256 = await digest_of(source, 0, source.size)
        await source.check_unchanged()
    return spec.content_type, sha256
