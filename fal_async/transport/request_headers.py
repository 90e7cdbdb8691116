"""The headers of a request: the session's, the request's, and the key if the host may have it."""

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
        # Nearly every URL begins with one of these, so that its origin need not be parsed.
        self._homes = (f"{settings.hosts.queue}/", f"{settings.hosts.run}/")

    def at_once(self, request: HttpRequest) -> dict[str, str] | None:
        """Return the headers of one attempt; None if the key source has to be asked for the key."""
        headers = self._without_key(request)
        if request.auth and (request.url.startswith(self._homes) or self._may_have_key(request)):
            if self._fixed_key is None:
                return None
            headers["Authorization"] = self._fixed_key
        return headers

    async def with_asked_key(self, request: HttpRequest, send: Send) -> dict[str, str]:
        """Return the same with a key from the key source, which may use `send` to ask fal for it.

        Raises TransportTimeoutError after the session's `Timeouts.first_byte`, so that a source that hangs does not
        hang the call. The call's own limit may be longer: that of a stream covers the wait for a runner.
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
        """Return the headers and the URL to send: of the proxy that has the key, if there is one (protocol 10)."""
        if not self._is_proxied(request):
            return headers, url
        return {**headers, "x-fal-target-url": url}, str(self._settings.proxy_url)

    def redirected(
        self, request: HttpRequest, origin: str, target: str, headers: dict[str, str]
    ) -> dict[str, str]:
        """Return the headers for the target of a redirect: without the session's if the origin is another."""
        if not self._settings.headers or origin_of(target) == origin_of(origin):
            return headers
        return {**_OWN, **request.headers}

    def _without_key(self, request: HttpRequest) -> dict[str, str]:
        """Return the headers without the key.

        The session's headers may have gateway tokens and cookies: they are only for configured hosts, or for the
        proxy that has the key.
        """
        if self._settings.headers and self._is_at_home(request):
            return merged_headers(self._headers, request.headers)
        return {**_OWN, **request.headers}

    def _is_at_home(self, request: HttpRequest) -> bool:
        proxy = self._settings.proxy_url
        if proxy is None:
            return is_configured(request.url, self._settings.hosts)
        return request.auth or origin_of(request.url) == origin_of(proxy)

    def _is_proxied(self, request: HttpRequest) -> bool:
        """Return whether the request goes to the proxy that has the key."""
        return request.auth and self._settings.proxy_url is not None

    def _may_have_key(self, request: HttpRequest) -> bool:
        if may_have_key(request.url, self._settings.hosts):
            return True
        host = host_of(request.url)
        logger.warning(
            "%s: %s is not one of the session's hosts: sent without the key", request.operation, host
        )
        return False
