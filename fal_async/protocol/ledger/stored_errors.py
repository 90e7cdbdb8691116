"""Convert errors to versioned JSON, as the ledger stores them, and back. `ledger/README.md` describes the format.

A replay can raise the same error: its class, message, status, type, details and ids are stored. Values that may
repeat an input are never stored: bodies, the input of a detail, the strings of its context. Another program may
have written the stored JSON, so fields with an unexpected value are ignored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fal_async import errors
from fal_async.errors import (
    ApiError,
    CancelOutcome,
    ClientTimeoutError,
    ErrorDetail,
    FalError,
    KeyConflictError,
    RealtimeError,
    RequestFailedError,
    ResponseDecodeError,
    SessionStateError,
    StreamError,
    SubmissionUncertainError,
    UploadError,
    one_line,
)
from fal_async.protocol.api_errors import class_by_status
from fal_async.protocol.http import JSON_TYPE, decode_json
from fal_async.protocol.ledger.entry import Payload
from fal_async.protocol.ledger.kept import kept_headers

VERSION = 1
LARGEST = 64 * 1024
"""Most bytes of a stored error. If an error is larger, its last details are left out."""
_LONGEST_WORDS, _LONGEST_PART, _LONGEST_LIMIT, _MOST_PARTS = 1000, 200, 60, 32
"""Most characters of a message, of a part of `loc` and of a limit; most parts of a list."""


def _kinds() -> dict[str, type[FalError]]:
    public = {name: getattr(errors, name) for name in errors.__all__}
    return {n: kind for n, kind in public.items() if isinstance(kind, type) and issubclass(kind, FalError)}


_KINDS: Mapping[str, type[FalError]] = _kinds()
_LIMITS = frozenset(
    {
        *("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "min_height", "min_width"),
        *("max_height", "max_width", "max_size", "min_count", "max_count", "provided_count"),
        *("min_duration", "max_duration", "provided_duration"),
        *("expected", "supported_extensions", "supported_formats"),
    }
)
"""Fields of a detail's context that describe the allowed inputs, and not the input itself (protocol 9.1)."""


def stored_error(error: FalError) -> Payload:
    """Return the error as JSON of at most 64 KB."""
    return Payload(content_type=JSON_TYPE, body=_encoded(_document(error)))


def parse_error(body: bytes) -> FalError:
    """Return the stored error. If its class is unknown, use the class for its status. Never raises.

    If the body can't be read, return a RequestFailedError that says so.
    """
    try:
        document = decode_json(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return RequestFailedError(
            "the request failed, but its stored error can't be read: the ledger's entry is damaged"
        )
    return _built(document)


def _encoded(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace")


# From an error to a document, the dict that is stored as JSON.


def _document(error: FalError) -> dict[str, Any]:
    document: dict[str, Any] = {
        "version": VERSION,
        "kind": _name_of(type(error)),
        "message": error.message,
        "request_id": _short(error.request_id),
        "endpoint_id": _short(error.endpoint_id),
        "retryable": bool(error.retryable),
    }
    for name, read in _fields_of(type(error)).items():
        document[name] = read(getattr(error, name))
    if isinstance(error, ApiError):
        document["headers"] = kept_headers(error.headers)
        document["errors"] = []
        document["errors"] = _first_of(error.errors, LARGEST - len(_encoded(document)))
    return document


def _first_of(details: Sequence[ErrorDetail], room: int) -> list[dict[str, Any]]:
    """Return as many details as fit into `room` bytes."""
    written = []
    for entry in map(_written, details):
        room -= len(_encoded(entry)) + 1
        if room < 0:
            break
        written.append(entry)
    return written


def _name_of(kind: type[FalError]) -> str:
    """Return the name of the class, or of its nearest base of fal_async if a user has derived the class."""
    return next(above.__name__ for above in kind.__mro__ if _KINDS.get(above.__name__) is above)


def _written(detail: ErrorDetail) -> dict[str, Any]:
    return {
        "msg": one_line(detail.msg, _LONGEST_WORDS),
        "type": one_line(detail.type, _LONGEST_PART),
        "loc": [_part(part) for part in detail.loc[:_MOST_PARTS]],
        "ctx": _limits(detail.ctx),
        "url": None if detail.url is None else one_line(detail.url),
    }


def _part(part: str | int) -> str | int:
    return one_line(part, _LONGEST_PART) if isinstance(part, str) else part


def _limits(context: Any) -> dict[str, Any] | None:
    if not isinstance(context, Mapping):
        return None
    kept = {name: context[name] for name in sorted(_LIMITS) if name in context}
    return {name: value for name, value in kept.items() if _is_limit(value)}


def _is_limit(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= _MOST_PARTS and all(map(_is_single, value))
    return _is_single(value)


def _is_single(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_LIMIT and one_line(value) == value
    return _number(value) is not None


# From a document to an error.


def _built(document: Mapping[str, Any]) -> FalError:
    kind = _kind_of(document)
    message = document.get("message")
    message = message if isinstance(message, str) else "the request failed"
    known: dict[str, Any] = {
        "request_id": _short(document.get("request_id")),
        "endpoint_id": _short(document.get("endpoint_id")),
    }
    own = {name: read(document.get(name)) for name, read in _fields_of(kind).items()}
    if issubclass(kind, ApiError):
        own["headers"] = kept_headers(document.get("headers"))
        own["errors"] = _details(document.get("errors"))
    error: FalError = kind(message, **known, **own)
    if one_line(message) != message and _is_line(message):
        # The message was shortened before it was stored, and must not be shortened once more.
        error.message, error.args = message, (message,)
    if isinstance(retryable := document.get("retryable"), bool) and retryable != error.retryable:
        error.retryable = retryable
    return error


def _kind_of(document: Mapping[str, Any]) -> type[FalError]:
    name = document.get("kind")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is not None:
        return kind
    status = _status(document.get("status"))
    return FalError if status == 0 else class_by_status(status)


def _is_line(text: str) -> bool:
    return len(text) <= _LONGEST_PART and " ".join(text.split()) == text and text.isprintable()


def _details(value: Any) -> list[ErrorDetail]:
    return [_detail(entry) for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _detail(entry: Mapping[str, Any]) -> ErrorDetail:
    loc = entry.get("loc")
    return ErrorDetail(
        msg=_text(entry.get("msg")),
        type=_text(entry.get("type")),
        loc=tuple(part for part in loc if isinstance(part, str | int)) if isinstance(loc, list) else (),
        ctx=_limits(entry.get("ctx")),
        url=_short(entry.get("url")),
    )


# Lenient readers of single fields: a malformed value counts as missing.


def _short(value: Any) -> str | None:
    return str(value)[:_LONGEST_WORDS] if isinstance(value, str) else None


def _text(value: Any) -> str:
    return _short(value) or ""


def _number(value: Any) -> float | None:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return value if plain and math.isfinite(value) and abs(value) < 2**63 else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and _number(value) is not None else None


def _status(value: Any) -> int:
    return value if isinstance(value, int) and 100 <= value <= 999 else 0


def _seconds(value: Any) -> float:
    return _number(value) or 0.0


def _outcome(value: Any) -> CancelOutcome | None:
    known = isinstance(value, str) and value in CancelOutcome.__members__
    return CancelOutcome(value) if known else None


def _texts(value: Any) -> list[str]:
    return [_text(item) for item in value[:_MOST_PARTS]] if isinstance(value, list) else []


_FIELDS: Mapping[type[FalError], Mapping[str, Callable[[Any], Any]]] = {
    ApiError: {"status": _status, "error_type": _short, "retry_after": _number},
    RequestFailedError: {"error_type": _short},
    SubmissionUncertainError: {
        "operation": _text,
        "started_at": _number,
        "ended_at": _number,
        "input_digest": _short,
    },
    KeyConflictError: {"key": _text, "differs": _text},
    ClientTimeoutError: {"timeout": _seconds, "last_status": _short, "cancel_outcome": _outcome},
    SessionStateError: {"cancel_outcome": _outcome},
    ResponseDecodeError: {"paths": _texts},
    StreamError: {"reason": _text, "count": _whole},
    RealtimeError: {"code": _whole, "reason": _text, "error": _short},
    UploadError: {"part": _whole},
}


def _fields_of(kind: type[FalError]) -> Mapping[str, Callable[[Any], Any]]:
    """Return the fields of the class that not every error has."""
    return next((_FIELDS[above] for above in kind.__mro__ if above in _FIELDS), {})
