"""Finding a submit whose response never arrived, in the request history of the platform API."""

from __future__ import annotations

import time
from collections.abc import Collection

import attrs

from fal_async.config import Hosts, Settings
from fal_async.errors import (
    BalanceExhaustedError,
    PermissionDeniedError,
    RequestRef,
    ResultExpiredError,
    SubmissionUncertainError,
)
from fal_async.protocol.http import HttpResponse
from fal_async.protocol.request_history import (
    MAX_PAGES,
    LostSubmit,
    PastRequest,
    Window,
    best_match,
    clock_ahead,
    history_request,
    is_by_sending,
    is_enough,
    kept_result,
    parse_history,
    rows_of,
    windows,
)
from fal_async.transport import Transport


def check_history(response: HttpResponse) -> None:
    """Raise ResponseDecodeError unless the response is a page of the history. As `check`, it causes a retry."""
    rows_of(response)


@attrs.define(eq=False, repr=False)
class History:
    """Lists past requests of an endpoint, page by page.

    Attributes:
        most: the most pages that all calls of `of` together fetch.
        clock_ahead: how many seconds fal's clock is ahead of this machine's, measured by the first response; None
            before it.
        asked: how many pages were fetched.
    """

    transport: Transport
    hosts: Hosts
    endpoint_id: str
    most: int
    clock_ahead: float | None = None
    asked: int = 0

    @property
    def is_used_up(self) -> bool:
        return self.asked >= self.most

    async def of(self, window: Window, *, payloads: bool = True) -> list[PastRequest] | None:
        """Return all requests of the window; None if they are on more pages than may still be fetched."""
        rows: list[PastRequest] = []
        cursor: str | None = None
        while not self.is_used_up:
            request = history_request(self.hosts, self.endpoint_id, window, cursor=cursor, payloads=payloads)
            self.asked += 1
            response = await self.transport.send(request, check=check_history)
            if self.clock_ahead is None:
                self.clock_ahead = clock_ahead(response, time.time())
            page = parse_history(response)
            rows += page.items
            cursor = page.next_cursor
            if cursor is None:
                return rows
        return None

    async def one(self, request_id: str) -> PastRequest | None:
        """Return one request with its input, by its id; None if the history does not have it."""
        request = history_request(self.hosts, self.endpoint_id, request_id=request_id)
        page = parse_history(await self.transport.send(request, check=check_history))
        return next((row for row in page.items if row.request_id == request_id), None)


async def result_in_history(
    transport: Transport, settings: Settings, ref: RequestRef, gone: ResultExpiredError
) -> HttpResponse:
    """Return the output of a request whose result has expired, in the form of a response of the result URL.

    Raises `gone` if the history does not have the output, or can't be read with this API key. Other errors of
    reading the history are raised unchanged, because the history may still have the output.
    """
    if settings.proxy_url is not None or ref.endpoint_id is None or ref.request_id is None:
        raise gone
    request = history_request(settings.hosts, ref.endpoint_id, request_id=ref.request_id)
    try:
        response = await transport.send(request, check=check_history)
    except BalanceExhaustedError:
        raise
    except PermissionDeniedError as refused:
        raise gone from refused
    kept = kept_result(response, ref.request_id)
    if kept is None:
        raise gone
    return kept


async def find(
    transport: Transport, hosts: Hosts, lost: LostSubmit, exclude: Collection[str]
) -> PastRequest | None:
    """Search window by window, from the attempt outwards, until a match is close enough or no window is left.

    Raises SubmissionUncertainError if the endpoint has more requests in a window than the pages that are left show.
    """
    history = History(transport, hosts, lost.endpoint_id, MAX_PAGES)
    first = await history.of(next(windows(lost, time.time())))
    if history.clock_ahead:
        lost, first = lost.shifted(history.clock_ahead), None
    return await _search(history, lost, exclude, first)


async def _search(
    history: History, lost: LostSubmit, exclude: Collection[str], seen: list[PastRequest] | None
) -> PastRequest | None:
    match, by_sending = None, False
    for window in windows(lost, time.time() + (history.clock_ahead or 0.0)):
        if is_enough(lost, match, window, by_sending=by_sending):
            break
        rows, seen = await history.of(window) if seen is None else seen, None
        if rows is None:
            raise _too_many(lost, history.asked)
        by_sending = by_sending or is_by_sending(window, rows)
        match = best_match(lost, rows if match is None else [match, *rows], exclude)
    return match


def _too_many(lost: LostSubmit, pages: int) -> SubmissionUncertainError:
    return SubmissionUncertainError(
        f"fal's history has too many requests around that time: not found on {pages} pages of 100. Narrow it with "
        "find_submission(endpoint_id, input, since=..., until=...)",
        started_at=lost.started_at,
        ended_at=lost.ended_at,
        input_digest=lost.input_digest,
        endpoint_id=lost.endpoint_id,
    )
