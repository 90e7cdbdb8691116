"""Requests to real fal, or to what plays it, with the key of the user who records.

The key is sent to fal's API hosts only: uploads go to presigned URLs, and files are public (protocol 7.1, 13). No
request that may be billed is sent twice. Each has a connection of its own, because the answer to a request on a
reused connection is lost when the server closes it at this moment.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import attrs
from multidict import CIMultiDict
from yarl import URL

from fal_async.emulator.cassettes.cassette_redaction import without_signatures
from fal_async.emulator.recordings.upstream_connections import (
    UpstreamError,
    closing,
    failures,
    new_session,
)
from fal_async.emulator.wire.routing import app_id, is_fals

_DOWNLOADS = 3
"""How often a file is asked for."""
_SENT_BY_CALLER = ("x-fal-", "x-app-fal-")
_NOT_SENT = frozenset({"x-fal-cdn-token"})
_ALSO_SENT = frozenset({"content-type", "accept"})
_OWN_QUERY = frozenset({"fal_webhook", "fal_jwt_token"})
"""Webhooks are delivered by the emulator, since fal can't reach it; tokens are the emulator's."""


@attrs.frozen
class Reply:
    """One answer of upstream."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class StreamedReply:
    """An answer of upstream whose body is read in pieces."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status: int = response.status
        self.headers: Mapping[str, str] = CIMultiDict(response.headers)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body. Raise `UpstreamError` if upstream breaks off."""
        with failures(self._response.url):
            async for piece in self._response.content.iter_any():
                yield piece

    async def whole(self) -> Reply:
        with failures(self._response.url):
            return Reply(self.status, self.headers, await self._response.read())


class Upstream:
    """fal's hosts: `https://HOST/...`, or `{address}/HOST/...` with an address.

    Args:
        key: the key of the user's account, `id:secret`.
        address: base URL of what plays fal. None: fal itself.
    """

    def __init__(self, key: str, address: str | None = None) -> None:
        self._key, self._address = key, None if address is None else check_address(address)
        self._followed = 0
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    def __repr__(self) -> str:
        return f"Upstream({self._address or 'https://fal.run'!r})"

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        while self._sessions:
            await self._sessions.popitem()[1].close()

    def _http(self, *, paid: bool) -> aiohttp.ClientSession:
        # Made late, since a session belongs to the event loop that runs.
        if paid not in self._sessions:
            self._sessions[paid] = new_session(paid=paid)
        return self._sessions[paid]

    @contextmanager
    def following(self) -> Iterator[Callable[[], int]]:
        """Follow a request within the block, which gets the number of all requests that are followed now."""
        self._followed += 1
        try:
            yield lambda: self._followed
        finally:
            self._followed -= 1

    # Addresses.

    def url(self, host: str, path: str) -> str:
        """Return the URL of a path of a host of fal."""
        start = "https://" if self._address is None else f"{self._address}/"
        return f"{start}{host}/{quote(path, safe='/:@!$&()*+,;=~-._')}"

    def as_fals(self, text: str) -> str:
        """Return a text of upstream in which its URLs are fal's own, `https://HOST/...`."""
        return text if self._address is None else text.replace(f"{self._address}/", "https://")

    def read(self, reply: Reply) -> Any:
        """Return the body of an answer as JSON, with fal's own URLs; None if it is not JSON."""
        try:
            return json.loads(self.as_fals(reply.body.decode()))
        except ValueError:
            return None

    def address_of(self, url: str) -> str:
        """Return where a URL of fal, `https://HOST/...`, is reached."""
        if self._address is None or not is_fals(urlsplit(url).hostname or ""):
            return url
        return url.replace("https://", f"{self._address}/", 1)

    # Requests that may be billed: sent once.

    async def submit(
        self, path: str, body: bytes, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> Reply:
        """Submit to the queue (protocol 4.1)."""
        async with self._opened("POST", "queue.fal.run", path, body, headers, query) as reply:
            return await reply.whole()

    @asynccontextmanager
    async def run(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> AsyncIterator[StreamedReply]:
        """Make a direct call, or a stream (protocol 3, 5.1). Leaving it early ends the call."""
        async with self._opened(method, "fal.run", path, body, headers, query) as reply:
            yield reply

    @asynccontextmanager
    async def _opened(
        self,
        method: str,
        host: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        query: Mapping[str, str],
    ) -> AsyncIterator[StreamedReply]:
        url = URL(self.url(host, path), encoded=True).update_query(_query(query))
        with failures(url):
            response = await self._http(paid=True).request(
                method,
                url,
                data=body or None,
                headers={**_headers(headers), **self._authorization},
                allow_redirects=False,
            )
        async with closing(response):
            yield StreamedReply(response)

    # Reads, and what can be repeated.

    async def status(self, endpoint_id: str, request_id: str) -> Reply:
        """Ask for the status with logs (protocol 4.2)."""
        return await self.ask(
            "GET", "queue.fal.run", f"{_request(endpoint_id, request_id)}/status", {"logs": "1"}
        )

    async def result(self, endpoint_id: str, request_id: str) -> Reply:
        return await self.ask("GET", "queue.fal.run", _request(endpoint_id, request_id))

    async def cancel(self, endpoint_id: str, request_id: str) -> Reply:
        return await self.ask("PUT", "queue.fal.run", f"{_request(endpoint_id, request_id)}/cancel")

    async def ask(
        self,
        method: str,
        host: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request that is not billed, with the key."""
        url = URL(self.url(host, path), encoded=True).update_query(_query(query or {}))
        sent = {**_headers(headers or {}), **self._authorization}
        return await self._ask(method, url, headers=sent, data=body or None, allow_redirects=False)

    async def upload(self, data: bytes, content_type: str, file_name: str) -> str:
        """Upload a file, and return its URL for inputs (protocol 7.1, route A). Raises `UpstreamError`."""
        form = json.dumps({"file_name": file_name, "content_type": content_type}).encode()
        opened = await self.ask(
            "POST",
            "rest.fal.ai",
            "storage/upload/initiate",
            {"storage_type": "fal-cdn-v3"},
            form,
            {"Content-Type": "application/json"},
        )
        check_key(opened)
        document = self.read(opened)
        if (
            not opened.ok
            or not isinstance(document, dict)
            or not {"upload_url", "file_url"} <= document.keys()
        ):
            raise UpstreamError(f"an upload to fal was answered {opened.status}")
        put = await self._ask(
            "PUT",
            URL(self.address_of(str(document["upload_url"])), encoded=True),
            headers={"Content-Type": content_type},
            data=data,
            allow_redirects=False,
        )
        if not put.ok:
            raise UpstreamError(f"an upload to fal was answered {put.status}")
        return self.address_of(str(document["file_url"]))

    async def download(self, url: str) -> Reply:
        """Read a file of fal, without the key. Raise `UpstreamError` if its server fails."""
        for _ in range(_DOWNLOADS):
            with suppress(UpstreamError):
                reply = await self._ask("GET", URL(self.address_of(url), encoded=True))
                if reply.status < 500:
                    return reply
        raise UpstreamError(f"{without_signatures(url)} can't be downloaded")

    async def _ask(self, method: str, url: URL, **options: Any) -> Reply:
        with failures(url):
            async with self._http(paid=False).request(method, url, **options) as response:
                return Reply(response.status, CIMultiDict(response.headers), await response.read())

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Key {self._key}"}


def check_key(reply: Reply) -> None:
    """Raise `UpstreamError` if fal does not accept the key: a recording of that would be of no use."""
    if reply.status == 401:
        raise UpstreamError(
            "fal does not accept the API key with which the emulator records: it is upstream_key, or else FAL_KEY "
            "of the emulator's process",
            status=401,
        )


def check_address(address: str) -> str:
    """Return a base URL without a slash at its end. Raise ValueError, without secrets, if it is not one."""
    shown = address.partition("?")[0].rpartition("@")[2]
    try:
        parts = urlsplit(address)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(
            f"upstream={shown!r}: expected a base URL such as http://127.0.0.1:8765, without user name and query"
        )
    return address.rstrip("/")


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that fal gets from the caller: no keys, no cookies."""
    return {
        name: text
        for name, text in headers.items()
        if (low := name.lower()) in _ALSO_SENT or (low.startswith(_SENT_BY_CALLER) and low not in _NOT_SENT)
    }


def _query(query: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in query.items() if name not in _OWN_QUERY}


def _request(endpoint_id: str, request_id: str) -> str:
    return f"{app_id(endpoint_id)}/requests/{request_id}"
