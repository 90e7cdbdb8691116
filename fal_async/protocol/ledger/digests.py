"""By what an input is recognised. The canonical form, for other languages, too: `ledger/README.md`.

`input_digest` is of what the caller gave, before any upload; `body_digest` of the bytes of one submit. The same
picture, uploaded twice, has two URLs, so that one digest can't do both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import attrs

from fal_async.errors import LedgerError
from fal_async.protocol.json_input import (
    canonical_if_plain,
    canonical_json,
    digest_of,
    encode_json,
    input_value,
)
from fal_async.protocol.storage.input_files import Path, find_files, places_of

VERSION = "1"
"""Of the canonical form: what stands before the colon of a digest."""


@attrs.frozen(kw_only=True)
class FileDigest:
    """What stands for a file: the SHA-256 of its bytes, in lower-case hex, and its content type."""

    sha256: str
    content_type: str


def files_of(value: Any) -> list[Any]:
    """The files in an input, in the order in which `input_digest` takes their digests; repeated ones, too.

    ConfigurationError for bytes that are in no `File`.
    """
    return find_files(input_value(value))


def input_digest(value: Any, files: Sequence[FileDigest] = ()) -> str:
    """`1:<sha256>` of an input as the caller gave it.

    Args:
        files: one for each of `files_of(value)`.

    Raises:
        ConfigurationError: JSON can't carry the input.
        ValueError: another number of `files`.
    """
    if not files and (plain := canonical_if_plain(value)) is not None:
        return f"{VERSION}:{hashlib.sha256(plain).hexdigest()}"
    document, places = places_of(input_value(value))
    if len(places) != len(files):
        raise ValueError(f"{len(places)} files, and {len(files)} digests of files")
    canonical = canonical_json(encode_json(document))
    if places:
        # An array, as no input is one: nothing that a caller writes looks like it.
        listed = sorted(map(_listed, places, files))
        canonical = b"[%b,[%b]]" % (canonical, b",".join(listed))
    return f"{VERSION}:{hashlib.sha256(canonical).hexdigest()}"


def _listed(place: Path, file: FileDigest) -> bytes:
    return canonical_json(encode_json([place, file.sha256, file.content_type]))


def body_digest(body: bytes) -> str:
    """`1:<sha256>` of the JSON that is sent. Of an input without files it is the same as `input_digest`."""
    return f"{VERSION}:{digest_of(body)}"


def check_version(digest: str) -> None:
    """LedgerError for a stored digest whose version of the canonical form is not known here."""
    version = digest.partition(":")[0]
    if version != VERSION:
        raise LedgerError(
            f"the ledger has a digest of version {version!r}, of which this fal_async knows nothing: update it"
        )
