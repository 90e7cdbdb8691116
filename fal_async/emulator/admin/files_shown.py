"""The emulator's own files in a result, so that the page can show pictures, sound and video."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from fal_async.emulator.core import Core
from fal_async.emulator.storage.file_store import StoredFile
from fal_async.emulator.wire.answers import Answer

_MOST = 64
"""How many files of one result are shown."""
_READ = 256 * 1024
"""Bytes of a result that are read to find its files."""


def files_of(core: Core, answer: Answer | None, most: int = _MOST) -> list[dict[str, Any]]:
    """Return the files to which a result leads, without those that have expired."""
    if answer is None or b".fal.media/" not in answer.body or len(answer.body) > _READ:
        return []
    try:
        document = json.loads(answer.body)
    except ValueError:
        return []
    found: dict[str, dict[str, Any]] = {}
    for text in _urls(document):
        path = unquote(text.partition(".fal.media/")[2].partition("?")[0])
        stored = core.files.find(path)
        if path not in found and stored is not None:
            found[path] = file_entry(path, stored)
        if len(found) >= most:
            break
    return list(found.values())


def file_entry(path: str, stored: StoredFile) -> dict[str, Any]:
    """Return what is known of a file; under `url`, `/_emulator` serves it without counting or spoiling the call."""
    return {
        "url": f"/_emulator/files/{quote(path)}",
        "path": path,
        "name": path.rpartition("/")[2],
        "content_type": stored.content_type,
        "size": stored.content.size if stored.content.is_there else None,
        "owner": stored.owner,
        "expires_at": stored.expires_at,
        "public": stored.lifecycle.acl.status_for_strangers == 200,
    }


def _urls(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if ".fal.media/" in one:
                yield one
        elif isinstance(one, Mapping):
            waiting.extend(reversed(list(one.values())))
        elif isinstance(one, list):
            waiting.extend(reversed(one))
