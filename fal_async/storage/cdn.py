"""The CDN token: one fetch for all concurrent requests, cached until shortly before it expires (protocol 7.1 C)."""

from __future__ import annotations

import time
from collections.abc import Callable

from fal_async.config import Hosts, RetryPolicy
from fal_async.errors import AuthenticationError
from fal_async.protocol.http import HttpRequest, HttpResponse
from fal_async.protocol.storage.uploads import CdnToken, cdn_token_request, parse_cdn_token
from fal_async.single_flight import SingleFlight
from fal_async.transport import Transport

_RENEWALS = 3
"""How often one HTTP request is sent again with a new token."""


class Cdn:
    """Sends requests with the CDN token.

    `tokens` has the token of one API key. All views of a session with this key share it.
    """

    def __init__(self, transport: Transport, hosts: Hosts, tokens: SingleFlight[CdnToken]) -> None:
        self._transport, self._tokens = transport, tokens
        self.hosts: Hosts = hosts

    async def token(self, refused: CdnToken | None = None) -> CdnToken:
        """Return a valid token other than `refused`."""
        return await self._tokens.get(
            lambda known: known is not refused and known.good_until > time.monotonic(), self._fetch
        )

    async def send(
        self,
        request_with: Callable[[CdnToken], HttpRequest],
        *,
        retry: RetryPolicy | None = None,
    ) -> HttpResponse:
        """Send an HTTP request with the token. If the CDN refuses it, send it with a new token, up to 3 times."""
        token = await self.token()
        for _ in range(_RENEWALS):
            try:
                return await self._transport.send(request_with(token), retry=retry)
            except AuthenticationError as error:
                if error.from_caller:
                    raise
                token = await self.token(refused=token)
        return await self._transport.send(request_with(token), retry=retry)

    async def _fetch(self) -> CdnToken:
        response = await self._transport.send(cdn_token_request(self.hosts))
        return parse_cdn_token(response, self.hosts, now=time.time(), monotonic=time.monotonic())
