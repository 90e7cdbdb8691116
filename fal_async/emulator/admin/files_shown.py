"""The emulator's own files in a result, so that the page can show pictures, sound and video."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote

from fal_async.emulator.core import Core
from fal_async.emulator.jobs.job import Job
from fal_async.emulator.storage.file_store import StoredFile
from fal_async.emulator.wire.answers import Answer

FILE_HEADERS = {
    "Cache-Control": "private, max-age=600",
    "Content-Security-Policy": "sandbox",
    "X-Content-Type-Options": "nosniff",
}
"""Opened as a document, a file has an origin of its own, and can run nothing."""
_MOST = 64
"""How many files of one result are shown."""
_READ, _READ_FOR_A_LINE = 32 * 1024 * 1024, 64 * 1024
"""Bytes of a result that are read to find its files; for the line of a table fewer."""
_DATA_URI = re.compile(r"data:((?:image|audio|video)/[\w.+-]+);base64,")


def files_of(core: Core, answer: Answer | None) -> list[dict[str, Any]]:
    """Return the files to which a result leads, without those that have expired."""
    found: dict[str, dict[str, Any]] = {}
    for path in islice(_paths(answer, _READ), _MOST):
        stored = core.files.find(path)
        if stored is not None:
            found[path] = file_entry(path, stored)
    return list(found.values())


def picture_of(core: Core, answer: Answer | None) -> str | None:
    """Return where the page finds the first picture of a result; None if it has none."""
    for path in islice(_paths(answer, _READ_FOR_A_LINE), _MOST):
        stored = core.files.find(path)
        if stored is not None and stored.content_type.startswith("image/"):
            return str(file_entry(path, stored)["url"])
    return None


def data_uris_of(job: Job) -> list[dict[str, Any]]:
    """Return the pictures, sound and video that a result has as data URIs, as `files_of` returns files."""
    return [
        {
            "url": f"/_emulator/jobs/{job.request_id}/data/{number}",
            "path": f"{job.request_id}/data/{number}",
            "name": f"data URI {number + 1}",
            "content_type": kind,
            "size": len(encoded) * 3 // 4,
        }
        for number, (kind, encoded) in enumerate(_data_uris(job))
    ]


def data_of(job: Job, number: int) -> Answer | None:
    """Return the content of a data URI; None if the result has fewer."""
    kind, encoded = next(islice(_data_uris(job), number, None), ("", ""))
    try:
        return (
            Answer(200, {"Content-Type": kind, **FILE_HEADERS}, base64.b64decode(encoded)) if kind else None
        )
    except ValueError:
        return None


def _data_uris(job: Job) -> Iterator[tuple[str, str]]:
    for text in _texts(job.answer, b"data:", _READ):
        if found := _DATA_URI.match(text):
            yield found[1], text[found.end() :]


def _paths(answer: Answer | None, limit: int) -> Iterator[str]:
    for text in _texts(answer, b".fal.media/", limit):
        if ".fal.media/" in text:
            yield unquote(text.partition(".fal.media/")[2].partition("?")[0])


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


def _texts(answer: Answer | None, needle: bytes, limit: int) -> Iterator[str]:
    """Yield the texts of a JSON result in which a needle stands."""
    if answer is None or len(answer.body) > limit or needle not in answer.body:
        return
    try:
        waiting = [json.loads(answer.body)]
    except ValueError:
        return
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            waiting.extend(reversed(list(one.values())))
        elif isinstance(one, list):
            waiting.extend(reversed(one))
