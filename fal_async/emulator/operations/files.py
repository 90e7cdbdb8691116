"""Reading from the file host: ranges, access control, signed URLs, and how a download breaks."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from fal_async.emulator.core import Call, Core, Reply
from fal_async.emulator.faults.fault import Fault
from fal_async.emulator.storage.file_store import StoredFile
from fal_async.emulator.storage.upload_store import MAX_SIGNED
from fal_async.emulator.wire.answers import Answer, method_not_allowed, request_error
from fal_async.emulator.wire.connection import hang_up

_IMMUTABLE = "public, max-age=31536000, immutable"
"""The CDN's caching (protocol 13)."""
_DAY = 86_400
_PIECE = 256 * 1024


class _FileResponse(web.FileResponse):
    """aiohttp loses the open file where it is cancelled while a thread opens it. It is cancelled because the
    connection is gone, so that it ends by itself soon, and in order."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        sending = asyncio.ensure_future(super().prepare(request))
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            await asyncio.wait([sending])
            if not sending.cancelled():
                sending.exception()  # seen, or asyncio would complain that nobody did
            raise


async def file(core: Core, call: Call) -> Reply:
    """`GET` or `HEAD v3b.fal.media/files/...`: with ranges, sent from disk."""
    if call.request.method not in ("GET", "HEAD"):
        return method_not_allowed()
    found = core.files.find(call.route.rest)
    if found is None:
        return request_error(404, "File not found")
    if refused := _refusal(core, call, found):
        return refused
    if call.fault is not None:
        return await _send_badly(call, found, call.fault)
    return _FileResponse(found.location, headers=_headers(found))


async def sign(core: Core, call: Call) -> Reply:
    """`POST {file_url}/sign`: the CDN's own way to a signed URL, as text (protocol 7.4)."""
    if not core.uploads.knows(call.headers.get("Authorization")):
        return request_error(401, "Invalid or expired token")
    path = call.storage.file or ""
    if core.files.find(path) is None:
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
    """The owner's CDN token and a signed URL read everything; strangers what the ACL allows (7.4)."""
    if core.uploads.knows(call.headers.get("Authorization")) or core.uploads.is_signed(
        call.route.rest, call.query
    ):
        return None
    status = found.lifecycle.acl.status_for_strangers
    if status == 200:
        return None
    return request_error(status, "Access to this file is forbidden" if status == 403 else "File not found")


def _headers(found: StoredFile) -> dict[str, str]:
    public = found.lifecycle.acl.status_for_strangers == 200
    return {
        "Content-Type": found.content_type,
        "Cache-Control": _IMMUTABLE if public else "private, no-store",
    }


async def _send_badly(call: Call, found: StoredFile, fault: Fault) -> Reply:
    if fault.kind in ("truncate", "drip") or (fault.kind == "stall" and fault.where == "body"):
        return await _send_in_pieces(call, found, fault)
    if fault.kind == "stall":
        await asyncio.sleep(fault.seconds)
    headers = _headers(found)
    if fault.kind == "content_type":
        headers["Content-Type"] = fault.body or "text/plain"
    if fault.kind == "wrong_json" and fault.body is not None:
        return Answer(200, headers, fault.body)
    if fault.kind in ("reset", "close", "answer", "html", "balance", "vanish", "redirect"):
        # Something else is sent in its place.
        return Answer()
    return _FileResponse(found.location, headers=headers)


async def _send_in_pieces(call: Call, found: StoredFile, fault: Fault) -> web.StreamResponse:
    size = found.location.stat().st_size
    start, end, _ = call.request.http_range.indices(size)
    partial = "Range" in call.headers
    response = web.StreamResponse(status=206 if partial else 200, headers=_headers(found))
    response.headers["ETag"] = _etag(found)
    response.headers["Accept-Ranges"] = "bytes"
    if partial:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    response.content_length = end - start
    await response.prepare(call.request)
    await _pieces(call, response, found, fault, start, end)
    return response


async def _pieces(
    call: Call, response: web.StreamResponse, found: StoredFile, fault: Fault, start: int, end: int
) -> None:
    half = start + (end - start) // 2
    step = 1 if fault.kind == "drip" else _PIECE
    with found.location.open("rb") as file:
        file.seek(start)
        while (at := file.tell()) < end:
            if fault.kind == "truncate" and at == half:
                hang_up(call.request)
                return
            if fault.kind == "drip" or at == half:
                await asyncio.sleep(fault.seconds)
            await response.write(file.read(min(step, (half if at < half else end) - at)))


def _etag(found: StoredFile) -> str:
    """The same as `web.FileResponse` gives, so that a download may go on where it broke."""
    stat = found.location.stat()
    return f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
