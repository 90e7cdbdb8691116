"""Requests and answers as values, and answers decoded by their content type (protocol 3.3)."""

from __future__ import annotations

import contextlib
import enum
import json
import re
from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any

import attrs

from fal_async.errors import NO_REF, RequestRef, ResponseDecodeError, safe_repr

try:
    import orjson
except ImportError:
    _orjson: Any = None
else:
    _orjson = orjson

REQUEST_ID = "x-fal-request-id"
"""On every answer of fal's; its absence on a 5xx tells a bare ingress error (protocol 3.2)."""
JSON_TYPE = "application/json"
_CHARSET = r"(?ai)charset=\"?([\w-]+)"  # patterns are compiled on first use: few calls need one
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
    """A whole answer. Header names are in lower case; `attempts` counts the requests it took."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    attempts: int = 1
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
            return decode_json(self.body)
        except (ValueError, RecursionError) as error:
            kind = self.headers.get("content-type", "no content type")
            raise ResponseDecodeError(
                f"the answer ({self.status}, {kind}, {len(self.body)} bytes) is no JSON",
                body=self.body,
                request_id=self.request_id,
                retryable=True,
            ) from error


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


def decode_json(body: bytes | str) -> Any:
    """ValueError where it is none. By orjson where that is installed (the extra `speed`)."""
    if _orjson is not None:
        # What it refuses (such as NaN) may still be JSON enough for the standard library.
        with contextlib.suppress(ValueError):
            return _orjson.loads(body)
    try:
        # Decoded here: the json module would first look at length which encoding it is.
        return json.loads(body if isinstance(body, str) else body.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def content_type(headers: Mapping[str, str]) -> str:
    """The media type alone, in lower case; empty where there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(media_type: str) -> bool:
    return media_type == JSON_TYPE or media_type.endswith("+json")


def decode_body(response: HttpResponse) -> Any:
    """The answer by its content type: JSON decoded, text as `str`, everything else as bytes (protocol 3.3).

    ResponseDecodeError where a body that calls itself JSON is none.
    """
    kind = content_type(response.headers)
    if is_json(kind):
        return response.json()
    if kind.startswith("text/"):
        return _decode_text(response)
    if not kind and response.body.startswith((b"{", b"[")):
        return response.json()
    return response.body


def _decode_text(response: HttpResponse) -> str:
    found = re.search(_CHARSET, response.headers.get("content-type", ""))
    charset = found[1].lower() if found else "utf-8"
    # Only these: Python knows "charsets" that are no such thing, or that raise whatever they are told.
    known = charset if charset in _CHARSETS or charset.startswith("iso-8859-") else "utf-8"
    try:
        return response.body.decode(known, "replace")
    except LookupError:
        return response.body.decode("utf-8", "replace")
