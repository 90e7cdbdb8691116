"""By what an input is recognised, before anything of it is uploaded: its files are hashed in threads."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs

from fal_async.errors import UploadError
from fal_async.options import CallOptions
from fal_async.protocol.http import JSON_TYPE
from fal_async.protocol.json_input import is_flat
from fal_async.protocol.ledger.digests import FileDigest, body_digest, files_of, input_digest
from fal_async.protocol.ledger.entry import Payload
from fal_async.protocol.ledger.kept import kept_input
from fal_async.protocol.storage.input_files import File

DigestOfFile = Callable[[Any], Awaitable[FileDigest]]


@attrs.frozen(eq=False)
class Recognised:
    """An input as the caller gave it."""

    digest: str
    files: Sequence[FileDigest] = ()

    @property
    def sha256s(self) -> Sequence[str] | None:
        """Of its files, see `NewRequest`."""
        return [file.sha256 for file in self.files] or None

    def digest_of_body(self, body: bytes) -> str:
        """Of what is sent: without files it is the same input."""
        return body_digest(body) if self.files else self.digest

    def kept(self, input: Any, body: bytes, options: CallOptions) -> Payload | None:
        """What is stored of it; None where fal is not to store it, either."""
        if options.store_io is False:
            return None
        if self.files or re.search(rb"(?i)data:", body):
            return kept_input(input, self.files)
        return Payload(content_type=JSON_TYPE, body=body)


async def recognised(input: Any, of_file: DigestOfFile | None = None) -> Recognised:
    """`of_file`: in place of `file_digest`.

    ConfigurationError for a file that can be read only once; UploadError for one that can't be read."""
    if is_flat(input):
        return Recognised(input_digest(input))
    digest = of_file or file_digest
    files = [await digest(file) for file in files_of(input)]
    return Recognised(input_digest(input, files), files)


async def file_digest(file: Any) -> FileDigest:
    """Of its bytes as they are now."""
    from fal_async.storage.file_specs import digest_of_file

    content_type, sha256 = await digest_of_file(file)
    return FileDigest(sha256=sha256, content_type=content_type)


async def check_unchanged(file: Any, sha256: str, of_file: DigestOfFile | None = None) -> None:
    """After its upload: UploadError where a file on disk is another one now. What was uploaded may be that, and its
    result would be kept as this one's.

    `of_file`: in place of `file_digest`.
    """
    if not _is_on_disk(file):
        return
    try:
        now = await (of_file or file_digest)(file)
    except UploadError:  # deleted since it was uploaded
        return
    if now.sha256 != sha256:
        raise changed()


def changed() -> UploadError:
    """The error for a file that is no longer what its input was recognised by."""
    return UploadError(
        "the file was changed after it was given, and nothing was submitted: give each input a file of its own"
    )


def _is_on_disk(file: Any) -> bool:
    data = file.data if isinstance(file, File) else file
    return isinstance(data, str | os.PathLike)
