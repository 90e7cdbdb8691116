"""Compute the digests of an input, before anything is uploaded; files are hashed in threads."""

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
    """The digests of an input as the caller gave it."""

    digest: str
    files: Sequence[FileDigest] = ()

    @property
    def sha256s(self) -> Sequence[str] | None:
        """The SHA-256 of each file, see `NewRequest`; None without files."""
        return [file.sha256 for file in self.files] or None

    def digest_of_body(self, body: bytes) -> str:
        """Return the digest of the body that is sent; without files it equals that of the input."""
        return body_digest(body) if self.files else self.digest

    def kept(self, input: Any, body: bytes, options: CallOptions) -> Payload | None:
        """Return the input as the ledger stores it; None with `store_io=False`: it is not stored."""
        if options.store_io is False:
            return None
        if self.files or re.search(rb"(?i)data:", body):
            return kept_input(input, self.files)
        return Payload(content_type=JSON_TYPE, body=body)


async def recognised(input: Any, of_file: DigestOfFile | None = None) -> Recognised:
    """Return the digests of an input. `of_file` is called instead of `file_digest`, if it is given.

    Raises ConfigurationError for a file that can be read only once, UploadError for a file that can't be read.
    """
    if is_flat(input):
        return Recognised(input_digest(input))
    digest = of_file or file_digest
    files = [await digest(file) for file in files_of(input)]
    return Recognised(input_digest(input, files), files)


async def file_digest(file: Any) -> FileDigest:
    """Return the digest of a file's current bytes."""
    from fal_async.storage.file_specs import digest_of_file

    content_type, sha256 = await digest_of_file(file)
    return FileDigest(sha256=sha256, content_type=content_type)


async def check_unchanged(file: Any, sha256: str, of_file: DigestOfFile | None = None) -> None:
    """Raise UploadError if a file on disk has changed since it was hashed. Called after its upload.

    Without this check, the upload could contain the new bytes, while the result is stored under the digest of the
    old bytes. `of_file` is called instead of `file_digest`, if it is given.
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
    """Return the error for a file that has changed since it was hashed."""
    return UploadError(
        "the file was changed after the call began, so nothing was submitted: use a separate file for each input"
    )


def _is_on_disk(file: Any) -> bool:
    data = file.data if isinstance(file, File) else file
    return isinstance(data, str | os.PathLike)
