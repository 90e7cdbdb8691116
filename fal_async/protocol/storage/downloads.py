"""The requests and responses of a download, which can be resumed (RFC 9110, 13.1.5, 14). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlsplit

import attrs

from fal_async.errors import ConfigurationError, DownloadError
from fal_async.protocol.http import HttpRequest, Operation
from fal_async.protocol.origins import host_of

_RANGE = re.compile(r"(?ai)bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]*"')
_WHOLE = frozenset({200, 203, 206})
_SCHEME = re.compile(r"(https?)://|data:", re.IGNORECASE)


@attrs.frozen(kw_only=True)
class Progress:
    """The state of a download."""

    offset: int = 0
    """The number of bytes on disk."""
    total: int | None = None
    """The size of the file in bytes; None if it is unknown."""
    etag: str | None = None
    """The ETag header of the response; None without one."""
    modified: str | None = None
    """The Last-Modified header of the response; None without one."""
    validator: str | None = None
    """`etag` or `modified`, whichever can be sent as `If-Range`.

    None: the server can't confirm that the file is unchanged, so the whole file is requested again."""


def check_url(url: str) -> str:
    """Return the URL with characters such as spaces and umlauts percent-encoded.

    Raises ConfigurationError unless it is an http, https or data URL.
    """
    if not isinstance(url, str) or not (found := _SCHEME.match(url)):
        raise ConfigurationError(f"url={_shown(url)}: expected an http, https or data URL")
    if not found[1]:
        return url
    host = re.split(r"[/?#]", url[found.end() :], maxsplit=1)[0]
    if not _is_host(host):
        raise ConfigurationError(f"url={_shown(url)}: expected a host, and a port up to 65535, after '://'")
    head = found.end() + len(host)
    try:
        return url[:head] + quote(url[head:], safe=_AS_IT_IS)
    except UnicodeEncodeError as error:  # a lone surrogate from a JSON text
        raise ConfigurationError(f"url={_shown(url)}: expected text that UTF-8 can encode") from error


_AS_IT_IS = "!#$%&'()*+,/:;=?@[]~"
"""Characters allowed in a path or query, and "%", because the URL may be encoded already."""


_NOT_IN_HOST = frozenset(' \\<>"{}|^`')


def _is_host(text: str) -> bool:
    try:
        parts = urlsplit(f"//{text}")
        return (
            bool(parts.hostname) and parts.port != 0 and text.isprintable() and not _NOT_IN_HOST & set(text)
        )
    except ValueError:
        return False


def _shown(url: object) -> str:
    """Return a URL for messages, without a password and the query, which may be secret."""
    return repr(re.sub(r"//[^/]*@", "//", str(url).partition("?")[0])[:80])


def download_request(url: str, progress: Progress, authorization: str | None = None) -> HttpRequest:
    """Return the HTTP request of a download, without the fal key.

    File URLs are public, signed, or need a CDN token (protocol 7.4). `Accept-Encoding: identity` makes lengths and
    offsets those of the file.
    """
    headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
    if authorization is not None:
        headers["Authorization"] = authorization
    if _asks_for_the_rest(progress) and progress.validator is not None:
        headers["Range"] = f"bytes={progress.offset}-"
        headers["If-Range"] = progress.validator
    return HttpRequest(
        operation=Operation.DOWNLOAD, harmless=True, method="GET", url=url, headers=headers, auth=False
    )


def _asks_for_the_rest(progress: Progress) -> bool:
    return progress.offset > 0 and progress.validator is not None


def begin(url: str, status: int, headers: Mapping[str, str], before: Progress) -> Progress | None:
    """Return the state before the first byte of a response's body. `offset` is 0 if the body is the whole file.

    None: it is not certain that the body continues the bytes on disk, so the whole file must be requested. Raises
    DownloadError for a part that was not requested, and for a response that is not a file.
    """
    if status == 206 and _asks_for_the_rest(before):
        return _go_on(headers, before)
    found = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if status == 206 and not (found and _is_all(found)):
        raise DownloadError(f"{host_of(url)} sent a part of a file although the whole file was requested")
    if status not in _WHOLE:
        raise DownloadError(f"{host_of(url)} responded with {status}: expected 200 with a file")
    length = headers.get("content-length", "")
    plain = _is_plain(headers)
    return Progress(
        total=int(length) if plain and re.fullmatch(r"\d{1,18}", length) else None,
        etag=headers.get("etag"),
        modified=headers.get("last-modified"),
        # If the body is compressed, contrary to the request, offsets in the body are not offsets in the file.
        validator=_validator_of(headers) if plain else None,
    )


def _go_on(headers: Mapping[str, str], before: Progress) -> Progress | None:
    """Return the state of a resumed download; None if any header suggests that the file has changed."""
    found = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if not found or not _is_plain(headers):
        return None
    start, end, total = int(found[1]), int(found[2]), before.total if found[3] == "*" else int(found[3])
    fits = start == before.offset and total == end + 1 and before.total in (None, total)
    return attrs.evolve(before, total=total) if fits and _is_same(headers, before, surely=True) else None


def _is_all(found: re.Match[str]) -> bool:
    return int(found[1]) == 0 and found[3] != "*" and int(found[2]) + 1 == int(found[3])


def _is_plain(headers: Mapping[str, str]) -> bool:
    return headers.get("content-encoding", "identity").strip().lower() in ("identity", "")


def _is_same(headers: Mapping[str, str], before: Progress, *, surely: bool) -> bool:
    """Return whether no validator differs. `surely`: whether the one sent as `If-Range` must also be present."""
    said = headers.get("etag"), headers.get("last-modified")
    differs = any(
        new and old and new != old for new, old in zip(said, (before.etag, before.modified), strict=True)
    )
    return not differs and (not surely or before.validator in said)


def _validator_of(headers: Mapping[str, str]) -> str | None:
    """Return a strong ETag, else a modification date older than the response (RFC 9110, 8.8.2.2, 13.1.5)."""
    etag = headers.get("etag", "")
    if _STRONG_ETAG.fullmatch(etag):
        return etag
    modified = headers.get("last-modified")
    return modified if _is_before(modified, headers.get("date")) else None


def _is_before(date: str | None, other: str | None) -> bool:
    try:
        return parsedate_to_datetime(date or "") < parsedate_to_datetime(other or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return False


def is_complete(progress: Progress) -> bool:
    """Return whether the whole file has arrived; True if its size is unknown."""
    return progress.total is None or progress.offset == progress.total


def nothing_is_left(status: int, headers: Mapping[str, str], progress: Progress) -> bool:
    """Return whether the server says that the file has no more bytes (RFC 9110, 15.5.17), so that it is complete.

    This happens if a body of unknown length breaks after its last byte, but before its end was marked.
    """
    ends_here = headers.get("content-range", "").strip() == f"bytes */{progress.offset}"
    return (
        is_unmet_range(status, progress)
        and ends_here
        and is_complete(progress)
        and _is_same(headers, progress, surely=False)
    )


def is_unmet_range(status: int, progress: Progress) -> bool:
    """Return whether the server says that it does not have the requested part of the file."""
    return status == 416 and _asks_for_the_rest(progress)
