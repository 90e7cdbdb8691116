"""Digests that identify an input. `ledger/README.md` describes the canonical form, also for other languages.

`input_digest` covers the caller's input before any upload, `body_digest` the bytes of one submit. Two digests are
needed because the same image, uploaded twice, has two URLs.
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
"""Version of the canonical form: the part of a digest before the colon."""


@attrs.frozen(kw_only=True)
class FileDigest:
    """What represents a file in a digest: the SHA-256 of its bytes, in lower-case hex, and its content type."""

    sha256: str
    content_type: str


def files_of(value: Any) -> list[Any]:
    """Return the files in an input, repeated ones too, in the order in which `input_digest` takes their digests.

    Raises ConfigurationError for bytes outside a `File`.
    """
    return find_files(input_value(value))


def input_digest(value: Any, files: Sequence[FileDigest] = ()) -> str:
    """Return `1:<sha256>` of an input as the caller passed it.

    Args:
        value: the input.
        files: one digest for each of `files_of(value)`, in that order.

    Raises:
        ConfigurationError: JSON can't represent the input.
        ValueError: the number of `files` is not that of the files in the input.
    """
    if not files and (plain := canonical_if_plain(value)) is not None:
        return f"{VERSION}:{hashlib.sha256(plain).hexdigest()}"
    document, places = places_of(input_value(value))
    if len(places) != len(files):
        raise ValueError(f"the input has {len(places)} files, but {len(files)} file digests were given")
    canonical = canonical_json(encode_json(document))
    if places:
        # An array, because no input is one: no caller's input can have the same canonical form.
        listed = sorted(map(_listed, places, files))
        canonical = b"[%b,[%b]]" % (canonical, b",".join(listed))
    return f"{VERSION}:{hashlib.sha256(canonical).hexdigest()}"


def _listed(place: Path, file: FileDigest) -> bytes:
    return canonical_json(encode_json([place, file.sha256, file.content_type]))


def body_digest(body: bytes) -> str:
    """Return `1:<sha256>` of the JSON that is sent. For an input without files it equals `input_digest`."""
    return f"{VERSION}:{digest_of(body)}"


def check_version(digest: str) -> None:
    """Raise LedgerError if this version of fal_async does not know the digest's version."""
    version = digest.partition(":")[0]
    if version != VERSION:
        raise LedgerError(
            f"the ledger has a digest of version {version!r}, which this version of fal_async does not know: "
            "update fal_async"
        )
