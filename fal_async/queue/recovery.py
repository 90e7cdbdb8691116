"""Finding a submit again that was never answered, in the platform API's history."""

from __future__ import annotations

from collections.abc import Collection

from fal_async.config import Hosts
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.request_history import (
    LostSubmit,
    PastRequest,
    best_match,
    history_request,
    parse_history,
)
from fal_async.transport import Transport

_MAX_PAGES = 100


def _check_history(response: HttpResponse) -> None:
    parse_history(response)


async def find(
    transport: Transport, hosts: Hosts, lost: LostSubmit, exclude: Collection[str]
) -> PastRequest | None:
    """Page by page, at most 10,000 requests: the endpoint may be busy, but the time is short."""
    found: list[PastRequest] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        request = history_request(hosts, lost, cursor)
        page = parse_history(await transport.send(request, check=_check_history))
        if (match := best_match(lost, page.items, exclude)) is not None:
            found.append(match)
        cursor = page.next_cursor
        if cursor is None:
            break
    return best_match(lost, found)
