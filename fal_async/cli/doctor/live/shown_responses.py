"""Responses in a few words, without ids, outputs and tokens."""

from __future__ import annotations

from fal_async.cli.doctor.live.live_requests import text_of
from fal_async.errors import ResponseDecodeError, one_line
from fal_async.protocol.http import HttpResponse

_LONGEST = 40


def shown(response: HttpResponse) -> str:
    """Return the status code, and the status word, the error type or the detail: `202 IN_PROGRESS`."""
    return f"{response.status} {_word_of(response)}".rstrip()


def _word_of(response: HttpResponse) -> str:
    if word := text_of(response, "status"):
        return one_line(word, _LONGEST)
    try:
        document = response.json()
    except ResponseDecodeError:
        return f"({len(response.body)} bytes, not JSON)"
    if not isinstance(document, dict):
        return f"({type(document).__name__})"
    if isinstance(document.get("success"), bool):
        return f"success={str(document['success']).lower()}"
    if error := response.headers.get("x-fal-error-type") or text_of(response, "error_type"):
        return one_line(error, _LONGEST)
    if detail := text_of(response, "detail"):
        return f"detail {one_line(detail, _LONGEST)!r}"
    return f"with {', '.join(sorted(map(str, document)))[:_LONGEST]}" if document else "(an empty object)"
