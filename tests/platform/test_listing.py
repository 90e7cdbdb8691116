"""Lists of the platform API: what is fetched when, and lists that a server describes wrongly."""

from __future__ import annotations

import asyncio
import logging

import pytest

from fal_async import ConfigurationError, Listing, ResponseDecodeError, Session, TransportError
from fal_async.emulator import Emulator
from fal_async.platform import Page
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.transport import Transport
from tests.protocol.platform.recorded import answer, query_of


class Book:
    """A list whose pages are written by hand, and which remembers the cursors that were asked for."""

    def __init__(self, *pages: tuple[tuple[int, ...], str | None]) -> None:
        cursors = [None, *(cursor for _, cursor in pages)]
        self.pages = {
            cursor: Page(items=items, next_cursor=following)
            for cursor, (items, following) in zip(cursors, pages, strict=False)
        }
        self.asked: list[str | None] = []

    async def page(self, cursor: str | None) -> Page[int]:
        self.asked.append(cursor)
        await asyncio.sleep(0)
        return self.pages[cursor]


async def test_nothing_is_fetched_before_the_listing_is_used() -> None:
    book = Book(((1, 2), None))
    listing = Listing(book.page)
    assert book.asked == []
    assert await listing == [1, 2]


async def test_an_empty_page_in_the_middle_does_not_end_the_list() -> None:
    book = Book(((1,), "b"), ((), "c"), ((2,), None))
    assert [number async for number in Listing(book.page)] == [1, 2]
    assert book.asked == [None, "b", "c"]


async def test_a_list_without_items_ends_at_once_and_stays_ended() -> None:
    listing = Listing(Book(((), None)).page)
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(listing)


async def test_a_loop_continues_where_the_one_before_stopped() -> None:
    listing = Listing(Book(((1, 2), "b"), ((3,), None)).page)
    assert await anext(listing) == 1
    assert [number async for number in listing] == [2, 3]


async def test_whole_pages_and_awaiting_begin_anew_each_time() -> None:
    listing = Listing(Book(((1, 2), "b"), ((3,), None)).page)
    assert await anext(listing) == 1
    assert [page.items async for page in listing.pages()] == [(1, 2), (3,)]
    assert await listing == await listing == [1, 2, 3]


async def test_a_cursor_that_leads_to_the_same_page_ends_with_an_error() -> None:
    book = Book(((1,), "b"), ((2,), "b"))
    with pytest.raises(ResponseDecodeError, match="would never end"):
        await Listing(book.page)
    assert book.asked == [None, "b"]


async def test_after_an_error_the_same_page_is_asked_for_again() -> None:
    book = Book(((1,), "b"), ((2,), None))
    second = book.pages.pop("b")
    listing = Listing(book.page)
    assert await anext(listing) == 1
    with pytest.raises(KeyError):
        await anext(listing)
    book.pages["b"] = second
    assert await anext(listing) == 2


async def test_several_queries_follow_one_another_and_have_no_common_cursor() -> None:
    one, two = Book(((1,), "b"), ((2,), None)), Book(((3,), None))
    listing = Listing(one.page, two.page)
    assert await listing == [1, 2, 3]
    with pytest.raises(ConfigurationError, match="several queries"):
        listing.pages("b")


async def test_a_cursor_that_is_not_a_str_raises() -> None:
    with pytest.raises(ConfigurationError, match="cursor is of type int"):
        Listing(Book(((), None)).page).pages(5)  # type: ignore[arg-type]


class Recorded(Transport):
    """A transport of a user, which answers with recorded bodies and knows nothing of `check`."""

    def __init__(self, *bodies: str) -> None:
        self.bodies = list(bodies)
        self.requests: list[HttpRequest] = []

    async def send(self, request: HttpRequest, **_: object) -> HttpResponse:
        self.requests.append(request)
        return answer(self.bodies.pop(0))


async def test_a_transport_of_the_user_serves_the_platform_api_too() -> None:
    row = '{"endpoint_id": "a/b", "unit_price": 0.10, "unit": "image", "currency": "USD"}'
    transport = Recorded(f'{{"prices": [{row}], "next_cursor": "x"}}', f'{{"prices": [{row}]}}')
    async with Session(transport=transport) as fal:
        assert len(await fal.platform.pricing("a/b")) == 2
    assert [query_of(request)[-1] for request in transport.requests] == [
        ("endpoint_id", "a/b"),
        ("cursor", "x"),
    ]


async def test_an_url_that_is_searched_for_is_in_no_log_line_and_no_error(
    fal: Session, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await emulator.stop()
    with pytest.raises(TransportError) as caught:
        await fal.platform.search_requests(image_url="https://x/y?signature=hush")
    assert "hush" not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r} {caplog.text}"
