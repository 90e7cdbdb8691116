"""How a download begins, goes on after a break, and ends (RFC 9110, 13.1.5, 14): pure."""

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
    """What is known in the middle of a download."""

    offset: int = 0
    """Bytes that are on disk."""
    total: int | None = None
    etag: str | None = None
    modified: str | None = None
    """Last-Modified."""
    validator: str | None = None
    """The one of the two that `If-Range` takes. None: whether a rest belongs to what is here could not be told,
    so that none is asked for."""


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
    try:
        return url[:head] + quote(url[head:], safe=_AS_IT_IS)
    except UnicodeEncodeError as error:  # half a surrogate pair out of a JSON text
        raise ConfigurationError(f"url={_shown(url)}: expected text that UTF-8 can carry") from error


_AS_IT_IS = "!#$%&'()*+,/:;=?@[]~"
"""What may stand in a path or query, and the sign of what is encoded already."""


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
    """Without what may be secret in it: a password, the query."""
    return repr(re.sub(r"//[^/]*@", "//", str(url).partition("?")[0])[:80])


def download_request(url: str, progress: Progress, authorization: str | None = None) -> HttpRequest:
    """Without the key: file URLs are public, signed, or opened by a CDN token (protocol 7.4).

    `Accept-Encoding: identity`, so that lengths and offsets are those of the file.
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
    """From an answer's head: where its body belongs. `offset` 0 after a break: from the beginning again.

    None for a part that is not surely the rest of what is here: all of it is to be asked for anew.
    DownloadError for a part that nobody asked for, and for what is no file.
    """
    if status == 206 and _asks_for_the_rest(before):
        return _go_on(headers, before)
    found = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if status == 206 and not (found and _is_all(found)):
        raise DownloadError(f"{host_of(url)} sent a part of a file that was asked for whole")
    if status not in _WHOLE:
        raise DownloadError(f"{host_of(url)} answered {status}, which holds no file")
    length = headers.get("content-length", "")
    plain = _is_plain(headers)
    return Progress(
        total=int(length) if plain and re.fullmatch(r"\d{1,18}", length) else None,
        etag=headers.get("etag"),
        modified=headers.get("last-modified"),
        # Of what comes compressed, although nobody asked for that, an offset here is none of the body's.
        validator=_validator_of(headers) if plain else None,
    )


def _go_on(headers: Mapping[str, str], before: Progress) -> Progress | None:
    """The file must be the same by each sign that both answers carry, the validator among them."""
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
    """Whether no validator differs; `surely`: and the one that was sent with `If-Range` is there."""
    said = headers.get("etag"), headers.get("last-modified")
    differs = any(
        new and old and new != old for new, old in zip(said, (before.etag, before.modified), strict=True)
    )
    return not differs and (not surely or before.validator in said)


def _validator_of(headers: Mapping[str, str]) -> str | None:
    """`If-Range` takes a strong ETag, else a date before that of the answer (RFC 9110, 8.8.2.2, 13.1.5)."""
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
    """Whether the body that ended was the whole file, as far as its length is known."""
    return progress.total is None or progress.offset == progress.total


def nothing_is_left(status: int, headers: Mapping[str, str], progress: Progress) -> bool:
    """Whether a server that was asked for the rest says that there is none (RFC 9110, 15.5.17): the connection
    broke after the last byte, and before the end of a body of unknown length."""
    ends_here = headers.get("content-range", "").strip() == f"bytes */{progress.offset}"
    return (
        is_unmet_range(status, progress)
        and ends_here
        and is_complete(progress)
        and _is_same(headers, progress, surely=False)
    )


def is_unmet_range(status: int, progress: Progress) -> bool:
    """Whether the server has no such rest (any more)."""
    return status == 416 and _asks_for_the_rest(progress)
