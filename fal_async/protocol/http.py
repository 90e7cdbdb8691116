"""HTTP requests and responses as values, and decoding by content type (protocol 3.3)."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any

import attrs

from fal_async.errors import NO_REF, RequestRef, ResponseDecodeError, safe_repr

REQUEST_ID = "x-fal-request-id"
"""A header of every response of fal. A 5xx without it comes from a gateway in front of fal (protocol 3.2)."""
JSON_TYPE = "application/json"
_JSON_TYPES = frozenset({JSON_TYPE, "application/x-json", "text/json", "text/x-json"})
_CHARSET = r"(?ai)charset=\"?([\w-]+)"  # compiled on first use, because few calls need it
BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"
"""Bytes that may precede a JSON value: a byte order mark and white space."""
_ISO_8859 = r"iso-8859-([1-9]|1[013-6])"
_CHARSETS = frozenset(
    {"utf-8", "utf-16", "us-ascii", "ascii", "latin-1", "windows-1252", "shift_jis", "gb18030"}
)


class Operation(enum.StrEnum):
    """What an HTTP request is for. Retries, time limits and priorities depend on it."""

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
    CREATE = "create"


PAID = frozenset({Operation.RUN, Operation.SUBMIT, Operation.STREAM, Operation.CREATE})
"""Sending one of these twice may be billed twice, or create a second thing, such as an API key.

fal has no idempotency key for them (protocol 11.7, 12)."""
SECRET = frozenset({Operation.TOKEN, Operation.CREATE})
"""The response may contain a token or a new API key."""
BodyFactory = Callable[[], AsyncIterable[bytes]]


# Not frozen, because attrs takes twice as long to create a frozen value, and each call creates several of them.
@attrs.define(kw_only=True, eq=False)
class HttpRequest:
    """One HTTP request to send. It is never modified.

    Attributes:
        operation: what the request is for.
        method: the HTTP method, in upper case.
        url: the whole URL, with its query.
        headers: the headers, without the key; default none.
        body: bytes, or a function that returns the pieces anew for each attempt; None (the default) for no body.
        auth: whether to send the session's fal key (to trusted origins only); default True.
        ref: the endpoint and the request id that it is about; default neither.
        persistent: whether it fetches the result of a completed request. The result exists, so every 5xx counts as
            temporary, and it is retried for `RetryPolicy.result_total` seconds; default False.
        harmless: whether a second one does no harm: "at worst an orphan file" (protocol 12). Every 5xx is retried
            then; default False.
        refusal_is_final: whether a 429 is not retried, because the caller asked for it by `max_queue_length`;
            default False.
        once: whether it is not sent again as soon as a byte has left, also after a refusal, since a part of it may
            have been executed and billed: a fallback chain (protocol 3.5); default False.
        needs: the kind of key that the operation needs, for the message of a 403, such as "an admin key";
            default "", any key.
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
    once: bool = False
    needs: str = ""

    @property
    def endpoint_id(self) -> str | None:
        """The endpoint that the HTTP request is about; None without one."""
        return self.ref.endpoint_id

    @property
    def request_id(self) -> str | None:
        """The id of the queued request that the HTTP request is about; None without one."""
        return self.ref.request_id


@attrs.define(kw_only=True, eq=False)
class HttpResponse:
    """A complete HTTP response.

    Attributes:
        status: the HTTP status.
        headers: the headers, with names in lower case.
        body: the whole body, decompressed.
        attempts: the number of attempts until this response; default 1.
        is_secret: whether it contains a token, so that errors do not have its body; default False.
    """

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    attempts: int = 1
    is_secret: bool = False
    _decoded: list[Any] = attrs.field(factory=list, init=False, repr=False, eq=False)

    @property
    def request_id(self) -> str | None:
        """The id in fal's `X-Fal-Request-Id` header (protocol 3.2); None without it."""
        return self.headers.get(REQUEST_ID)

    def json(self) -> Any:
        """Return the value of the JSON body. Further calls return the same object.

        Raises:
            ResponseDecodeError: the body is not JSON.
        """
        if not self._decoded:
            self._decoded.append(self._decode())
        return self._decoded[0]

    def _decode(self) -> Any:
        try:
            return decode_json(self.body, declared_charset(self.headers))
        except ValueError as error:
            cause = error
        kind = self.headers.get("content-type", "no content type")
        hint = ": check that the host is fal's" if kind.startswith("text/html") else ""
        raise ResponseDecodeError(
            f"the response ({self.status}, {kind}, {len(self.body)} bytes) is not JSON{hint}",
            body=None if self.is_secret else self.body,
            request_id=self.request_id,
            retryable=True,
        ) from (None if self.is_secret else cause)  # the cause holds the whole body, too


def handshake_request(
    url: str, *, headers: Mapping[str, str] | None, auth: bool, endpoint_id: str | None
) -> HttpRequest:
    """Return the request that opens a WebSocket."""
    return HttpRequest(
        operation=Operation.STREAM,
        method="GET",
        url=url,
        headers=headers or {},
        auth=auth,
        ref=RequestRef(endpoint_id=endpoint_id),
    )


def decode_json(body: bytes | bytearray | str, charset: str | None = None) -> Any:
    """Decode JSON as Python does: integers of any size are exact, and NaN is a number.

    `charset`: the declared one, used only if the bytes are neither UTF-8 nor begin as UTF-16 or UTF-32. Raises
    ValueError if the body is not JSON.
    """
    try:
        text = body if isinstance(body, str) else json_text(body, charset)
        return json.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def json_text(body: bytes | bytearray, charset: str | None = None) -> str:
    """Return a JSON body as str, perhaps with a byte order mark. Raise ValueError if it can't be decoded."""
    if body[:1] in (b"\xfe", b"\xff") or b"\0" in body[:2]:
        return body.decode(json.detect_encoding(body))
    try:
        return body.decode()
    except UnicodeDecodeError:
        if charset is None:
            raise
        return body.decode(charset)


def content_type(headers: Mapping[str, str]) -> str:
    """Return the media type without parameters, in lower case; "" without one. If there are two, the first one."""
    return headers.get("content-type", "").partition(";")[0].partition(",")[0].strip().lower()


def is_json(media_type: str) -> bool:
    """Return whether a media type, in lower case and without parameters, is JSON."""
    return media_type in _JSON_TYPES or media_type.endswith("+json")


def decode_body(response: HttpResponse) -> Any:
    """Decode a body by its content type: JSON as its value, text as str, anything else as bytes (protocol 3.3).

    Text that looks like JSON stays a str, because it may be the output of a model. Without a content type, a body
    that looks like JSON is decoded. Raises ResponseDecodeError if a body that is declared as JSON is not JSON.
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
    """Return the charset of the content type; None if there is none, or it is not supported."""
    found = re.search(_CHARSET, headers.get("content-type", ""))
    charset = found[1].lower() if found else ""
    # Only known charsets, because some of Python's codecs are not charsets, or raise for every input.
    return charset if charset in _CHARSETS or re.fullmatch(_ISO_8859, charset) else None
