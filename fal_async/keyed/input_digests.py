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
from fal_async.protocol.json_input import input_value, is_flat
from fal_async.protocol.ledger.digests import FileDigest, body_digest, files_of, input_digest
from fal_async.protocol.ledger.entry import Payload
from fal_async.protocol.ledger.kept import kept_input
from fal_async.protocol.storage.input_files import File, place_of

DigestOfFile = Callable[[Any], Awaitable[FileDigest]]


@attrs.frozen(eq=False)
class Recognised:
    """An input as the caller gave it."""

    digest: str
    files: Sequence[FileDigest] = ()
    _of_file: DigestOfFile | None = None

    def digest_of_body(self, body: bytes) -> str:
        """Of what is sent: without files it is the same input."""
        return body_digest(body) if self.files else self.digest

    async def check_unchanged(self, input: Any) -> None:
        """UploadError where a file on disk is another one now: what was uploaded may be that, and its result would
        be kept as this one's."""
        if not self.files or self._of_file is None:
            return
        for number, (file, before) in enumerate(zip(files_of(input), self.files, strict=True)):
            if _is_on_disk(file) and await self._is_another(file, before):
                raise UploadError(
                    "the file was changed during the call, and nothing was submitted: give each call one of its own"
                ).at(place_of(input_value(input), number))

    async def _is_another(self, file: Any, before: FileDigest) -> bool:
        assert self._of_file is not None
        try:
            return await self._of_file(file) != before
        except UploadError:  # deleted since it was uploaded
            return False

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
    return Recognised(input_digest(input, files), files, digest)


def _is_on_disk(file: Any) -> bool:
    data = file.data if isinstance(file, File) else file
    return isinstance(data, str | os.PathLike)


async def file_digest(file: Any) -> FileDigest:
    """Of its bytes as they are now."""
    from fal_async.storage.file_specs import digest_of_file

    content_type, sha256 = await digest_of_file(file)
    return FileDigest(sha256=sha256, content_type=content_type)
