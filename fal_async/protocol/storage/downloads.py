"""How a download begins, goes on after a break, and ends (RFC 9110, 13.1.5, 14): pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

import attrs

from fal_async.errors import ConfigurationError, DownloadError
from fal_async.protocol.http import HttpRequest, Operation
from fal_async.protocol.origins import host_of

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_SCHEME = re.compile(r"(https?)://|data:", re.IGNORECASE)


@attrs.frozen(kw_only=True)
class Progress:
    """What is known in the middle of a download."""

    offset: int = 0
    """Bytes that are on disk."""
    total: int | None = None
    validator: str | None = None
    """What tells whether the file is still the same: a strong ETag, or Last-Modified."""
    coded: bool = False
    """It comes compressed, although nobody asked for that: an offset here is none of the body's."""


def check_url(url: str) -> str:
    """The URL as it goes on the wire: what URLs can't hold, such as spaces and umlauts, percent-encoded.

    ConfigurationError for what is no http, https or data URL.
    """
    if not isinstance(url, str) or not (found := _SCHEME.match(url)):
        raise ConfigurationError(f"url={_shown(url)}: expected an http, https or data URL")
    if not found[1]:
        return url
    host = re.split(r"[/?#]", url[found.end() :], maxsplit=1)[0]
    if not _is_host(host):
        raise ConfigurationError(f"url={_shown(url)}: expected a host, and a port up to 65535, after '://'")
    head = found.end() + len(host)
    return url[:head] + quote(url[head:], safe=_AS_IT_IS)


_AS_IT_IS = "!#$%&'()*+,/:;=?@[]~"
"""What may stand in a path or query, and the sign of what is encoded already."""


def _is_host(text: str) -> bool:
    try:
        parts = urlsplit(f"//{text}")
        return bool(parts.hostname) and parts.port != 0 and text.isprintable() and " " not in text
    except ValueError:
        return False


def _shown(url: object) -> str:
    """Without what may be secret in it: a password, the query."""
    return repr(re.sub(r"//[^/]*@", "//", str(url).partition("?")[0])[:80])


def download_request(url: str, progress: Progress, authorization: str | None = None) -> HttpRequest:
    """Without the key: file URLs are public, signed, or opened by a CDN token (protocol 7.4).

    `Accept-Encoding: identity`, so that lengths and offsets are those of the file.
    """
    headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
    if authorization is not None:
        headers["Authorization"] = authorization
    if progress.offset and not progress.coded:
        headers["Range"] = f"bytes={progress.offset}-"
        if progress.validator is not None:
            headers["If-Range"] = progress.validator
    return HttpRequest(
        operation=Operation.DOWNLOAD, harmless=True, method="GET", url=url, headers=headers, auth=False
    )


def begin(url: str, status: int, headers: Mapping[str, str], before: Progress) -> Progress:
    """From an answer's head: where its body belongs. `offset` 0 after a break: from the beginning again.

    DownloadError where it does not fit to what came before.
    """
    if status == 206 and before.offset:
        return _go_on(url, headers, before)
    length = headers.get("content-length", "")
    plain = headers.get("content-encoding", "identity").lower() == "identity"
    return Progress(
        total=int(length) if plain and re.fullmatch(r"\d{1,18}", length) else None,
        validator=validator_of(headers),
        coded=not plain,
    )


def _go_on(url: str, headers: Mapping[str, str], before: Progress) -> Progress:
    found = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
    total = int(found[3]) if found and found[3] != "*" else None
    if not found or int(found[1]) != before.offset or (before.total or total) != (total or before.total):
        raise DownloadError(f"the file at {host_of(url)} changed while it was downloaded")
    return attrs.evolve(before, total=total or before.total)


def validator_of(headers: Mapping[str, str]) -> str | None:
    """A weak ETag can't be used with If-Range (RFC 9110, 13.1.5)."""
    etag = headers.get("etag", "")
    return etag if etag.startswith('"') else headers.get("last-modified")


def is_complete(progress: Progress) -> bool:
    """Whether the body that ended was the whole file, as far as its length is known."""
    return progress.total is None or progress.offset == progress.total


def nothing_is_left(status: int, headers: Mapping[str, str], progress: Progress) -> bool:
    """Whether a server that was asked for the rest says that there is none (RFC 9110, 15.5.17): the connection
    broke after the last byte, and before the end of a body of unknown length."""
    return status == 416 and headers.get("content-range", "").strip() == f"bytes */{progress.offset}"
