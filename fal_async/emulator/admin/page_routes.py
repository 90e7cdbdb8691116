"""The emulator's page for browsers: its files, and the headers that keep foreign text from doing anything there.

What the page shows is foreign: inputs, logs, names of files. Its scripts write it as text only. The policy below
forbids everything else, also if one of them has a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from fal_async.emulator.admin.order import Order, Routes
from fal_async.emulator.wire.answers import Answer, request_error
from fal_async.emulator.wire.routing import ADMIN, Route

_FOLDER = Path(__file__).parents[1] / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'",
        "connect-src 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
DATA_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every answer of `/_emulator`."""
_HEADERS: Mapping[str, str] = {
    **DATA_HEADERS,
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
}


PAGE = Route(kind="admin", host=ADMIN, rest="page/index.html")
"""The route of `GET /` for a browser. The page has no data: its scripts fetch them from `/_emulator`."""


def wants_page(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether a caller of `/` is a browser that opens a page."""
    return method == "GET" and "text/html" in headers.get("Accept", "").lower()


@cache
def _names() -> frozenset[str]:
    return frozenset(path.name for path in _FOLDER.iterdir() if path.suffix in _TYPES)


def asset(order: Order) -> Answer:
    """Return a file of the page; pages of other origins may link to it, since it has no data."""
    if order.name not in _names():
        return request_error(404, "the page has no such file")
    path = _FOLDER / order.name
    headers = {**_HEADERS, "Content-Type": f"{_TYPES[path.suffix]}; charset=utf-8", "Vary": "Accept"}
    return Answer(200, headers, path.read_bytes())


ROUTES: Routes = {("GET", "page/*"): asset}
