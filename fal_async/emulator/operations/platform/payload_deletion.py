"""`DELETE /models/requests/{request_id}/payloads`: deletes what is stored of a request (protocol 11.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fal_async.emulator.core import Call, Core
from fal_async.emulator.operations.platform.past_requests import output_of
from fal_async.emulator.operations.platform.platform_errors import invalid, not_found
from fal_async.emulator.operations.platform.query_values import request_uuid
from fal_async.emulator.wire.answers import Answer, json_answer

_FILES = ".fal.media/files/"


def delete_payloads(core: Core, call: Call, request_id: str) -> Answer:
    """Delete input, output and the files of the output, but not those of the input.

    The request stays in the history, without them. Its result can't be fetched any more.
    """
    job = core.jobs.by_id.get(request_uuid(request_id))
    if job is None or job.account is not call.account:
        raise not_found(f"Request not found: {request_id}")
    if job.answer is None:
        raise invalid(f"Request {request_id} has not ended")
    kept = set(_file_urls(job.input))
    links = [url for url in dict.fromkeys(_file_urls(output_of(job))) if url not in kept]
    job.delete_payloads()
    return json_answer({"cdn_delete_results": [_deleted(core, url) for url in links]})


def _file_urls(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        if _FILES in document and not document.startswith("data:"):
            yield document
    elif isinstance(document, dict | list):
        for part in document.values() if isinstance(document, dict) else document:
            yield from _file_urls(part)


def _deleted(core: Core, url: str) -> dict[str, Any]:
    try:
        core.files.expire([url], 404)
    except KeyError:
        return {"link": url, "exception": "File not found"}
    return {"link": url, "exception": None}
