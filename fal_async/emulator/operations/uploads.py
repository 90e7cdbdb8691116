"""The three upload routes (protocol 7.1): presigned, presigned in parts, and the CDN with a token."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from fal_async.emulator.core import Call, Core
from fal_async.emulator.storage.lifecycle import lifecycle_of
from fal_async.emulator.storage.upload_body import join
from fal_async.emulator.storage.upload_store import MAX_PARTS, MAX_TOKEN_LIFETIME, BadUpload, Part, Upload
from fal_async.emulator.wire.answers import Answer, json_answer, method_not_allowed, request_error

STORAGE_TYPES = ("fal-cdn-v3", "fal-cdn", "gcs")
"""The first is the default, since fal's Dart client and its older JS client send none (protocol 7.1)."""
_OCTETS = "application/octet-stream"
Handler = Callable[[Core, Call], Awaitable[Answer]]


def _with_errors(handler: Handler) -> Handler:
    async def answer(core: Core, call: Call) -> Answer:
        try:
            return await handler(core, call)
        except BadUpload as error:
            return request_error(error.status, error.detail)
        except ValueError as error:
            return request_error(422, str(error))
        except (web.RequestPayloadError, ConnectionError) as error:
            return request_error(400, f"The request body could not be read: {error}")

    return answer


# rest.fal.ai, with the key.


@_with_errors
async def cdn_token(core: Core, call: Call) -> Answer:
    """Issue a CDN token: route C, step 1."""
    if call.request.method != "POST":
        return method_not_allowed()
    _check_storage_type(call)
    seconds = _json(call).get("expiration_seconds")
    if seconds is not None and not (isinstance(seconds, int) and 0 < seconds <= MAX_TOKEN_LIFETIME):
        raise ValueError(f"expiration_seconds must be from 1 to {MAX_TOKEN_LIFETIME}")
    base_url, token = f"{call.origin}/v3.fal.media", core.uploads.grant(seconds, call.account.nickname)
    return json_answer({**token, "base_url": base_url, "base_upload_url": base_url})


@_with_errors
async def initiate(core: Core, call: Call) -> Answer:
    """Open a presigned upload: routes A and B, step 1."""
    if call.request.method != "POST":
        return method_not_allowed()
    _check_storage_type(call)
    form = _json(call)
    if not isinstance(form.get("file_name"), str) or not isinstance(form.get("content_type"), str):
        raise ValueError("file_name and content_type are required")
    upload = core.uploads.open(
        core.files.new_path(form["file_name"]),
        form["content_type"],
        lifecycle_of(call.headers, core.uploads.defaults[call.account.nickname]),
        owner=call.account.nickname,
        multipart=call.route.rest.endswith("-multipart"),
        signature=core.uploads.new_signature(),
    )
    url = _presigned_url(call, upload)
    if upload.multipart and call.query.get("storage_type") == "gcs":
        url = f"{call.origin}/rest.fal.ai/storage/upload/gcs/{upload.upload_id}"
    return json_answer({"file_url": _url(call, upload.path), "upload_url": url})


@_with_errors
async def gcs_part(core: Core, call: Call) -> Answer:
    """Answer `POST {upload_url}/{n}` of route B's gcs variant with the URL of a part (7.1)."""
    upload = core.uploads.find(call.storage.upload_id, multipart=True)
    return json_answer({"upload_url": _presigned_url(call, upload, f"/{call.storage.number}")})


@_with_errors
async def gcs_complete(core: Core, call: Call) -> Answer:
    """Complete route B's gcs variant, whose ETags have no quotes (7.1)."""
    upload = core.uploads.find(call.storage.upload_id, multipart=True)
    return await _put_together(core, call, upload, _listed(_json(call), "part_number"))


# The file host: with a CDN token (route C), or a signature in the query (A and B).


@_with_errors
async def upload(core: Core, call: Call) -> Answer:
    """Accept a file in one HTTP request: `PUT` to a presigned URL, or `POST /files/upload`."""
    presigned = call.storage.upload_id is not None
    upload = _presigned(core, call, multipart=False) if presigned else _direct(core, call)
    _, md5 = await call.incoming.to_disk(core.files, core.files.location(upload.path))
    core.files.admit(upload.path, upload.content_type, upload.lifecycle, upload.owner)
    upload.completed = True
    if presigned:
        return Answer(200, {"ETag": f'"{md5}"'})
    return json_answer({"access_url": _url(call, upload.path)})


@_with_errors
async def multipart(core: Core, call: Call) -> Answer:
    """Open an upload in parts: route C, step 1."""
    upload = _direct(core, call, multipart=True)
    return json_answer({"access_url": _url(call, upload.path), "uploadId": upload.upload_id})


@_with_errors
async def part(core: Core, call: Call) -> Answer:
    upload = _named(core, call)
    number = call.storage.number
    if not 1 <= number <= MAX_PARTS:
        raise BadUpload(400, f"Part number must be an integer between 1 and {MAX_PARTS}")
    size, md5 = await call.incoming.to_disk(core.files, _part_file(core, upload, number))
    upload.parts[number] = Part(etag=f'"{md5}"', size=size)
    headers = {"ETag": f'"{md5}"'}
    if upload.signature is not None:
        return json_answer({"partNumber": number, "etag": f'"{md5}"'}, headers=headers)
    # Without `Accept-Encoding: identity`, which fal's Python client sends, the ETag may be missing on fal (7.1).
    # Here it is always missing, so that tests find a client that relies on it.
    return Answer(200, headers if call.headers.get("Accept-Encoding") == "identity" else {})


@_with_errors
async def complete(core: Core, call: Call) -> Answer:
    return await _put_together(core, call, _named(core, call), _listed(_json(call), "partNumber"))


async def _put_together(core: Core, call: Call, upload: Upload, listed: list[tuple[int, str]]) -> Answer:
    listed.sort()
    core.uploads.check_list(upload, listed)
    files = [_part_file(core, upload, number) for number, _ in listed]
    # Set before the parts are joined, because a second `complete` must fail from now on (protocol 12).
    upload.completed = True
    await core.files.work(lambda: join(files, core.files.location(upload.path)))
    core.files.admit(upload.path, upload.content_type, upload.lifecycle, upload.owner)
    return json_answer({"access_url": _url(call, upload.path)})


def _named(core: Core, call: Call) -> Upload:
    """Return the multipart upload of the path, if the caller may use it."""
    if call.storage.file is None:
        return _presigned(core, call, multipart=True)
    owner = _holder(core, call)
    found = core.uploads.find(call.storage.upload_id, multipart=True)
    if found.path != call.storage.file or found.owner != owner:
        raise BadUpload(404, "No such upload of this file")
    return found


def _presigned(core: Core, call: Call, *, multipart: bool) -> Upload:
    # An Authorization header is ignored: scripts send one to fal, too (protocol 7.1).
    found = core.uploads.find(call.storage.upload_id, multipart=multipart)
    core.uploads.check_signature(found, call.query.get("X-Fal-Signature"))
    return found


def _direct(core: Core, call: Call, *, multipart: bool = False) -> Upload:
    owner = _holder(core, call)
    path = core.files.new_path(call.headers.get("X-Fal-File-Name", "file"))
    lifecycle = lifecycle_of(call.headers, core.uploads.defaults[owner])
    content_type = call.headers.get("Content-Type", _OCTETS)
    return core.uploads.open(path, content_type, lifecycle, owner=owner, multipart=multipart)


def _holder(core: Core, call: Call) -> str:
    """Return the owner of the CDN token. The CDN does not accept the API key (protocol 7.1)."""
    owner = core.uploads.holder(call.headers.get("Authorization"))
    if owner is None:
        raise BadUpload(401, "Invalid or expired token")
    return owner


def _check_storage_type(call: Call) -> None:
    if (call.query.get("storage_type") or STORAGE_TYPES[0]) not in STORAGE_TYPES:
        raise ValueError(f"storage_type must be one of {', '.join(STORAGE_TYPES)}")


def _json(call: Call) -> dict[str, Any]:
    document = json.loads(call.body) if call.body.strip() else {}
    if not isinstance(document, dict):
        raise ValueError("expected a JSON object")
    return document


def _listed(form: dict[str, Any], number: str) -> list[tuple[int, str]]:
    """Read `{"parts": [{number, "etag"}]}` (protocol 7.1)."""
    parts = form.get("parts")
    if not isinstance(parts, list):
        raise BadUpload(400, "MalformedRequest: 'parts' is missing")
    try:
        return [(int(part[number]), str(part["etag"])) for part in parts]
    except (KeyError, TypeError, ValueError) as error:
        raise BadUpload(400, f"MalformedRequest: a part has {number!r} and 'etag'") from error


def _part_file(core: Core, upload: Upload, number: int) -> Path:
    return core.files.location(f"{upload.part_name}/{number}")


def _url(call: Call, path: str) -> str:
    return f"{call.origin}/v3b.fal.media/{path}"


def _presigned_url(call: Call, upload: Upload, piece: str = "") -> str:
    name = quote(Path(upload.path).name)
    path = f"{call.origin}/v3.fal.media/presigned/{upload.upload_id}/{name}{piece}"
    return f"{path}?X-Fal-Signature={upload.signature}"
