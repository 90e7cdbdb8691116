"""Sends the HTTP requests of the platform API, if the session may."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import attrs

from fal_async.auth.key_text import NO_KEY
from fal_async.config import ANONYMOUS, Hosts, Settings
from fal_async.errors import ConfigurationError, one_line
from fal_async.platform.listing import Listing
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.protocol.platform.documents import Page
from fal_async.protocol.platform.queries import Query
from fal_async.transport import Transport

T = TypeVar("T")
Paged = Callable[[Hosts, Query, str | None], HttpRequest]
"""Builds the HTTP request for the page of a query at a cursor."""
_THROUGH_A_PROXY = (
    "the platform API can't be used through proxy_url, whose key must not show its account to each caller: "
    "use Session(credentials=...)"
)
_NO_KEY = one_line(NO_KEY)


class Sender:
    """Sends the HTTP requests of one view, and parses their responses."""

    def __init__(self, transport: Transport, settings: Settings) -> None:
        self._transport, self._settings = transport, settings
        self.hosts: Hosts = settings.hosts

    async def send(
        self, request: HttpRequest, parse: Callable[[HttpResponse], T], *, public: bool = False
    ) -> T:
        """Send an HTTP request and return the parsed response. `public`: whether it needs no key."""
        self._check(public)
        try:
            return await self._send(request, parse)
        except ConfigurationError as error:
            if not public or error.message != _NO_KEY:
                raise
        # fal answers without a key as well, at a lower rate limit (protocol 11.7).
        return await self._send(attrs.evolve(request, auth=False), parse)

    def listing(
        self,
        build: Paged,
        parse: Callable[[HttpResponse], Page[T]],
        *queries: Query,
        public: bool = False,
    ) -> Listing[T]:
        """Return the list of the items of all pages of these queries."""
        self._check(public)

        async def page(query: Query, cursor: str | None) -> Page[T]:
            return await self.send(build(self.hosts, query, cursor), parse, public=public)

        return Listing(*(partial(page, query) for query in queries))

    def _check(self, public: bool) -> None:
        if self._settings.proxy_url is not None:
            raise ConfigurationError(_THROUGH_A_PROXY)
        if self._settings.credentials is ANONYMOUS and not public:
            raise ConfigurationError(
                "credentials=ANONYMOUS: of the platform API only models, model and meta work without a key"
            )

    async def _send(self, request: HttpRequest, parse: Callable[[HttpResponse], T]) -> T:
        parsed: list[T] = []

        def check(response: HttpResponse) -> None:
            parsed[:] = [parse(response)]

        # A body that can't be parsed fails the attempt, so that a reading is retried.
        response = await self._transport.send(request, check=check)
        # A transport of the caller may ignore `check`.
        return parsed[0] if parsed else parse(response)
