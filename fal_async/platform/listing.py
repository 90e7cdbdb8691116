"""Lists of the platform API, which are fetched page by page while they are read (protocol 11.7)."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

from fal_async.checks import check_str
from fal_async.errors import ConfigurationError, ResponseDecodeError, short_tracebacks
from fal_async.protocol.platform.documents import Page

T = TypeVar("T")
Fetch = Callable[[str | None], Awaitable[Page[T]]]
"""Fetches the page at a cursor, or the first page for None."""


@short_tracebacks
class Listing(Generic[T]):
    """A list of the platform API, which is fetched page by page.

    `async for item in listing` fetches each page when the loop gets there; a loop that is left early fetches no
    further pages. `await listing` fetches all pages and returns a `list`. `listing.pages()` yields whole pages.
    Nothing is sent before one of these. One task at a time may use a listing. Cancelling is safe.
    """

    def __init__(self, *parts: Fetch[T]) -> None:
        """Each of `parts` fetches the pages of one query. Their items follow one another."""
        self._parts = parts
        self._own = _Pages(parts)
        self._items: deque[T] = deque()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            self._items.extend((await anext(self._own)).items)
        return self._items.popleft()

    def __await__(self) -> Generator[Any, None, list[T]]:
        return self._all().__await__()

    async def _all(self) -> list[T]:
        return [item async for page in self.pages() for item in page.items]

    def pages(self, cursor: str | None = None) -> AsyncIterator[Page[T]]:
        """Return an iterator of the pages, which begins anew and does not move the listing itself.

        Args:
            cursor: `Page.next_cursor` of an earlier page of the same listing, to continue after it. None (default):
                from the first page.

        Returns:
            An async iterator of `Page` values. It raises the errors of the call that made the listing.

        Raises:
            ConfigurationError: `cursor` is not a `str`, or this listing needs several queries.
        """
        check_str("cursor", cursor, or_none=True)
        if cursor is not None and len(self._parts) > 1:
            raise ConfigurationError(
                "cursor: this listing has more than 50 ids, and so several queries: ask for 50"
            )
        return _Pages(self._parts, cursor)


class _Pages(Generic[T]):
    """Fetches page after page. After an error, the same page can be asked for again."""

    def __init__(self, parts: tuple[Fetch[T], ...], cursor: str | None = None) -> None:
        self._parts, self._cursor = deque(parts), cursor

    def __aiter__(self) -> AsyncIterator[Page[T]]:
        return self

    async def __anext__(self) -> Page[T]:
        if not self._parts:
            raise StopAsyncIteration
        page = await self._parts[0](self._cursor)
        if page.next_cursor is not None and page.next_cursor == self._cursor:
            raise ResponseDecodeError(
                "the platform API sent the cursor of the same page again, so the list would never end"
            )
        self._cursor = page.next_cursor
        if page.next_cursor is None:
            self._parts.popleft()
        return page
