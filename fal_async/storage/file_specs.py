"""Name, type, size and digest of a file, for its upload and to recognise it in a later call with the same key."""

from __future__ import annotations

from typing import Any

from fal_async.protocol.storage.media import HEAD, guess_content_type, plain_name
from fal_async.protocol.storage.uploads import FileSpec
from fal_async.storage.file_body import digest_of
from fal_async.storage.file_objects import UNNAMED
from fal_async.storage.sources import Source, opened


async def spec_of(source: Source, lifecycle: str | None) -> FileSpec:
    """Return the properties that fal stores with the file."""
    name = plain_name(source.name) or UNNAMED
    guessed = guess_content_type(name, await source.read(0, HEAD))
    return FileSpec(
        size=source.size,
        content_type=source.content_type or guessed,
        file_name=name,
        lifecycle=lifecycle,
    )


async def digest_of_file(file: Any) -> tuple[str, str]:
    """Return content type and SHA-256 (hex) of the file, as it would be uploaded now.

    Raises ConfigurationError if the file can be read only once, and UploadError if it can't be read.
    """
    async with opened(file, again=True) as source:
        spec = await spec_of(source, None)
        sha256 = await digest_of(source, 0, source.size)
        await source.check_unchanged()
    return spec.content_type, sha256
