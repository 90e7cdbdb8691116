"""Pages: `limit` and `cursor` of a query, and `next_cursor` and `has_more` of an answer (protocol 11.7).

A cursor is base64 of the number of a page: `Mg==` is page 2.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fal_async.emulator.core import Call
from fal_async.emulator.operations.platform.platform_errors import invalid
from fal_async.emulator.wire.answers import Answer, json_answer

R = TypeVar("R")
USUAL, LARGEST = 50, 100


def paged(
    name: str,
    rows: Sequence[R],
    call: Call,
    document: Callable[[R], dict[str, Any]],
    *,
    largest: int = LARGEST,
) -> Answer:
    """Return the page of the rows that the query asks for; `name` is the list's name in the answer."""
    page, more = page_of(rows, call, largest=largest)
    return json_answer({name: [document(row) for row in page], **more})


def page_of(rows: Sequence[R], call: Call, *, largest: int = LARGEST) -> tuple[Sequence[R], dict[str, Any]]:
    """Return the rows of the page, and `next_cursor` with `has_more`."""
    limit, number = page_limit(call, largest), page_number(call)
    start = (number - 1) * limit
    more = len(rows) > start + limit
    cursor = base64.b64encode(str(number + 1).encode()).decode() if more else None
    return rows[start : start + limit], {"next_cursor": cursor, "has_more": more}


def page_number(call: Call) -> int:
    cursor = call.query.get("cursor")
    if cursor is None:
        return 1
    try:
        text = base64.b64decode(cursor, validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) < 1:
        raise invalid("cursor: expected the next_cursor of an earlier page")
    return int(text)


def page_limit(call: Call, largest: int) -> int:
    text = call.query.get("limit", str(min(USUAL, largest)))
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or not 1 <= int(text) <= largest:
        raise invalid(f"limit={text!r}: expected an int, 1 to {largest}")
    return int(text)
