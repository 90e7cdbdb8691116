"""`/_emulator/files`, `uploads` and `tokens`: what is stored, and who may write or call for a while."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.admin.files_shown import FILE_HEADERS, file_entry
from fal_async.emulator.admin.listed import listed, wish_of
from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.core import Reply
from fal_async.emulator.faults.effect import NO_EFFECT
from fal_async.emulator.operations.files import send_file
from fal_async.emulator.storage.upload_store import Upload
from fal_async.emulator.wire.answers import Answer, request_error


async def _files(order: Order) -> Answer:
    """List the files that are served, as `listed.py` describes, filtered by the query's `scope`."""
    scope = order.scope
    return await listed(
        order.core.files.records.items(),
        wish_of(order.call.query),
        name=lambda file: file[0],
        fits=None if scope is None else lambda file: file[1].owner == scope.account.nickname,
        texts=lambda file: (file[0], file[1].content_type, file[1].owner),
        shown=lambda file: file_entry(*file),
    )


async def _file(order: Order) -> Reply:
    """Send a file to the page, without a check of its ACL. Opened as a document, it can run nothing."""
    found = order.core.files.find(order.name)
    if found is None:
        return request_error(404, "File not found")
    sent = await send_file(order.call, found, NO_EFFECT)
    if isinstance(sent, Answer):
        return sent.with_headers(FILE_HEADERS)
    sent.headers.update(FILE_HEADERS)
    return sent


def _expire(order: Order) -> None:
    """Read `{"urls"?, "status"?}`; without URLs, all files expire."""
    wanted = order.wanted
    order.core.files.expire([str(url) for url in wanted.get("urls", ())], wanted.get("status"))


async def _uploads(order: Order) -> Answer:
    """List the uploads, as `listed.py` describes, filtered by the query's `scope`."""
    scope = order.scope
    return await listed(
        order.core.uploads.uploads.values(),
        wish_of(order.call.query),
        name=lambda upload: upload.upload_id,
        fits=None if scope is None else lambda upload: upload.owner == scope.account.nickname,
        texts=lambda upload: (upload.upload_id, upload.path, upload.content_type, upload.owner),
        shown=_upload,
    )


def _upload(upload: Upload) -> dict[str, Any]:
    names = "upload_id path content_type owner multipart completed"
    found = {name: getattr(upload, name) for name in names.split()}
    return {
        **found,
        "parts": len(upload.parts),
        "size": sum(part.size for part in upload.parts.values()),
    }


def _tokens(order: Order) -> dict[str, list[dict[str, Any]]]:
    """Return owner and end of each valid token, but not the token."""
    core = order.core
    kinds = {
        "cdn": core.uploads.tokens(),
        "realtime": core.realtime_tokens.valid(),
        "login": core.keyring.tokens(),
    }
    return {
        kind: [{"account": owner, "expires_at": until} for owner, until in tokens]
        for kind, tokens in kinds.items()
    }


def _revoke(order: Order) -> None:
    """Read `{"kind"}`: "cdn", "realtime" or "login"."""
    core = order.core
    kinds = {
        "cdn": core.uploads.revoke_tokens,
        "realtime": core.realtime_tokens.revoke,
        "login": core.keyring.forget_tokens,
    }
    kinds[order.wanted["kind"]]()


ROUTES: Routes = {
    ("GET", "files"): _files,
    ("GET", "files/*"): _file,
    ("POST", "files/expire"): _expire,
    ("GET", "uploads"): _uploads,
    ("GET", "tokens"): _tokens,
    ("POST", "tokens/revoke"): _revoke,
}
