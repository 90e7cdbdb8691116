"""CORS, for pages in a browser, which call fal's hosts directly (protocol 13).

Pages use a token for realtime and streams, and a presigned URL for uploads. `/_emulator` has no CORS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from fal_async.emulator.wire._aiohttp_private import HookedRequest
from fal_async.emulator.wire.routing import ADMIN

_ALLOW_ALL = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*"}
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_KEPT_SECONDS = "600"
_SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-downloads"
_DOCUMENTS = frozenset({"document", "iframe", "frame", "embed", "object"})
"""Values of `Sec-Fetch-Dest` for what a browser opens as a document of its own."""


class Request(HookedRequest):
    """A request whose answers a page may read, streams included."""

    def before_headers(self, response: web.StreamResponse) -> None:
        if opens_document(self.headers) and self.path.strip("/").partition("/")[0] not in ("", ADMIN):
            # A file or an answer of a model may be HTML. Its scripts must not run in the origin of `/_emulator`,
            # which all hosts share here; on fal, files have an origin of their own.
            response.headers.add("Content-Security-Policy", _SANDBOX)
        if "Origin" in self.headers and not _is_the_emulators(self):
            response.headers.update(_ALLOW_ALL)
        # aiohttp's own name; fal does not send it.
        response.headers.pop("Server", None)


def make_request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Request:
    """Make a request; aiohttp's server calls this."""
    return Request(message, payload, protocol, writer, task, asyncio.get_running_loop())


def preflight(request: web.BaseRequest) -> web.Response | None:
    """Return the answer to any OPTIONS request, with an origin or without; None if the request is not one."""
    if request.method != "OPTIONS" or _is_the_emulators(request):
        return None
    headers = {
        **_ALLOW_ALL,
        "Access-Control-Allow-Methods": request.headers.get("Access-Control-Request-Method", _METHODS),
        "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers", "*"),
        "Access-Control-Max-Age": _KEPT_SECONDS,
    }
    return web.Response(status=204, headers=headers)


def opens_document(headers: Mapping[str, str]) -> bool:
    """Return whether a browser opens the answer as a page or a frame, and does not only show it as a picture."""
    destination = headers.get("Sec-Fetch-Dest", "").lower()
    return destination in _DOCUMENTS or "text/html" in headers.get("Accept", "").lower()


def _is_the_emulators(request: web.BaseRequest) -> bool:
    """Return whether a path is `/_emulator` or below it, which pages of other origins may not use."""
    return request.path.strip("/").partition("/")[0] == ADMIN
