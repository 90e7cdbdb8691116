"""Reading from the file host: ranges, access control, signed URLs, and broken downloads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import BinaryIO
from urllib.parse import quote

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.faults.delivery import stall
from fal_async.emulator.faults.effect import Effect, Span
from fal_async.emulator.storage.file_contents import InMemory
from fal_async.emulator.storage.file_store import StoredFile
from fal_async.emulator.storage.upload_store import MAX_SIGNED
from fal_async.emulator.wire.answers import Answer, method_not_allowed, request_error
from fal_async.emulator.wire.http_connection import hang_up

_IMMUTABLE = "public, max-age=31536000, immutable"
"""The CDN's `Cache-Control` (protocol 13)."""
_DAY = 86_400
_PIECE = 256 * 1024


class _FileResponse(web.FileResponse):
    """A response whose sending is not cancelled.

    aiohttp leaves a file open if it is cancelled while a thread opens the file. Cancellation means that the
    connection is closed, so sending fails soon anyway, and then closes the file.
    """

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        sending = asyncio.ensure_future(super().prepare(request))
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            await asyncio.wait([sending])
            if not sending.cancelled():
                sending.exception()  # retrieved, because asyncio would otherwise log it
            raise


async def file(core: Core, call: Call) -> Reply:
    """Answer `GET` and `HEAD v3b.fal.media/files/...`, with ranges."""
    if call.request.method not in ("GET", "HEAD"):
        return method_not_allowed()
    found = core.files.find(call.route.rest)
    if found is None:
        return _missing(core.files.status_of_missing(call.route.rest))
    if refused := _refusal(core, call, found):
        return refused
    return await send_file(call, found, call.effect)


def _missing(status: int) -> Answer:
    words = {403: "Access to this file is forbidden", 404: "File not found", 410: "This file has expired"}
    return request_error(status, words[status])


async def sign(core: Core, call: Call) -> Reply:
    """Answer `POST {file_url}/sign`, an operation of the CDN, with a signed URL as text (protocol 7.4)."""
    reader = core.uploads.holder(call.headers.get("Authorization"))
    if reader is None:
        return request_error(401, "Invalid or expired token")
    path = call.storage.file or ""
    found = core.files.find(path)
    if found is None or found.owner != reader:
        return request_error(404, "File not found")
    try:
        wanted = json.loads(call.body) if call.body.strip() else {}
        seconds = int(wanted.get("duration", _DAY))
    except (ValueError, TypeError, AttributeError) as error:
        return request_error(422, f"Invalid body: {error}")
    if not 0 < seconds <= MAX_SIGNED:
        return request_error(422, f"duration must be from 1 to {MAX_SIGNED} seconds")
    return Answer(200, {"Content-Type": "text/plain"}, signed_url(core, call, path, seconds))


def signed_url(core: Core, call: Call, path: str, seconds: float) -> str:
    return f"{call.origin}/v3b.fal.media/{quote(path)}?identity={core.uploads.sign(path, seconds)}"


def _refusal(core: Core, call: Call, found: StoredFile) -> Answer | None:
    """Refuse readers without the owner's CDN token or a signed URL, unless the ACL allows them (7.4)."""
    reader = core.uploads.holder(call.headers.get("Authorization"))
    if reader == found.owner or core.uploads.is_signed(call.route.rest, call.query):
        return None
    status = found.lifecycle.acl.status_for(reader)
    if status == 200:
        return None
    return _missing(status)


def _headers(found: StoredFile) -> dict[str, str]:
    public = found.lifecycle.acl.status_for_strangers == 200
    return {
        "Content-Type": found.content_type,
        "Cache-Control": _IMMUTABLE if public else "private, no-store",
    }


async def send_file(call: Call, found: StoredFile, effect: Effect) -> Reply:
    spans = effect.in_body(_range(call, found)[1])
    if spans is not None:
        return await _send_in_spans(call, found, spans)
    await stall(effect)
    if effect.spoils_files:
        return Answer(200, _headers(found), await asyncio.to_thread(_whole, found))
    if isinstance(found.content, InMemory):
        return effect.spoil(_in_one_piece(call, found, found.content))
    return _FileResponse(found.content.path, headers=effect.spoil(Answer(200, _headers(found))).headers)


def _whole(found: StoredFile) -> bytes:
    with found.content.open() as file:
        return file.read()


def _range(call: Call, found: StoredFile) -> tuple[int, int]:
    """Return the start and the number of the requested bytes."""
    start, end, _ = call.request.http_range.indices(found.content.size)
    return start, end - start


def _in_one_piece(call: Call, found: StoredFile, content: InMemory) -> Answer:
    """Answer as `web.FileResponse` does for a file on disk: with ranges, ETag and If-Range."""
    headers = {**_headers(found), "ETag": content.etag, "Accept-Ranges": "bytes"}
    if "Range" not in call.headers or call.headers.get("If-Range", content.etag) != content.etag:
        return Answer(200, headers, content.data)
    try:
        start, length = _range(call, found)
    except ValueError:
        start, length = 0, 0
    if length <= 0:
        return Answer(416, {"Content-Range": f"bytes */{content.size}"})
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{content.size}"
    return Answer(206, headers, content.data[start : start + length])


async def _send_in_spans(call: Call, found: StoredFile, spans: Iterable[Span]) -> web.StreamResponse:
    start, length = _range(call, found)
    partial = "Range" in call.headers
    response = web.StreamResponse(status=206 if partial else 200, headers=_headers(found))
    response.headers["ETag"] = found.content.etag
    response.headers["Accept-Ranges"] = "bytes"
    if partial:
        response.headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{found.content.size}"
    response.content_length = length
    await response.prepare(call.request)
    with found.content.open() as file:
        file.seek(start)
        for span in spans:
            await _send_span(call, response, file, span)
    return response


async def _send_span(call: Call, response: web.StreamResponse, file: BinaryIO, span: Span) -> None:
    left = span.length
    while left and (data := file.read(min(left, _PIECE))):
        await response.write(data)
        left -= len(data)
    await asyncio.sleep(span.pause)
    if span.cut:
        hang_up(call.request)
