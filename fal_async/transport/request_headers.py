"""The headers of an HTTP request: the session's, the request's, and the API key if the host may get it."""

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
    """Makes the headers of the HTTP requests of one transport."""

    def __init__(self, settings: Settings, keys: KeySource) -> None:
        self._settings, self._keys = settings, keys
        self._headers = merged_headers(_OWN, settings.headers)
        self._fixed_key = keys.value if isinstance(keys, FixedKey) else None
        # Nearly every URL begins with one of these. This test is cheaper than parsing the URL's origin.
        self._homes = (f"{settings.hosts.queue}/", f"{settings.hosts.run}/")

    def at_once(self, request: HttpRequest) -> dict[str, str] | None:
        """Return the headers of one attempt, key included; None if the key must be fetched from the key source."""
        headers = self._without_key(request)
        if request.auth and (request.url.startswith(self._homes) or self._may_have_key(request)):
            if self._fixed_key is None:
                return None
            headers["Authorization"] = self._fixed_key
        return headers

    async def with_asked_key(self, request: HttpRequest, send: Send) -> dict[str, str]:
        """Return the headers of one attempt with the key of the key source, which may use `send` to ask fal for it.

        Raises TransportTimeoutError if the key source takes longer than the session's `Timeouts.first_byte`. The
        call's own limit is not used, because it may be much longer: a stream's covers the wait for a runner.
        """
        limit = self._settings.timeouts.first_byte
        try:
            async with asyncio.timeout(limit):
                key = await self._keys.header(send)
        except TimeoutError as error:
            if isinstance(error, FalError):
                raise
            words = f"the key source did not return a key within {limit:g} s (Timeouts.first_byte)"
            raise TransportTimeoutError(words) from error
        headers = self._without_key(request)
        if key is not None:
            headers["Authorization"] = key
        return headers

    def addressed(
        self, request: HttpRequest, url: str, headers: dict[str, str]
    ) -> tuple[dict[str, str], str]:
        """Return the headers and the URL to use: with `proxy_url`, those for that proxy (protocol 10).

        The proxy has the API key, and is told the target's URL by a header.
        """
        if not self._is_proxied(request):
            return headers, url
        return {**headers, "x-fal-target-url": url}, str(self._settings.proxy_url)

    def redirected(
        self, request: HttpRequest, origin: str, target: str, headers: dict[str, str]
    ) -> dict[str, str]:
        """Return the headers for a redirect's target. If its origin differs, the session's headers are left out."""
        if not self._settings.headers or origin_of(target) == origin_of(origin):
            return headers
        return {**_OWN, **request.headers}

    def _without_key(self, request: HttpRequest) -> dict[str, str]:
        """Return the headers without the API key.

        The session's headers may contain gateway tokens and cookies. They are sent only to configured hosts, or to
        the proxy of `proxy_url`.
        """
        if self._settings.headers and self._is_at_home(request):
            return merged_headers(self._headers, request.headers)
        return {**_OWN, **request.headers}

    def _is_at_home(self, request: HttpRequest) -> bool:
        """Return whether the request goes to a configured host or to the proxy, so that it gets all headers."""
        proxy = self._settings.proxy_url
        if proxy is None:
            return is_configured(request.url, self._settings.hosts)
        return request.auth or origin_of(request.url) == origin_of(proxy)

    def _is_proxied(self, request: HttpRequest) -> bool:
        """Return whether the request goes to the proxy of `proxy_url`, which adds the API key."""
        return request.auth and self._settings.proxy_url is not None

    def _may_have_key(self, request: HttpRequest) -> bool:
        if may_have_key(request.url, self._settings.hosts):
            return True
        host = host_of(request.url)
        logger.warning(
            "%s: %s is not one of the session's hosts: sent without the key", request.operation, host
        )
        return False
