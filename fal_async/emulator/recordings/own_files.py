"""The files of the emulator's own storage to which an input leads."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import attrs

from fal_async.emulator.cassettes.canonical_input import InputFile
from fal_async.emulator.core import Core
from fal_async.emulator.recordings.performance import FILE_HOSTS
from fal_async.emulator.storage.file_store import StoredFile

_PIECE = 1024 * 1024
"""Bytes that are read at a time."""


@attrs.frozen(kw_only=True)
class OwnFile:
    """A file of an input, and its digest."""

    stored: StoredFile
    digest: InputFile


async def own_files(core: Core, origin: str, input: Any) -> dict[str, OwnFile]:
    """Return the files to which the URLs in an input lead, by URL. Other URLs and data URIs are left out.

    Args:
        core: the parts of the emulator.
        origin: how the caller's URLs of the emulator begin: `Call.origin`.
        input: the input, as JSON values.
    """
    found: dict[str, OwnFile] = {}
    for text in _texts(input):
        path = _path(text, f"{origin}/")
        if path is not None and text not in found and (stored := core.files.find(path)) is not None:
            sha256 = await asyncio.to_thread(_sha256, stored)
            found[text] = OwnFile(stored=stored, digest=InputFile(sha256, stored.content_type))
    return found


def _path(url: str, base: str) -> str | None:
    if not url.startswith(base):
        return None
    host, _, path = url.partition("?")[0].removeprefix(base).partition("/")
    return unquote(path) if host in FILE_HOSTS else None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _sha256(stored: StoredFile) -> str:
    digest = hashlib.sha256()
    with stored.content.open() as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
