"""Digests that identify an input. `ledger/README.md` describes the canonical form, also for other languages.

`input_digest` is that of the caller's input before any upload, `body_digest` that of the bytes of one submit. Both
are needed, because a file that is uploaded twice has two URLs: the inputs are equal, the bodies are not.
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
from fal_async.protocol.ledger.key_checks import quoted
from fal_async.protocol.storage.input_files import Path, find_files, places_of

VERSION = "1"
"""The version of the canonical form, which is the part of a digest before the colon."""


@attrs.frozen(kw_only=True)
class FileDigest:
    """A file in a digest: the SHA-256 of its bytes, in lower-case hexadecimal digits, and its content type."""

    sha256: str
    content_type: str


def files_of(value: Any) -> list[Any]:
    """Return the files in an input, in the order in which `input_digest` expects their digests.

    A file that occurs twice is returned twice. Raises ConfigurationError for bytes outside a `File`.
    """
    return find_files(input_value(value))


def input_digest(value: Any, files: Sequence[FileDigest] = ()) -> str:
    """Return `1:<sha256>` of an input as the caller passed it.

    Args:
        value: the input.
        files: one digest for each file of `files_of(value)`, in the same order; default: there are none.

    Raises:
        ConfigurationError: JSON can't represent the input.
        ValueError: there are more or fewer `files` than files in the input.
    """
    if not files and (plain := canonical_if_plain(value)) is not None:
        return f"{VERSION}:{hashlib.sha256(plain).hexdigest()}"
    document, places = places_of(input_value(value))
    if len(places) != len(files):
        raise ValueError(f"the input has {len(places)} files, but {len(files)} file digests were given")
    canonical = canonical_json(encode_json(document))
    if places:
        # An input never is an array. So no input without files can have the same canonical form.
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
            f"update fal_async: the ledger has a digest of version {quoted(version)}, "
            "which this version does not know"
        )
