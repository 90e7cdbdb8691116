"""Requests and answers as values, and answers decoded by their content type (protocol 3.3)."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any

import attrs

from fal_async.errors import NO_REF, RequestRef, ResponseDecodeError, safe_repr

REQUEST_ID = "x-fal-request-id"
"""On every answer of fal's; its absence on a 5xx tells a bare ingress error (protocol 3.2)."""
JSON_TYPE = "application/json"
_JSON_TYPES = frozenset({JSON_TYPE, "application/x-json", "text/json", "text/x-json"})
_CHARSET = r"(?ai)charset=\"?([\w-]+)"  # patterns are compiled on first use: few calls need one
BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"
_ISO_8859 = r"iso-8859-([1-9]|1[013-6])"
_CHARSETS = frozenset(
    {"utf-8", "utf-16", "us-ascii", "ascii", "latin-1", "windows-1252", "shift_jis", "gb18030"}
)


class Operation(enum.StrEnum):
    """What a request is for: retries, time limits and priorities go by it."""

    RUN = "run"
    SUBMIT = "submit"
    STREAM = "stream"
    STATUS = "status"
    RESULT = "result"
    CANCEL = "cancel"
    TOKEN = "token"
    UPLOAD = "upload"
    DOWNLOAD = "download"
    READ = "read"
    WRITE = "write"


PAID = frozenset({Operation.RUN, Operation.SUBMIT, Operation.STREAM})
"""A second one may be a second bill: there is no idempotency key (protocol 12)."""
BodyFactory = Callable[[], AsyncIterable[bytes]]


# Not frozen: attrs takes twice as long to fill a frozen value, and each call makes several of these two.
@attrs.define(kw_only=True, eq=False)
class HttpRequest:
    """One request to be sent. Nobody changes it.

    Attributes:
        body: bytes, or a function that gives the pieces anew for each attempt.
        auth: whether the session's key goes with it (to trusted origins only).
        ref: which request it is about.
        persistent: a result that is known to be there: every failure is passing, and it is tried longest.
        harmless: a second one costs "at worst an orphan file" (protocol 12): every 5xx is worth another try.
        refusal_is_final: a 429 is what the caller asked for (`max_queue_length`), so it isn't retried.
    """

    operation: Operation
    method: str
    url: str = attrs.field(repr=safe_repr)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    body: bytes | BodyFactory | None = attrs.field(default=None, repr=False)
    auth: bool = True
    ref: RequestRef = NO_REF
    persistent: bool = False
    harmless: bool = False
    refusal_is_final: bool = False

    @property
    def endpoint_id(self) -> str | None:
        return self.ref.endpoint_id

    @property
    def request_id(self) -> str | None:
        return self.ref.request_id


@attrs.define(kw_only=True, eq=False)
class HttpResponse:
    """A whole answer. Header names are in lower case; `attempts` counts the requests it took.

    `is_secret`: it brings a token, so that no error shows what stands in it.
    """

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    attempts: int = 1
    is_secret: bool = False
    _decoded: list[Any] = attrs.field(factory=list, init=False, repr=False, eq=False)

    @property
    def request_id(self) -> str | None:
        return self.headers.get(REQUEST_ID)

    def json(self) -> Any:
        """The body's value, decoded once. ResponseDecodeError where it is no JSON."""
        if not self._decoded:
            self._decoded.append(self._decode())
        return self._decoded[0]

    def _decode(self) -> Any:
        try:
            return decode_json(self.body, declared_charset(self.headers))
        except ValueError as error:
            cause = error
        kind = self.headers.get("content-type", "no content type")
        hint = ": is the host fal's?" if kind.startswith("text/html") else ""
        raise ResponseDecodeError(
            f"the answer ({self.status}, {kind}, {len(self.body)} bytes) is no JSON{hint}",
            body=None if self.is_secret else self.body,
            request_id=self.request_id,
            retryable=True,
        ) from (None if self.is_secret else cause)  # which has the whole text, too


def handshake_request(
    url: str, *, headers: Mapping[str, str] | None, auth: bool, endpoint_id: str | None
) -> HttpRequest:
    """The request that opens a WebSocket."""
    return HttpRequest(
        operation=Operation.STREAM,
        method="GET",
        url=url,
        headers=headers or {},
        auth=auth,
        ref=RequestRef(endpoint_id=endpoint_id),
    )


def decode_json(body: bytes | bytearray | str, charset: str | None = None) -> Any:
    """ValueError where it is none. As Python reads it: integers of any size are exact, and NaN is a number.

    `charset`: what is declared; it counts only where the bytes are neither UTF-8 nor begin as UTF-16 or UTF-32.
    """
    try:
        text = body if isinstance(body, str) else json_text(body, charset)
        return json.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def json_text(body: bytes | bytearray, charset: str | None = None) -> str:
    """ValueError where it is none. A byte order mark may be left at its beginning."""
    if body[:1] in (b"\xfe", b"\xff") or b"\0" in body[:2]:
        return body.decode(json.detect_encoding(body))
    try:
        return body.decode()
    except UnicodeDecodeError:
        if charset is None:
            raise
        return body.decode(charset)


def content_type(headers: Mapping[str, str]) -> str:
    """The media type alone, in lower case; empty where there is none. Of one that is said twice, the first."""
    return headers.get("content-type", "").partition(";")[0].partition(",")[0].strip().lower()


def is_json(media_type: str) -> bool:
    return media_type in _JSON_TYPES or media_type.endswith("+json")


def decode_body(response: HttpResponse) -> Any:
    """The answer by its content type: JSON decoded, text as `str`, everything else as bytes (protocol 3.3).

    Text that could be read as JSON stays text: a model may answer so. Without any type, what is JSON is decoded.
    ResponseDecodeError where a body that calls itself JSON is none.
    """
    kind = content_type(response.headers)
    if is_json(kind):
        return response.json()
    if kind.startswith("text/"):
        return _decode_text(response)
    if not kind and response.body.lstrip(BEFORE_JSON).startswith((b"{", b"[")):
        return response.json()
    return response.body


def _decode_text(response: HttpResponse) -> str:
    return response.body.decode(declared_charset(response.headers) or "utf-8", "replace")


def declared_charset(headers: Mapping[str, str]) -> str | None:
    """Of the content type; None where there is none that can be used."""
    found = re.search(_CHARSET, headers.get("content-type", ""))
    charset = found[1].lower() if found else ""
    # Only these: Python knows "charsets" that are no such thing, or that raise whatever they are told.
    return charset if charset in _CHARSETS or re.fullmatch(_ISO_8859, charset) else None
