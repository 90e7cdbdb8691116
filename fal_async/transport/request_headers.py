"""The headers of a request: the session's own, those of the request, and the key for whom it may go to."""

from __future__ import annotations

import asyncio
import logging

from fal_async.auth.credentials import FixedKey, KeySource, Send
from fal_async.config import Settings
from fal_async.errors import FalError, TransportTimeoutError
from fal_async.protocol.http import HttpRequest
from fal_async.protocol.options import merged_headers
from fal_async.protocol.origins import host_of, is_configured, may_have_key, origin_of
from fal_async.version import USER_AGENT

logger: logging.Logger = logging.getLogger("fal_async")
_OWN = {"User-Agent": USER_AGENT}


class RequestHeaders:
    """Makes the headers of each request of one transport."""

    def __init__(self, settings: Settings, keys: KeySource) -> None:
        self._settings, self._keys = settings, keys
        self._headers = merged_headers(_OWN, settings.headers)
        self._fixed_key = keys.value if isinstance(keys, FixedKey) else None
        # Nearly every URL begins with one of these, which spares the look at its origin.
        self._homes = (f"{settings.hosts.queue}/", f"{settings.hosts.run}/")

    def at_once(self, request: HttpRequest) -> dict[str, str] | None:
        """The headers of one attempt; None where its key has to be asked for."""
        headers = self._without_key(request)
        if request.auth and (request.url.startswith(self._homes) or self._may_have_key(request)):
            if self._fixed_key is None:
                return None
            headers["Authorization"] = self._fixed_key
        return headers

    async def with_asked_key(self, request: HttpRequest, send: Send) -> dict[str, str]:
        """The same with a key that is asked for. `send` is what the key source may ask fal with.

        TransportTimeoutError after the session's `Timeouts.first_byte`: a source that hangs must not hang the call.
        A call's own limit may be longer: that of a stream covers the wait for a runner.
        """
        limit = self._settings.timeouts.first_byte
        try:
            async with asyncio.timeout(limit):
                key = await self._keys.header(send)
        except TimeoutError as error:
            if isinstance(error, FalError):
                raise
            words = f"the source of the key did not answer within {limit:g} s (Timeouts.first_byte)"
            raise TransportTimeoutError(words) from error
        headers = self._without_key(request)
        if key is not None:
            headers["Authorization"] = key
        return headers

    def addressed(
        self, request: HttpRequest, url: str, headers: dict[str, str]
    ) -> tuple[dict[str, str], str]:
        """Headers and URL as they leave: those of the proxy that holds the key, if there is one (protocol 10)."""
        if not self._is_proxied(request):
            return headers, url
        return {**headers, "x-fal-target-url": url}, str(self._settings.proxy_url)

    def redirected(
        self, request: HttpRequest, origin: str, target: str, headers: dict[str, str]
    ) -> dict[str, str]:
        """The headers for where a redirect leads: in another origin without the session's own."""
        if not self._settings.headers or origin_of(target) == origin_of(origin):
            return headers
        return {**_OWN, **request.headers}

    def _without_key(self, request: HttpRequest) -> dict[str, str]:
        """Gateway tokens and cookies among the session's headers belong to the hosts that are configured, or to the
        proxy that holds the key."""
        if self._settings.headers and self._is_at_home(request):
            return merged_headers(self._headers, request.headers)
        return {**_OWN, **request.headers}

    def _is_at_home(self, request: HttpRequest) -> bool:
        proxy = self._settings.proxy_url
        if proxy is None:
            return is_configured(request.url, self._settings.hosts)
        return request.auth or origin_of(request.url) == origin_of(proxy)

    def _is_proxied(self, request: HttpRequest) -> bool:
        """Whether it goes to the proxy that holds the key."""
        return request.auth and self._settings.proxy_url is not None

    def _may_have_key(self, request: HttpRequest) -> bool:
        if may_have_key(request.url, self._settings.hosts):
            return True
        host = host_of(request.url)
        logger.warning("%s: %s is none of the session's hosts: no key for it", request.operation, host)
        return False
